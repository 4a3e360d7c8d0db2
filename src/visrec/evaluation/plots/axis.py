"""A straight scale: from values to pixels, and round numbers along it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence


def axis(
    values: Sequence[float], start: float, end: float, *, log: bool = False
) -> tuple[Callable[[float], float], list[tuple[float, str]]]:
    """From values to pixels between two ends, and ticks: position and text.

    Args:
        values: what must have room. The scale begins at 0 where they come near it.
        start: the pixel of the least.
        end: the pixel of the greatest.
        log: whether the scale is logarithmic; all values are then above 0.
    """
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
    """About six round numbers from low to high."""
    rough = (high - low) / 6
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
