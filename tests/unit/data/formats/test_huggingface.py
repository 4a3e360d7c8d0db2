from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

from visrec.converting.conversion import convert, export
from visrec.converting.own import read_own, write_own
from visrec.data.dataset import load_catalog, load_dataset
from visrec.data.foreign import ForeignData, ForeignFeatures
from visrec.errors import ConfigError, DataError

PICTURE = pl.Struct({"bytes": pl.Binary, "path": pl.String})
IMAGE = {"_type": "Image"}


def picture(n: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (n, 255 - n, 7)).save(buffer, "PNG")
    return buffer.getvalue()


def shard(path: Path, columns: dict[str, Any], features: dict[str, Any] | None = None, **types) -> None:
    """A Parquet file as `datasets` writes it: pictures as structs, the features as JSON in the file's metadata."""
    path.parent.mkdir(parents=True, exist_ok=True)
    about = {"huggingface": json.dumps({"info": {"features": features}})} if features else {}
    pl.DataFrame(columns, schema_overrides={"image": PICTURE, **types}).write_parquet(path, metadata=about)


def cells(*numbers: int | None, paths: bool = True) -> list[dict[str, Any] | None]:
    return [
        None if n is None else {"bytes": picture(n), "path": f"pic{n}.png" if paths else None}
        for n in numbers
    ]


def pictures(folder: Path) -> dict[str, bytes]:
    catalog = load_catalog(folder, missing_images="mask")
    paths = zip(catalog.items.written, catalog.paths, strict=True)
    return {item: path.read_bytes() for item, path in paths if path is not None}


# ---- reading Parquet -------------------------------------------------------------------------------


def test_pictures_and_what_is_known_come_from_all_shards(tmp_path):
    shard(
        tmp_path / "hf" / "data" / "train-00000-of-00002.parquet",
        {"item_id": ["007", "b/c"], "image": cells(1, 2), "title": ["Bond", None], "tags": [["x", "y"], []]},
    )
    shard(
        tmp_path / "hf" / "data" / "train-00001-of-00002.parquet",
        {"item_id": ["7", "d"], "image": cells(3, None), "title": ["seven", "D"], "tags": [["z"], None]},
    )
    convert("huggingface", tmp_path / "hf", tmp_path / "made")
    assert pictures(tmp_path / "made") == {"007": picture(1), "b/c": picture(2), "7": picture(3)}
    about = load_catalog(tmp_path / "made", missing_images="mask").metadata
    found = {row["item_id"]: (row["title"], row["tags"]) for row in about.iter_rows(named=True)}
    assert found == {"007": ("Bond", "x|y"), "b/c": (None, ""), "7": ("seven", "z"), "d": ("D", None)}


def test_classes_have_their_names(tmp_path):
    label = {"_type": "ClassLabel", "names": ["cat", "dog"]}
    shard(
        tmp_path / "train.parquet",
        {"image": cells(1, 2, 3), "label": [1, 0, -1]},
        {"image": IMAGE, "label": label},
    )
    made = convert("huggingface", tmp_path / "train.parquet", tmp_path / "made")
    about = load_catalog(tmp_path / "made").metadata
    assert dict(about.select("item_id", "category").iter_rows()) == {
        "pic1": "dog",
        "pic2": "cat",
        "pic3": None,
    }
    assert made.notes == [
        "There is no column of item ids: items are called by the paths of their pictures, without suffix."
    ]


def test_pictures_without_names_are_called_by_their_places(tmp_path):
    shard(tmp_path / "hf" / "a.parquet", {"image": cells(1, 2, paths=False)})
    shard(tmp_path / "hf" / "b.parquet", {"image": cells(3, paths=False)})
    convert("huggingface", tmp_path / "hf", tmp_path / "made")
    assert pictures(tmp_path / "made") == {"0": picture(1), "1": picture(2), "2": picture(3)}


def test_bytes_alone_are_pictures_where_they_are_said_to_be(tmp_path):
    columns = {"item_id": ["a", "b"], "photo": [picture(1), picture(2)]}
    for name, features in (("told", {"photo": IMAGE}), ("silent", None)):
        (tmp_path / name).mkdir()
        about = {"huggingface": json.dumps({"info": {"features": features}})} if features else {}
        pl.DataFrame(columns).write_parquet(tmp_path / name / "a.parquet", metadata=about)
    convert("huggingface", tmp_path / "told", tmp_path / "one")
    convert("huggingface", tmp_path / "silent", tmp_path / "two", options={"image_column": "photo"})
    assert pictures(tmp_path / "one") == pictures(tmp_path / "two") == {"a": picture(1), "b": picture(2)}
    with pytest.raises(DataError, match=r"no Parquet file with a column of pictures.*--set image_column=…"):
        convert("huggingface", tmp_path / "silent", tmp_path / "three")


def test_pictures_that_are_only_named_are_read_within_the_folder_alone(tmp_path):
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "in.png").write_bytes(picture(1))
    (tmp_path / "out.png").write_bytes(picture(2))
    names = ["in.png", "../out.png", str(tmp_path / "out.png"), "gone.png"]
    columns = {"item_id": ["a", "b", "c", "d"], "image": [{"bytes": None, "path": name} for name in names]}
    shard(tmp_path / "hf" / "a.parquet", columns)
    made = convert("huggingface", tmp_path / "hf", tmp_path / "made")
    assert pictures(tmp_path / "made") == {"a": picture(1)}
    assert [note for note in made.notes if note.startswith("3 of 4 items have no picture")]


def test_vectors_of_items_become_features(tmp_path):
    shard(
        tmp_path / "a.parquet",
        {"item_id": ["a", "b"], "image": cells(1, 2), "clip": [[0.5, 1.0], None]},
        clip=pl.List(pl.Float32),
    )
    convert("huggingface", tmp_path / "a.parquet", tmp_path / "made")
    (vectors,) = read_own(tmp_path / "made", features=[tmp_path / "made" / "features" / "clip"]).features
    assert vectors.ids.to_list() == ["a"]
    assert np.concatenate([*vectors.blocks()]).tolist() == [[0.5, 1.0]]


def test_splits_of_interactions_are_parts(tmp_path):
    shard(tmp_path / "hf" / "items.parquet", {"item_id": ["a", "b"], "image": cells(1, 2)})
    for split, item in (("train", "a"), ("validation", "b"), ("test", "b")):
        rows = pl.DataFrame({"user_id": [f"u{split}"], "item_id": [item], "timestamp": [5], "rating": [4.0]})
        (tmp_path / "hf" / "inter").mkdir(exist_ok=True)
        rows.write_parquet(tmp_path / "hf" / "inter" / f"{split}-00000-of-00001.parquet")
    convert("huggingface", tmp_path / "hf", tmp_path / "made")
    rows = read_own(tmp_path / "made").interactions
    assert dict(rows.select("user_id", "evaluation").iter_rows()) == {
        "utrain": "train", "uvalidation": "valid", "utest": "test",
    }  # fmt: skip


def test_interactions_can_be_csv_and_one_split_is_no_part(tmp_path):
    shard(tmp_path / "hf" / "data" / "train-00000-of-00001.parquet", {"item_id": ["a"], "image": cells(1)})
    (tmp_path / "hf" / "interactions-train.csv").write_text("user,item\nu,a\n")
    convert("huggingface", tmp_path / "hf", tmp_path / "made")
    assert read_own(tmp_path / "made").interactions.rows() == [("u", "a", 0)]


def test_tables_that_mean_nothing_here_are_named(tmp_path):
    shard(tmp_path / "hf" / "items.parquet", {"item_id": ["a"], "image": cells(1)})
    pl.DataFrame({"question": ["?"]}).write_parquet(tmp_path / "hf" / "qa.parquet")
    made = convert("huggingface", tmp_path / "hf", tmp_path / "made")
    assert {row["file"]: row["became"] for row in made.files}["qa.parquet"].startswith("nothing: ")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"item_id": ["a", "a"], "image": cells(1, 2)}, "Item 'a' has two pictures"),
        ({"item_id": ["a", None], "image": cells(1, 2)}, "column item_id, row 2: the id is missing"),
        ({"item_id": [1.5, 2.0], "image": cells(1, 2)}, "holds floating-point numbers"),
        (
            {"item_id": ["a", "b"], "image": cells(1, 2), "clip": [[0.5], [1.0, 2.0]]},
            r"shapes \(1,\) and \(2,\)",
        ),
        ({"front": cells(1), "back": cells(2)}, "several columns of pictures, front, back. Choose"),
        ({"item_id": [], "image": []}, "has no rows; expected pictures"),
    ],
)
def test_shards_that_cannot_be_understood_are_refused(tmp_path, columns, message):
    (tmp_path / "hf").mkdir()
    types = {name: PICTURE for name in ("image", "front", "back") if name in columns}
    types |= {"item_id": pl.String} if columns.get("item_id") == [] else {}
    pl.DataFrame(columns, schema_overrides=types).write_parquet(tmp_path / "hf" / "a.parquet")
    with pytest.raises(DataError, match=message):
        convert("huggingface", tmp_path / "hf", tmp_path / "made")
    assert not (tmp_path / "made").exists()


def test_shards_that_are_cut_short_are_refused(tmp_path):
    shard(tmp_path / "hf" / "a.parquet", {"item_id": ["a"], "image": cells(1)})
    content = (tmp_path / "hf" / "a.parquet").read_bytes()
    (tmp_path / "hf" / "a.parquet").write_bytes(content[:-9])
    with pytest.raises(DataError, match=r"a\.parquet: is not a readable Parquet file"):
        convert("huggingface", tmp_path / "hf", tmp_path / "made")


def test_a_pointer_of_git_lfs_is_no_shard(tmp_path):
    (tmp_path / "a.parquet").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(DataError, match="is not a readable Parquet file"):
        convert("huggingface", tmp_path, tmp_path / "made")


@pytest.mark.parametrize("info", ["", "[]", '{"info": null}', '{"info": {"features": [1]}}', "{"])
def test_metadata_that_mean_nothing_are_passed_over(tmp_path, info):
    table = pl.DataFrame({"item_id": ["a"], "image": cells(1)}, schema_overrides={"image": PICTURE})
    table.write_parquet(tmp_path / "a.parquet", metadata={"huggingface": info})
    convert("huggingface", tmp_path / "a.parquet", tmp_path / "made")
    assert pictures(tmp_path / "made") == {"a": picture(1)}


# ---- reading folders of pictures -------------------------------------------------------------------


def image_folder(folder: Path, name: str, text: str) -> Path:
    for n, path in enumerate(("train/a.png", "train/sub/b.png", "c.png")):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(picture(n))
    (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("train/metadata.csv", 'file_name,text\na.png,"one, two"\nsub/b.png,\n'),
        (
            "train/metadata.jsonl",
            '{"file_name": "a.png", "text": "one, two"}\n{"file_name": "sub/b.png", "text": null}\n',
        ),
    ],
)
def test_metadata_name_the_pictures_of_their_folder(tmp_path, name, text):
    made = convert("huggingface", image_folder(tmp_path / "hf", name, text), tmp_path / "made")
    catalog = load_catalog(tmp_path / "made")
    assert catalog.items.written.to_list() == ["train/a", "train/sub/b"]
    assert catalog.paths == (tmp_path / "hf/train/a.png", tmp_path / "hf/train/sub/b.png")
    assert catalog.metadata["text"].to_list() == ["one, two", None]
    assert "1 pictures stand in no metadata: left out." in made.notes


def test_metadata_can_give_ids_and_interactions_lie_beside(tmp_path):
    folder = image_folder(tmp_path / "hf", "metadata.csv", "item_id,file_name\n007,c.png\n7,train/a.png\n")
    (folder / "interactions.csv").write_text("user_id,item_id,timestamp\nu,007,1\nu,7,2\n")
    convert("huggingface", folder, tmp_path / "made")
    data = load_dataset(tmp_path / "made")
    assert data.catalog.paths[data.catalog.items.index("007")] == folder / "c.png"
    assert len(data.interactions) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "file_name\n../secret.png\n",
            r"file_name in row 1 is '\.\./secret\.png'; expected the path of a file",
        ),
        ("file_name\n/etc/hostname\n", "file_name in row 1 is '/etc/hostname'"),
        ("file_name\nfile:///etc/hostname\n", "file_name in row 1 is 'file:///etc/hostname'"),
        ("file,text\nc.png,x\n", r"has no columns file_name of text. Found: 'file', 'text'"),
        ("item_id,file_name\na,c.png\na,train/a.png\n", "item 'a' stands in two rows"),
        ("a_file_name,b_file_name\nc.png,c.png\n", "has several columns file_name"),
    ],
)
def test_metadata_that_name_no_pictures_are_refused(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        convert("huggingface", image_folder(tmp_path / "hf", "metadata.csv", text), tmp_path / "made")
    assert not (tmp_path / "made").exists()


def test_json_lines_that_are_none_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"metadata\.jsonl: is not one JSON object a line"):
        convert(
            "huggingface",
            image_folder(tmp_path / "hf", "metadata.jsonl", '{"file_name": "c'),
            tmp_path / "made",
        )


def test_pictures_that_are_gone_are_counted(tmp_path):
    made = convert(
        "huggingface",
        image_folder(tmp_path / "hf", "metadata.csv", "file_name\nc.png\ngone.png\n"),
        tmp_path / "made",
    )
    assert [note for note in made.notes if note.startswith("1 pictures are not there, first ")]


# ---- writing ---------------------------------------------------------------------------------------


@pytest.fixture
def own(tmp_path) -> Path:
    (folder := tmp_path / "data").mkdir()
    rows = {
        "user_id": ["u", "v", "u", "u"],
        "item_id": ["007", "7", "b/c", "7"],
        "timestamp": [1, 2, 3, 4],
        "rating": [4.0, 3.5, 1.0, 5.0],
        "evaluation": ["train", "train", "valid", "test"],
    }
    about = {"item_id": ["007", "7", "b/c", "d"], "title": ["Bond, James", "ünï", None, "D"]}
    regions = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    write_own(
        ForeignData(
            interactions=pl.DataFrame(rows),
            items=pl.DataFrame(about),
            encoded=lambda: iter([("007", picture(1)), ("7", picture(2)), ("b/c", picture(3))]),
            features=(
                ForeignFeatures("grid", pl.Series(["7", "b/c"]), (3, 2), lambda: iter([regions])),
                ForeignFeatures("looks", pl.Series(["7", "b/c"]), (2,), lambda: iter([regions[:, 0]])),
            ),
        ),
        folder,
    )
    return folder


def test_the_whole_data_set_comes_back(own, tmp_path):
    features = [own / "features" / name for name in ("grid", "looks")]
    export("huggingface", own, tmp_path / "out", features=features)
    convert("huggingface", tmp_path / "out", tmp_path / "back")
    before, after = (
        load_dataset(own, missing_images="mask"),
        load_dataset(tmp_path / "back", missing_images="mask"),
    )
    assert before.interactions.digest == after.interactions.digest
    assert before.catalog.metadata.equals(after.catalog.metadata)
    assert pictures(own) == pictures(tmp_path / "back")
    for name in ("grid", "looks"):
        one, two = (
            read_own(folder, features=[folder / "features" / name]).features[0]
            for folder in (own, tmp_path / "back")
        )
        assert one.ids.to_list() == two.ids.to_list()
        np.testing.assert_array_equal(np.concatenate([*one.blocks()]), np.concatenate([*two.blocks()]))


def test_files_say_that_their_pictures_are_pictures(own, tmp_path):
    export("huggingface", own, tmp_path / "out")
    path = tmp_path / "out" / "data" / "items-00000-of-00001.parquet"
    about = json.loads(pl.read_parquet_metadata(path)["huggingface"])
    assert about["info"]["features"] == {
        "item_id": {"dtype": "string", "_type": "Value"},
        "image": {"_type": "Image"},
        "title": {"dtype": "string", "_type": "Value"},
    }
    cells = dict(pl.read_parquet(path).select("item_id", "image").iter_rows())
    assert cells["007"] == {"bytes": picture(1), "path": "007.png"}
    assert cells["d"] is None


def test_pictures_are_spread_over_files_of_bounded_size(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "data" / "images").mkdir(parents=True)
    for n in range(5):  # about 0.75 MB each: noise does not shrink
        noise = rng.integers(0, 255, (500, 500, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / "data" / "images" / f"{n}.png")
    export("huggingface", tmp_path / "data", tmp_path / "out", options={"shard_mb": 1})
    names = sorted(path.name for path in (tmp_path / "out" / "data").iterdir())
    assert names == [f"items-0000{n}-of-00003.parquet" for n in range(3)]
    convert("huggingface", tmp_path / "out", tmp_path / "back")
    assert pictures(tmp_path / "back") == pictures(tmp_path / "data")
    with pytest.raises(ConfigError, match="--set shard_mb=0"):
        export("huggingface", tmp_path / "data", tmp_path / "other", options={"shard_mb": "0"})


def test_the_card_names_each_configuration(own, tmp_path):
    export("huggingface", own, tmp_path / "out", features=[own / "features" / "looks"])
    card = (tmp_path / "out" / "README.md").read_text()
    head = card.split("---")[1]
    assert '- config_name: "items"\n  data_files:\n  - split: train\n    path: "data/items-*.parquet"' in head
    assert '  - split: validation\n    path: "interactions/validation-*.parquet"' in head
    assert '- config_name: "features_looks"' in head
    assert "4 items, 3 of them with a picture." in card
    assert "4 interactions of 2 users." in card


def test_pictures_alone_are_written_too(own, tmp_path):
    (own / "interactions.csv").unlink()
    export("huggingface", own, tmp_path / "out")
    assert not (tmp_path / "out" / "interactions").exists()
    convert("huggingface", tmp_path / "out", tmp_path / "back")
    assert pictures(tmp_path / "back") == pictures(own)
