"""LBP: the texture of a picture, as a histogram of what stands around each pixel (Ojala et al. 2002)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from visrec.features.extractor import Handcrafted, Preparation
from visrec.features.handcrafted.reducing import grey, reduced

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

Scale = tuple[Annotated[int, Field(ge=4, le=64)], Annotated[float, Field(gt=0, le=64)]]
"""Points on a circle, and its radius in pixels."""


class LBPHistograms(Preparation):
    """Settings of `LBP`, and the histograms of a picture."""

    scales: tuple[Scale, ...] = Field(default=((8, 1.0), (16, 2.0), (24, 3.0)), min_length=1)
    """Circles, each (points P: 4 to 64, radius R: pixels of the reduced picture)."""
    grid: int = Field(default=4, ge=1, le=16)
    """Cells a side, each with its own histograms; 1: texture alone, wherever it is."""
    side: int = Field(default=128, ge=8, le=2048)
    """Pixels of the longer side of the reduced picture."""

    @property
    def least_side(self) -> int:
        return 2 * self.side

    def __call__(self, image: Image.Image) -> np.ndarray:
        """The vector `(F,)` float32 of an RGB picture."""
        import numpy as np

        pixels = grey(reduced(image, self.side))  # (H, W)
        cells = [
            (rows, columns)
            for rows in _slices(pixels.shape[0], self.grid)
            for columns in _slices(pixels.shape[1], self.grid)
        ]
        parts = []
        for points, radius in self.scales:
            codes = _codes(pixels, points, radius)
            for cell in cells:
                inside = codes[cell].reshape(-1)
                parts.append(np.bincount(inside, minlength=points + 2) / len(inside))
        return np.sqrt(np.concatenate(parts)).astype(np.float32)


class LBP(Handcrafted):
    """Texture: histograms of uniform, rotation-invariant local binary patterns at several scales.

    P points on a circle of radius R around a pixel are each at least as bright as it (1) or not (0). With U the
    number of changes 0-1 and 1-0 around the circle, the pixel's code is

        LBP^riu2_{P,R} = (number of 1s) if U <= 2, else P + 1

    (Ojala, Pietikäinen & Mäenpää, "Multiresolution gray-scale and rotation invariant texture classification
    with local binary patterns", TPAMI 24(7), 2002; its origin: He & Wang, "Texture unit, texture spectrum, and
    texture analysis", IEEE TGRS 28(4), 1990). P is a dark spot or plain, 0 a bright spot,
    P/2 an edge. Codes do not
    change with brightness or contrast, nor, but for interpolation, when the picture is turned.

    The picture is grey, its longer side reduced to `side`; beyond its border the border is repeated. For each
    scale, for each cell of a `grid` laid on it (row by row): the histogram of the P + 2 codes, sum 1,
    square-rooted (Hellinger kernel). F = grid² Σ (P + 2), 864 by default; each number in 0 … 1. The grid tells
    where a texture is: among photos of garments the nearest is of the same type in 23 % of cases without it, in
    46 % with 4 x 4 (by chance: 13 % at most), in 50 % with 6 x 6.
    """

    name = "lbp"
    paper = "Ojala et al. 2002"
    Config = LBPHistograms
    preparation: LBPHistograms
    method = "longer side at most `side` (area), grey, square roots of histograms of riu2 codes v1"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        bins = sum(points + 2 for points, _ in self.preparation.scales)
        self.shape = (self.preparation.grid**2 * bins,)


def _codes(pixels: np.ndarray, points: int, radius: float) -> np.ndarray:
    """Codes 0 … points + 1 of `pixels (H, W)` uint8, as `(H, W)` integers."""
    import numpy as np
    from skimage.feature import local_binary_pattern

    # Padded: scikit-image takes what is beyond the border for black, which would draw a frame.
    beyond = math.ceil(radius) + 1
    padded = np.pad(pixels, beyond, mode="edge")
    codes = local_binary_pattern(padded, points, radius, method="uniform")  # type: ignore[no-untyped-call]
    return codes[beyond:-beyond, beyond:-beyond].astype(np.int64)


def _slices(length: int, parts: int) -> list[slice]:
    """`parts` slices that cover `length`; none is empty, they share a line where it does not divide."""
    return [slice(i * length // parts, -(-(i + 1) * length // parts)) for i in range(parts)]
