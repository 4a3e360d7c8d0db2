"""Small pictures of items, ready to be put into a page."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from statistics import median
from typing import TYPE_CHECKING

from visrec.errors import DataError

if TYPE_CHECKING:
    from visrec.data.catalog import Catalog

SIZE = 144  # pixels of the longer side
QUALITY = 80  # of the WebP: about 4 KB a picture

_FRAME_AREA = 108 * 108  # CSS pixels: a frame of this area has the shape of the catalogue's typical picture
_CROP = 0.15  # a picture whose shape differs from the frame's by less is cropped, else it gets a mount


@dataclass(frozen=True)
class Thumbnail:
    """A WebP in base64, and its size in pixels."""

    data: str
    width: int
    height: int

    def fit(self, shape: float) -> str:
        """The CSS background-size in a frame of a shape (width / height)."""
        return "cover" if abs(math.log(self.width / self.height / shape)) < _CROP else "contain"


def thumbnails_of(catalog: Catalog | None, items: Sequence[int], *, size: int = SIZE) -> dict[int, Thumbnail]:
    """By item; those without a readable picture are left out."""
    if catalog is None:
        return {}
    # Pillow decodes without the interpreter's lock; large originals are what takes the time.
    with ThreadPoolExecutor(max_workers=8) as pool:
        made = pool.map(lambda item: _thumbnail(catalog, item, size), items)
        return {item: one for item, one in zip(items, made, strict=True) if one is not None}


def frame_of(thumbnails: Iterable[Thumbnail], *, area: int = _FRAME_AREA) -> tuple[int, int]:
    """Width and height of all frames, in CSS pixels: as the typical picture, so that rows align."""
    shapes = [one.width / one.height for one in thumbnails]
    shape = min(max(median(shapes) if shapes else 1.0, 0.6), 1.6)
    height = math.sqrt(area / shape)
    return round(height * shape), round(height)


def _thumbnail(catalog: Catalog, item: int, size: int) -> Thumbnail | None:
    try:
        image = catalog.open(catalog.items.written[item])
    except DataError:
        return None
    image.thumbnail((size, size))
    file = BytesIO()
    # Pillow adds metadata only when told to: where a photo was taken does not reach the page.
    image.save(file, "WEBP", quality=QUALITY)
    return Thumbnail(base64.b64encode(file.getvalue()).decode(), *image.size)
