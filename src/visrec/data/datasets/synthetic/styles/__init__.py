"""The styles: each paints any motif, in any palette and arrangement, in a hand of its own."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from visrec.data.datasets.synthetic.canvas import Canvas
from visrec.data.datasets.synthetic.compositions import Layout
from visrec.data.datasets.synthetic.palettes import Palette
from visrec.data.datasets.synthetic.styles.geometric import draw_bauhaus, draw_deco, draw_op_art
from visrec.data.datasets.synthetic.styles.landscape import draw_midcentury, draw_nocturne
from visrec.data.datasets.synthetic.styles.lines import draw_contour, draw_linocut
from visrec.data.datasets.synthetic.styles.paper import draw_cutout, draw_riso, draw_watercolour
from visrec.data.datasets.synthetic.styles.pieces import draw_mosaic, draw_stained_glass

DrawStyle = Callable[[Canvas, np.random.Generator, Palette, str, Layout], None]

STYLES: dict[str, DrawStyle] = {
    "bauhaus": draw_bauhaus,
    "midcentury": draw_midcentury,
    "cut-out": draw_cutout,
    "watercolour": draw_watercolour,
    "art deco": draw_deco,
    "stained glass": draw_stained_glass,
    "op art": draw_op_art,
    "nocturne": draw_nocturne,
    "mosaic": draw_mosaic,
    "contour": draw_contour,
    "riso": draw_riso,
    "linocut": draw_linocut,
}
"""In the order in which `Truth` codes them."""
