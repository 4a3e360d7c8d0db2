"""Distributions over users as violins, a panel a model: the shape, the middle half, the median and the mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

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
)

_WIDTH, _HEIGHT = 350, 270
_LEFT, _RIGHT, _TOP, _BOTTOM = 36, 6, 34, 58
_STEPS = 100  # heights at which the density is taken
_BANDWIDTH = 0.035  # of the Gaussian, where values lie in [0, 1]
_BOX = 5  # half the width of the box


@dataclass(frozen=True, eq=False)
class Sample:
    """Values in [0, 1] of some users, and what they have in common."""

    label: str
    values: np.ndarray


def violins(
    title: str, samples: Sequence[Sample], *, group: int, x_title: str, y_title: str, smallest: int
) -> Drawing:
    """One panel.

    Args:
        title: of the panel.
        samples: one violin each, from left to right.
        group: decides colour and shape of the key.
        x_title: what the labels are about.
        y_title: what the values are.
        smallest: fewer values are drawn one by one, since a shape would be made up.
    """
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    step = (right - _LEFT) / max(1, len(samples))
    look = look_of(group)
    parts: list[Part] = [
        Shape(outline(group, 8, 12), f"mark {look}"),
        Text(22, 16, title, "head"),
        Text(_WIDTH - _RIGHT, 16, y_title, "title", "end"),
    ]

    def height(value: float) -> float:
        return bottom - value * (bottom - _TOP)

    for tick in (0, 0.25, 0.5, 0.75, 1):
        parts.append(Line(_LEFT, height(tick), right, height(tick), "grid"))
        parts.append(Text(_LEFT - 6, height(tick) + 4, f"{tick:g}", "tick", "end"))
    parts.append(Text(right, _HEIGHT - 6, x_title, "title", "end"))
    for place, sample in enumerate(samples):
        x = _LEFT + (place + 0.5) * step
        parts.append(Text(x, bottom + 18, sample.label, "label", "middle"))
        parts.append(Text(x, bottom + 33, f"n = {len(sample.values):,}", "note", "middle"))
        if len(sample.values) < smallest:
            parts += [
                Shape(outline(0, x + shift, height(float(value)), 3), f"lone {look}", f"{value:.4f}")
                for value, shift in zip(sample.values, _jitter(len(sample.values), 0.3 * step), strict=True)
            ]
        else:
            parts += _violin(sample, x, 0.42 * step, height, look)
    return Drawing(_name(title, samples, x_title, y_title), _WIDTH, _HEIGHT, tuple(parts))


def density(values: np.ndarray) -> np.ndarray:
    """How many of the values in [0, 1] lie around each of `_STEPS + 1` heights, as a share of the most.

    A histogram smoothed by a Gaussian, reflected at 0 and 1, so that nothing leaks out of the range.
    """
    counts = np.histogram(values, bins=_STEPS + 1, range=(-0.5 / _STEPS, 1 + 0.5 / _STEPS))[0].astype(float)
    reach = int(4 * _BANDWIDTH * _STEPS)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / (_BANDWIDTH * _STEPS)) ** 2)
    smooth = np.convolve(np.pad(counts, reach, mode="symmetric"), kernel, mode="valid")
    return smooth / smooth.max()


def _violin(sample: Sample, x: float, half: float, to_y: Callable[[float], float], look: str) -> list[Part]:
    widths = density(sample.values) * half
    heights = [to_y(one / _STEPS) for one in range(_STEPS + 1)]
    there = np.flatnonzero(widths > 0.01 * half)
    span = range(int(there[0]), int(there[-1]) + 1)
    left = [(x - widths[one], heights[one]) for one in span]
    around = left + [(x + widths[one], heights[one]) for one in reversed(span)]
    low, median, high = (to_y(float(one)) for one in np.quantile(sample.values, [0.25, 0.5, 0.75]))
    mean = to_y(float(sample.values.mean()))
    return [
        Shape(polyline(around, closed=True), f"violin {look}", _words(sample)),
        Shape(rectangle(x - _BOX, high, x + _BOX, low), "middle", _words(sample)),
        Line(x - _BOX, median, x + _BOX, median, "median"),
        Shape(outline(3, x, mean, 4), "mean", f"mean {sample.values.mean():.4f}"),
    ]


def _jitter(n: int, most: float) -> np.ndarray:
    """Steps to the side that keep points from hiding each other; the same for the same n."""
    return most * (np.arange(n) * 0.618034 % 1 * 2 - 1)


def _words(sample: Sample) -> str:
    low, median, high = np.quantile(sample.values, [0.25, 0.5, 0.75])
    return (
        f"{sample.label}: mean {sample.values.mean():.4f}, median {median:.4f}, "
        f"middle half {low:.4f}–{high:.4f}, {len(sample.values):,} users"
    )


def _name(title: str, samples: Sequence[Sample], x_title: str, y_title: str) -> str:
    medians = "; ".join(f"{one.label}: {np.median(one.values):.2f}" for one in samples if len(one.values))
    return f"{title}: {y_title} by {x_title}. Medians {medians}."
