"""A graph of near neighbours (HNSW, Malkov & Yashunin 2018), of which a search sees a small part.

Voyager makes it. It compares directions. Inner products become directions with one number more in each vector,
sqrt(L^2 - |z|^2), after which all have length L, and 0 in each query (Bachrach et al. 2014, section 3.1).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from visrec.retrieval.vectors import Metric, lengths

if TYPE_CHECKING:
    import voyager

_LINKS = 16  # of a row, twice as many at the lowest level
_BUILD_EFFORT = 128  # rows in view while a new one is linked
_ROWS = 1 << 16  # added at once
_HEADROOM = 1.05  # L, in lengths of the longest vector at the time it is built


class Graph:
    """Rows 0, 1, … as they were added, linked to near ones.

    Attributes:
        L: the length that inner products are lifted to; 0 for the cosine.
    """

    def __init__(self, native: voyager.Index, L: float, apart: np.ndarray) -> None:
        """See `build` and `load`."""
        self._native = native
        self.L = L
        self._apart = apart  # rows longer than L, which the graph misplaces: they are always found

    @classmethod
    def build(cls, vectors: np.ndarray, metric: Metric, *, seed: int, threads: int) -> Graph:
        """Of `(n, d)` vectors, for the cosine of length 1. On one thread, the same of the same each time."""
        import voyager

        L = _HEADROOM * float(lengths(vectors).max(initial=0)) if metric == "inner" else 0.0
        native = voyager.Index(
            voyager.Space.Cosine,
            vectors.shape[1] + (metric == "inner"),
            M=_LINKS,
            ef_construction=_BUILD_EFFORT,
            random_seed=seed,
            max_elements=max(1, len(vectors)),
        )
        graph = cls(native, L, np.empty(0, dtype=np.int64))
        graph.add(vectors, threads=threads)
        return graph

    @classmethod
    def load(cls, path: Path, vectors: np.ndarray, L: float) -> Graph:
        """Read what `save` wrote of the same vectors."""
        import voyager

        native = voyager.Index.load(str(path), voyager.Space.Cosine, vectors.shape[1] + (L > 0))
        return cls(native, L, np.flatnonzero(lengths(vectors) > L) if L > 0 else np.empty(0, dtype=np.int64))

    def __len__(self) -> int:
        """How many rows there are."""
        return self._native.num_elements

    def add(self, vectors: np.ndarray, *, threads: int = 1) -> None:
        """Link further rows `(m, d)`, also while others search."""
        for start in range(0, len(vectors), _ROWS):
            block = vectors[start : start + _ROWS]
            first = len(self)
            if self.L > 0:
                length = lengths(block)
                far = first + np.flatnonzero(length > self.L)
                self._apart = np.append(self._apart, far)
                lift = np.sqrt(np.maximum(np.float32(self.L) ** 2 - length**2, 0))
                block = np.column_stack([block, lift])
            self._native.add_items(block, list(range(first, first + len(block))), num_threads=threads)

    def near(self, query: np.ndarray, n: int) -> np.ndarray:
        """About n rows `(m,)` int64, in no order, among which the nearest to a query `(d,)` are likely to be."""
        import voyager

        asked = np.append(query, np.float32(0)) if self.L > 0 else query
        n = min(n, len(self))
        try:
            found, _ = self._native.query(asked, n, query_ef=n)
        except voyager.RecallError:  # fewer than n can be reached from where it begins
            return np.empty(0, dtype=np.int64)
        return np.union1d(found.astype(np.int64), self._apart)

    def save(self, path: Path) -> None:
        """Write it to a file."""
        self._native.save(str(path))
