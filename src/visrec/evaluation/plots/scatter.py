"""A scatter plot as geometry: where marks, interval bars, ticks and labels go.

All marks of one label stand in a column, and the label once above it, on a thin line like a flag on its pole. So
labels cover neither marks nor each other, however many there are: the plot grows upwards.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from visrec.evaluation.plots.axis import axis
from visrec.evaluation.plots.drawing import (
    FONT,
    Box,
    Drawing,
    Line,
    Part,
    Shape,
    Text,
    look_of,
    outline,
    rectangle,
    text_width,
)
from visrec.evaluation.significance import Estimate

WIDE = (860, 440)
"""The size of a plot that has the page to itself: width and height in pixels, the height without the labels."""

_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 20, 12, 52  # around the area in which marks lie
_STRIP_STEP, _STRIP_GAP = 48, 12  # of those without an x, in a strip at the left
_DODGE = 3  # between the bars of one column, so that they do not hide each other
_APART = 8  # between columns, besides: where values are nearer, their columns are moved a little
_INSET = 28  # between the outermost columns and the edges
_ROW = 16  # height of a label
_SPACE = 5  # between a label and its pole, or the next label


@dataclass(frozen=True)
class Point:
    """A thing to plot.

    Attributes:
        label: written above it; points of one label have one x.
        group: decides its shape.
        x: where; None: in a strip of its own at the left.
        y: how high, with its interval.
    """

    label: str
    group: str
    x: float | None
    y: Estimate


@dataclass(frozen=True)
class Mark:
    """A point: its middle, the ends of its interval, the outline of its shape, and all of it in words."""

    x: float
    y: float
    low: float
    high: float
    shape: str
    group: int
    words: str


@dataclass(frozen=True)
class Label:
    """A text to the right of its pole.

    Attributes:
        text: what it says.
        box: the room that it takes.
        x: of the pole.
        foot: where the pole ends, at the lowest mark.
        row: how high it hangs, from 0.
    """

    text: str
    box: Box
    x: float
    foot: float
    row: int

    @property
    def baseline(self) -> float:
        """Where the letters stand."""
        return self.box.bottom - 0.33 * FONT


@dataclass(frozen=True)
class Plot:
    """All that there is to draw.

    Attributes:
        width: of the whole, in pixels.
        height: of the whole.
        area: in which marks lie, the strip included.
        strip: of the points without an x.
        x_ticks: position and text.
        y_ticks: position and text.
        x_title: of the axis.
        y_title: of the axis.
        level: how high the dashed line lies.
        marks: all points.
        labels: one a column.
    """

    width: float
    height: float
    area: Box
    strip: Box | None
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    x_title: str
    y_title: str
    level: float | None
    marks: list[Mark]
    labels: list[Label]


def scatter(
    points: Sequence[Point],
    *,
    x_title: str,
    y_title: str,
    level: float | None = None,
    log: bool = False,
    size: tuple[int, int] = WIDE,
) -> Plot:
    """Lay out a plot.

    Args:
        points: at least one; groups get their shapes in the order in which they come.
        x_title: of the axis.
        y_title: of the axis.
        level: a value of y to be shown as a dashed line.
        log: whether the x-axis is logarithmic; every x is then above 0.
        size: width and height in pixels, the height without the labels; wider where a label needs it.
    """
    groups = list(dict.fromkeys(one.group for one in points))
    known = {one.label: one.x for one in points if one.x is not None}
    apart = list(dict.fromkeys(one.label for one in points if one.x is None))
    # Marks of one column stand a little apart; a column of one mark is no wider than that.
    shared = max(Counter(one.label for one in points).values()) > 1
    dodge, n_beside = (_DODGE, len(groups)) if shared else (0, 1)
    left, right = _LEFT, size[0] - _RIGHT
    edge = right if apart and not known else left  # between the strip and the rest
    if apart and known:
        edge = left + min(_STRIP_STEP * len(apart), (right - left) // 2) + _STRIP_GAP
    to_x, x_ticks = axis(list(known.values()), edge + _INSET, right - _INSET, log=log)
    step = (edge - left) / max(1, len(apart))
    columns = dict(zip(known, _moved_apart([to_x(x) for x in known.values()], n_beside), strict=True))
    columns |= {label: left + (place + 0.5) * step for place, label in enumerate(apart)}
    rows = _hang(columns)
    top = _TOP + _ROW * (1 + max(rows.values()))
    area = Box(left, top, right, top + size[1] - _BOTTOM - _TOP)
    ends = [end for one in points for end in (one.y.low, one.y.high)] + ([] if level is None else [level])
    to_y, y_ticks = axis(ends, area.bottom - _INSET / 2, area.top + _INSET / 2)
    marks = []
    for one in points:
        group = groups.index(one.group)
        x, y = columns[one.label] + (group - (len(groups) - 1) / 2) * dodge, to_y(one.y.mean)
        words = _words(one, x_title)
        marks.append(Mark(x, y, to_y(one.y.low), to_y(one.y.high), outline(group, x, y), group, words))
    feet = {one.label: 0.0 for one in points}
    for one, mark in zip(points, marks, strict=True):
        feet[one.label] = max(feet[one.label], mark.y)
    labels = []
    for label, row in rows.items():
        x, bottom = columns[label], top - row * _ROW
        box = Box(x + _SPACE, bottom - _ROW, x + _SPACE + text_width(label), bottom)
        labels.append(Label(label, box, x, feet[label], row))
    return Plot(
        width=max(size[0], *(label.box.right for label in labels)),
        height=area.bottom + _BOTTOM,
        area=area,
        strip=Box(left, area.top, edge, area.bottom) if apart else None,
        x_ticks=x_ticks,
        y_ticks=y_ticks,
        x_title=x_title,
        y_title=y_title,
        level=None if level is None else to_y(level),
        marks=marks,
        labels=labels,
    )


def drawn(plot: Plot, name: str, *, strip_note: str = "") -> Drawing:
    """The plot as lines, shapes and texts.

    Args:
        plot: what `scatter` laid out.
        name: what it shows, for those who do not see it.
        strip_note: under the strip of those without an x.
    """
    area = plot.area
    parts: list[Part] = []
    if plot.strip:
        middle = (plot.strip.left + plot.strip.right) / 2
        parts.append(
            Shape(rectangle(plot.strip.left, plot.strip.top, plot.strip.right, plot.strip.bottom), "ground")
        )
        parts.append(Text(middle, area.bottom + 20, strip_note, "note", "middle"))
    for y, text in plot.y_ticks:
        parts += [Line(area.left, y, area.right, y, "grid"), Text(area.left - 8, y + 4, text, "tick", "end")]
    for x, text in plot.x_ticks:
        parts += [
            Line(x, area.bottom, x, area.bottom + 5, "grid"),
            Text(x, area.bottom + 20, text, "tick", "middle"),
        ]
    parts.append(Line(area.left, area.bottom, area.right, area.bottom, "axis"))
    if plot.x_ticks:
        parts.append(Text(area.right, area.bottom + 44, plot.x_title, "title", "end"))
    parts.append(Text(14, area.top, plot.y_title, "title", "end", turned=True))
    if plot.level is not None:
        parts.append(Line(area.left, plot.level, area.right, plot.level, "level"))
    for label in plot.labels:
        parts.append(Line(label.x, label.box.top + 2, label.x, label.foot, "pole"))
        parts.append(Text(label.box.left, label.baseline, label.text, "label"))
    parts += [Line(one.x, one.low, one.x, one.high, f"bar {look_of(one.group)}") for one in plot.marks]
    parts += [Shape(one.shape, f"mark {look_of(one.group)}", one.words) for one in plot.marks]
    return Drawing(name, plot.width, plot.height, tuple(parts))


def _words(one: Point, x_title: str) -> str:
    where = f", {x_title} {one.x:.4g}" if one.x is not None else ""
    return f"{one.label}, {one.group}: {one.y.mean:.4f} ({one.y.low:.4f}–{one.y.high:.4f}){where}"


def _moved_apart(xs: Sequence[float], n_groups: int) -> list[float]:
    """The places of columns, none nearer to the next than a column is wide; each moved as little as that takes."""
    least = _APART + _DODGE * n_groups
    order = sorted(range(len(xs)), key=lambda place: xs[place])
    runs: list[list[int]] = []  # neighbours that push each other, around their common middle

    def span(run: list[int]) -> tuple[float, float]:
        middle, half = sum(xs[place] for place in run) / len(run), (len(run) - 1) * least / 2
        return middle - half, middle + half

    for place in order:
        runs.append([place])
        while len(runs) > 1 and span(runs[-1])[0] - span(runs[-2])[1] < least:
            last = runs.pop()
            runs[-1] += last
    found = [0.0] * len(xs)
    for run in runs:
        for number, place in enumerate(run):
            found[place] = span(run)[0] + number * least
    return found


def _hang(columns: Mapping[str, float]) -> dict[str, int]:
    """The row of each label, to the right of its pole: as low as there is room.

    From right to left each hangs above those whose poles its text would meet; so no pole reaches another's text.
    """
    rows: dict[str, int] = {}
    for label in sorted(columns, key=lambda one: -columns[one]):
        end = columns[label] + _SPACE + text_width(label) + _SPACE
        rows[label] = 1 + max((row for one, row in rows.items() if columns[one] < end), default=-1)
    return rows
