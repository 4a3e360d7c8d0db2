"""From a network's feature map or tokens to one vector a picture, or to one vector a region."""

from __future__ import annotations

from typing import Literal

import numpy as np

from visrec.errors import ConfigError

Pool = Literal["mean", "max", "gem", "cls", "regions"]

_LEAST = 1e-6  # values below are raised to it, as in the code of the authors of generalized-mean pooling


def pool(array: np.ndarray, how: Pool, *, n_prefix: int = 0, grid: int | None = None) -> np.ndarray:
    """Pool each picture by itself: the same bytes whatever others are in the batch.

    - "mean", "max": over the regions.
    - "gem": generalized mean, `(mean x³)^(1/3)`, between the two (Radenović, Tolias & Chum 2018, Fine-tuning CNN
      image retrieval with no human annotation, eq. 3; p = 3 is where they begin to learn it).
    - "cls": the class token, the first of the tokens (Devlin et al. 2019; Dosovitskiy et al. 2021).
    - "regions": not at all, or to the means of `grid` x `grid` regions.

    Args:
        array: a map `(B, C, H, W)`, or tokens `(B, N, C)`.
        how: see above.
        n_prefix: how many of the tokens come before those of the regions; only "cls" looks at them.
        grid: rows and columns of coarser regions, of a map; None: each cell of it is one.

    Returns:
        `(B, C)` float32; for "regions" `(B, R, C)`, of a map row by row: R = H W, of tokens R = N - n_prefix.

    Raises:
        ConfigError: "cls" of a map, a grid of what is no map or no finer than it, or an array that is neither.
    """
    if how == "cls":
        if array.ndim != 3:
            raise ConfigError(
                f"A map has no class token; found {array.ndim} dimensions, expected tokens (B, N, C). Use pool = "
                f"mean, max, gem or regions."
            )
        return np.array(array[:, 0], dtype=np.float32)  # (B, C)
    parts = regions(array if grid is None else _coarser(array, grid), n_prefix=n_prefix)
    if how == "regions":
        return parts
    if how == "max":
        return parts.max(axis=1)
    # In double precision: single would lose the fifth digit where regions are thousands.
    exact = parts.astype(np.float64)
    if how == "gem":
        least = np.maximum(exact, _LEAST)
        exact = least * least * least
    mean = exact.mean(axis=1)  # (B, C)
    return np.asarray(mean if how == "mean" else np.cbrt(mean), dtype=np.float32)


def regions(array: np.ndarray, *, n_prefix: int = 0) -> np.ndarray:
    """A map `(B, C, H, W)` or tokens `(B, N, C)` as regions `(B, R, C)` float32, contiguous."""
    if array.ndim == 4:
        batch, channels = array.shape[:2]
        parts = array.transpose(0, 2, 3, 1).reshape(batch, -1, channels)  # (B, R, C)
    elif array.ndim == 3:
        parts = array[:, n_prefix:]
    else:
        raise ConfigError(
            f"There is nothing to pool in {array.shape}; expected a map (B, C, H, W) or tokens (B, N, C). Leave pool "
            f"out, or name another layer."
        )
    return np.ascontiguousarray(parts, dtype=np.float32)


def _coarser(array: np.ndarray, grid: int) -> np.ndarray:
    """The means `(B, C, grid, grid)` of a map's cells: part i of n cells has those from floor(i n / grid) up to
    ceil((i + 1) n / grid), so that neighbours may share one."""
    if array.ndim != 4 or min(array.shape[2:]) < grid:
        found = f"a map of {array.shape[2]} x {array.shape[3]}" if array.ndim == 4 else "no map"
        raise ConfigError(
            f"grid is {grid}, but there is {found}; expected a map of at least {grid} x {grid}. Leave grid out, or "
            f"name another layer."
        )
    for axis in (2, 3):
        n = array.shape[axis]
        parts = [
            array.take(range(i * n // grid, -(-(i + 1) * n // grid)), axis).mean(axis, dtype=np.float32)
            for i in range(grid)
        ]
        array = np.stack(parts, axis)
    return array
