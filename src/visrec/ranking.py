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

_GROUPS = 4  # times k: into how many groups `top_k` cuts a row


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
    if torch.isfinite(
        scores.sum()
    ):  # much quicker to know, and true of all finite scores but very large ones
        return
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
    table = scores.numpy()
    marks = np.empty(scores.shape[1], dtype=bool)  # one row at a time stays in the processor's cache
    for t, (row, item) in enumerate(zip(rows.tolist(), items.tolist(), strict=True)):
        line = table[row]
        better = np.count_nonzero(np.greater(line, line[item], out=marks))
        equal = np.count_nonzero(np.equal(line, line[item], out=marks))  # itself included
        mid[t] = better + (equal + 1) / 2
        if equal > 1:
            order = tie_order(int(users[row]), np.append(np.flatnonzero(marks), item))
            better += np.count_nonzero(order[:-1] < order[-1])
        ranks[t] = better + 1
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
    for row, line in enumerate(scores.numpy()):
        found = np.flatnonzero(line >= _bound(line, kept))
        found = found[line[found] > -np.inf]
        if len(found) > 2 * kept:  # the bound was far off
            found = found[line[found] >= np.partition(line[found], len(found) - kept)[len(found) - kept]]
        value = line[found]
        order = np.lexsort((tie_order(int(users[row]), found), -value))[:kept]
        items[row, : len(order)] = found[order]
        values[row, : len(order)] = value[order]
    return items, values


def _bound(line: np.ndarray, k: int) -> np.float32:
    """A number that at least k scores of a row `(I,)` reach, and few more where they are in no order.

    The row is cut into many more groups than k; the k-th largest of the groups' maxima is reached by k scores.
    """
    size = len(line) // (_GROUPS * k)
    if size < 2:
        return np.float32(-np.inf)
    n_groups = len(line) // size  # what is left over at the end can only add to those that reach it
    best = line[: n_groups * size].reshape(size, n_groups).max(axis=0)
    return np.float32(np.partition(best, n_groups - k)[n_groups - k])
