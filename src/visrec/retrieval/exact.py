"""The k largest inner products of a query with many rows: every row is looked at, none is missed.

A matrix product finds who may be among the k; the few that it cannot tell apart are scored again in one order of
summation, the same for all. Rows of equal vectors thus have equal scores, which a matrix product does not promise,
and the rule for ties (`visrec.ranking`) sees them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from visrec.ranking import tie_order, top_k

_CELLS = 1 << 24  # floats of scores held at once: 64 MiB
_QUERIES = 256  # at once; more gain nothing in speed
_ROWS = 1 << 16  # vectors gathered at once
_FEW = 4  # rows are gathered one by one where fewer than 1 / this of all are candidates


def largest(
    vectors: np.ndarray,
    queries: np.ndarray,
    k: int,
    *,
    owners: np.ndarray,
    reach: float,
    closed: np.ndarray | None = None,
    exclude: Sequence[np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The k rows with the largest inner product with each query, best first.

    Args:
        vectors: `(n, d)` float32.
        queries: `(B, d)` float32.
        k: how many; queries with fewer candidates are filled up with row -1, score -inf.
        owners: `(B,)` the user of each query, for the order of ties.
        reach: at least the length of the longest vector, see `visrec.retrieval.vectors.lengths`.
        closed: `(n,)` bool, True at rows that are no answer to any query; None: all may be.
        exclude: rows that are no answer to each query, B arrays; None: no more than `closed`.

    Returns:
        rows `(B, min(k, n))` int64 and scores, float32.
    """
    kept = min(k, len(vectors))
    rows = np.full((len(queries), kept), -1, dtype=np.int64)
    scores = np.full((len(queries), kept), -np.inf, dtype=np.float32)
    if kept == 0:
        return rows, scores
    for start in range(0, len(queries), _QUERIES):
        part = slice(start, start + _QUERIES)
        left_out = None if exclude is None else exclude[part]
        found = _candidates(
            vectors, queries[part], kept, owners=owners[part], reach=reach, closed=closed, exclude=left_out
        )
        for b, near in enumerate(found, start=start):
            best, value = ordered(vectors, near, queries[b], kept, owner=int(owners[b]))
            rows[b, : len(best)], scores[b, : len(best)] = best, value
    return rows, scores


def ordered(
    vectors: np.ndarray, found: np.ndarray, query: np.ndarray, k: int, *, owner: int
) -> tuple[np.ndarray, np.ndarray]:
    """The k best of some rows `(m,)` for one query, best first, and their scores, float32.

    The query is one vector `(d,)`, or several `(P, d)` of which the largest product counts. A product is summed in
    float64, in the same order for all rows.
    """
    value = np.full(len(found), -np.inf, dtype=np.float32)
    for start in range(0, len(found), _ROWS):
        part = slice(start, start + _ROWS)
        block = vectors[found[part]]
        for one in np.atleast_2d(query).astype(np.float64):
            value[part] = np.maximum(
                value[part], (block * one).sum(axis=1), dtype=np.float32, casting="same_kind"
            )
    order = np.lexsort((tie_order(owner, found), -value))[:k]
    return found[order], value[order]


def _candidates(
    vectors: np.ndarray,
    queries: np.ndarray,
    k: int,
    *,
    owners: np.ndarray,
    reach: float,
    closed: np.ndarray | None,
    exclude: Sequence[np.ndarray] | None,
) -> list[np.ndarray]:
    """Of each query the rows that may be among its k best: the k of the matrix product, and all close to the last."""
    # Twice what summing d products in another order can change (Higham 2002, section 3.1).
    slack = 2 * vectors.shape[1] * 2.0**-24 * reach * np.linalg.norm(queries, axis=1)
    rows = [np.empty(0, dtype=np.int64) for _ in queries]
    values = [np.empty(0, dtype=np.float32) for _ in queries]
    for index, block in _blocks(vectors, closed, max(1, _CELLS // len(queries))):
        scores = (block @ queries[0])[None] if len(queries) == 1 else queries @ block.T  # (B, m)
        if closed is not None and isinstance(index, slice):
            scores[:, closed[index]] = -np.inf
        for b, left_out in enumerate(exclude or ()):
            scores[b, _places(index, left_out)] = -np.inf
        last = top_k(torch.from_numpy(scores), k, owners)[1][:, -1]  # (B,), -inf where fewer than k are left
        for b, line in enumerate(scores):
            near = np.flatnonzero((line >= last[b] - slack[b]) & (line > -np.inf))
            found = near + index.start if isinstance(index, slice) else index[near]
            rows[b], values[b] = np.append(rows[b], found), np.append(values[b], line[near])
            if len(rows[b]) > k:
                bound = np.partition(values[b], len(rows[b]) - k)[len(rows[b]) - k] - slack[b]
                rows[b], values[b] = rows[b][values[b] >= bound], values[b][values[b] >= bound]
    return rows


def _blocks(
    vectors: np.ndarray, closed: np.ndarray | None, size: int
) -> Iterator[tuple[slice | np.ndarray, np.ndarray]]:
    """The candidates' vectors, block by block, and which rows they are; with the rest, where they are not few."""
    if closed is not None:
        some = np.flatnonzero(~closed)
        if len(some) * _FEW < len(vectors):
            size = min(size, _ROWS)
            for start in range(0, len(some), size):
                yield some[start : start + size], vectors[some[start : start + size]]
            return
    for start in range(0, len(vectors), size):
        index = slice(start, min(len(vectors), start + size))
        yield index, vectors[index]


def _places(index: slice | np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Where in a block some rows lie; those outside are left out."""
    if isinstance(index, slice):
        return rows[(rows >= index.start) & (rows < index.stop)] - index.start
    place = np.searchsorted(index, rows).clip(max=len(index) - 1)
    return place[index[place] == rows]
