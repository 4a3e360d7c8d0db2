"""A scatter plot as geometry: where marks, interval bars, ticks and labels go. The template draws it as SVG.

All marks of one label stand in a column, and the label once above it, on a thin line like a flag on its pole. So
labels cover neither marks nor each other, however many there are: the plot grows upwards.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from visrec.evaluation.significance import Estimate

FONT = 12  # pixels
_WIDTH, _HEIGHT = 860, 440  # the height without the labels
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 20, 12, 52  # around the area in which marks lie
_STRIP_STEP, _STRIP_GAP = 48, 12  # of those without an x, in a strip at the left
_RADIUS = 6  # of a mark
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
class Box:
    """A rectangle, in pixels from the top left."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Box) -> bool:
        """Whether they have an area in common."""
        across = self.left < other.right and other.left < self.right
        return across and self.top < other.bottom and other.top < self.bottom


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
    """All that a template needs to draw.

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
    points: Sequence[Point], *, x_title: str, y_title: str, level: float | None = None, log: bool = False
) -> Plot:
    """Lay out a plot.

    Args:
        points: at least one; groups get their shapes in the order in which they come.
        x_title: of the axis.
        y_title: of the axis.
        level: a value of y to be shown as a dashed line.
        log: whether the x-axis is logarithmic; every x is then above 0.
    """
    groups = list(dict.fromkeys(one.group for one in points))
    known = {one.label: one.x for one in points if one.x is not None}
    apart = list(dict.fromkeys(one.label for one in points if one.x is None))
    left, right = _LEFT, _WIDTH - _RIGHT
    edge = right if apart and not known else left  # between the strip and the rest
    if apart and known:
        edge = left + min(_STRIP_STEP * len(apart), (right - left) // 2) + _STRIP_GAP
    to_x, x_ticks = _axis(list(known.values()), edge + _INSET, right - _INSET, log=log)
    step = (edge - left) / max(1, len(apart))
    columns = dict(zip(known, _moved_apart([to_x(x) for x in known.values()], len(groups)), strict=True))
    columns |= {label: left + (place + 0.5) * step for place, label in enumerate(apart)}
    rows = _hang(columns)
    top = _TOP + _ROW * (1 + max(rows.values()))
    area = Box(left, top, right, top + _HEIGHT - _BOTTOM - _TOP)
    ends = [end for one in points for end in (one.y.low, one.y.high)] + ([] if level is None else [level])
    to_y, y_ticks = _axis(ends, area.bottom - _INSET / 2, area.top + _INSET / 2)
    marks = []
    for one in points:
        group = groups.index(one.group)
        x, y = columns[one.label] + (group - (len(groups) - 1) / 2) * _DODGE, to_y(one.y.mean)
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
        width=max(_WIDTH, *(label.box.right for label in labels)),
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


def outline(group: int, x: float, y: float, r: float = _RADIUS) -> str:
    """The shape of a group as an SVG path around a point; six of them, told apart without colour."""
    if group % 6 == 0:
        return f"M{x - r:.1f},{y:.1f}a{r},{r} 0 1 0 {2 * r},0a{r},{r} 0 1 0 {-2 * r},0z"
    corners = {
        1: [(-0.88, -0.88), (0.88, -0.88), (0.88, 0.88), (-0.88, 0.88)],
        2: [(0, -1.15), (1.1, 0.85), (-1.1, 0.85)],
        3: [(0, -1.25), (1.25, 0), (0, 1.25), (-1.25, 0)],
        4: [(0, 1.15), (1.1, -0.85), (-1.1, -0.85)],
        5: [(-.4, -1.2), (.4, -1.2), (.4, -.4), (1.2, -.4), (1.2, .4), (.4, .4),
            (.4, 1.2), (-.4, 1.2), (-.4, .4), (-1.2, .4), (-1.2, -.4), (-.4, -.4)],
    }[group % 6]  # fmt: skip
    return "M" + "L".join(f"{x + r * dx:.1f},{y + r * dy:.1f}" for dx, dy in corners) + "z"


def text_width(text: str) -> float:
    """Pixels that a text takes at most, in any of the page's fonts: nobody has measured it for us."""
    return FONT * sum(
        0.38 if sign in "ijl.,:;|'!()[] " else 0.95 if sign in "mwMW@%" else 0.66 for sign in text
    )


def _words(one: Point, x_title: str) -> str:
    where = f", {x_title} {one.x:.4g}" if one.x is not None else ""
    return f"{one.label}, {one.group}: {one.y.mean:.4f} ({one.y.low:.4f}–{one.y.high:.4f}){where}"


def _axis(
    values: Sequence[float], start: float, end: float, *, log: bool = False
) -> tuple[Callable[[float], float], list[tuple[float, str]]]:
    """From values to pixels between two ends, and ticks."""
    if not values:
        return (lambda value: start), []  # noqa: ARG005
    scale = math.log10 if log else float
    low, high = scale(min(values)), scale(max(values))
    if high - low < 1e-9:
        pad = 0.5 if log else max(abs(high) * 0.1, 1e-3)
        low, high = low - pad, high + pad
    elif not log and 0 < low < 0.4 * high:
        low = 0.0  # near enough: from nothing on, a height is what it seems

    def place(value: float) -> float:
        return start + (scale(value) - low) / (high - low) * (end - start)

    steps = _decades(10**low, 10**high) if log else round_steps(low, high)
    return place, [(place(value), text) for value, text in steps]


def round_steps(low: float, high: float) -> list[tuple[float, str]]:
    """About five round numbers from low to high."""
    rough = (high - low) / 5
    unit = 10 ** math.floor(math.log10(rough))
    step = next(factor * unit for factor in (1, 2, 5, 10) if factor * unit >= rough)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [(n * step, f"{n * step:.{digits}f}") for n in range(first, last + 1)]


def _decades(low: float, high: float) -> list[tuple[float, str]]:
    """1, 2, 5, 10, … from low to high; more where the range is narrow, powers of ten alone where it is wide."""
    factors = (1, 1.5, 2, 3, 5, 7) if high / low < 12 else (1, 2, 5) if high / low < 300 else (1,)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = [factor * 10.0**power for power in powers for factor in factors]
    return [(step, f"{step:,g}") for step in steps if low * (1 - 1e-9) <= step <= high * (1 + 1e-9)]


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
