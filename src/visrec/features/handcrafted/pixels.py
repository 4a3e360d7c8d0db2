"""Pixels: the picture itself, small, for models that learn from it end to end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from visrec.features.extractor import Handcrafted, Preparation
from visrec.features.handcrafted.reducing import squeezed

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image


class Squeezed(Preparation):
    """The picture squeezed to a square; see `Pixels`."""

    size: int = Field(default=224, ge=8, le=1024)
    """S, pixels a side. 224 is what most networks were made for; 64 to 96 train many times faster."""

    @property
    def least_side(self) -> int:
        return 2 * self.size

    def __call__(self, image: Image.Image) -> np.ndarray:
        """The pixels `(S, S, 3)` uint8 of an RGB picture."""
        return squeezed(image, self.size)


class Pixels(Handcrafted):
    """The picture as `(S, S, 3)` uint8 RGB, squeezed to a square without a crop (as DVBPR: Kang et al. 2017, sec. 4).

    Decoding is most of the work of training from pictures: done once, an epoch reads bytes from disk.
    """

    name = "pixels"
    paper = "Kang et al. 2017"
    Config = Squeezed
    method = "squeezed (area) v1"
    dtype = "uint8"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        assert isinstance(self.preparation, Squeezed)
        self.shape = (self.preparation.size, self.preparation.size, 3)
