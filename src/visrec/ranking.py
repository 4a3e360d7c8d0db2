"""Ranks and top-k lists from scores: no full sort, and one rule for ties.

**Ties.** Items of equal score are ordered by a hash of (user, item): a fixed random order, another one for
each user. A model that gives all items one score thus ranks like chance, it can neither be favoured by the
order of the items nor punished; and the same scores always give the same list.
"""

from __future__ import annotations

import sys

import numpy as np
import torch
from torch import Tensor

from visrec.compiled import Compiled, compiled, in_parallel
from visrec.errors import DivergedError

_LINE = 16  # scores in a line of the processor's cache
_GROUPS = 4  # times k: into how many groups `top_k` cuts a row
_PART = 2048  # scores that are compared with all targets of a row while they lie in the first cache
_PIECE = 64  # scores that are looked at one by one if any of them may be among the best
_LEAST = 1 << 18  # scores that are worth waking a thread for …
_FEW = 1 << 18  # … or the compiler, whose loading takes as long as ranking thousands of rows
_ITEM = np.uint64(0xD1B54A32D192ED03)
_MIX1, _MIX2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_S27, _S30, _S31 = np.uint64(27), np.uint64(30), np.uint64(31)
_LAST = np.uint64(0xFFFFFFFFFFFFFFFF)
_INFINITE, _SIGN, _BUT_SIGN = 0x7F800000, np.int32(31), np.int32(0x7FFFFFFF)  # of a float's bits


def tie_order(user: int | np.ndarray, item: np.ndarray) -> np.ndarray:
    """The hash that orders ties: uint64, the smaller first (splitmix64 of user and item)."""
    with np.errstate(over="ignore"):
        return _mix(_salt(user) ^ (item.astype(np.uint64) * _ITEM))


def _salt(user: int | np.ndarray) -> np.ndarray:
    """What the hash makes of the user: uint64."""
    with np.errstate(over="ignore"):
        users = np.asarray(user, dtype=np.int64).astype(np.uint64)
        return _mix((users + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15))


def _mix(x: np.ndarray) -> np.ndarray:
    x = (x ^ (x >> _S30)) * _MIX1
    x = (x ^ (x >> _S27)) * _MIX2
    return x ^ (x >> _S31)


def room_for(n_rows: int, n_items: int) -> Tensor:
    """Scores `(n_rows, n_items)` to be written to, float32.

    Rows begin where lines of the processor's cache do: where they do not, as of an odd number of items, a matrix
    product takes half as long again to write them.
    """
    return torch.empty(n_rows, -(-n_items // _LINE) * _LINE)[:, :n_items]


def flat(scores: Tensor) -> tuple[np.ndarray, int]:
    """Scores `(B, I)` as compiled loops take them, and how far their rows lie apart: row b begins at b times that.

    To be read: the same memory, or a copy where the scores of a row do not lie side by side.
    """
    return _flat(scores if _side_by_side(scores) else scores.contiguous())


def flat_to_write(scores: Tensor) -> tuple[np.ndarray, int]:
    """Like `flat`, always the same memory.

    Raises:
        ValueError: the scores of a row do not lie side by side, or rows share memory.
    """
    n_rows, n_items = scores.shape
    if not _side_by_side(scores) or (n_rows > 1 and scores.stride(0) < n_items):
        raise ValueError(
            f"Scores {tuple(scores.shape)} have the strides {scores.stride()}; to be written to, each row must lie "
            f"side by side and apart from the others. Give scores.contiguous()."
        )
    return _flat(scores)


def _side_by_side(scores: Tensor) -> bool:
    return scores.shape[1] <= 1 or scores.stride(1) == 1


def _flat(scores: Tensor) -> tuple[np.ndarray, int]:
    table = scores.numpy()
    apart = table.strides[0] // table.itemsize
    n = (len(table) - 1) * apart + table.shape[1] if len(table) else 0
    return np.lib.stride_tricks.as_strided(table, (n,), (table.itemsize,)), apart


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
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The rank of given items in given rows, without sorting the rest.

    Args:
        scores: `(B, I)`; -inf where an item is no candidate.
        rows: `(T,)` row of each target, in rising order.
        items: `(T,)` item of each target; it must be a candidate.
        users: `(B,)` user index of each row, for the order of ties.

    Returns:
        ranks `(T,)` int64, ties in the order of the hash, 1 is the best; mid-ranks `(T,)` float64, the mean of the
        places that an item and those tied with it share; and how many candidates each row has, `(B,)` int64.
    """
    first = np.searchsorted(rows, np.arange(len(scores) + 1))
    ranks, mid = np.zeros(len(rows), dtype=np.int64), np.zeros(len(rows))
    n_candidates = np.zeros(len(scores), dtype=np.int64)
    order, salt = tie_order(users[rows], items), _salt(users)
    _shared(_count, scores, first, np.asarray(items, dtype=np.int64), order, salt, ranks, mid, n_candidates)
    return ranks, mid, n_candidates


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
    if n_rows * n_items > _FEW or "numba" in sys.modules:
        _shared(_head, scores, _salt(users), items, values)
        return items, values
    for row, line in enumerate(scores.numpy()):
        found = np.flatnonzero(line > -np.inf)
        if len(found) > kept:
            found = found[line[found] >= np.partition(line[found], len(found) - kept)[len(found) - kept]]
        order = np.lexsort((tie_order(users[row], found), -line[found]))[:kept]
        items[row, : len(order)], values[row, : len(order)] = found[order], line[found[order]]
    return items, values


def _shared(kernel: Compiled, scores: Tensor, *args: np.ndarray) -> None:
    n_rows, n_items = scores.shape
    in_parallel(kernel, n_rows, *flat(scores), n_items, *args, least=max(1, _LEAST // max(1, n_items)))


@compiled
def _hash(salt, item):  # type: ignore[no-untyped-def]
    """`tie_order` of one."""
    x = salt ^ (np.uint64(item) * _ITEM)
    x = (x ^ (x >> _S30)) * _MIX1
    x = (x ^ (x >> _S27)) * _MIX2
    return x ^ (x >> _S31)


@compiled
def _count(start, stop, scores, apart, n_items, first, items, order, salt, ranks, mid, n_candidates):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    """Of each row the candidates, and for each of its targets those that are better or equal, in one pass."""
    one, none = np.float32(1), np.float32(0)  # numbers as wide as the scores, so that 16 are counted at once
    for b in range(start, stop):
        line = scores[b * apart : b * apart + n_items]
        for cut in range(0, n_items, _PART):
            part = line[cut : cut + _PART]
            real = none
            for i in range(len(part)):
                real += one if part[i] > -np.inf else none
            n_candidates[b] += np.int64(real)
            for t in range(first[b], first[b + 1]):
                score = line[items[t]]
                better, equal = none, none
                for i in range(len(part)):
                    better += one if part[i] > score else none
                    equal += one if part[i] == score else none
                ranks[t] += np.int64(better)
                mid[t] += equal  # itself included
        for t in range(first[b], first[b + 1]):
            better, equal = ranks[t], mid[t]
            mid[t] = better + (equal + 1) / 2
            if equal > 1:
                score, own, user = line[items[t]], order[t], salt[b]
                for i in range(n_items):
                    if line[i] == score:
                        better += _hash(user, i) < own
            ranks[t] = better + 1


@compiled
def _head(start, stop, scores, apart, n_items, salt, items, values):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    """The k best of each row, into `items` and `values (B, k)`, which hold -1 and -inf.

    Those that reach a bound go through a heap whose root is the worst of the k that are in it.
    """
    one, none = np.float32(1), np.float32(0)
    k = items.shape[1]
    size = n_items // max(1, _GROUPS * k)
    best = np.empty(n_items // size if size > 1 else 0, dtype=np.float32)
    keys = np.empty(k, dtype=np.uint64)
    for b in range(start, stop):
        line, item, value = scores[b * apart : b * apart + n_items], items[b], values[b]
        bound = _bound(line, k, best)
        keys[:] = _LAST
        for cut in range(0, n_items, _PIECE):
            part = line[cut : cut + _PIECE]
            reach = none
            for i in range(len(part)):
                reach += one if part[i] >= bound else none
            if reach > none:
                for i in range(len(part)):
                    score = part[i]
                    if score >= bound and score >= value[0] and score > -np.inf:
                        key = _hash(salt[b], cut + i)
                        if score > value[0] or key < keys[0]:
                            _sink(item, value, keys, k, cut + i, score, key)
        for last in range(k - 1, 0, -1):  # the worst goes behind the rest, again and again
            new, score, key = item[last], value[last], keys[last]
            item[last], value[last], keys[last] = item[0], value[0], keys[0]
            _sink(item, value, keys, last, new, score, key)


@compiled
def _sink(item, value, keys, size, new, score, key):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    """Put an item in the place of the root of a heap of some size: each is worse than the two below it."""
    place, child = 0, 1
    while child < size:
        other = child + 1
        if other < size and (
            value[other] < value[child] or (value[other] == value[child] and keys[other] > keys[child])
        ):
            child = other
        if score < value[child] or (score == value[child] and key > keys[child]):
            break
        item[place], value[place], keys[place] = item[child], value[child], keys[child]
        place, child = child, 2 * child + 1
    item[place], value[place], keys[place] = new, score, key


@compiled
def _bound(line, k, best):  # type: ignore[no-untyped-def]
    """A number that at least k scores of a row `(I,)` reach, and few more where they are in no order.

    The row is cut into the many more groups than k of `best`; the k-th largest of the groups' maxima is reached by k
    scores. It is found by halving, on the bits of floats as integers in the same order, the first of them of -inf.
    """
    n = len(best)
    if n == 0:
        return np.float32(-np.inf)
    best[:] = line[:n]
    for cut in range(
        n, len(line) - n + 1, n
    ):  # what is left over at the end can only add to those that reach it
        part = line[cut : cut + n]
        for g in range(n):
            best[g] = part[g] if part[g] > best[g] else best[g]
    bits = best.view(np.int32)
    for g in range(n):
        bits[g] ^= (bits[g] >> _SIGN) & _BUT_SIGN
    low, high, one, none = -_INFINITE - 1, _INFINITE, np.float32(1), np.float32(0)
    while low < high:
        middle = (low + high + 1) >> 1
        reach = none
        for g in range(n):
            reach += one if bits[g] >= middle else none
        if reach < k:
            high = middle - 1
            continue
        low = middle
        if reach <= k + k // 8:  # a few more do no harm
            break
    bits[0] = low ^ ((low >> _SIGN) & _BUT_SIGN)
    return best[0]
