"""Plots as files: the SVG of each, and the data behind it as CSV."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from visrec.evaluation.markup import template
from visrec.evaluation.plots.drawing import Drawing, look_of, outline, text_width
from visrec.evaluation.plots.figures import Figure
from visrec.files import replacing_folder

_WIDTH = 1120  # that panels share
_GAP, _MARGIN = 28, 24
_HEAD, _LEGEND = 34, 30  # heights


@dataclass(frozen=True)
class _Panel:
    drawing: Drawing
    x: float
    y: float


def write_figures(folder: str | Path, figures: Sequence[Figure]) -> None:
    """Write NAME.svg and NAME.csv of each figure; the folder is replaced as a whole."""
    with replacing_folder(folder) as temporary:
        for figure in figures:
            (temporary / f"{figure.name}.svg").write_text(to_svg(figure), encoding="utf-8")
            (temporary / f"{figure.name}.csv").write_text(figure.data.write_csv(), encoding="utf-8")


def to_svg(figure: Figure) -> str:
    """A figure as one SVG: title, key, panels. It needs nothing else, and is light or dark as its reader is."""
    widest = max(one.width for one in figure.drawings)
    columns = min(len(figure.drawings), max(1, int((_WIDTH + _GAP) // (widest + _GAP))))
    top: float = _MARGIN + _HEAD + (_LEGEND if figure.legend else 0)
    panels = []
    for start in range(0, len(figure.drawings), columns):
        row = figure.drawings[start : start + columns]
        panels += [_Panel(one, _MARGIN + at * (widest + _GAP), top) for at, one in enumerate(row)]
        top += max(one.height for one in row) + _GAP
    keys, x = [], float(_MARGIN)
    for group, model in enumerate(figure.legend):
        keys.append((model, x, outline(group, x + 7, _MARGIN + _HEAD + 8), look_of(group)))
        x += text_width(model) + 40
    return template("figure.svg.j2").render(
        figure=figure,
        panels=panels,
        keys=keys,
        margin=_MARGIN,
        head=_HEAD,
        width=max(2 * _MARGIN + columns * (widest + _GAP) - _GAP, x),
        height=top - _GAP + _MARGIN,
    )
