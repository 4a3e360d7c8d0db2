from __future__ import annotations

from datetime import date, datetime

import polars as pl
import pytest

from visrec.data.formats.moments import dated_times, numbered_times, with_times
from visrec.errors import DataError


def rows(times) -> pl.DataFrame:
    return pl.DataFrame({"user_id": ["u"] * len(times), "item_id": ["i"] * len(times), "timestamp": times})


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (["1970-01-02T00:00:00", "1970-01-01T00:00:01"], [86400, 1]),
        (["1970-01-01T00:00:01.5"], [1.5]),
        ([date(1970, 1, 3)], [172800]),
        ([datetime(2020, 9, 13, 12, 26, 40, 5)], [1600000000.000005]),
    ],
)
def test_dates_become_seconds_and_a_note_says_so(times, expected):
    made, notes = numbered_times(rows(times))
    assert made["timestamp"].to_list() == expected
    assert notes == ["Times: dates are written as Unix seconds (UTC)."]


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([5, 3], [5, 3]),
        (["1.5", "2"], [1.5, 2.0]),
        ([-1.0, 0.25], [-1.0, 0.25]),
        (["1600000000000000001", "2"], [1600000000000000001, 2]),  # more than a float holds
    ],
)
def test_numbers_stay_what_they_are(times, expected):
    made, notes = numbered_times(rows(times))
    assert made["timestamp"].to_list() == expected
    assert notes == []


MOMENT = datetime(2020, 9, 13, 12, 26, 40)  # 1600000000 in UTC


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([1600000000], MOMENT),
        ([1600000000000], MOMENT),
        ([1600000000000005], MOMENT.replace(microsecond=5)),
        ([1600000000000005999], MOMENT.replace(microsecond=5)),  # nanoseconds
        ([1600000000.000005], MOMENT.replace(microsecond=5)),
        (["1600000000.25"], MOMENT.replace(microsecond=250_000)),
    ],
)
def test_unix_times_of_any_unit_become_dates_and_a_note_says_so(times, expected):
    made, notes = dated_times(rows(times))
    assert made["timestamp"].to_list() == [expected]
    assert notes == ["Times: Unix times are written as dates (UTC)."]


def test_dates_stay_dates_also_those_before_1973():
    made, notes = dated_times(rows(["1970-01-01T00:00:01.000005"]))
    assert made["timestamp"].to_list() == [datetime(1970, 1, 1, 0, 0, 1, 5)]
    assert notes == []


def test_ranks_stay_numbers():
    made, notes = dated_times(rows([1, 2]))
    assert made["timestamp"].to_list() == [1, 2]
    assert notes == []


def test_what_is_no_time_is_refused():
    with pytest.raises(DataError, match="not all of it are times"):
        numbered_times(rows(["yesterday", "2020-01-01"]))


def test_without_times_the_place_among_the_rows_of_a_user_is_taken():
    made, notes = with_times(pl.DataFrame({"user_id": ["u", "v", "u"], "item_id": ["a", "b", "c"]}))
    assert made["timestamp"].to_list() == [0, 0, 1]
    assert len(notes) == 1
    assert with_times(made)[0].equals(made)
    assert with_times(made)[1] == []
