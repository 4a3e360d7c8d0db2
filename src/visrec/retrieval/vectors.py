"""What may be searched: tables of finite numbers, as float32."""

from __future__ import annotations

import hashlib
from typing import Literal

import numpy as np

from visrec.errors import DataError

Metric = Literal["inner", "cosine"]
_ROWS = 1 << 16  # looked at at once


def checked(vectors: np.ndarray, metric: Metric, *, dim: int | None = None) -> np.ndarray:
    """Vectors `(n, d)` as C-ordered float32; for the cosine, their directions, in a copy.

    Raises:
        DataError: they are not n vectors of finite numbers, of `dim` each where it is given.
    """
    given = np.asarray(vectors)
    if given.ndim != 2 or given.shape[1] == 0 or dim not in (None, given.shape[1]):
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
            block /= np.maximum(lengths(block), 1e-12)[:, None]
    return held


def lengths(vectors: np.ndarray) -> np.ndarray:
    """The length of each of `(n, d)` vectors, float32, summed in float64."""
    squares = [
        np.einsum("id,id->i", block, block, dtype=np.float64)
        for start in range(0, len(vectors), _ROWS)
        for block in (vectors[start : start + _ROWS],)
    ]
    return np.sqrt(np.concatenate([np.empty(0), *squares])).astype(np.float32)


def hashes(vectors: np.ndarray) -> np.ndarray:
    """A number `(n,)` uint64 for each vector; equal vectors have equal ones, and hardly any others have."""
    factors = np.random.default_rng(0).integers(0, 1 << 63, size=vectors.shape[1], dtype=np.uint64) * 2 + 1
    found = np.empty(len(vectors), dtype=np.uint64)
    for start in range(0, len(vectors), _ROWS):
        block = (vectors[start : start + _ROWS] + np.float32(0)).view(np.uint32)  # -0.0 becomes 0.0
        mixed = block.astype(np.uint64) * factors  # wraps
        found[start : start + _ROWS] = (mixed ^ (mixed >> np.uint64(29))).sum(axis=1, dtype=np.uint64)
    return found


def digest(vectors: np.ndarray) -> str:
    """SHA-256 (hex) of shape and numbers."""
    found = hashlib.sha256(f"{vectors.dtype.str}{vectors.shape}".encode())
    for start in range(0, len(vectors), _ROWS):
        found.update(np.ascontiguousarray(vectors[start : start + _ROWS]).data)
    return found.hexdigest()
