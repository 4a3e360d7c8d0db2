"""A graph of near neighbours (HNSW, Malkov & Yashunin 2018), of which a search sees a small part.

Voyager makes it. It compares directions, so inner products are made into directions, by three steps that change no
order of scores. What each is worth on models' vectors is measured in benchmarks/retrieval.py.

- **Scaled by the queries.** q . z = (A^-1 q) . (A z) for any symmetric A. With A = sqrt(E[q q^T]), from a sample
  of queries, |A z - A z'|^2 = E[(q . z - q . z')^2]: items are near in the graph if users rate them alike.
- **Lifted.** One number more in each vector, sqrt(L^2 - |z|^2), after which all have length L, and 0 in each query:
  the nearest direction has the largest product (Bachrach et al. 2014, section 3.1).
- **Each vector once.** Items that nobody took may share one vector, as those of one placeholder picture do. In a
  graph they would have links to each other alone, and hide the rest.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from visrec.retrieval.vectors import Metric, hashes, lengths

if TYPE_CHECKING:
    import voyager

_LINKS = 16  # of a row, twice as many at the lowest level
_BUILD_EFFORT = 128  # rows in view while a new one is linked
_ROWS = 1 << 16  # added at once
_HEADROOM = 1.05  # L, in lengths of the longest vector at the time it is built
_FLOOR = 0.05  # added to E[q q^T], in means of its eigenvalues: no direction is lost


class Graph:
    """Rows 0, 1, … as they were added, linked to near ones.

    Attributes:
        L: the length that inner products are lifted to; 0 for the cosine.
        A: `(d, d)` float32, what vectors are scaled by; None: nothing.
    """

    def __init__(self, native: voyager.Index, L: float, A: np.ndarray | None) -> None:
        """See `build` and `load`."""
        self._native = native
        self.L, self.A = L, A
        self._inverse = None if A is None else np.linalg.inv(A.astype(np.float64)).astype(np.float32)
        self._first = np.empty(0, dtype=np.int64)  # of each node of the graph the first row with its vector
        self._marks = np.empty(0, dtype=np.uint64)  # hashes of the vectors it was built of, in order
        self._marked = self._first  # the node of each of them
        self._later: dict[int, int] = {}  # nodes of vectors that were added since, by their hash
        self._alike: dict[
            int, np.ndarray
        ] = {}  # all rows with one vector, by the first, where there are several
        self._apart = self._first  # rows longer than L, which the graph misplaces: they are always found
        self._n = 0

    @classmethod
    def build(
        cls, vectors: np.ndarray, metric: Metric, *, seed: int, threads: int, queries: np.ndarray | None
    ) -> Self:
        """Of `(n, d)` vectors, for the cosine of length 1. On one thread, the same of the same each time."""
        import voyager

        A = _scale(queries) if metric == "inner" and queries is not None and queries.any() else None
        longest = float(_scaled_lengths(vectors, A).max(initial=0))
        native = voyager.Index(
            voyager.Space.Cosine,
            vectors.shape[1] + (metric == "inner"),
            M=_LINKS,
            ef_construction=_BUILD_EFFORT,
            random_seed=seed,
            max_elements=max(1, len(vectors)),
        )
        graph = cls(native, max(_HEADROOM * longest, 1e-6) if metric == "inner" else 0.0, A)
        graph.add(vectors, threads=threads)
        return graph

    @classmethod
    def load(cls, path: Path, vectors: np.ndarray, L: float, A: np.ndarray | None) -> Self:
        """Read what `save` wrote of the same vectors."""
        import voyager

        native = voyager.Index.load(str(path), voyager.Space.Cosine, vectors.shape[1] + (L > 0))
        graph = cls(native, L, A)
        graph._note(vectors, graph._new(vectors))
        return graph

    def add(self, vectors: np.ndarray, *, threads: int = 1) -> None:
        """Link further rows `(m, d)`, also while others search."""
        new = self._new(vectors)
        done = len(self._first)
        for start in range(0, len(new), _ROWS):
            block = self._lifted(vectors[new[start : start + _ROWS]])
            ids = list(range(done + start, done + start + len(block)))
            self._native.add_items(block, ids, num_threads=threads)
        self._note(vectors, new)

    def near(self, query: np.ndarray, n: int) -> np.ndarray:
        """About n rows `(m,)` int64, in no order, among which the nearest to a query `(d,)` are likely to be.

        Of rows with one vector there is one; see `alike`.
        """
        import voyager

        first = self._first
        asked = query if self._inverse is None else self._inverse @ query
        if self.L > 0:
            asked = np.append(asked, np.float32(0))
        n = min(n, len(first))
        try:
            found = self._native.query(asked, n, query_ef=n)[0].astype(np.int64)
        except voyager.RecallError:  # fewer than n can be reached from where it begins
            return np.empty(0, dtype=np.int64)
        rows = first[found[found < len(first)]]  # not what is being added at this moment
        return np.union1d(rows, self._apart) if len(self._apart) else rows

    def alike(self, row: int) -> np.ndarray | None:
        """All rows with the vector of one that `near` gave; None where there is no other."""
        return self._alike.get(row)

    def save(self, path: Path) -> None:
        """Write it to a file, all but L and A."""
        self._native.save(str(path))

    def _new(self, vectors: np.ndarray) -> np.ndarray:
        """Which of further rows `(m, d)` have a vector that is not here yet, each vector once, in order."""
        marks = hashes(vectors)
        _, place = np.unique(marks, return_index=True)
        return np.sort(place[self._nodes(marks[place]) < 0])

    def _nodes(self, marks: np.ndarray) -> np.ndarray:
        """The nodes of vectors by their hashes `(m,)`, -1 where there is none."""
        nodes = np.full(len(marks), -1, dtype=np.int64)
        if len(self._marks):
            place = np.searchsorted(self._marks, marks).clip(max=len(self._marks) - 1)
            there = self._marks[place] == marks
            nodes[there] = self._marked[place[there]]
        if self._later:
            for i in np.flatnonzero(nodes < 0).tolist():
                nodes[i] = self._later.get(int(marks[i]), -1)
        return nodes

    def _note(self, vectors: np.ndarray, new: np.ndarray) -> None:
        """Know further rows, whose new vectors are in the graph now."""
        marks = hashes(vectors)
        nodes = np.arange(len(self._first), len(self._first) + len(new))
        if self._n == 0:
            order = np.argsort(marks[new])
            self._marks, self._marked = marks[new][order], nodes[order]
        else:
            self._later |= dict(zip(marks[new].tolist(), nodes.tolist(), strict=True))
        first = np.append(self._first, self._n + new)
        fresh = np.zeros(len(vectors), dtype=bool)
        fresh[new] = True
        again: dict[int, list[int]] = {}
        rest = np.flatnonzero(~fresh)
        for i, row in zip(rest.tolist(), first[self._nodes(marks[rest])].tolist(), strict=True):
            again.setdefault(row, []).append(self._n + i)
        for row, others in again.items():
            known = self._alike.get(row, np.array([row]))
            self._alike[row] = np.append(known, others)
        if self.L > 0:
            far = np.flatnonzero(_scaled_lengths(vectors[new], self.A) > self.L)
            self._apart = np.append(self._apart, self._n + new[far])
        self._n += len(vectors)
        self._first = first

    def _lifted(self, vectors: np.ndarray) -> np.ndarray:
        if self.L == 0:
            return vectors
        scaled = vectors if self.A is None else vectors @ self.A
        lift = np.sqrt(np.maximum(np.float32(self.L) ** 2 - lengths(scaled) ** 2, 0))
        return np.column_stack([scaled, lift])


def _scale(queries: np.ndarray) -> np.ndarray:
    """sqrt(E[q q^T]) of a sample of queries `(m, d)`, symmetric, float32."""
    wide = queries.astype(np.float64)
    value, U = np.linalg.eigh(wide.T @ wide / len(wide))
    value = np.maximum(value, 0) + _FLOOR * value.mean()
    return ((U * np.sqrt(value)) @ U.T).astype(np.float32)


def _scaled_lengths(vectors: np.ndarray, A: np.ndarray | None) -> np.ndarray:
    if A is None:
        return lengths(vectors)
    parts = [lengths(vectors[start : start + _ROWS] @ A) for start in range(0, len(vectors), _ROWS)]
    return np.concatenate([np.empty(0, dtype=np.float32), *parts])
