"""The map as an SVG drawing, for browsers without JavaScript. map.css and map-dots.js draw with the same signs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from html import escape

import numpy as np

from visrec.serving.colouring import NO_CLASS, Colouring

SHAPES = ("circle", "square", "triangle", "diamond", "plus", "cross")
"""A class has the shape of its index modulo 6 and the colour of its index modulo 8, so two of 24 never share both."""
COLOURS = {
    False: ("#0b6cb0", "#c4500a", "#007a5a", "#a8478a", "#3a8fc2", "#9a6a00", "#3d3a36", "#7353b8"),
    True: ("#5aa9e6", "#f08a4b", "#35c79a", "#e39ac6", "#a9d6f5", "#e8c04a", "#d8d2c8", "#b59cf0"),
}
"""Of classes, on a light and on a dark page; after Okabe & Ito (2008), darker or lighter for a contrast of 3."""
RAMPS = {
    False: ("#c07a14", "#c2552c", "#ac3752", "#86296c", "#582475", "#2a1a5e"),
    True: ("#7a6fd0", "#a56cc8", "#d66ca4", "#f07f7a", "#f7a95c", "#f9d975"),
}
"""Of numbers, from small to large, each further from the page than the one before."""
QUIET = {False: "#8d867a", True: "#7a7368"}
"""Of items without a class, and of all others."""

_LOVE = {False: "#a3325f", True: "#f08cb4"}
_HIT = {False: "#14703f", True: "#63d297"}
_PLACE = {False: "#1d5b99", True: "#7db8f0"}
_SIDE = 1000
_CELL = 5  # of two dots of a class so near each other, one is drawn
_INK = {False: ("#faf9f6", "#211f1c"), True: ("#161513", "#ece8e0")}
_HEART = "m0 9-8-8a4.8 4.8 0 0 1 8-5.4a4.8 4.8 0 0 1 8 5.4z"
_PATHS = {
    "circle": "m-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0z",
    "square": "m-2.6-2.6h5.2v5.2h-5.2z",
    "triangle": "m0-3.6 3.4 6h-6.8z",
    "diamond": "m0-3.8 3.4 3.8-3.4 3.8-3.4-3.8z",
    "plus": "m-1-3.4h2v2.4h2.4v2h-2.4v2.4h-2v-2.4h-2.4v-2h2.4z",
    "cross": "m-3.1-1.7 1.4-1.4 1.7 1.7 1.7-1.7 1.4 1.4-1.7 1.7 1.7 1.7-1.4 1.4-1.7-1.7-1.7 1.7-1.4-1.4 1.7-1.7z",
}


def draw(
    positions: np.ndarray,
    colouring: Colouring | None,
    *,
    regions: Sequence[tuple[float, float]] = (),
    history: Sequence[int] = (),
    recommended: Sequence[int] = (),
    hits: Collection[int] = (),
    dark: bool = False,
) -> str:
    """The drawing.

    Args:
        positions: `(I, 2)` in the unit square, y upwards, NaN where an item has no place.
        colouring: its classes; None: all dots are alike.
        regions: places of the regions, which are numbered from 1.
        history: items that get a heart.
        recommended: items that get their place in the list.
        hits: those of them that get a tick instead.
        dark: for a dark page.
    """
    wall, ink = _INK[dark]
    x, y = positions[:, 0] * _SIDE, (1 - positions[:, 1]) * _SIDE
    of = np.zeros(len(positions), dtype=np.uint8) if colouring is None else colouring.of
    faint = ' opacity=".35"' if history or recommended else ""
    parts = [f'<rect x="-20" y="-20" width="1040" height="1040" fill="{wall}"/>', f"<g{faint}>"]
    for sign in np.unique(of):
        shape, colour = _sign(int(sign), colouring, dark)
        members = np.flatnonzero((of == sign) & np.isfinite(x))
        cells = np.stack([x[members] // _CELL, y[members] // _CELL])
        _, first = np.unique(cells, axis=1, return_index=True)
        places = "".join(f"M{x[i]:.0f} {y[i]:.0f}{_PATHS[shape]}" for i in members[np.sort(first)])
        parts.append(f'<path fill="{colour}" d="{places}"/>')
    parts.append("</g>")
    if not history and not recommended:
        for number, (left, up) in enumerate(regions, start=1):
            parts.append(_number(left * _SIDE, (1 - up) * _SIDE, number, ink=ink, wall=wall, radius=15))
    for one in history:
        if np.isfinite(x[one]):
            at = f"M{x[one]:.0f} {y[one]:.0f}{_HEART}"
            parts.append(f'<path fill="{_LOVE[dark]}" stroke="{wall}" stroke-width="2" d="{at}"/>')
    for place, one in reversed(list(enumerate(recommended, start=1))):
        if np.isfinite(x[one]):
            text, colour = ("✓", _HIT[dark]) if one in hits else (place, _PLACE[dark])
            parts.append(_number(x[one], y[one], text, ink=colour, wall=wall, radius=13))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-20 -20 1040 1040" width="1040" height="1040">'
        f"<title>{escape('The map of the items')}</title>{''.join(parts)}</svg>"
    )


def _sign(index: int, colouring: Colouring | None, dark: bool) -> tuple[str, str]:
    if colouring is None:
        return "circle", COLOURS[dark][0]
    if index in (NO_CLASS, colouring.others):
        return "circle", QUIET[dark]
    if colouring.kind == "ramp":
        return "circle", RAMPS[dark][index]
    return SHAPES[index % len(SHAPES)], COLOURS[dark][index % len(COLOURS[dark])]


def _number(x: float, y: float, number: int | str, *, ink: str, wall: str, radius: int) -> str:
    return (
        f'<circle cx="{x:.0f}" cy="{y:.0f}" r="{radius}" fill="{ink}" stroke="{wall}" stroke-width="2"/>'
        f'<text x="{x:.0f}" y="{y + radius * 0.38:.0f}" text-anchor="middle" font-family="sans-serif" '
        f'font-size="{radius}" font-weight="600" fill="{wall}">{number}</text>'
    )
