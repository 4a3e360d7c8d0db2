"""How training went, a panel a model: the validation metric over the epochs, the best one marked, and the loss."""

from __future__ import annotations

from collections.abc import Sequence

from visrec.evaluation.plots.axis import axis
from visrec.evaluation.plots.drawing import Drawing, Line, Part, Shape, Text, look_of, outline, polyline

_WIDTH = 350
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 10, 48, 40
_TALL, _LOW, _GAP = 130, 64, 30  # heights of the metric's and of the loss's area, and what is between


def curves(
    title: str,
    epochs: Sequence[int],
    *,
    group: int,
    loss: Sequence[float],
    metric: Sequence[float] | None,
    metric_name: str = "",
) -> Drawing:
    """One panel.

    Args:
        title: of the panel.
        epochs: at least one.
        group: decides colour and shape.
        loss: one an epoch.
        metric: of the validation part, one an epoch; larger is better. None: it was not looked at.
        metric_name: of the metric.
    """
    look = look_of(group)
    parts: list[Part] = [Shape(outline(group, 8, 12), f"mark {look}"), Text(22, 16, title, "head")]
    right = _WIDTH - _RIGHT
    to_x, x_ticks = axis([min(epochs), max(epochs)], _LEFT + 8, right - 8)
    name, bottom = f"{title}: {len(epochs)} epochs", _TOP
    if metric is not None:
        bottom += _TALL
        to_y, ticks = axis(list(metric), bottom - 6, _TOP + 6)
        best = max(range(len(epochs)), key=lambda at: metric[at])
        points = [(to_x(epoch), to_y(value)) for epoch, value in zip(epochs, metric, strict=True)]
        parts += _ticks(ticks, right)
        parts.append(Text(_LEFT, _TOP - 8, f"validation {metric_name}", "title"))
        parts.append(Shape(polyline(points), f"curve {look}"))
        words = f"best: {metric[best]:.4f} in epoch {epochs[best]}"
        parts.append(Shape(outline(group, *points[best]), f"mark {look}", words))
        parts.append(Text(right, _TOP - 8, words, "label", "end"))
        name += f", {words}"
        bottom += _GAP
    top, bottom = bottom, bottom + _LOW
    to_y, ticks = axis(list(loss), bottom - 5, top + 5)
    parts += _ticks([ticks[0], ticks[-1]] if len(ticks) > 1 else ticks, right)
    parts.append(Text(_LEFT, top - 8, "training loss", "title"))
    falling = [(to_x(epoch), to_y(value)) for epoch, value in zip(epochs, loss, strict=True)]
    parts.append(Shape(polyline(falling), "quiet"))
    for x, text in x_ticks:
        if "." not in text:
            parts.append(Text(x, bottom + 18, text, "tick", "middle"))
    parts.append(Text(right, bottom + 34, "epoch", "title", "end"))
    name += f"; the loss went from {loss[0]:.4g} to {loss[-1]:.4g}."
    return Drawing(name, _WIDTH, bottom + _BOTTOM, tuple(parts))


def _ticks(ticks: Sequence[tuple[float, str]], right: float) -> list[Part]:
    parts: list[Part] = []
    for y, text in ticks:
        parts += [Line(_LEFT, y, right, y, "grid"), Text(_LEFT - 6, y + 4, text, "tick", "end")]
    return parts
