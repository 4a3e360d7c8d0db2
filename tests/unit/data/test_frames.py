from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

import visrec
from visrec.data.dataset import load_dataset
from visrec.errors import DataError
from visrec.features.extraction import extract

LIKES = {
    "user_id": ["v", "u", "u", "v"],
    "item_id": ["7", "007", "b", "b"],
    "timestamp": [40, 10, 20, 30],
    "rating": [5.0, 4.0, 1.0, 3.0],
}


@pytest.fixture
def pictures(tmp_path):
    from PIL import Image

    (folder := tmp_path / "pictures").mkdir()
    for n, item in enumerate(("007", "7", "b", "c")):
        Image.new("RGB", (8, 8), (40 * n, 9, 9)).save(folder / f"{item}.png")
    return folder


def test_a_frame_becomes_what_the_loader_makes_of_a_folder(pictures, tmp_path):
    items = {"item_id": ["c", "b", "007", "7"], "title": ["C", "B", "Bond", None]}
    made = visrec.from_frame(LIKES, images=pictures, items=items, min_rating=3)
    pictures.rename(tmp_path / "images")
    pl.DataFrame(LIKES).write_csv(tmp_path / "interactions.csv")
    pl.DataFrame(items).write_csv(tmp_path / "items.csv")
    loaded = load_dataset(tmp_path, min_rating=3)
    assert made.interactions.digest == loaded.interactions.digest
    assert made.catalog.metadata.equals(loaded.catalog.metadata)
    assert [path.name for path in made.catalog.paths] == [path.name for path in loaded.catalog.paths]
    assert made.notes == loaded.notes
    assert made.folder == pictures


def test_pictures_are_found_after_the_call(pictures):
    made = visrec.from_frame(LIKES, images=pictures)
    assert extract(made.catalog, "color").missing.sum() == 0
    assert made.catalog.items.written.to_list() == [
        "7",
        "b",
        "c",
        "007",
    ]  # c has a picture and no interaction


def test_columns_are_named_by_arguments():
    frame = pl.DataFrame(LIKES).rename({"user_id": "who", "item_id": "what", "timestamp": "when"})
    frame = frame.with_columns(stars=pl.col("rating") / 2, rating=pl.lit("words"))
    made = visrec.from_frame(frame, user="who", item="what", timestamp="when", rating="stars", min_rating=2)
    rows = made.interactions
    assert rows.users.take(rows.user).to_list() == ["u", "v"]
    assert rows.items.take(rows.item).to_list() == ["007", "7"]
    assert rows.timestamp.tolist() == [10, 40]


def test_the_column_of_items_is_named_in_the_table_of_items_too(pictures):
    frame = pl.DataFrame(LIKES).rename({"item_id": "sku"})
    about = pl.DataFrame({"sku": ["7", "007", "b"], "title": ["seven", "Bond", "B"]})
    made = visrec.from_frame(frame, images=pictures, items=about, item="sku")
    assert made.catalog.title(made.catalog.items.index("007")) == "Bond"


def test_without_pictures_models_know_interactions_alone():
    made = visrec.from_frame(LIKES)
    assert made.catalog.paths == (None, None, None)
    assert len(made.interactions) == 4
    assert "3 items have no image: they have no visual features." in made.notes


def test_pictures_can_be_given_by_item(pictures):
    paths = {"7": pictures / "c.png", "007": str(pictures / "7.png"), "b": pictures / "b.png"}
    made = visrec.from_frame(LIKES, images=paths)
    assert made.catalog.paths[made.catalog.items.index("7")] == pictures / "c.png"


def test_whole_numbers_stay_whole_numbers(tmp_path):
    made = visrec.from_frame({"user": [3, 1], "item": [10, 2], "timestamp": [1, 2]})
    assert made.interactions.users.values.to_list() == [1, 3]
    assert made.interactions.items.values.to_list() == [2, 10]


def test_the_order_of_rows_can_be_that_of_time():
    frame = {"user_id": ["u", "v", "u"], "item_id": ["a", "b", "c"]}
    with pytest.raises(DataError, match=r'no column timestamp or datetime or time.*timestamp="order"'):
        visrec.from_frame(frame)
    rows = visrec.from_frame(frame, timestamp="order").interactions
    assert sorted(zip(rows.user, rows.timestamp, strict=True)) == [(0, 0), (0, 1), (1, 0)]


def test_weights_and_parts_are_taken():
    frame = {
        **LIKES,
        "weight": [1.0, 2.0, 3.0, 0.5],
        "evaluation": ["test", "train", "valid", "train"],
    }
    rows = visrec.from_frame(frame).interactions
    assert rows.weight.tolist() == [2.0, 3.0, 0.5, 1.0]  # in the order of time
    assert rows.evaluation.tolist() == [0, 1, 0, 2]


def test_a_frame_of_pandas_is_taken(pictures):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(LIKES)
    frame["when"] = pandas.to_datetime(frame["timestamp"], unit="s", utc=True).dt.tz_convert("Asia/Tokyo")
    frame["user_id"] = frame["user_id"].astype("category")
    made = visrec.from_frame(frame.drop(columns="timestamp"), images=pictures, timestamp="when")
    assert made.interactions.timestamp.tolist() == [10_000_000, 20_000_000, 30_000_000, 40_000_000]
    named = pandas.DataFrame(LIKES).set_index(["user_id", "item_id"])
    plain = visrec.from_frame(LIKES, images=pictures)
    assert visrec.from_frame(named, images=pictures).interactions.digest == plain.interactions.digest


def test_columns_may_be_called_by_numbers(pictures):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(list(zip(LIKES["user_id"], LIKES["item_id"], LIKES["timestamp"], strict=True)))
    made = visrec.from_frame(frame, images=pictures, user=0, item=1, timestamp=2)
    plain = visrec.from_frame(LIKES, images=pictures)
    assert made.interactions.digest == plain.interactions.digest


def test_objects_of_polars_are_what_they_stand_for(pictures):
    frame = pl.DataFrame(LIKES).with_columns(pl.Series("user_id", LIKES["user_id"], dtype=pl.Object))
    plain = visrec.from_frame(LIKES, images=pictures)
    assert visrec.from_frame(frame, images=pictures).interactions.digest == plain.interactions.digest


def test_missing_cells_of_pandas_are_missing_ids():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(LIKES)
    frame.loc[2, "user_id"] = None
    with pytest.raises(DataError, match=r"frame: column user_id, row 3: the id is missing"):
        visrec.from_frame(frame)


def test_moments_of_polars_are_microseconds():
    times = [datetime(1970, 1, 1, 0, 0, second, tzinfo=UTC) for second in (4, 1, 2, 3)]
    made = visrec.from_frame({**LIKES, "timestamp": times})
    assert made.interactions.timestamp.tolist() == [1_000_000, 2_000_000, 3_000_000, 4_000_000]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"user_id": ["u", None, "u", "v"]}, r"^frame: column user_id, row 2: the id is missing"),
        ({"timestamp": ["1", "x", "3", "4"]}, r"^frame: column timestamp, row 2: 'x' is not a time"),
        ({"weight": [1.0, 0.0, 1.0, 1.0]}, r"^frame: column weight, row 2: 0.0 is no weight"),
        ({"evaluation": ["test", "late", "", ""]}, r"^frame: column evaluation, row 2: 'late' is not a part"),
        ({"user_id": ["u", 1, "u", "v"]}, r"^frame: column user_id holds values of several types"),
        ({"user_id": ["u", "v"]}, r"^frame: columns differ in length: user_id has 2, item_id has 4"),
        ({"title": [object()] * 4}, r"^frame: column title holds .* other things than text and numbers"),
        ({"user_id": [1.5, 1.0, 2.0, 2.0]}, r"^frame: column user_id holds floating-point numbers"),
    ],
)
def test_errors_name_the_argument_and_the_row(change, message):
    with pytest.raises(DataError, match=message):
        visrec.from_frame(LIKES | change)


def test_errors_use_the_names_of_the_caller():
    frame = pl.DataFrame(LIKES).rename({"rating": "stars"}).with_columns(stars=pl.lit("many"))
    with pytest.raises(DataError, match=r"^frame: column stars, row 1: 'many' is not a finite number"):
        visrec.from_frame(frame, rating="stars")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"user": "customer"}, "frame: has no column customer. Found: 'user_id', "),
        ({"weight": "w"}, "frame: has no column w"),
        ({"item": "user_id"}, "frame: column 'user_id' is given as user and as item; expected one for each"),
        ({"items": "items.csv"}, r"items is of type str; .* Read the file first, or a whole folder with"),
        ({"images": "no-such"}, "no-such: does not exist; expected a folder of pictures"),
        ({"images": {}}, "images: holds no picture"),
        ({"images": {"7": "gone.png"}}, "images: item '7': no image file at gone.png"),
        ({"images": 3}, "images is of type int; expected a folder"),
        ({"items": {"item_id": ["7"]}}, r"frame: row 2: item '007' is not in items \(2 such"),
        ({"items": {"item_id": ["7", "7"]}}, "items: item '7' occurs twice, in row 1 and in row 2"),
        ({"items": {"item_id": []}}, "items: has column names but no rows"),
        ({"items": [1]}, "items is of type list; expected a DataFrame"),
        ({"min_rating": 9}, "frame: no rating is at least 9"),
    ],
)
def test_what_is_wrong_with_the_arguments_is_said(options, message):
    with pytest.raises(DataError, match=message):
        visrec.from_frame(LIKES, **options)


def test_an_item_without_its_picture_is_refused_or_masked(pictures):
    (pictures / "007.png").unlink()
    with pytest.raises(DataError, match=r"^images: 1 item\(s\) have no image, first '007' \(frame, row 2\)"):
        visrec.from_frame(LIKES, images=pictures)
    assert visrec.from_frame(LIKES, images=pictures, missing_images="mask").catalog.paths.count(None) == 1


def test_two_pictures_of_an_item_are_refused(pictures):
    (pictures / "7.jpg").write_bytes((pictures / "7.png").read_bytes())
    with pytest.raises(DataError, match=r"item '7' has two images, 7.jpg and 7.png; keep one"):
        visrec.from_frame(LIKES, images=pictures)


def test_an_arrow_stream_is_taken():
    class Stream:
        def __arrow_c_stream__(self, requested_schema: object = None) -> object:
            return pl.DataFrame(LIKES).__arrow_c_stream__(requested_schema)

    rows = visrec.from_frame(Stream()).interactions
    np.testing.assert_array_equal(rows.timestamp, [10, 20, 30, 40])
