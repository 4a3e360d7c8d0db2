"""Which rows are no answer: to any query, or to one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from visrec.errors import ConfigError


def filters(
    n_queries: int,
    n: int,
    k: int,
    *,
    exclude: Sequence[np.ndarray] | None,
    allowed: np.ndarray | None,
    removed: np.ndarray | None = None,
) -> tuple[np.ndarray | None, list[np.ndarray] | None]:
    """The rows that are closed to all queries, and those closed to each.

    Args:
        n_queries: B.
        n: rows in all.
        k: how many are asked for.
        exclude: row numbers closed to each query, B arrays.
        allowed: `(n,)` bool, False at closed rows.
        removed: `(n,)` bool, True at closed rows.

    Returns:
        `(n,)` bool, and B arrays in ascending order; None where there is nothing of the kind.

    Raises:
        ConfigError: k is below 1, or a filter has another size.
    """
    if not isinstance(k, int | np.integer) or k < 1:
        raise ConfigError(f"k is {k!r}; expected a whole number, at least 1.")
    closed = removed if removed is not None and removed.any() else None
    if allowed is not None:
        mask = np.asarray(allowed)
        if mask.shape != (n,) or mask.dtype != bool:
            raise ConfigError(
                f"allowed is {mask.dtype} of shape {mask.shape}; expected bool of shape ({n},), one for each row."
            )
        closed = ~mask if closed is None else ~mask | closed
    if exclude is None:
        return closed, None
    if len(exclude) != n_queries:
        raise ConfigError(f"exclude has {len(exclude)} arrays of rows; expected {n_queries}, one a query.")
    return closed, [np.unique(row_numbers(one, n)) for one in exclude]


def row_numbers(rows: np.ndarray, n: int) -> np.ndarray:
    """Row numbers `(m,)` int64, all of them from 0 to n - 1. Raises `ConfigError` for another."""
    found = np.asarray(rows, dtype=np.int64).reshape(-1)
    if len(found) and (found.min() < 0 or found.max() >= n):
        wrong = found.min() if found.min() < 0 else found.max()
        raise ConfigError(f"There is no row {wrong}; expected 0 to {n - 1}.")
    return found
