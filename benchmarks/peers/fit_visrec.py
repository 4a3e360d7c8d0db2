"""visrec's VBPR and BPR, trained through the public API; runs in visrec's own environment.

As its peers, VBPR is watched batch by batch, which the public API does not offer, and BPR at the end of an epoch.
"""

from __future__ import annotations

import numpy as np
import torch
from peers.recorder import BudgetSpentError, Job, Vectors

import visrec
from visrec.training.sampling import Triples
from visrec.training.trainer import Trainer

step = Trainer.step

job = Job.read()
torch.set_num_threads(job.threads)
kind = {"vbpr": visrec.VBPR, "bpr": visrec.BPR}[job.model]
user, item, timestamp = job.train()
users = visrec.IdMap(np.arange(job.n_users), kind="user")
items = visrec.IdMap(np.arange(job.n_items), kind="item")
train = visrec.Interactions(user, item, timestamp, np.ones(len(user), np.float32), users, items)
features = None
if job.model == "vbpr":
    features = visrec.Features.from_array(job.features(), np.arange(job.n_items)).standardize()


def trial() -> None:
    """An epoch over a little of the data: what is imported or compiled at its first use is not on the clock."""
    few = train.where(np.arange(len(train)) < 1_000)
    kind(seed=job.seed, **{**job.settings, "epochs": 1}).fit(few, features)


def vectors() -> Vectors:
    """Exactly what `recommend` would rank with."""
    model.refresh()
    with torch.no_grad():
        return model.encode_users(torch.arange(job.n_users)).numpy(), model.Z.numpy()


def watched(trainer: Trainer, batch: Triples) -> float:
    """A step, of which the recorder is told."""
    loss = step(trainer, batch)
    job.recorder.lap(len(batch), vectors)
    return loss


def of_an_epoch(*_: object) -> None:
    """The end of an epoch, of which the recorder is told."""
    job.recorder.lap(len(train), vectors)


trial()
model = kind(seed=job.seed, epochs=1_000_000, **job.settings)
if job.model == "vbpr":
    Trainer.step = watched  # type: ignore[method-assign]
try:
    job.recorder.start()
    model.fit(train, features, progress=None if job.model == "vbpr" else of_an_epoch)
except BudgetSpentError:
    job.recorder.finish("visrec", "torch")
