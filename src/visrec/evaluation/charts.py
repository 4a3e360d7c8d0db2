"""Bars and a curve as geometry: where they, their ticks and their words go. The template draws them as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from visrec.evaluation.plots.axis import round_steps
from visrec.evaluation.plots.drawing import Box

WIDTH, HEIGHT = 860, 300  # pixels
_AREA = Box(64, 12, 840, 248)
_LABELS = 12  # at most so many stand under the bars


@dataclass(frozen=True)
class Bar:
    """One bar: where it stands, and what it says."""

    x: float
    y: float
    width: float
    height: float
    label: str
    value: str
    is_labelled: bool


@dataclass(frozen=True)
class Chart:
    """All that a template needs to draw.

    Attributes:
        area: in which bars or the curve lie.
        bars: from left to right; none in a curve.
        curve: points "x,y x,y …" of a line; "" in a chart of bars.
        diagonal: whether the line of even shares is drawn.
        x_ticks: position and text; those of bars stand with them.
        y_ticks: position and text.
        x_title: of the axis.
        y_title: of the axis.
        rows: the data behind it, as (label, value).
    """

    area: Box
    bars: list[Bar]
    curve: str
    diagonal: bool
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    x_title: str
    y_title: str
    rows: list[tuple[str, str]]


def bars(values: Sequence[tuple[str, int]], *, x_title: str, y_title: str) -> Chart:
    """Bars of counts `(label, count)`, at least one, side by side."""
    top = max(1, *(n for _, n in values), 1)
    step = (_AREA.right - _AREA.left) / len(values)
    gap = min(4.0, step * 0.15)
    every = -(-len(values) // _LABELS)
    made = []
    for place, (label, n) in enumerate(values):
        y = _y(n / top)
        made.append(
            Bar(
                _AREA.left + place * step + gap / 2,
                y,
                step - gap,
                _AREA.bottom - y,
                label,
                f"{n:,}",
                place % every == 0,
            )
        )
    ticks = [(_y(value / top), f"{value:,.0f}") for value, _ in round_steps(0, top) if value == round(value)]
    return Chart(
        _AREA, made, "", False, [], ticks, x_title, y_title, [(bar.label, bar.value) for bar in made]
    )


def histogram(counts: np.ndarray, *, x_title: str, y_title: str) -> Chart:
    """How many have 1, 2, 3–4, 5–8, … : bars whose bounds double, since such counts are skewed."""
    highest = int(counts.max())
    edges = [0, 1]
    while edges[-1] < highest:
        edges.append(2 * edges[-1])
    ends = edges[1:]
    found = np.histogram(counts, bins=[0.5, *(end + 0.5 for end in ends)])[0]
    labels = [
        f"{end}" if end - start == 1 else f"{start + 1}–{end}"
        for start, end in zip(edges, ends, strict=False)
    ]
    return bars(list(zip(labels, found.tolist(), strict=True)), x_title=x_title, y_title=y_title)


def concentration(counts: np.ndarray, *, x_title: str, y_title: str) -> Chart:
    """The share of all that the first part of the items has, the most taken first (a Lorenz curve from above)."""
    shares = np.concatenate([[0], np.cumsum(counts) / counts.sum()])
    places = np.unique(np.linspace(0, len(counts), min(len(counts), 200) + 1).round().astype(int))
    points = [(_x(place / len(counts)), _y(shares[place])) for place in places]
    tenths = [round(len(counts) * part / 10) for part in range(11)]
    percents = [(part, f"{part:.0%}") for part in (0, 0.2, 0.4, 0.6, 0.8, 1)]
    return Chart(
        _AREA,
        [],
        " ".join(f"{x:.1f},{y:.1f}" for x, y in points),
        True,
        [(_x(part), text) for part, text in percents],
        [(_y(part), text) for part, text in percents],
        x_title,
        y_title,
        [(f"{part * 10} %", f"{shares[at]:.1%}") for part, at in enumerate(tenths)],
    )


def _x(share: float) -> float:
    return _AREA.left + share * (_AREA.right - _AREA.left)


def _y(share: float) -> float:
    return _AREA.bottom - share * (_AREA.bottom - _AREA.top)
