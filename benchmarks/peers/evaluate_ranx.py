"""ranx on lists of 100 that NumPy cuts from blocks of scores; runs in the peers' environment."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from peak import Peak
from speed.turn import repeated, take_turn

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import ranx

NAMES = {
    "ndcg": "ndcg",
    "recall": "recall",
    "precision": "precision",
    "f1": "f1",
    "hit": "hit_rate",
    "map": "map",
    "rr": "mrr",
}


def one(
    folder: str, seconds: float, *, dim: int, n_users: int, cutoffs: list[int], **_: Any
) -> dict[str, Any]:
    """All users, again and again for so many seconds."""
    Q, Z = np.load(f"{folder}/Q{dim}.npy"), np.load(f"{folder}/Z{dim}.npy")
    seen, test = np.load(f"{folder}/seen.npz"), np.load(f"{folder}/test.npz")
    order = np.argsort(seen["user"], kind="stable")
    bounds = np.searchsorted(seen["user"][order], np.arange(n_users + 1))
    consumed, held = seen["item"][order], dict(zip(test["user"].tolist(), test["item"].tolist(), strict=True))
    depth = max(cutoffs)

    def judge(users: list[int]) -> dict[str, float]:
        scored: dict[str, dict[str, float]] = {}
        for start in range(0, len(users), 512):
            block = users[start : start + 512]
            scores = Q[block] @ Z.T
            for row, user in enumerate(block):
                scores[row, consumed[bounds[user] : bounds[user + 1]]] = -np.inf
            best = np.argpartition(-scores, depth, axis=1)[:, :depth]
            for user, line, items in zip(block, scores, best, strict=True):
                scored[f"u{user}"] = {f"i{item}": float(line[item]) for item in items.tolist()}
        truth = {f"u{user}": {f"i{held[user]}": 1} for user in users}
        names = [f"{name}@{k}" for k in cutoffs for name in NAMES.values()]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            means = ranx.evaluate(ranx.Qrels(truth), ranx.Run(scored), names)
        return {f"{name}@{k}": float(means[f"{NAMES[name]}@{k}"]) for k in cutoffs for name in NAMES}

    users, found = sorted(held), dict[str, float]()
    judge(users[:2])  # compiled before the clock starts

    def all_users() -> float:
        found.update(judge(users))
        return len(users)

    peak = Peak()
    rate = repeated(all_users, seconds)
    return {"users_per_second": rate, "peak_mib": peak.mib(), "metrics": found}


if __name__ == "__main__":
    take_turn(one)
