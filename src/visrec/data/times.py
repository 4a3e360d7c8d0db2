"""What the numbers of a column of moments mean: nobody writes down the unit."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import polars as pl

UNITS = ((1e8, 1e11, 1.0), (1e11, 1e14, 1e3), (1e14, 1e17, 1e6), (1e17, 1e20, 1e9))
"""From and to before which a moment of our time lies, and how many of its units make a second."""


def unit_of(times: pl.Series | np.ndarray) -> float:
    """How many of a column's units make a second, told by its median: 1, 1e3, 1e6 or 1e9.

    0 where the numbers are no Unix times (days of a survey, ranks): a median of seconds is taken to lie between 1973
    and 5138, and those of the smaller units accordingly.
    """
    numbers = np.asarray(times, dtype=np.float64)
    middle = float(np.median(numbers)) if len(numbers) else 0.0
    return next((unit for low, high, unit in UNITS if low <= middle < high), 0.0)


def as_date(moment: float, unit: float) -> str:
    """A moment as a day, or as the number that it is where the unit is not known or there is no such day."""
    try:
        if unit:
            return datetime.fromtimestamp(moment / unit, UTC).date().isoformat()
    except (ValueError, OverflowError, OSError):
        pass
    return f"{moment:g}" if abs(moment) < 1e6 else f"{moment:.0f}"
