"""visrec's VBPR and BPR, trained through the public API; runs in visrec's own environment."""

from __future__ import annotations

import importlib

import numpy as np
import torch
from recorder import BudgetSpentError, Job, Vectors

import visrec

importlib.import_module(
    "torch._dynamo"
)  # which torch.optim imports at its first use: seconds, not of training
job = Job.read()
torch.set_num_threads(job.threads)
user, item, timestamp = job.train()
users = visrec.IdMap(np.arange(job.n_users), kind="user")
items = visrec.IdMap(np.arange(job.n_items), kind="item")
train = visrec.Interactions(user, item, timestamp, np.ones(len(user), np.float32), users, items)
features = None
if job.model == "vbpr":
    features = visrec.Features.from_array(job.features(), np.arange(job.n_items)).standardize()
model = {"vbpr": visrec.VBPR, "bpr": visrec.BPR}[job.model](seed=job.seed, epochs=1_000_000, **job.settings)


def vectors() -> Vectors:
    """Exactly what `recommend` would rank with."""
    model.refresh()
    with torch.no_grad():
        return model.encode_users(torch.arange(job.n_users)).numpy(), model.Z.numpy()


try:
    job.recorder.start()
    model.fit(train, features, progress=lambda *_: job.recorder.epoch_done(len(train), vectors))
except BudgetSpentError:
    job.recorder.finish("visrec", "torch")
