"""Nearest pictures by each extractor side by side: which items are asked for, and the whole as one picture."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np

from visrec.evaluation.thumbnails import Thumbnail
from visrec.files import replacing

_POOL = 200  # the best known items, among which different ones are looked for
_CELL, _GAP, _NAMES = (
    132,
    8,
    190,
)  # pixels: of a picture in the sheet, between them, and for the extractor's name


@dataclass(frozen=True)
class Neighbours:
    """An item, and by extractor the items nearest to it, nearest first; all as indices of the catalogue."""

    item: int
    rows: Mapping[str, Sequence[int]]

    @property
    def items(self) -> list[int]:
        """All items there are to show, the item itself first."""
        return list(dict.fromkeys([self.item, *(item for row in self.rows.values() for item in row)]))


def choose_queries(
    features: Mapping[str, np.ndarray], counts: np.ndarray, n: int, *, among: np.ndarray | None = None
) -> list[int]:
    """Items worth asking for: the one most taken, then each as unlike the ones before as there is.

    Only the 200 most taken items are looked at, so that the oddities of a catalogue, which are unlike anything,
    do not fill the sheet. The same arguments give the same items.

    Args:
        features: by extractor `(I, F)`; how alike two items are is the mean of the cosines.
        counts: `(I,)` how often each item was taken; of equal ones the first comes first.
        n: how many, at most; items without a vector in any of the features are never chosen.
        among: `(I,)` bool, the items that may be chosen; None: all.
    """
    order = np.argsort(-counts, kind="stable")
    allowed = np.ones(len(counts), dtype=bool) if among is None else among.copy()
    for values in features.values():
        allowed &= np.asarray(values).any(axis=1)
    pool = order[allowed[order]][:_POOL]
    if n < 1 or len(pool) == 0:
        return []
    alike = np.zeros((len(pool), len(pool)))
    for values in features.values():
        rows = values[pool].astype(np.float64)  # (P, F)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        alike += rows @ rows.T / len(features)
    chosen = [0]
    while len(chosen) < min(n, len(pool)):
        nearest = alike[:, chosen].max(axis=1)
        nearest[chosen] = np.inf
        chosen.append(int(nearest.argmin()))
    return [int(item) for item in pool[chosen]]


def draw_sheet(path: str | Path, sheet: Sequence[Neighbours], thumbnails: Mapping[int, Thumbnail]) -> None:
    """Write the sheet as one JPEG, for slides: a block a query, a row an extractor. Written atomically."""
    from PIL import Image, ImageDraw, ImageFont

    longest = max(len(row) for one in sheet for row in one.rows.values())
    step, query = _CELL + _GAP, 2 * _CELL + _GAP
    heights = [max(len(one.rows) * step, query + _GAP) + 2 * _GAP for one in sheet]
    width = 4 * _GAP + query + _NAMES + longest * step
    canvas = Image.new("RGB", (width, sum(heights) + 2 * _GAP), "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=16)

    def put(item: int, left: int, top: int, size: int) -> None:
        if item in thumbnails:
            with Image.open(BytesIO(base64.b64decode(thumbnails[item].data))) as image:
                scale = size / max(image.size)
                fitted = image.resize([max(1, round(side * scale)) for side in image.size])
                canvas.paste(fitted, (left + (size - fitted.width) // 2, top + (size - fitted.height) // 2))

    top = 2 * _GAP
    for one, height in zip(sheet, heights, strict=True):
        put(one.item, 2 * _GAP, top, query)
        for place, (name, row) in enumerate(one.rows.items()):
            y = top + place * step
            draw.text((4 * _GAP + query, y + _CELL // 2), _short(name), "black", font=font, anchor="lm")
            for rank, item in enumerate(row):
                put(item, 4 * _GAP + query + _NAMES + rank * step, y, _CELL)
        top += height
        draw.line((2 * _GAP, top - 2 * _GAP, width - 2 * _GAP, top - 2 * _GAP), "lightgray")
    with replacing(path) as temporary:
        canvas.save(temporary, "JPEG", quality=88)


def _short(name: str) -> str:
    """A name that fits its column, in the letters that Pillow's own font has."""
    name = name.encode("ascii", "replace").decode()
    return name if len(name) <= 22 else f"{name[:20]}..."
