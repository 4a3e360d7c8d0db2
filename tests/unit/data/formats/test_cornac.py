from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from visrec.converting.conversion import convert, export
from visrec.converting.own import read_own, write_own
from visrec.data.dataset import load_dataset
from visrec.data.foreign import ForeignData, ForeignFeatures
from visrec.data.formats.cornac import from_tuples, to_tuples
from visrec.errors import DataError
from visrec.features.features import Features

ROWS = pl.DataFrame(
    {
        "user_id": ["u1", "02", "u1"],
        "item_id": ["007", "7", "b c"],
        "timestamp": [1600000000, 1600000001, 1600000002],
        "rating": [4.0, 3.5, 1.0],
    }
)


def written(tmp_path, rows: pl.DataFrame = ROWS, **more):
    (folder := tmp_path / "data").mkdir()
    write_own(ForeignData(interactions=rows, **more), folder)
    return folder


def converted(tmp_path, content: bytes, **options):
    (tmp_path / "ratings.txt").write_bytes(content)
    convert("cornac", tmp_path / "ratings.txt", tmp_path / "made", options=options)
    return read_own(tmp_path / "made").interactions


def test_files_are_lines_that_cornac_splits(tmp_path):
    export("cornac", written(tmp_path), tmp_path / "out")
    text = (tmp_path / "out" / "interactions.tsv").read_text()
    assert text == "u1\t007\t4.0\t1600000000\n02\t7\t3.5\t1600000001\nu1\tb c\t1.0\t1600000002\n"


def test_parts_become_files_of_their_own(tmp_path):
    rows = ROWS.with_columns(evaluation=pl.Series(["train", "valid", "test"]))
    export("cornac", written(tmp_path, rows), tmp_path / "out", options={"fmt": "UIR", "sep": ","})
    names = {path.name: path.read_text() for path in (tmp_path / "out").iterdir()}
    assert names == {"train.tsv": "u1,007,4.0\n", "valid.tsv": "02,7,3.5\n", "test.tsv": "u1,b c,1.0\n"}
    convert("cornac", tmp_path / "out", tmp_path / "back", options={"sep": ","})
    back = read_own(tmp_path / "back").interactions
    assert (
        back.sort("rating")
        .select("user_id", "item_id", "rating", "evaluation")
        .equals(rows.sort("rating").select("user_id", "item_id", "rating", "evaluation"))
    )


@pytest.mark.parametrize(
    ("content", "options"),
    [
        (b"u1\t007\t4.0\t100\n02\t7\t3.5\t200\n", {}),
        (b"u1\t007\t4\t100\r\n02\t7\t3.5\t200\r\n\r\n", {}),
        (b"u1::007::4::100\n02::7::3.5::200", {"sep": "::"}),
        (b"  u1,007,4,1e2\n02,7,3.5,200.0\n", {"sep": ",", "fmt": "UIRT"}),
        (b"\xef\xbb\xbfu1 007 4 100\n02 7 3.5 200\n", {"sep": " "}),
    ],
)
def test_tuples_are_read_as_cornac_reads_them(tmp_path, content, options):
    found = converted(tmp_path, content, **options)
    assert found.rows() == [("u1", "007", 100, 4.0), ("02", "7", 200, 3.5)]


def test_a_user_and_its_items_are_read(tmp_path):
    found = converted(tmp_path, b"u1 a b\nu2 b\n", fmt="UI", sep=" ")
    assert found.rows() == [("u1", "a", 0), ("u1", "b", 1), ("u2", "b", 0)]


def test_ratings_that_are_all_1_say_nothing(tmp_path):
    assert converted(tmp_path, b"u\ta\t1.0\nu\tb\t1\n").columns == ["user_id", "item_id", "timestamp"]


def test_the_third_field_can_be_a_weight(tmp_path):
    rows = ROWS.drop("rating").with_columns(weight=pl.Series([1.0, 2.5, 1.0]))
    export("cornac", written(tmp_path, rows), tmp_path / "out")
    convert("cornac", tmp_path / "out", tmp_path / "back", options={"values": "weight"})
    assert read_own(tmp_path / "back").interactions.equals(rows)


def test_dates_become_seconds(tmp_path):
    rows = ROWS.with_columns(timestamp=pl.Series(["2020-09-13", "2020-09-14", "2020-09-15"]))
    export("cornac", written(tmp_path, rows), tmp_path / "out")
    lines = (tmp_path / "out" / "interactions.tsv").read_text().splitlines()
    day = 1599955200  # 2020-09-13 00:00 UTC
    assert [int(line.split("\t")[3]) for line in lines] == [day, day + 86400, day + 2 * 86400]


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (b"u\ta\t1\t2\nu\tb\t3\n", {}, "line 2 has 3 fields, separated by '\\\\t'; expected 4 "),
        (b"u a 1\n", {}, "its first line has 1 fields, separated by '\\\\t'; expected user, item, rating"),
        (b"u\ta\t1\n\nu\tb\t1\n", {}, "line 2 has 1 fields"),
        (b"user\titem\trating\nu\ta\t1\n", {}, "line 1 has 'rating' as rating; expected a finite number"),
        (b"u\ta\tnan\n", {}, "line 1 has 'nan' as rating"),
        (b"u\ta\t1\tinf\n", {}, "line 1 has 'inf' as timestamp"),
        (b"u\t\t1\n", {}, "line 1 has an empty item"),
        (b"u\n", {"fmt": "UI"}, "line 1 has no item"),
        (b"", {}, "is empty"),
        (b"\n\n", {}, "is empty"),
        (b"\xff\xfeu\0\t\0a\0", {}, r"holds the byte b'\\x00'; expected lines of UTF-8 text"),
        (b"u\xe9\ta\t1\n", {}, "is not UTF-8 text. Convert it"),
        (b"u\ta\x1e\t1\n", {}, r"holds the byte b'\\x1e'"),
        (b"u\ta\t1\n", {"sep": ""}, "sep is empty"),
    ],
)
def test_lines_that_are_no_tuples_are_refused_by_number(tmp_path, content, options, message):
    with pytest.raises(DataError, match=message):
        converted(tmp_path, content, **options)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("bad", ["a\tb", "a\nb", "a\rb", " a", "a "])
def test_ids_that_lines_cannot_hold_are_refused(tmp_path, bad):
    with pytest.raises(DataError, match="The item id"):
        export("cornac", written(tmp_path, ROWS.with_columns(item_id=pl.lit(bad))), tmp_path / "out")
    assert not (tmp_path / "out").exists()


# ---- features --------------------------------------------------------------------------------------


def vectors(dtype="float32", shape=(2,)) -> ForeignFeatures:
    values = np.arange(2 * int(np.prod(shape))).reshape(2, *shape)
    return ForeignFeatures("looks", pl.Series(["7", "007"]), shape, lambda: iter([values]), dtype=dtype)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_features_are_an_array_and_its_ids(tmp_path, dtype):
    folder = written(tmp_path, features=(vectors(dtype),))
    export("cornac", folder, tmp_path / "out", features=[folder / "features" / "looks"])
    values = np.load(tmp_path / "out" / "features" / "looks.npy", allow_pickle=False)
    ids = (tmp_path / "out" / "features" / "looks.ids.txt").read_text().splitlines()
    assert values.dtype == dtype
    assert dict(zip(ids, values.tolist(), strict=True)) == {
        "7": [0, 1],
        "007": [2, 3],
    }
    convert("cornac", tmp_path / "out", tmp_path / "back")
    data = load_dataset(tmp_path / "back", missing_images="mask")
    back = Features.load(tmp_path / "back" / "features" / "looks").align(data.catalog.items)
    assert back.values[data.catalog.items.index("007")].tolist() == [2, 3]
    assert back.missing.tolist() == [False, False, True]  # 7, 007, "b c"


def test_vectors_of_regions_are_left_out_and_noted(tmp_path):
    folder = written(tmp_path, features=(vectors(shape=(3, 2)),))
    made = export("cornac", folder, tmp_path / "out", features=[folder / "features" / "looks"])
    assert [note for note in made.notes if "looks are vectors of regions, (3, 2) an item" in note]
    assert not (tmp_path / "out" / "features").exists()


@pytest.mark.parametrize(
    ("ids", "spoil", "message"),
    [
        ("a\nb\nc\n", lambda data: data, "has 2 rows, looks.ids.txt has 3 ids"),
        ("a\nb\n", lambda data: data[:-1], "is cut short"),
        ("a\nb\n", lambda data: b"not an array", "is not a readable .npy file of numbers"),
        ("a\na\n", lambda data: data, "item 'a' has two rows"),
    ],
)
def test_damaged_features_are_refused(tmp_path, ids, spoil, message):
    (source := tmp_path / "source").mkdir()
    (source / "interactions.tsv").write_text("u\ta\t1\n")
    np.save(source / "looks.npy", np.ones((2, 3)))
    (source / "looks.npy").write_bytes(spoil((source / "looks.npy").read_bytes()))
    (source / "looks.ids.txt").write_text(ids)
    with pytest.raises(DataError, match=message):
        convert("cornac", source, tmp_path / "made")
    assert not (tmp_path / "made").exists()


def test_an_array_of_objects_is_never_unpickled(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    (source := tmp_path / "source").mkdir()
    (source / "interactions.tsv").write_text("u\ta\t1\n")
    np.save(source / "looks.npy", np.array([Trap()], dtype=object), allow_pickle=True)
    (source / "looks.ids.txt").write_text("a\n")
    with pytest.raises(DataError, match=r"is not a readable \.npy file of numbers"):
        convert("cornac", source, tmp_path / "made")
    assert not (tmp_path / "sprung").exists()


def test_arrays_without_ids_are_named_and_left_out(tmp_path):
    (source := tmp_path / "source").mkdir()
    (source / "interactions.tsv").write_text("u\ta\t1\n")
    np.save(source / "looks.npy", np.ones((2, 3)))
    made = convert("cornac", source, tmp_path / "made")
    assert made.files[-1]["became"] == "nothing: no looks.ids.txt says whose rows they are"


# ---- in Python -------------------------------------------------------------------------------------


def test_tuples_go_there_and_back(tmp_path):
    data = load_dataset(written(tmp_path, ROWS.drop("rating")), missing_images="mask")
    tuples = to_tuples(data)
    assert tuples[0] == ("u1", "007", 1.0, 1600000000.0)
    assert to_tuples(data.interactions, fmt="UIR")[1] == ("02", "7", 1.0)
    again = from_tuples(tuples, values="weight").interactions
    assert (
        again.digest == data.interactions.digest
        or again.timestamp.tolist() == data.interactions.timestamp.tolist()
    )
    assert to_tuples(again) == tuples


def test_tuples_have_a_rating_that_can_be_asked_for():
    data = from_tuples([("u", "a", 5.0), ("u", "b", 1.0), ("v", "a", 4.0)], min_rating=4)
    assert to_tuples(data, fmt="UIR") == [("u", "a", 1.0), ("v", "a", 1.0)]


@pytest.mark.parametrize(
    ("tuples", "message"),
    [
        ([], "Tuples have no fields"),
        ([("u", "a", 1.0), ("u", "b")], "Tuples have 2 and 3 fields"),
        ([("u", "a", "much")], "row 1: 'much' is not a finite number"),
    ],
)
def test_other_tuples_are_refused(tuples, message):
    with pytest.raises(DataError, match=message):
        from_tuples(tuples)


def test_what_was_found_says_how_many(tmp_path):
    (tmp_path / "ratings.txt").write_bytes(b"u1\t007\t4\t10\nu2\t7\t3\t11\n")
    made = convert("cornac", tmp_path / "ratings.txt", tmp_path / "made")
    assert [row["what"] for row in made.files] == ["2 interactions"]
