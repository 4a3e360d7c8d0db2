"""Colour: which colours a picture has, and where (Swain & Ballard 1991; Stricker & Dimai 1996)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias

from pydantic import Field

from visrec.features.extractor import Handcrafted, Preparation

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

_SIDE = 66  # pixels: 3 x 3 cells of 22 x 22; finer grain adds time, not colour (measured)
_GRID = 3
_CELL_SIDE = 16  # pixels of a cell that is a region of its own
# Bins of the whole picture: L x a x b jointly, hue x saturation jointly (and what has no hue), value.
_LAB_BINS, _HUE_BINS, _SATURATION_BINS, _VALUE_BINS = (3, 6, 6), 12, 2, 8
# Bins of a cell, one histogram a channel: L, a, b, hue (and what has no hue).
_CELL_LAB_BINS, _CELL_HUE_BINS = 6, 8
# Pictures hardly leave the middle of the a-b plane (its corners are not even in sRGB).
_LAB_RANGES = ((0.0, 100.0), (-60.0, 60.0), (-60.0, 60.0))
_WHOLE = math.prod(_LAB_BINS) + _HUE_BINS * _SATURATION_BINS + 1 + _VALUE_BINS
_CELL = 3 * _CELL_LAB_BINS + _CELL_HUE_BINS + 1


class ColorHistograms(Preparation):
    """The picture's histograms; see `Color`."""

    grid: int | None = Field(default=None, ge=1, le=16)
    """Regions, for models of attention: one vector for each cell of so many rows and columns; None: one a picture."""

    @property
    def least_side(self) -> int:
        return 4 * _SIDE

    def __call__(self, image: Image.Image) -> np.ndarray:
        """The vector `(F,)`, or the regions `(R, F)`, float32, of an RGB picture."""
        import cv2
        import numpy as np

        side, grid = (_SIDE, _GRID) if self.grid is None else (_CELL_SIDE * self.grid, self.grid)
        pixels = cv2.resize(np.asarray(image), (side, side), interpolation=cv2.INTER_AREA)
        rgb = pixels.astype(np.float32) / 255
        lab = cv2.cvtColor(rgb, cv2.COLOR_RGB2Lab).reshape(-1, 3)  # (P, 3)
        hue, saturation, value = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV).reshape(-1, 3).T  # degrees, 0-1, 0-1
        scaled = [(lab[:, i] - low) / (high - low) for i, (low, high) in enumerate(_LAB_RANGES)]
        colourful = saturation * value  # (P,)  how far the hue can be trusted
        grey = 1 - colourful
        line = np.arange(side) * grid // side
        cell = (line[:, None] * grid + line).reshape(-1)  # (P,)  0 … grid² - 1
        of_cells = _of_cells(cell, grid**2, scaled, hue / 360, colourful)
        if self.grid is not None:
            cells = [part.reshape(grid**2, -1) for part in of_cells]
            return np.sqrt(np.concatenate(cells, axis=1)).astype(np.float32)
        one = np.zeros_like(cell)

        parts = []
        axes = [_soft(channel, bins) for channel, bins in zip(scaled, _LAB_BINS, strict=True)]
        parts.append(_histogram(one, 1, axes, _LAB_BINS))
        hues = _HUE_BINS, _SATURATION_BINS
        axes = [_soft(hue / 360, _HUE_BINS, circular=True), _soft(saturation, _SATURATION_BINS)]
        parts.append(_histogram(one, 1, axes, hues, colourful))
        parts.append(_histogram(one, 1, [], (), grey))
        parts.append(_histogram(one, 1, [_soft(value, _VALUE_BINS)], (_VALUE_BINS,)))
        return np.sqrt(np.concatenate([*parts, *of_cells])).astype(np.float32)


class Color(Handcrafted):
    """Which colours a picture has, and where: histograms in CIE Lab and HSV.

    Colour histograms identify objects by their palette (Swain & Ballard, "Color indexing", IJCV 7(1), 1991).
    Those of the cells of a grid add the composition (Stricker & Dimai, "Color indexing with weak spatial
    constraints", SPIE 2670, 1996). Each histogram sums to 1 and is square-rooted, which makes a dot product
    of two of them their Bhattacharyya coefficient (Hellinger kernel: Arandjelovic & Zisserman, "Three things
    everyone should know", CVPR 2012). Pixels fall on the two nearest bins in proportion, so that a slight
    change of colour changes the vector slightly. Hue counts in proportion to saturation times value: the
    rest, whose hue is noise, goes to a bin of its own.

    The picture is squeezed to 66 x 66 pixels first; the vector does not depend on its size or shape. With `grid`,
    each cell of a grid of its own is a region, 16 x 16 pixels of the squeezed picture, with the cell's histograms.
    """

    name = "color"
    paper = "Swain & Ballard 1991"
    Config = ColorHistograms
    method = f"squeezed to {_SIDE} x {_SIDE} (area), sRGB to CIE Lab and HSV, square roots of histograms v1"
    shape: tuple[int, ...] = (_WHOLE + _GRID**2 * _CELL,)

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        assert isinstance(self.preparation, ColorHistograms)
        if self.preparation.grid is not None:
            self.grid = (self.preparation.grid, self.preparation.grid)
            self.shape = (self.preparation.grid**2, _CELL)

    def provenance(self) -> dict[str, Any]:
        about = super().provenance()
        if self.grid is None:  # as it was before there were regions, so that older features remain the same
            about["options"] = {}
        return about


def _of_cells(
    cell: np.ndarray, n_cells: int, lab: list[np.ndarray], hue: np.ndarray, colourful: np.ndarray
) -> list[np.ndarray]:
    """The histograms of the cells, each flat: L, a, b, hue, and what has no hue."""
    bins = (_CELL_LAB_BINS,)
    parts = [_histogram(cell, n_cells, [_soft(channel, *bins)], bins) for channel in lab]
    axes = [_soft(hue, _CELL_HUE_BINS, circular=True)]
    parts.append(_histogram(cell, n_cells, axes, (_CELL_HUE_BINS,), colourful))
    parts.append(_histogram(cell, n_cells, [], (), 1 - colourful))
    return parts


Axis: TypeAlias = "tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]"
"""Each pixel's two nearest bins of an axis and its share of each: `(index (P,), share (P,))` twice."""


def _soft(channel: np.ndarray, bins: int, *, circular: bool = False) -> Axis:
    """The two nearest of `bins` bins over 0 … 1 for each of `channel (P,)`; beyond the ends: the last bin."""
    import numpy as np

    position = channel * bins - 0.5
    if not circular:
        position = np.clip(position, 0, bins - 1)
    lower = np.floor(position)
    share = position - lower
    index = lower.astype(np.int64)
    if circular:
        return (index % bins, 1 - share), ((index + 1) % bins, share)
    return (index, 1 - share), (np.minimum(index + 1, bins - 1), share)


def _histogram(
    cell: np.ndarray,
    n_cells: int,
    axes: list[Axis],
    shape: tuple[int, ...],
    weight: np.ndarray | None = None,
) -> np.ndarray:
    """Joint histogram of the axes for each cell, flat `(n_cells * prod(shape),)`, as parts of the cell."""
    import numpy as np

    corners = [(cell, np.ones(len(cell), dtype=np.float32) if weight is None else weight)]
    for axis, bins in zip(axes, shape, strict=True):
        corners = [
            (index * bins + nearest, share * part) for index, share in corners for nearest, part in axis
        ]
    size = n_cells * int(np.prod(shape))
    index = np.concatenate([corner[0] for corner in corners])
    share = np.concatenate([corner[1] for corner in corners])
    total = np.bincount(index, share, minlength=size)
    return np.asarray(total * (n_cells / len(cell)), dtype=np.float64)
