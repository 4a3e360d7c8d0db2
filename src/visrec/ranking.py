"""Ranks and top-k lists from scores: no full sort, and one rule for ties.

**Ties.** Items of equal score are ordered by a hash of (user, item): a fixed random order, another one for
each user. A model that gives all items one score thus ranks like chance, it can neither be favoured by the
order of the items nor punished; and the same scores always give the same list.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from visrec.errors import DivergedError

_CHUNK = 1 << 24  # scores compared at once in `ranks_of`: 64 MiB of float32


def tie_order(user: int | np.ndarray, item: np.ndarray) -> np.ndarray:
    """The hash that orders ties: uint64, the smaller first (splitmix64 of user and item)."""
    with np.errstate(over="ignore"):
        users = np.asarray(user, dtype=np.int64).astype(np.uint64)
        x = (users + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        x = _mix(x) ^ (item.astype(np.uint64) * np.uint64(0xD1B54A32D192ED03))
        return _mix(x)


def _mix(x: np.ndarray) -> np.ndarray:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def check_finite(scores: Tensor, model: str) -> None:
    """Raise `DivergedError` where scores are NaN or infinite: such items would silently rank anywhere."""
    if not torch.isfinite(scores).all():
        raise DivergedError(
            f"{model} gives scores that are not finite numbers. Its training diverged, or its features are far too "
            f"large; train it again with a lower learning rate, or standardised features."
        )


def ranks_of(
    scores: Tensor, rows: np.ndarray, items: np.ndarray, users: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The rank of given items in given rows, without sorting the rest.

    Args:
        scores: `(B, I)`; -inf where an item is no candidate.
        rows: `(T,)` row of each target.
        items: `(T,)` item of each target; it must be a candidate.
        users: `(B,)` user index of each row, for the order of ties.

    Returns:
        ranks `(T,)` int64, ties in the order of the hash, 1 is the best; and mid-ranks `(T,)` float64, the mean of
        the places that an item and those tied with it share.
    """
    ranks = np.empty(len(rows), dtype=np.int64)
    mid = np.empty(len(rows))
    step = max(1, _CHUNK // scores.shape[1])
    for start in range(0, len(rows), step):
        chunk = slice(start, start + step)
        row = torch.from_numpy(rows[chunk])
        others = scores[row]  # (c, I)
        target = others.gather(1, torch.from_numpy(items[chunk])[:, None])  # (c, 1)
        better = (others > target).sum(1).numpy()
        equal = (others == target).sum(1).numpy()  # itself included
        mid[chunk] = better + (equal + 1) / 2
        for t in np.flatnonzero(equal > 1):
            tied = (others[t] == target[t]).nonzero().numpy()[:, 0]
            user = int(users[rows[start + t]])
            own = tie_order(user, items[start + t : start + t + 1])
            better[t] += int((tie_order(user, tied) < own).sum())
        ranks[chunk] = better + 1
    return ranks, mid


def top_k(scores: Tensor, k: int, users: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The k best items of each row, best first.

    Args:
        scores: `(B, I)`; -inf where an item is no candidate.
        k: how many; at most I are given. Rows with fewer candidates are filled up with item -1, score -inf.
        users: `(B,)` user index of each row, for the order of ties.

    Returns:
        items `(B, min(k, I))` int64 and their scores, float32.
    """
    n_rows, n_items = scores.shape
    kept = min(k, n_items)
    items = np.full((n_rows, kept), -1, dtype=np.int64)
    values = np.full((n_rows, kept), -np.inf, dtype=np.float32)
    best, index = torch.topk(scores, kept, dim=1)
    last = best[:, -1:]
    crowded = ((scores == last).sum(1) > (best == last).sum(1)).numpy()  # ties reach beyond the k-th place
    for row in range(n_rows):
        found, value = index[row].numpy(), best[row].numpy()
        if crowded[row] and np.isfinite(value[-1]):
            found = (scores[row] >= best[row, -1]).nonzero().numpy()[:, 0]
            value = scores[row].numpy()[found]
        order = np.lexsort((tie_order(int(users[row]), found), -value))[:kept]
        order = order[value[order] > -np.inf]
        items[row, : len(order)] = found[order]
        values[row, : len(order)] = value[order]
    return items, values
