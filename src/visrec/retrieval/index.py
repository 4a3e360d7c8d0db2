"""Item vectors made ready to be searched."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np

from visrec.errors import ConfigError, DataError
from visrec.retrieval import exact

Metric = Literal["inner", "cosine"]
_ROWS = 1 << 16  # vectors looked at at once
_HEADROOM = 8  # a matrix that is full grows by 1 / this


@dataclass(frozen=True, eq=False)
class _Rows:
    """What a search looks at: it never changes, so that a search sees all of an addition or nothing of it."""

    vectors: np.ndarray  # (n, d) float32; unit rows where the metric is the cosine
    removed: np.ndarray  # (n,) bool
    reach: float  # length of the longest


class Index:
    """Item vectors and the way in which they are searched. Make one with `build`.

    A row keeps its number for good: `add` gives the next numbers, `remove` only closes rows. Searches may run in
    any number of threads, also while rows are added or removed.

    Attributes:
        metric: "inner", the inner product, as models score; "cosine", as similar items are found.
    """

    def __init__(self, vectors: np.ndarray, metric: Metric) -> None:
        """Of checked vectors; see `build`."""
        self.metric: Metric = metric
        self._writing = threading.Lock()
        self._buffer = vectors  # (capacity, d); rows beyond those of `_rows` are not in use yet
        self._rows = _Rows(vectors, np.zeros(len(vectors), dtype=bool), exact.longest(vectors))

    @classmethod
    def build(cls, vectors: np.ndarray, metric: Metric = "inner") -> Self:
        """Make vectors ready to be searched.

        Args:
            vectors: `(n, d)`; float32 is used as it lies where the metric is "inner", so leave it unchanged.
            metric: "inner" or "cosine"; the cosine with a vector of zeros is 0.

        Raises:
            ConfigError: there is no such metric.
            DataError: the vectors are not a table of finite numbers.
        """
        if metric not in ("inner", "cosine"):
            raise ConfigError(f"There is no metric {metric!r}; choose 'inner' or 'cosine'.")
        return cls(_checked(vectors, metric), metric)

    def __len__(self) -> int:
        """How many rows there are, removed ones included."""
        return len(self._rows.vectors)

    @property
    def dim(self) -> int:
        """Numbers in a vector."""
        return self._rows.vectors.shape[1]

    @property
    def vectors(self) -> np.ndarray:
        """The vectors `(n, d)` float32, not to be written to; for the cosine, their directions."""
        view = self._rows.vectors.view()
        view.flags.writeable = False
        return view

    @property
    def removed(self) -> np.ndarray:
        """`(n,)` bool: True at rows that `remove` closed."""
        return self._rows.removed.copy()

    def search(
        self,
        queries: np.ndarray,
        k: int,
        *,
        exclude: Sequence[np.ndarray] | None = None,
        allowed: np.ndarray | None = None,
        owners: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """The k best rows for each query, best first. Never fewer than there are to find.

        Args:
            queries: `(B, d)`.
            k: how many.
            exclude: rows that are no answer to each query, B arrays of row numbers.
            allowed: `(n,)` bool, False at rows that are no answer to any query.
            owners: `(B,)` user index of each query, -1 for a visitor, for the order of ties; None: all visitors.

        Returns:
            rows `(B, min(k, n))` int64, and scores, float32: the inner product or cosine of the vectors themselves.
            Queries with fewer candidates are filled up with row -1, score -inf.

        Raises:
            ConfigError: k is below 1, or a filter has another size than the index.
            DataError: the queries are not B vectors of `dim` finite numbers.
        """
        rows = self._rows
        asked = _checked(queries, self.metric, dim=rows.vectors.shape[1])
        closed, left_out = self._filters(rows, len(asked), k, exclude, allowed)
        whose = np.full(len(asked), -1) if owners is None else np.asarray(owners, dtype=np.int64)
        return exact.largest(
            rows.vectors, asked, k, owners=whose, reach=rows.reach, closed=closed, exclude=left_out
        )

    def add(self, vectors: np.ndarray) -> np.ndarray:
        """Take in new rows, without a rebuild.

        Args:
            vectors: `(m, d)`, made as those that are here.

        Returns:
            Their row numbers `(m,)` int64.

        Raises:
            DataError: they are not m vectors of `dim` finite numbers.
        """
        new = _checked(vectors, self.metric, dim=self.dim)
        with self._writing:
            old = self._rows
            n = len(old.vectors)
            if n + len(new) > len(self._buffer):
                self._buffer = np.empty((n + len(new) + n // _HEADROOM, self.dim), dtype=np.float32)
                self._buffer[:n] = old.vectors
            self._buffer[n : n + len(new)] = new
            removed = np.append(old.removed, np.zeros(len(new), dtype=bool))
            reach = max(old.reach, exact.longest(new))
            self._rows = _Rows(self._buffer[: n + len(new)], removed, reach)
        return np.arange(n, n + len(new))

    def remove(self, rows: np.ndarray) -> None:
        """Close rows: no search finds them any more.

        Raises:
            ConfigError: there is no such row.
        """
        with self._writing:
            closed = self._rows.removed.copy()
            closed[_row_numbers(rows, len(closed))] = True
            self._rows = replace(self._rows, removed=closed)

    def _filters(
        self,
        rows: _Rows,
        n_queries: int,
        k: int,
        exclude: Sequence[np.ndarray] | None,
        allowed: np.ndarray | None,
    ) -> tuple[np.ndarray | None, list[np.ndarray] | None]:
        """Which rows are closed to all `(n,)`, and to each query, None where none are."""
        n = len(rows.vectors)
        if not isinstance(k, int | np.integer) or k < 1:
            raise ConfigError(f"k is {k!r}; expected a whole number, at least 1.")
        closed = rows.removed if rows.removed.any() else None
        if allowed is not None:
            mask = np.asarray(allowed)
            if mask.shape != (n,) or mask.dtype != bool:
                raise ConfigError(
                    f"allowed is {mask.dtype} of shape {mask.shape}; expected bool of shape ({n},), one for each row "
                    f"of the index."
                )
            closed = ~mask | rows.removed
        if exclude is None:
            return closed, None
        if len(exclude) != n_queries:
            raise ConfigError(
                f"exclude has {len(exclude)} arrays of rows; expected {n_queries}, one a query."
            )
        return closed, [np.unique(_row_numbers(one, n)) for one in exclude]


def _row_numbers(rows: np.ndarray, n: int) -> np.ndarray:
    found = np.asarray(rows, dtype=np.int64).reshape(-1)
    if len(found) and (found.min() < 0 or found.max() >= n):
        raise ConfigError(
            f"Row {found.min() if found.min() < 0 else found.max()} is not one of the index; expected 0 to {n - 1}."
        )
    return found


def _checked(vectors: np.ndarray, metric: Metric, *, dim: int | None = None) -> np.ndarray:
    """Vectors `(n, d)` as C-ordered float32; for the cosine, their directions, in a copy."""
    given = np.asarray(vectors)
    if given.ndim != 2 or (dim is not None and given.shape[1] != dim) or given.shape[1] == 0:
        wanted = "(n, d)" if dim is None else f"(n, {dim})"
        raise DataError(f"The vectors have the shape {given.shape}; expected {wanted}, one vector a row.")
    if given.dtype.kind not in "fiu":
        raise DataError(f"The vectors are of type {given.dtype}; expected numbers.")
    held = np.ascontiguousarray(given, dtype=np.float32)
    if metric == "cosine" and np.shares_memory(held, given):
        held = held.copy()
    for start in range(0, len(held), _ROWS):
        block = held[start : start + _ROWS]
        if not np.isfinite(block).all():
            row = start + int(np.flatnonzero(~np.isfinite(block).all(axis=1))[0])
            raise DataError(f"Vector {row} has numbers that are not finite; expected finite ones in all.")
        if metric == "cosine":
            length = np.sqrt(np.einsum("id,id->i", block, block, dtype=np.float64))
            block /= np.maximum(length, 1e-12)[:, None].astype(np.float32)
    return held
