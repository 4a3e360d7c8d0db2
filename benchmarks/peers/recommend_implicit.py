"""implicit's `recommend` on vectors from a file; runs in the peers' environment."""

from __future__ import annotations

import numpy as np
from implicit.cpu.bpr import BayesianPersonalizedRanking
from peak import Peak
from scipy import sparse
from speed.turn import repeated, take_turn


def one(
    folder: str, threads: int, seconds: float, *, dim: int, n_users: int, n_items: int, k: int, out: str
) -> dict[str, float]:
    """All users, again and again for so many seconds."""
    model = BayesianPersonalizedRanking(factors=dim - 1, num_threads=threads)
    model.user_factors, model.item_factors = np.load(f"{folder}/Q{dim}.npy"), np.load(f"{folder}/Z{dim}.npy")
    with np.load(f"{folder}/train.npz") as rows:
        ones = np.ones(len(rows["user"]), np.float32)
        taken = sparse.csr_matrix((ones, (rows["user"], rows["item"])), shape=(n_users, n_items))
    users = np.arange(n_users)
    np.save(out, model.recommend(users, taken, N=k)[0])

    def recommend() -> float:
        model.recommend(users, taken, N=k)
        return n_users

    peak = Peak()
    return {"users_per_second": repeated(recommend, seconds), "peak_mib": peak.mib()}


if __name__ == "__main__":
    take_turn(one)
