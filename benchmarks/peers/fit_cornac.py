"""cornac's VBPR and BPR, unchanged; runs in the peers' environment.

cornac has no hook for the end of a batch or an epoch, so both are watched from outside: VBPR, batch by batch, through
the data set's iterator and the optimiser's list of parameters, BPR through its per-epoch method.

Negatives are uniform over the items that the data set counts: in ordinary use those that somebody took
("interacted"), here also all ("catalog"). The counted items must come first, so items are renumbered.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from cornac.data import Dataset, ImageModality
from cornac.models import BPR, VBPR
from peers.recorder import BudgetSpentError, Job, Vectors

job = Job.read()
torch.set_num_threads(job.threads)
settings = dict(job.settings)
parameters: list[torch.Tensor] = []
"""Of the VBPR in training: Bi (I,), Gu (U, k), Gi (I, k), Tu (U, k2), E (F, k2), Bp (F, 1)."""


class RecordingAdam(torch.optim.Adam):
    """torch's Adam, which remembers what it was given."""

    def __init__(self, params: list[torch.Tensor], **options: Any) -> None:
        parameters[:] = params
        super().__init__(params, **options)


class Batches(Dataset):
    """cornac's Dataset, which tells the recorder when a batch is used up."""

    record = True

    def uij_iter(self, *args: Any, **options: Any) -> Iterator[Any]:
        for batch in super().uij_iter(*args, **options):
            yield batch
            if self.record:
                job.recorder.lap(len(batch[0]), ours)


class WatchedBPR(BPR):
    """cornac's BPR, which tells the recorder when an epoch is over."""

    def _fit_sgd(self, *args: Any) -> Any:
        result = super()._fit_sgd(*args)
        job.recorder.lap(len(user), lambda: (self.get_user_vectors(), self.get_item_vectors()[place]))
        return result


def vbpr_vectors() -> Vectors:
    """VBPR.score, as a dot product; items in cornac's order."""
    Bi, Gu, Gi, Tu, E, Bp = (tensor.detach() for tensor in parameters)
    F = torch.from_numpy(features)
    Q = torch.cat([Gu, Tu, torch.ones(len(Gu), 1)], dim=1)
    Z = torch.cat([Gi, F @ E, Bi[:, None] + F @ Bp], dim=1)
    return Q.numpy(), Z.numpy()


def ours() -> Vectors:
    """The same, items in our order."""
    Q, Z = vbpr_vectors()
    return Q, Z[place]


def dataset(rows: slice) -> Batches:
    """Some of the training rows, on all users and items."""
    u, i = user[rows].astype(np.int64), place[item[rows]]
    uids, iids = (OrderedDict((n, n) for n in range(size)) for size in (job.n_users, job.n_items))
    data = Batches(job.n_users, n_counted, uids, iids, (u, i, np.ones(len(u))), seed=job.seed)
    if job.model == "vbpr":
        data.add_modalities(item_image=ImageModality(features=features))
    return data


def check_scores(Q: np.ndarray, Z: np.ndarray, model: BPR | VBPR) -> None:
    """The exported factors must score like the model."""
    one = job.n_users // 2
    if not np.allclose(Q[one] @ Z.T, model.score(one), rtol=1e-3, atol=1e-4):
        raise SystemExit("cornac: the exported factors do not score like the model")


user, item, _ = job.train()
taken = np.bincount(item, minlength=job.n_items) > 0
order = np.argsort(~taken, kind="stable")  # (I,) cornac's n-th item is our order[n]
place = np.argsort(order)  # (I,) our n-th item is cornac's place[n]
n_counted = {"interacted": int(taken.sum()), "catalog": job.n_items}[settings.pop("negatives")]
if job.model == "vbpr":  # the trial below also imports what torch.optim imports at its first use
    torch.optim.Adam = RecordingAdam
    features = job.features()
    if settings.pop("features") == "standardized":
        std = features.std(axis=0)
        features = (features - features.mean(axis=0)) / np.where(std > 0, std, 1)
    features = features[order]
    few = dataset(slice(0, 1000))
    few.record = False
    trial = VBPR(seed=job.seed, verbose=False, **{**settings, "n_epochs": 1}).fit(few)
    check_scores(*vbpr_vectors(), trial)
    del few, trial
    model = VBPR(seed=job.seed, verbose=False, n_epochs=1_000_000, **settings)
else:  # a seed would make it use one thread
    model = WatchedBPR(num_threads=job.threads, verbose=False, max_iter=1_000_000, **settings)

data = dataset(slice(None))
_ = data.dok_matrix, data.csr_matrix  # built when first used: preparation, not training
try:
    job.recorder.start()
    model.fit(data)
except BudgetSpentError:
    if job.model == "bpr":
        check_scores(model.get_user_vectors(), model.get_item_vectors(), model)
    job.recorder.finish("cornac", "torch")
