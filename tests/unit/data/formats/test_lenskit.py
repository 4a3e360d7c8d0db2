from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import visrec
from visrec.converting.conversion import convert, export
from visrec.converting.own import read_own, write_own
from visrec.data.dataset import load_dataset
from visrec.data.foreign import ForeignData, ForeignFeatures
from visrec.data.formats.lenskit import to_frame
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
ITEMS = pl.DataFrame(
    {
        "item_id": ["7", "007", "b c", "d"],
        "title": ["seven", "Bond, James", None, "D"],
        "my tag": ["a|b", None, "c", ""],
    }
)


def own(tmp_path, rows: pl.DataFrame = ROWS, **more) -> Path:
    (folder := tmp_path / "data").mkdir()
    write_own(ForeignData(interactions=rows, items=ITEMS, **more), folder)
    return folder


def looks() -> ForeignFeatures:
    values = np.array([[1.0, 2.0], [3.0, 4.0]], dtype=np.float32)
    return ForeignFeatures("looks", pl.Series(["7", "007"]), (2,), lambda: iter([values]))


def saved(folder: Path, **changes) -> Path:
    """As LensKit 2025.8 saves items with a title, genres and vectors, and two classes of interactions."""
    folder.mkdir()
    scalar = {"layout": "scalar", "vector_size": None}
    schema = {
        "version": "2025.3",
        "name": "art",
        "default_interaction": "like",
        "entities": {
            "item": {
                "id_type": "str",
                "attributes": {
                    "title": scalar,
                    "genres": {"layout": "list", "vector_size": None},
                    "vgg": {"layout": "vector", "vector_size": 2},
                },
            },
            "user": {"id_type": "str", "attributes": {}},
        },
        "relationships": {
            "like": {
                "entities": {"user": None, "item": None},
                "interaction": True,
                "repeats": "present",
                "attributes": {"timestamp": scalar, "count": scalar},
            },
            "view": {
                "entities": {"user": None, "item": None},
                "interaction": True,
                "repeats": "forbidden",
                "attributes": {},
            },
        },
    }  # fmt: skip
    (folder / "schema.json").write_text(json.dumps(schema | changes))
    item = {
        "item_id": ["b", "007", "c"],
        "title": ["Bee", "Bond", None],
        "genres": [["x", "y"], None, []],
        "vgg": [None, [1.0, 2.0], [3.0, 4.0]],
    }
    types = {"genres": pl.List(pl.String), "vgg": pl.List(pl.Float32)}
    pl.DataFrame(item, schema_overrides=types).write_parquet(folder / "item.parquet")
    pl.DataFrame({"user_id": ["u9", "u1"]}).write_parquet(folder / "user.parquet")
    numbers = {"user_num": pl.Int32, "item_num": pl.Int32}
    like = {"user_num": [0, 1, 1], "item_num": [1, 0, 1], "timestamp": [10, 20, 30], "count": [1, 3, 1]}
    pl.DataFrame(like, schema_overrides=numbers).write_parquet(folder / "like.parquet")
    pl.DataFrame({"user_num": [1], "item_num": [2]}, schema_overrides=numbers).write_parquet(
        folder / "view.parquet"
    )
    return folder


# ---- saved data sets -------------------------------------------------------------------------------


def test_a_saved_data_set_is_read(tmp_path):
    made = convert("lenskit", saved(tmp_path / "lk"), tmp_path / "made")
    back = read_own(tmp_path / "made", features=[tmp_path / "made" / "features" / "vgg"])
    assert back.interactions.rows() == [("u9", "007", 10, 1.0), ("u1", "b", 20, 3.0), ("u1", "007", 30, 1.0)]
    assert back.interactions.columns == ["user_id", "item_id", "timestamp", "weight"]
    about = {row["item_id"]: (row["title"], row["genres"]) for row in back.items.iter_rows(named=True)}
    assert about == {"b": ("Bee", "x|y"), "007": ("Bond", None), "c": (None, "")}
    (vectors,) = back.features
    found = dict(zip(vectors.ids, np.concatenate([*vectors.blocks()]).tolist(), strict=True))
    assert found == {"007": [1.0, 2.0], "c": [3.0, 4.0]}
    assert "Other relationships are left out: view." in made.notes


def test_another_class_of_interactions_can_be_chosen(tmp_path):
    convert("lenskit", saved(tmp_path / "lk"), tmp_path / "made", options={"interactions": "view"})
    assert read_own(tmp_path / "made").interactions.rows() == [("u1", "c", 0)]
    with pytest.raises(
        DataError, match=r"which interactions\? There are: like, view. Choose: --set interactions=…"
    ):
        convert("lenskit", tmp_path / "lk", tmp_path / "other", options={"interactions": "buy"})


def test_the_layout_that_is_written_is_lenskits(tmp_path):
    folder = own(tmp_path, features=(looks(),))
    export("lenskit", folder, tmp_path / "out", features=[folder / "features" / "looks"])
    schema = json.loads((tmp_path / "out" / "schema.json").read_text())
    assert schema["default_interaction"] == "rating"
    assert schema["entities"]["item"] == {
        "id_type": "str",
        "attributes": {
            "title": {"layout": "scalar", "vector_size": None},
            "my_tag": {"layout": "scalar", "vector_size": None},
            "looks": {"layout": "vector", "vector_size": 2},
        },
    }
    assert schema["relationships"]["rating"]["entities"] == {"user": None, "item": None}
    assert schema["relationships"]["rating"]["repeats"] == "forbidden"
    items = pl.read_parquet(tmp_path / "out" / "item.parquet")
    users = pl.read_parquet(tmp_path / "out" / "user.parquet")
    rows = pl.read_parquet(tmp_path / "out" / "rating.parquet")
    assert rows.schema["user_num"] == rows.schema["item_num"] == pl.Int32
    assert items["item_id"].gather(rows["item_num"]).to_list() == ROWS["item_id"].to_list()
    assert users["user_id"].gather(rows["user_num"]).to_list() == ROWS["user_id"].to_list()


def test_parquet_files_do_not_claim_large_texts(tmp_path):
    # LensKit refuses ids of Arrow's type large_string; without the note of its types, texts are read as string.
    export("lenskit", own(tmp_path), tmp_path / "out")
    for name in ("item", "user", "rating"):
        assert "ARROW:schema" not in pl.read_parquet_metadata(tmp_path / "out" / f"{name}.parquet")


def test_a_saved_data_set_comes_back(tmp_path):
    folder = own(tmp_path, features=(looks(),))
    export("lenskit", folder, tmp_path / "out", features=[folder / "features" / "looks"])
    convert("lenskit", tmp_path / "out", tmp_path / "back")
    before, after = (
        load_dataset(folder, missing_images="mask"),
        load_dataset(tmp_path / "back", missing_images="mask"),
    )
    assert before.interactions.digest == after.interactions.digest
    assert before.catalog.metadata["title"].equals(after.catalog.metadata["title"])
    (vectors,) = read_own(tmp_path / "back", features=[tmp_path / "back" / "features" / "looks"]).features
    found = dict(zip(vectors.ids, np.concatenate([*vectors.blocks()]).tolist(), strict=True))
    assert found == {"7": [1.0, 2.0], "007": [3.0, 4.0]}


def test_repeated_pairs_are_declared(tmp_path):
    made = export("lenskit", own(tmp_path, pl.concat([ROWS, ROWS.head(1)])), tmp_path / "out")
    schema = json.loads((tmp_path / "out" / "schema.json").read_text())
    assert schema["relationships"]["rating"]["repeats"] == "present"
    assert [note for note in made.notes if "more than once" in note]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "like.parquet").unlink(), r"like\.parquet: is missing, though"),
        (lambda f: (f / "schema.json").write_text("{"), r"schema\.json: is no schema of a LensKit data set"),
        (lambda f: (f / "schema.json").write_text('{"entities": {}}'), "KeyError: 'relationships'"),
        (lambda f: (f / "schema.json").write_text("[1]"), "is no schema of a LensKit data set"),
        (
            lambda f: pl.DataFrame({"user_id": ["u9"]}).write_parquet(f / "user.parquet"),
            r"user_num is 1 somewhere; user\.parquet has 1 rows",
        ),
        (
            lambda f: pl.DataFrame({"user": ["u9", "u1"]}).write_parquet(f / "user.parquet"),
            r"user\.parquet: has no column user_id",
        ),
        (
            lambda f: pl.DataFrame({"user_num": [0], "item": [0]}).write_parquet(f / "like.parquet"),
            r"like\.parquet: has no column item_num",
        ),
        (
            lambda f: (f / "item.parquet").write_bytes((f / "item.parquet").read_bytes()[:-20]),
            r"item\.parquet: is not a readable Parquet file",
        ),
    ],
)
def test_damaged_data_sets_are_refused(tmp_path, spoil, message):
    spoil(saved(tmp_path / "lk"))
    with pytest.raises(DataError, match=message):
        convert("lenskit", tmp_path / "lk", tmp_path / "made")
    assert not (tmp_path / "made").exists()


def test_names_of_classes_cannot_lead_out_of_the_folder(tmp_path):
    of = {"entities": {"user": None, "item": None}, "interaction": True}
    saved(tmp_path / "lk", relationships={"../like": of}, default_interaction="../like")
    with pytest.raises(DataError, match="names classes as LensKit does not"):
        convert("lenskit", tmp_path / "lk", tmp_path / "made")


def test_interactions_between_other_classes_are_refused(tmp_path):
    saved(tmp_path / "lk", relationships={"like": {"entities": {"user": None, "artist": None}}})
    with pytest.raises(DataError, match="like is between 'user', 'artist'; expected 'user' and 'item'"):
        convert("lenskit", tmp_path / "lk", tmp_path / "made")


# ---- tables ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["csv", "parquet"])
def test_tables_come_back(tmp_path, layout):
    folder = own(tmp_path, features=(looks(),))
    export(
        "lenskit",
        folder,
        tmp_path / "out",
        features=[folder / "features" / "looks"],
        options={"layout": layout},
    )
    convert("lenskit", tmp_path / "out", tmp_path / "back")
    before, after = (
        load_dataset(folder, missing_images="mask"),
        load_dataset(tmp_path / "back", missing_images="mask"),
    )
    assert before.interactions.digest == after.interactions.digest
    assert before.catalog.metadata.equals(after.catalog.metadata)
    assert (tmp_path / "back" / "features" / "looks" / "values.npy").is_file()


@pytest.mark.parametrize("header", ["user_id,item_id,rating,timestamp", "user,item,rating,timestamp"])
def test_new_and_old_names_are_read(tmp_path, header):
    (tmp_path / "ratings.csv").write_text(f"{header}\n01,a,4,100\n1,b,2.5,200\n")
    convert("lenskit", tmp_path, tmp_path / "made")
    assert read_own(tmp_path / "made").interactions.rows() == [("01", "a", 100, 4.0), ("1", "b", 200, 2.5)]


def test_other_names_can_be_given_and_pictures_added(tmp_path):
    (tmp_path / "clicks.csv").write_text("visitor,sku\nu,a\nu,b\n")
    (tmp_path / "pics").mkdir()
    (tmp_path / "pics" / "a.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(DataError, match=r"has no column user_id or user or userId.*--set user_column=…"):
        convert("lenskit", tmp_path / "clicks.csv", tmp_path / "made")
    options = {"user_column": "visitor", "item_column": "sku", "images": str(tmp_path / "pics")}
    convert("lenskit", tmp_path / "clicks.csv", tmp_path / "made", options=options)
    data = load_dataset(tmp_path / "made", missing_images="mask")
    assert data.interactions.timestamp.tolist() == [0, 1]
    assert data.catalog.paths == (tmp_path / "pics" / "a.jpg", None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "user_id,item_id,rating\nu,a,much\n",
            "column rating, row 1 below the header: 'much' is not a finite",
        ),
        ("user_id,item_id\nu,\n", "column item_id, row 1 below the header: the id is missing"),
        ("user_id,item_id,timestamp\nu,a,1\nu,b,soon\n", "row 2 below the header: 'soon' is not a time"),
        ("user_id;item_id\nu;a\n", "has no column user_id"),
    ],
)
def test_tables_that_are_none_are_refused(tmp_path, text, message):
    (tmp_path / "ratings.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        convert("lenskit", tmp_path / "ratings.csv", tmp_path / "made")
    assert not (tmp_path / "made").exists()


def test_frames_go_there_and_back(tmp_path):
    data = load_dataset(own(tmp_path), missing_images="mask")
    frame = to_frame(data)
    assert frame.columns == ["user_id", "item_id", "timestamp", "evaluation"]
    assert visrec.from_frame(frame, items=ITEMS).interactions.digest == data.interactions.digest
