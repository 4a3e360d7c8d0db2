"""Times of interactions as other programs have them: as numbers, as dates, or not at all."""

from __future__ import annotations

import polars as pl

from visrec.data.foreign import places_as_times
from visrec.data.tables import parse_times
from visrec.data.times import unit_of
from visrec.errors import DataError

PLACES = "There are no times: the place of a row among those of its user stands for them."


def with_times(rows: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """Interactions with `timestamp`: where there is none, the order of a user's rows; and notes."""
    return (rows, []) if "timestamp" in rows.columns else (places_as_times(rows), [PLACES])


def numbered_times(rows: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """Interactions whose times are numbers, for programs that know no dates: these become Unix seconds; and notes.

    Seconds are Float64 where some are not whole: microseconds fit into it until the year 2255.

    Raises:
        DataError: some are no times.
    """
    numbers, dates = _numbers(rows["timestamp"])
    if not dates:
        return rows.with_columns(numbers.alias("timestamp")), []
    whole = (numbers % 1_000_000 == 0).all()
    seconds = numbers // 1_000_000 if whole else numbers / 1e6
    return rows.with_columns(seconds.alias("timestamp")), ["Times: dates are written as Unix seconds (UTC)."]


def dated_times(rows: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """Interactions whose times are moments (UTC), where their numbers are Unix times; else as numbers; and notes.

    Raises:
        DataError: some are no times.
    """
    numbers, dates = _numbers(rows["timestamp"])
    unit = 1e6 if dates else unit_of(numbers)
    if not unit:
        return rows.with_columns(numbers.alias("timestamp")), []
    if numbers.dtype.is_integer():
        micro = numbers * int(1e6 / unit) if unit <= 1e6 else numbers // int(unit / 1e6)
    else:
        micro = (numbers * (1e6 / unit)).round().cast(pl.Int64)
    notes = [] if dates else ["Times: Unix times are written as dates (UTC)."]
    return rows.with_columns(micro.cast(pl.Datetime("us")).alias("timestamp")), notes


def _numbers(times: pl.Series) -> tuple[pl.Series, bool]:
    """Times as numbers: those that there are, or microseconds since 1970, of which the second value tells."""
    parsed = parse_times(times)
    if parsed is None or parsed.null_count():
        raise DataError(
            f"Column timestamp is of type {times.dtype}, and not all of it are times; expected numbers, "
            f"or dates of one form. Mend the data set."
        )
    words = (
        times.dtype == pl.String and times.str.strip_chars().cast(pl.Float64, strict=False).null_count() > 0
    )
    return parsed, times.dtype.is_temporal() or words
