"""One picture, from its factors to the bytes of its JPEG file."""

from __future__ import annotations

import io
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from visrec.data.datasets.synthetic.canvas import SUPERSAMPLING, Canvas, cloud
from visrec.data.datasets.synthetic.compositions import arrange
from visrec.data.datasets.synthetic.palettes import Palette, darker, lighter, mix
from visrec.data.datasets.synthetic.shapes import rectangle
from visrec.data.datasets.synthetic.styles import STYLES

_SHAPES = ((3, 4), (4, 5), (2, 3), (1, 1), (4, 3), (3, 2))
_SHAPE_SHARES = (0.28, 0.2, 0.14, 0.16, 0.14, 0.08)


@dataclass(frozen=True)
class Picture:
    """What a picture is made of.

    Attributes:
        style: a name from `STYLES`.
        palette: the colours, already jittered.
        motif: a name from `MOTIFS`.
        composition: a name from `COMPOSITIONS`.
    """

    style: str
    palette: Palette
    motif: str
    composition: str


def draw_picture(picture: Picture, rng: np.random.Generator, *, image_size: int) -> NDArray[np.uint8]:
    """Draw a picture `(H, W, 3)`, its longer side `image_size` pixels."""
    across, down = _SHAPES[int(rng.choice(len(_SHAPES), p=_SHAPE_SHARES))]
    width = round(image_size * min(1.0, across / down))
    height = round(image_size * min(1.0, down / across))
    sheet = Canvas.blank(width, height, rng)
    canvas = _passepartout(sheet, picture.palette) if picture.composition == "framed" else sheet
    layout = arrange(picture.composition, canvas.width, canvas.height, rng)
    STYLES[picture.style](canvas, rng, picture.palette, picture.motif, layout)
    return _printed(sheet, rng)


def encode_jpeg(pixels: NDArray[np.uint8], quality: int) -> bytes:
    """A JPEG file with full colour resolution: flat coloured edges stay crisp."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()


def _passepartout(sheet: Canvas, palette: Palette) -> Canvas:
    """Lay a mat with a bevelled edge around the picture; the window is what gets drawn on."""
    mat = lighter(palette.lightest, 0.6)
    sheet.fill(mat)
    margin = 0.105
    width, height = sheet.width - 2 * margin, sheet.height - 2 * margin
    for grow, colour in ((0.012, darker(mat, 0.16)), (0.008, lighter(mat, 0.6))):
        bevel = rectangle(margin - grow, margin - grow, width + 2 * grow, height + 2 * grow)
        sheet.polygon(bevel, colour)
    outline = rectangle(0.045, 0.045, sheet.width - 0.09, sheet.height - 0.09)
    sheet.line(outline, mix(mat, palette.darkest, 0.45), 0.004, closed=True)
    return sheet.part(margin, margin, width, height)


def _printed(sheet: Canvas, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Scale down to the final size; add the tooth of the paper and a little unevenness of ink."""
    n_rows, n_columns = (side // SUPERSAMPLING for side in sheet.pixels.shape[:2])
    small = cv2.resize(sheet.pixels, (n_columns, n_rows), interpolation=cv2.INTER_AREA)
    tooth = rng.standard_normal((n_rows, n_columns), dtype=np.float32) * np.float32(1.8)
    tooth += np.asarray(cv2.GaussianBlur(tooth, (0, 0), 1.0)) * np.float32(1.6)
    uneven = cloud(rng, (n_rows, n_columns), coarse=4, octaves=2) * np.float32(1.4)
    tooth += uneven
    printed = cv2.add(small, cv2.merge([tooth, tooth, tooth]), dtype=cv2.CV_32F)
    # Real ink is never quite black, real paper never quite white.
    return np.asarray(cv2.convertScaleAbs(np.maximum(printed, 0), alpha=0.965, beta=6.0), np.uint8)
