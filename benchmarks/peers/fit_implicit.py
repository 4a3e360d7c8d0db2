"""implicit's BPR; runs in the peers' environment."""

from __future__ import annotations

from typing import Any

import numpy as np
from implicit.cpu.bpr import BayesianPersonalizedRanking
from peers.recorder import BudgetSpentError, Job
from scipy import sparse

job = Job.read()
user, item, _ = job.train()
ones = np.ones(len(user), np.float32)
matrix = sparse.csr_matrix((ones, (user, item)), shape=(job.n_users, job.n_items))
model = BayesianPersonalizedRanking(
    iterations=1_000_000, num_threads=job.threads, random_state=job.seed, **job.settings
)


def epoch_done(*_: Any) -> None:
    """implicit's factors end with the item's bias and a 1 for the user: the score is their dot product."""
    job.recorder.lap(len(user), lambda: (model.user_factors, model.item_factors))


try:
    job.recorder.start()
    model.fit(matrix, show_progress=False, callback=epoch_done)
except BudgetSpentError:
    found, scores = model.recommend(0, matrix[0], N=5)
    if not np.allclose(model.item_factors[found] @ model.user_factors[0], scores, rtol=1e-3, atol=1e-4):
        raise SystemExit("implicit: the exported factors do not score like the model") from None
    job.recorder.finish("implicit")
