"""Columns of features brought to mean 0 and standard deviation 1, in blocks of rows, in place if need be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

_BLOCK = 8192  # rows looked at together: 64 MB at F = 2048, whatever the number of items


@dataclass(frozen=True, eq=False)
class Standardization:
    """Column means and standard deviations, kept to treat vectors of new images alike.

    Attributes:
        mean: `(F,)` float64.
        std: `(F,)` float64; 0 for a constant column, which becomes 0.
    """

    mean: np.ndarray
    std: np.ndarray

    @classmethod
    def fit(cls, values: np.ndarray, missing: np.ndarray) -> Standardization:
        """Mean and (population) standard deviation of the rows of `values (I, F)` that are not `missing (I,)`.

        In two passes and blocks of fixed size: exact for large means, flat in memory, the same on each run.
        """
        n = int((~missing).sum())
        mean, square = np.zeros(values.shape[1]), np.zeros(values.shape[1])
        low, high = np.full(values.shape[1], np.inf), np.full(values.shape[1], -np.inf)
        if n == 0:
            return cls(mean, square)
        for block in blocks(len(values)):
            rows = values[block][~missing[block]]
            if len(rows):
                mean += rows.sum(axis=0, dtype=np.float64) / n
                low, high = np.minimum(low, rows.min(axis=0)), np.maximum(high, rows.max(axis=0))
        for block in blocks(len(values)):
            rows = values[block][~missing[block]].astype(np.float64)
            square += ((rows - mean) ** 2).sum(axis=0) / n
        # By extremes, since rounding of the mean leaves a constant column a tiny deviation to be blown up.
        return cls(mean, np.where(high > low, np.sqrt(square), 0.0))

    def apply(self, vectors: np.ndarray) -> np.ndarray:
        """`vectors (B, F)` minus the mean, divided by the standard deviation: float32."""
        scale = np.divide(1.0, self.std, out=np.zeros_like(self.std), where=self.std > 0)
        return np.asarray((vectors - self.mean) * scale, dtype=np.float32)


def blocks(n: int) -> Iterator[slice]:
    """Slices of rows that fit in memory together, covering 0 … n-1."""
    return (slice(start, min(start + _BLOCK, n)) for start in range(0, n, _BLOCK))


def standardize_into(values: np.ndarray, missing: np.ndarray, out: np.ndarray) -> Standardization:
    """Standardize `values (I, F)` into `out (I, F)`, which may be `values` itself, block by block."""
    fitted = Standardization.fit(values, missing)
    for block in blocks(len(values)):
        out[block] = fitted.apply(values[block])
        out[block][missing[block]] = 0
    return fitted
