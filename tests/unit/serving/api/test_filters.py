from __future__ import annotations

import time
from contextlib import suppress

import numpy as np
import polars as pl
import pytest

from visrec.errors import ConfigError
from visrec.serving.filters import Filter, Filtering

TABLE = pl.DataFrame(
    {
        "item_id": ["007", "8", "c"],
        "artist": ["Ann", "Bo=b", None],
        "price": ["10", " 9.5 ", ""],
        "year": [1990, 2001, None],
        "note": ["1", "two", "3"],
        "sold": [True, False, True],
    }
)


COLUMNS = {
    "categorical": pl.Series(["x", "y"], dtype=pl.Categorical),
    "enum": pl.Series(["x", "y"], dtype=pl.Enum(["x", "y"])),
    "bytes": pl.Series([b"\xff", b"x"]),
    "list": pl.Series([["x"], []]),
    "record": pl.Series([{"x": 1}, {"x": 2}]),
    "nothing": pl.Series([None, None]),
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("artist=Ann", [1, 0, 0]),
        ("artist!=Ann", [0, 1, 1]),  # of the third nothing is known
        ("artist=Bo=b", [0, 1, 0]),
        ("artist=ann", [0, 0, 0]),
        (" price < 10 ", [0, 1, 0]),  # 9.5 < 10, which as text it is not
        ("price<=10", [1, 1, 0]),
        ("price=10.0", [1, 0, 0]),
        ("price!=10", [0, 1, 1]),
        ("year>=1990", [1, 1, 0]),
        ("year>1990", [0, 1, 0]),
        ("note!=two", [1, 0, 1]),
        ("item_id=7", [0, 0, 0]),  # an id is text
        ("item_id=007", [1, 0, 0]),
        ("sold=true", [1, 0, 1]),
    ],
)
def test_a_filter_keeps_what_it_says(text, expected):
    found = Filtering(TABLE).mask([Filter.parse(text)])
    assert found.astype(int).tolist() == expected


def test_filters_hold_together():
    filtering = Filtering(TABLE)
    filters = [Filter.parse("year>=1990"), Filter.parse("artist!=Ann")]
    alone = [filtering.mask([one]) for one in filters]
    np.testing.assert_array_equal(filtering.mask(filters), alone[0] & alone[1])
    np.testing.assert_array_equal(filtering.mask(filters[:1]), alone[0])  # what is kept is not changed
    assert filtering.mask([]) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("artist", "none"),
        ("=Ann", "none"),
        ("", "none"),
        ("prise<10", "Did you mean price"),
        ("colour=red", "There are item_id, artist, price"),
        ("artist<10", "compares numbers"),
        ("note>1", "compares numbers"),
        ("price<cheap", "'cheap' is none"),
        ("price=nan", "'nan' is none"),
        ("price<inf", "'inf' is none"),
    ],
)
def test_what_is_no_filter_says_why(text, words):
    with pytest.raises(ConfigError, match=words):
        Filtering(TABLE).mask([Filter.parse(text)])


def test_a_filter_is_written_as_it_was():
    assert str(Filter.parse("year>=1990")) == "year>=1990"
    assert Filtering(TABLE).columns["price"] == "number"
    assert Filtering(TABLE).columns["note"] == "text"


@pytest.mark.parametrize("text", [" " * 300, "a" + " " * 298 + "a", "a=" + "x" + " " * 296 + "y"])
def test_spaces_do_not_make_a_filter_slow(text):
    begun = time.process_time()
    for _ in range(20):
        with suppress(ConfigError):
            Filter.parse(text)
    assert time.process_time() - begun < 0.5  # all ways to share the spaces out took a second for each


@pytest.mark.parametrize("column", COLUMNS)
def test_a_column_of_any_type_filters_or_is_none_that_can_be_filtered_by(column):
    table = pl.DataFrame({"item_id": ["a", "b"], "artist": ["Ann", "Bob"], column: COLUMNS[column]})
    filtering = Filtering(table)
    assert filtering.mask([Filter.parse("artist=Ann")]).tolist() == [True, False]
    if column in filtering.columns:
        expected = [str(one) == "x" for one in COLUMNS[column].to_list()]
        assert filtering.mask([Filter.parse(f"{column}=x")]).tolist() == expected
    else:
        with pytest.raises(ConfigError, match="no column"):
            filtering.mask([Filter.parse(f"{column}=x")])
