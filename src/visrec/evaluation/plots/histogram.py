"""How values are distributed around nothing: bars on both sides of it."""

from __future__ import annotations

import numpy as np

from visrec.evaluation.plots.axis import round_steps
from visrec.evaluation.plots.drawing import (
    FONT,
    Drawing,
    Line,
    Part,
    Shape,
    Text,
    look_of,
    rectangle,
    shortened,
)

_WIDTH, _HEIGHT = 400, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 12, 40, 44
_BINS = 10  # on one side


def histogram(values: np.ndarray, *, x_title: str, sides: tuple[str, str] | None = None) -> Drawing:
    """One panel.

    Args:
        values: `(B,)`, at least one. With `sides` zeros are not drawn: where most people see no difference, their bar
            would leave the others no height.
        x_title: of the axis.
        sides: what values below and above 0 stand for; the scale is then the same on both sides. None: values are
            no differences, and the scale is their own.
    """
    drawn = values[values != 0] if sides else values
    edges = _edges(drawn, bool(sides))
    counts = _counts(drawn, edges) if sides else np.histogram(drawn, edges)[0]
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    most = max(1, int(counts.max(initial=0)))
    across = (right - _LEFT) / (edges[-1] - edges[0])

    def x(value: float) -> float:
        return _LEFT + (value - edges[0]) * across

    def y(count: float) -> float:
        return bottom - count / most * (bottom - _TOP)

    parts: list[Part] = []
    for count, _ in round_steps(0, most):
        if count == int(count):
            parts.append(Line(_LEFT, y(count), right, y(count), "grid"))
            parts.append(Text(_LEFT - 6, y(count) + 4, f"{int(count):,}", "tick", "end"))
    for value, text in round_steps(float(edges[0]), float(edges[-1])):
        parts.append(Text(x(value), bottom + 16, text, "tick", "middle"))
    for count, low, high in zip(counts, edges[:-1], edges[1:], strict=True):
        if count:
            group = 1 if sides and high <= 1e-12 else 0
            words = f"{low:.2f} to {high:.2f}: {int(count):,} {'person' if count == 1 else 'people'}"
            outline = rectangle(x(low) + 0.75, y(count), x(high) - 0.75, bottom)
            parts.append(Shape(outline, f"mark {look_of(group)}", words))
    parts.append(Line(_LEFT, bottom, right, bottom, "axis"))
    if sides:
        room = (right - _LEFT) / 2 - FONT
        parts.append(Line(x(0), _TOP - 8, x(0), bottom, "axis"))
        parts.append(Text(x(0) - 10, 16, shortened(f"← {sides[0]}", room), "label", "end"))
        parts.append(Text(x(0) + 10, 16, shortened(f"{sides[1]} →", room), "label"))
    if len(values):
        mean = x(float(values.mean()))
        parts.append(Line(mean, _TOP, mean, bottom, "level"))
    parts.append(Text(right, bottom + 36, x_title, "title", "end"))
    parts.append(Text(_LEFT - 6, _TOP - 10, "people", "title", "end"))
    return Drawing(_name(values, x_title, sides), _WIDTH, _HEIGHT, tuple(parts))


def _edges(values: np.ndarray, around_zero: bool) -> np.ndarray:
    """Ends of the bars, `(n + 1,)`, of one width; with 0 among them where values are differences."""
    if around_zero:
        reach = float(np.abs(values).max(initial=0)) or 1.0
        return np.linspace(-reach, reach, 2 * _BINS + 1)
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    if low >= 0 and low < 0.4 * high:
        low = 0.0
    if high - low < 1e-9:
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, 2 * _BINS + 1)


def _counts(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """How many differences lie in each bar. Both sides count from 0 outwards: one is the other's mirror."""
    outwards = edges[len(edges) // 2 :]
    below, above = (np.histogram(side, outwards)[0] for side in (-values[values < 0], values[values > 0]))
    return np.concatenate([below[::-1], above])


def _name(values: np.ndarray, x_title: str, sides: tuple[str, str] | None) -> str:
    n_less, n_more = int((values < 0).sum()), int((values > 0).sum())
    mean = f"mean {float(values.mean()):.4f}" if len(values) else "nobody"
    if sides is None:
        return f"{x_title} of {len(values):,} people: {mean}."
    return (
        f"{x_title}. {sides[0]}: {n_less:,} people; {sides[1]}: {n_more:,}; "
        f"no difference, not drawn: {len(values) - n_less - n_more:,}; {mean}."
    )
