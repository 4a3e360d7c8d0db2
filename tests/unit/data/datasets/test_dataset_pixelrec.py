from __future__ import annotations

import json

import numpy as np
import pytest

from visrec.converting.conversion import convert
from visrec.data.dataset import load_dataset
from visrec.data.datasets.pixelrec import read_pixelrec
from visrec.errors import DataError
from visrec.features.features import Features

ROWS = [
    ("i72138", "u209296", 1605059546),
    ("i15530", "u2444520", 1628914341),
    ("i72138", "u2444520", 1328292931),
]
INFO = (
    "item_id,view_number,comment_number,thumbup_number,share_number,coin_number,favorite_number,barrage_number,title,tag,"
    "description\n"
    'i72138,799668.0,739.0,8050.0,220.0,84.0,1049.0,510.0,"Turtle, a gift…",Pet Reptiles,"Should I ""brush"" it?"\n'
    "i15530,,,,,,,,Daily,,\n"
    "i408373,9.0,1.0,1.0,1.0,1.0,1.0,1.0,Unseen,Comedy,\n"
)
VECTORS = {"i0": [9.0, 9.0, 9.0], "i15530": [0.5, -1e-3, 2], "i72138": [1.0, 2.0, 3.0]}


@pytest.fixture
def source(tmp_path):
    """PixelRec50K, its covers unpacked."""
    (folder := tmp_path / "pixelrec").mkdir()
    (folder / "interaction.csv").write_text(
        "item_id,user_id,timestamp\n" + "".join(f"{i},{u},{t}\n" for i, u, t in ROWS)
    )
    (folder / "item_info.csv").write_text(INFO)
    (folder / "image_feature.json").write_text(json.dumps(VECTORS))
    (folder / "cover").mkdir()
    for item in ("i72138", "i0"):
        (folder / "cover" / f"{item}.jpg").write_text(item)
    (folder / "cover.7z").write_bytes(b"7z\xbc\xaf\x27\x1c")
    return folder


def test_everything_becomes_a_data_set(source, tmp_path):
    made = convert("pixelrec", source, tmp_path / "data")
    data = load_dataset(tmp_path / "data", missing_images="mask")
    found = data.interactions
    triples = zip(found.items.take(found.item), found.users.take(found.user), found.timestamp, strict=True)
    assert sorted(triples) == sorted(ROWS)
    table = data.catalog.metadata.sort("item_id")
    assert table["item_id"].to_list() == ["i15530", "i72138"]
    assert table["title"].to_list() == ["Daily", "Turtle, a gift…"]
    assert table["category"].to_list() == [None, "Pet Reptiles"]
    assert table["description"].to_list() == [None, 'Should I "brush" it?']
    assert data.catalog.paths[data.catalog.items.index("i72138")] == source / "cover" / "i72138.jpg"
    vectors = Features.load(tmp_path / "data" / "features" / "image_feature").align(data.catalog.items)
    for index, item in enumerate(data.catalog.items.written):
        np.testing.assert_array_equal(vectors.values[index], np.array(VECTORS[item], dtype=np.float32))
    assert [note for note in made.notes if "1 of 3 items were taken by nobody here" in note]
    assert "image_feature.json: 1 vectors are of no item of this subset: left out." in made.notes
    assert [row for row in made.files if row["file"] == "cover.7z" and "7z x cover.7z" in row["became"]]


def test_all_items_are_kept_when_asked_for(source):
    found = read_pixelrec(source, all_items=True)
    assert found.items is not None
    assert found.items["item_id"].to_list() == ["i72138", "i15530", "i408373"]


def test_files_of_one_name_are_told_apart_by_their_first_lines(source):
    for folder, name in (("Interaction", "interaction.csv"), ("Item Information", "item_info.csv")):
        (source / folder).mkdir()
        (source / name).rename(source / folder / "Pixel200K.csv")
    found = read_pixelrec(source)
    assert found.interactions is not None
    assert found.interactions.height == 3
    (source / "Interaction" / "Pixel1M.csv").write_text("item_id,user_id,timestamp\ni1,u1,1\n")
    with pytest.raises(DataError, match="several files of interactions"):
        read_pixelrec(source)
    found = read_pixelrec(source, subset="Pixel200K")
    assert found.interactions is not None
    assert found.interactions["item_id"].to_list() == [item for item, _, _ in ROWS]
    with pytest.raises(
        DataError, match=r"holds no file Pixel8M\.csv that begins with item_id,user_id,timestamp"
    ):
        read_pixelrec(source, subset="Pixel8M")


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("interaction.csv", lambda text: text[:-12], "line 4 has"),
        (
            "interaction.csv",
            lambda text: text.replace("1605059546", "2020-11-11"),
            "timestamp is '2020-11-11'",
        ),
        ("item_info.csv", lambda text: text.replace("i15530", "i72138"), "item 'i72138' stands twice"),
        ("image_feature.json", lambda text: text[:-9], "cannot be read after item 'i15530'"),
        (
            "image_feature.json",
            lambda text: text.replace("3.0", "3.x"),
            "the vector of item 'i72138' holds something else",
        ),
        ("image_feature.json", lambda text: text.replace(", 3.0", ""), "'i72138' has 2 numbers; expected 3"),
        (
            "image_feature.json",
            lambda text: text.replace("9.0, 9.0, 9.0", "[9.0]"),
            "cannot be read after the beginning",
        ),
        ("image_feature.json", lambda text: text.replace("3.0", "null"), "'i72138' holds NaN or infinity"),
        ("image_feature.json", lambda text: text.replace("3.0", "1e99"), "'i72138' holds NaN or infinity"),
        ("image_feature.json", lambda text: f"[{text}]", "begins with"),
        ("image_feature.json", lambda text: '{"i0": [1.0]}', "1 vectors, none of an item of this data set"),
    ],
)
def test_damaged_files_are_told_and_nothing_is_left(source, tmp_path, name, change, message):
    path = source / name
    path.write_text(change(path.read_text()))
    with pytest.raises(DataError, match=message):
        convert("pixelrec", source, tmp_path / "data")
    assert not (tmp_path / "data").exists()
