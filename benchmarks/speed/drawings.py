"""Plots of the benchmark, made of the parts of visrec's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl
from speed.claims import Claim

from visrec.evaluation.plots.axis import axis
from visrec.evaluation.plots.drawing import (
    Drawing,
    Line,
    Part,
    Shape,
    Text,
    look_of,
    outline,
    polyline,
    rectangle,
    shortened,
)
from visrec.evaluation.plots.figures import Figure

Points = Sequence[tuple[float, float]]

_WIDE, _LABELS, _ROW = 1_280, 860, 26
_PANEL = (520, 340)
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 14, 32, 44


def claims_figure(claims: Sequence[Claim]) -> Figure:
    """Each figure as a multiple of its target, on one logarithmic scale; those without a target are left out."""
    shown = [one for one in claims if one.target is not None]
    ends = [_shares(one) for one in shown]
    bottom = _TOP + _ROW * len(shown)
    right = _WIDE - _RIGHT
    place, ticks = axis(
        [max(value, 0.01) for all_ in ends for value in all_] + [0.5, 2.0], _LABELS + 10, right - 10, log=True
    )
    parts: list[Part] = [Text(0, 16, "times the target", "head")]
    parts += [
        Shape(rectangle(0, _TOP + at * _ROW, right, _TOP + (at + 1) * _ROW), "ground")
        for at in range(0, len(shown), 2)
    ]
    for x, text in ticks:
        parts += [Line(x, _TOP, x, bottom, "grid"), Text(x, bottom + 16, text, "tick", "middle")]
    parts.append(Line(place(1), _TOP - 6, place(1), bottom, "level"))
    for at, (one, (low, middle, high)) in enumerate(zip(shown, ends, strict=True)):
        y, met = _TOP + (at + 0.5) * _ROW, middle >= 1
        group = 0 if met else 1
        look = look_of(group) + ("" if met else " hollow")
        parts.append(Text(8, y + 4, shortened(one.text, _LABELS - 20), "label"))
        parts.append(Line(place(max(low, 0.01)), y, place(max(high, 0.01)), y, f"bar {look}"))
        words = f"{one.text}: {middle:.2f} times the target ({low:.2f} to {high:.2f})"
        parts.append(Shape(outline(group, place(max(middle, 0.01)), y, 5), f"mark {look}", words))
    name = "; ".join(
        f"{one.text}: {middle:.2f} times its target" for one, (_, middle, _) in zip(shown, ends, strict=True)
    )
    table = [
        {"claim": one.text, "target": one.target, "low": low, "median": middle, "high": high}
        for one, (low, middle, high) in zip(shown, ends, strict=True)
    ]
    return Figure(
        "targets",
        "Targets and what was measured",
        "Filled circles have met their target, hollow squares have not; lines are from the lowest to the highest.",
        (Drawing(name, _WIDE, bottom + 24, tuple(parts)),),
        pl.DataFrame(table),
    )


def _shares(one: Claim) -> tuple[float, float, float]:
    """Lowest, median and highest, as multiples of the target."""
    assert one.target is not None
    assert one.share is not None
    all_ = [one.target / value if one.at_most else value / one.target for value in one.values]
    return min(all_), one.share, max(all_)


def curves_of(
    name: str, title: str, lead: str, panels: Mapping[str, Mapping[str, Sequence[Points]]]
) -> Figure:
    """Lines over seconds on a logarithmic scale.

    Args:
        name: of the file.
        title: of the figure.
        lead: how to read it.
        panels: by what is measured; of each contestant, a line a round.
    """
    contestants = list(next(iter(panels.values())))
    table = [
        {"measure": measure, "contestant": who, "round": number + 1, "seconds": x, "value": y}
        for measure, lines in panels.items()
        for who, runs in lines.items()
        for number, points in enumerate(runs)
        for x, y in points
    ]
    drawn = tuple(_panel(measure, lines) for measure, lines in panels.items())
    return Figure(name, title, lead, drawn, pl.DataFrame(table), tuple(contestants))


def _panel(measure: str, lines: Mapping[str, Sequence[Points]]) -> Drawing:
    width, height = _PANEL
    right, bottom = width - _RIGHT, height - _BOTTOM
    every = [point for runs in lines.values() for points in runs for point in points]
    to_x, x_ticks = axis([max(x, 0.01) for x, _ in every], _LEFT + 8, right - 8, log=True)
    to_y, y_ticks = axis([y for _, y in every], bottom - 8, _TOP + 8)
    parts: list[Part] = [Text(0, 16, measure, "head")]
    for y, text in y_ticks:
        parts += [Line(_LEFT, y, right, y, "grid"), Text(_LEFT - 6, y + 4, text, "tick", "end")]
    for x, text in x_ticks:
        parts += [Line(x, _TOP, x, bottom, "grid"), Text(x, bottom + 16, text, "tick", "middle")]
    parts.append(Text(right, bottom + 34, "seconds of training", "title", "end"))
    said = []
    for group, (who, runs) in enumerate(lines.items()):
        look = look_of(group)
        for points in runs:
            places = [(to_x(max(x, 0.01)), to_y(y)) for x, y in points]
            parts.append(Shape(polyline(places), f"curve {look}"))
            best = max(range(len(points)), key=lambda at: points[at][1])
            words = f"{who}: best {points[best][1]:.4f} after {points[best][0]:.1f} s"
            parts.append(Shape(outline(group, *places[best], 5), f"mark {look}", words))
            said.append(words)
    return Drawing(f"{measure} by seconds of training. {'; '.join(said)}.", width, height, tuple(parts))
