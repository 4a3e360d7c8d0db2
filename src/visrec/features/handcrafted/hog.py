"""HOG: the shape of what is in a picture, as histograms of gradient directions (Dalal & Triggs 2005)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, model_validator

from visrec.features.extractor import Handcrafted, Preparation
from visrec.features.handcrafted.reducing import squeezed

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image


class HOGBlocks(Preparation):
    """Settings of `HOG`, and the blocks of a picture."""

    side: int = Field(default=128, ge=8, le=1024)
    """Pixels of each side to which the picture is squeezed; a multiple of `cell`."""
    cell: int = Field(default=16, ge=2)
    """Pixels a side of a cell, which has one histogram."""
    block: int = Field(default=2, ge=1)
    """Cells a side of a block, whose histograms are normalised together."""
    orientations: int = Field(default=9, ge=2, le=36)
    """Bins of the direction of the gradient, over 0 to 180 degrees: its sign does not count."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.side % self.cell:
            raise ValueError(f"side is {self.side}, which is not a multiple of cell, {self.cell}")
        if self.block > self.side // self.cell:
            raise ValueError(
                f"block is {self.block} cells a side, but the picture has {self.side // self.cell} "
                f"(side / cell); give at most that"
            )
        return self

    @property
    def least_side(self) -> int:
        return 2 * self.side

    @property
    def dim(self) -> int:
        """F: blocks, times the cells of each, times orientations."""
        blocks = self.side // self.cell - self.block + 1
        return blocks**2 * self.block**2 * self.orientations

    def __call__(self, image: Image.Image) -> np.ndarray:
        """The vector `(F,)` float32 of an RGB picture."""
        import numpy as np
        from skimage.feature import hog

        blocks = hog(
            squeezed(image, self.side),
            orientations=self.orientations,
            pixels_per_cell=(self.cell, self.cell),
            cells_per_block=(self.block, self.block),
            block_norm="L2-Hys",
            channel_axis=-1,
        )
        return np.asarray(blocks, dtype=np.float32)


class HOG(Handcrafted):
    """Shape: histograms of oriented gradients, on a picture squeezed to a square.

    Dalal & Triggs, "Histograms of oriented gradients for human detection", CVPR 2005. At each pixel the
    gradient (differences of the neighbours left and right, above and below) of the channel where it is
    strongest votes, with its magnitude, for its direction: `orientations` bins over 0 … 180 degrees, the first
    from 0 for brightness that changes along a line from above to below. Votes are summed in cells. Blocks of
    cells, which overlap by all but one cell, are normalised (L2-Hys: v / sqrt(|v|² + eps²), cut at 0.2, again),
    which takes away the light. A plain picture is all 0.

    The vector lists blocks row by row, in each its cells row by row, in each the orientations.
    F = (side / cell - block + 1)² block² orientations, 1764 by default; each number in 0 … 1.
    """

    name = "hog"
    paper = "Dalal & Triggs 2005"
    Config = HOGBlocks
    preparation: HOGBlocks
    method = "squeezed to `side` x `side` (area), strongest channel, L2-Hys blocks v1"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.shape = (self.preparation.dim,)
