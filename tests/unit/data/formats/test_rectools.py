from __future__ import annotations

from datetime import datetime

import numpy as np
import polars as pl
import pytest

import visrec
from visrec.converting.conversion import convert, export
from visrec.converting.own import read_own, write_own
from visrec.data.dataset import load_dataset
from visrec.data.foreign import ForeignData
from visrec.data.formats.rectools import to_frame
from visrec.errors import DataError

ROWS = pl.DataFrame(
    {
        "user_id": ["u1", "02", "u1"],
        "item_id": ["007", "7", "b c"],
        "timestamp": [1600000000, 1600000001, 1600000002],
        "rating": [4.0, 3.5, 1.0],
        "evaluation": ["train", "train", "test"],
    }
)
MOMENT = datetime(2020, 9, 13, 12, 26, 40)  # 1600000000 in UTC: RecTools' datetimes have no zone


def own(tmp_path, rows: pl.DataFrame = ROWS):
    (folder := tmp_path / "data").mkdir()
    write_own(ForeignData(interactions=rows), folder)
    return folder


def test_the_table_has_rectools_columns_and_types(tmp_path):
    export("rectools", own(tmp_path), tmp_path / "out")
    table = pl.read_parquet(tmp_path / "out" / "interactions.parquet")
    assert table.columns == ["user_id", "item_id", "weight", "datetime", "rating", "evaluation"]
    assert table.schema["weight"] == pl.Float64
    assert table.schema["datetime"] == pl.Datetime("us")
    assert table.row(0)[:4] == ("u1", "007", 4.0, MOMENT)


def test_tables_come_back(tmp_path):
    folder = own(tmp_path)
    export("rectools", folder, tmp_path / "out")
    convert("rectools", tmp_path / "out", tmp_path / "back")
    assert read_own(tmp_path / "back").interactions.equals(ROWS)


def test_csv_comes_back_with_its_dates(tmp_path):
    export("rectools", own(tmp_path), tmp_path / "out", options={"table": "csv"})
    text = (tmp_path / "out" / "interactions.csv").read_text().splitlines()
    assert text[:2] == [
        "user_id,item_id,weight,datetime,rating,evaluation",
        "u1,007,4.0,2020-09-13 12:26:40,4.0,train",
    ]
    convert("rectools", tmp_path / "out", tmp_path / "back")
    back = load_dataset(tmp_path / "back", missing_images="mask").interactions
    assert back.timestamp.tolist() == [n * 1_000_000 for n in ROWS["timestamp"]]


@pytest.mark.parametrize(("unit", "scale"), [("milliseconds", 1000), ("microseconds", 1_000_000)])
def test_units_of_times_are_told_by_their_size(tmp_path, unit, scale):
    rows = ROWS.with_columns(pl.col("timestamp") * scale + 500)
    export("rectools", own(tmp_path, rows), tmp_path / "out")
    found = pl.read_parquet(tmp_path / "out" / "interactions.parquet")["datetime"]
    assert found.to_physical().to_list() == [n * 1_000_000 // scale for n in rows["timestamp"]]


def test_times_that_are_none_stay_numbers(tmp_path):
    made = export(
        "rectools", own(tmp_path, ROWS.with_columns(timestamp=pl.Series([3, 1, 2]))), tmp_path / "out"
    )
    assert pl.read_parquet(tmp_path / "out" / "interactions.parquet")["datetime"].to_list() == [3, 1, 2]
    assert "Times are no Unix times: they stay numbers, which RecTools takes for nanoseconds." in made.notes


def test_weights_are_weights(tmp_path):
    rows = ROWS.drop("rating", "evaluation").with_columns(weight=pl.Series([1.0, 2.5, 1.0]))
    export("rectools", own(tmp_path, rows), tmp_path / "out")
    convert("rectools", tmp_path / "out", tmp_path / "back")
    assert read_own(tmp_path / "back").interactions.equals(rows)


def test_weights_that_are_all_1_say_nothing(tmp_path):
    (tmp_path / "interactions.csv").write_text(
        "user_id,item_id,weight,datetime\nu,a,1,2020-09-13\nu,b,1,2020-09-14\n"
    )
    convert("rectools", tmp_path, tmp_path / "made")
    assert read_own(tmp_path / "made").interactions.rows() == [
        ("u", "a", "2020-09-13"),
        ("u", "b", "2020-09-14"),
    ]


def test_weights_below_0_become_ratings(tmp_path):
    (tmp_path / "interactions.csv").write_text(
        "user_id,item_id,weight,datetime\nu,a,-1,2020-09-13\nu,b,2,2020-09-14\n"
    )
    made = convert("rectools", tmp_path, tmp_path / "made")
    assert made.notes[0] == "1 weights are not above 0: they became ratings. --min-rating chooses among them."
    rows = load_dataset(tmp_path / "made", min_rating=1, missing_images="mask").interactions
    assert rows.items.take(rows.item).to_list() == ["b"]


def test_moments_with_fractions_become_microseconds(tmp_path):
    table = pl.DataFrame(
        {"user_id": [1], "item_id": [2], "weight": [1.0], "datetime": [MOMENT.replace(microsecond=5)]}
    )
    table.write_parquet(tmp_path / "interactions.parquet")
    convert("rectools", tmp_path, tmp_path / "made")
    assert read_own(tmp_path / "made").interactions.rows() == [("1", "2", 1600000000000005)]


def test_a_table_without_datetime_is_in_the_order_of_its_rows(tmp_path):
    (tmp_path / "interactions.csv").write_text("user_id,item_id\nu,a\nv,b\nu,b\n")
    made = convert("rectools", tmp_path, tmp_path / "made")
    assert read_own(tmp_path / "made").interactions["timestamp"].to_list() == [0, 0, 1]
    assert made.notes[0] == "There are no times: the place of a row among those of its user stands for them."


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "user_id,item_id,weight\nu,a,heavy\n",
            "column weight, row 1 below the header: 'heavy' is not a finite",
        ),
        ("user_id,item_id,datetime\nu,a,13.09.2020\n", "'13.09.2020' is not a time"),
        ("user_id,item_id\nu,a,b\n", "row 1 below the header has 3 fields, the header has 2"),
        ("", "is empty"),
    ],
)
def test_tables_that_are_none_are_refused(tmp_path, text, message):
    (tmp_path / "interactions.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        convert("rectools", tmp_path, tmp_path / "made")
    assert not (tmp_path / "made").exists()


def test_several_tables_are_not_guessed_among(tmp_path):
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("user_id,item_id\nu,a\n")
    with pytest.raises(DataError, match=r"holds several \*\.csv: a\.csv, b\.csv"):
        convert("rectools", tmp_path, tmp_path / "made")


def test_data_without_interactions_are_not_written(tmp_path):
    (tmp_path / "data" / "images").mkdir(parents=True)
    (tmp_path / "data" / "images" / "a.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(DataError, match="has no interactions, which all models of RecTools learn from"):
        export("rectools", tmp_path / "data", tmp_path / "out")


def test_frames_go_there_and_back(tmp_path):
    data = load_dataset(own(tmp_path, ROWS.drop("rating", "evaluation")), missing_images="mask")
    frame = to_frame(data)
    assert frame.columns == ["user_id", "item_id", "weight", "datetime"]
    assert frame.row(0) == ("u1", "007", 1.0, MOMENT)
    again = visrec.from_frame(frame).interactions
    np.testing.assert_array_equal(again.timestamp, data.interactions.timestamp * 1_000_000)
    np.testing.assert_array_equal(again.item, data.interactions.item)
