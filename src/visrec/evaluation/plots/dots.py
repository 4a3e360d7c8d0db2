"""Means with intervals, a row a group and in it a line a model: dots that can be read across a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from visrec.evaluation.plots.axis import axis
from visrec.evaluation.plots.drawing import (
    FONT,
    Drawing,
    Line,
    Part,
    Shape,
    Text,
    look_of,
    outline,
    rectangle,
    shortened,
)
from visrec.evaluation.significance import Estimate

_WIDTH = 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 140, 14, 34, 40
_LINE = 13  # between the models of a row
_ROW_GAP = 12
_LEAST_ROW = 32
_RADIUS = 4.5


@dataclass(frozen=True)
class Row:
    """A group: its label, a remark below it, and a mean a model; none of them: the remark says why."""

    label: str
    remark: str
    means: Mapping[str, Estimate]


def dots(
    title: str, rows: Sequence[Row], *, models: Sequence[str], scale: Sequence[float], x_title: str
) -> Drawing:
    """One panel.

    Args:
        title: of the panel.
        rows: from top to bottom.
        models: in the order of the lines in a row; decides their shapes.
        scale: values that the axis must have room for, the same for panels that are compared.
        x_title: of the axis.
    """
    row_height = max(_LEAST_ROW, _LINE * len(models)) + _ROW_GAP
    bottom = _TOP + row_height * len(rows)
    right = _WIDTH - _RIGHT
    place, ticks = axis(scale, _LEFT + 10, right - 10)
    parts: list[Part] = [Text(0, 16, shortened(title, 1.02 * _WIDTH), "head")]
    parts += [
        Shape(rectangle(0, _TOP + at * row_height, right, _TOP + (at + 1) * row_height), "ground")
        for at in range(0, len(rows), 2)
    ]
    for x, text in ticks:
        parts += [Line(x, _TOP, x, bottom, "grid"), Text(x, bottom + 16, text, "tick", "middle")]
    parts.append(Text(right, bottom + 34, x_title, "title", "end"))
    for at, row in enumerate(rows):
        middle = _TOP + (at + 0.5) * row_height
        parts.append(Text(8, middle - 3, shortened(row.label, _LEFT - 14), "label"))
        parts.append(Text(8, middle + FONT, row.remark, "note"))
        first = middle - (len(models) - 1) / 2 * _LINE
        for group, model in enumerate(models):
            if model not in row.means:
                continue
            found, y = row.means[model], first + group * _LINE
            look = look_of(group)
            words = f"{row.label}, {model}: {found.mean:.4f} ({found.low:.4f}–{found.high:.4f})"
            parts.append(Line(place(found.low), y, place(found.high), y, f"bar {look}"))
            parts.append(Shape(outline(group, place(found.mean), y, _RADIUS), f"mark {look}", words))
    return Drawing(_name(title, rows, x_title), _WIDTH, bottom + _BOTTOM, tuple(parts))


def _name(title: str, rows: Sequence[Row], x_title: str) -> str:
    said = []
    for row in rows:
        best = max(row.means, key=lambda model: row.means[model].mean, default=None)
        what = row.remark if best is None else f"{best} is best, {row.means[best].mean:.4f}"
        said.append(f"{row.label}: {what}")
    return f"{x_title} by {title}. {'; '.join(said)}."
