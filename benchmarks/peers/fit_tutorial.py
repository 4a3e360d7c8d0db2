"""The tutorial's VBPR, with its own settings and its own triples; runs in visrec's environment.

As many triples for each user (or, by its settings here, for each interaction), uniform negatives from the catalogue,
drawn beforehand: drawing them is not on the clock.
"""

from __future__ import annotations

import numpy as np
import torch
from peers.recorder import BudgetSpentError, Job
from speed import tutorial

BATCH = 42_000
TRIPLES = 5_000_000


def drawn(user: np.ndarray, item: np.ndarray, job: Job, n: int) -> np.ndarray:
    """`(3, n)` users, positives, negatives in random order; no triple twice."""
    rng = np.random.default_rng(job.seed)
    known = np.sort(user * job.n_items + item)
    order = np.argsort(user, kind="stable")
    counts = np.bincount(user, minlength=job.n_users)
    first = np.cumsum(counts) - counts
    if job.settings["triples"] == "alike for each user":
        u = np.repeat(np.flatnonzero(counts), -(-n // np.count_nonzero(counts)))
        pos = item[order][first[u] + (rng.random(len(u)) * counts[u]).astype(np.int64)]
    else:
        rows = rng.integers(0, len(user), n)
        u, pos = user[rows], item[rows]
    neg = rng.integers(0, job.n_items, len(u))
    while True:
        pair = u * job.n_items + neg
        owned = np.flatnonzero(known[np.minimum(np.searchsorted(known, pair), len(known) - 1)] == pair)
        if len(owned) == 0:
            break
        neg[owned] = rng.integers(0, job.n_items, len(owned))
    key = np.unique((u * job.n_items + pos) * job.n_items + neg)
    key = rng.permutation(key)
    return np.stack([key // job.n_items**2, key // job.n_items % job.n_items, key % job.n_items])


job = Job.read()
torch.set_num_threads(job.threads)
torch.manual_seed(job.seed)
user, item, _ = job.train()
triples = torch.from_numpy(drawn(user, item, job, min(TRIPLES, 50 * len(user))))
way = tutorial.vbpr(job.n_users, job.features())
none = torch.empty(0)
way.step(*triples[:, :100], none)  # what is imported at its first use
way = tutorial.vbpr(job.n_users, job.features())
try:
    job.recorder.start()
    while True:
        for batch in triples.split(BATCH, dim=1):
            way.step(*batch, none)
            job.recorder.lap(batch.shape[1], lambda: tutorial.vbpr_vectors(way))
except BudgetSpentError:
    job.recorder.finish("torch")
