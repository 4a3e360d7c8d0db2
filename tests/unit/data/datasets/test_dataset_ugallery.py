"""UGallery as CuratorNet published it, and as the tutorial's notebook reads it."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from tests.tutorial_files import write_embedding

from visrec.converting.conversion import convert
from visrec.data.dataset import load_dataset
from visrec.data.splits import leave_last_out
from visrec.errors import DataError
from visrec.evaluation.tasks import Protocol, task_of
from visrec.features.features import Features

VECTORS = np.arange(20, dtype=np.float32).reshape(5, 4)


def curatornet(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "inventory.csv").write_text(
        "artwork_id_hash,artist_id_hash,upload_timestamp\n"
        "0a1,art1,100\n0b2,art1,100\n0c3,art2,150\n0d4,art3,160\n"
    )
    (folder / "purchases.csv").write_text(
        "user_id_hash,purchased_artwork_ids_hash,purchase_timestamp\n"
        "u1,\"['0b2', '0a1']\",200\nu2,['0b2'],210\nu1,['0c3'],300\n"
    )
    write_embedding(folder / "resnet_embeddings.npy", ["0d4", "0a1", "0b2", "0c3", "0e5"], VECTORS)
    (folder / "clusters.json").write_text(json.dumps({"0a1": 7, "0b2": 7, "0c3": 0, "0d4": 1, "0e5": 2}))
    return folder


def tutorial(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "valid_artworks.csv").write_text(
        "id,artist_id,upload_date,original,medium_id\n"
        "32769,11208,2014-06-25 07:07:27.223,t,0\n32771,15061,2014-06-25 11:05:29.413,f,12\n"
        "16391,9175,2011-09-12 19:46:44.093,t,12\n"
    )
    (folder / "valid_sales.csv").write_text(
        "id,customer_id,artwork_id,order_date\n"
        "2207,25133,32769,2015-02-16 21:12:53.993\n2208,25133,32771,2015-02-16 21:12:53.993\n"
        "4840,31652,32771,2016-03-13 11:30:24.777\n7253,25133,16391,2017-12-13 14:43:17.92\n"
    )
    return folder


def test_baskets_artists_flags_clusters_and_vectors_of_curatornet(tmp_path):
    made = convert("ugallery", curatornet(tmp_path / "source"), tmp_path / "data")
    rows = pl.read_csv(tmp_path / "data" / "interactions.csv", infer_schema=False).rows()
    assert rows == [("u1", "0b2", "200"), ("u1", "0a1", "200"), ("u2", "0b2", "210"), ("u1", "0c3", "300")]
    items = pl.read_csv(tmp_path / "data" / "items.csv", infer_schema=False).sort("item_id")
    assert items.to_dict(as_series=False) == {
        "item_id": ["0a1", "0b2", "0c3", "0d4", "0e5"],
        "artist": ["art1", "art1", "art2", "art3", None],
        "available_from": ["100", "100", "150", "160", None],
        "one_of_a_kind": ["true", "false", "true", "false", None],  # 0b2 was sold twice, 0d4 never
        "cluster": ["7", "7", "0", "1", "2"],
    }
    features = Features.load(tmp_path / "data" / "features" / "resnet")
    for n, item in enumerate(["0d4", "0a1", "0b2", "0c3", "0e5"]):
        np.testing.assert_array_equal(features.values[features.items.index(item)], VECTORS[n])
    assert any("3 baskets" in row["what"] for row in made.files)
    assert any("sold exactly once" in note for note in made.notes)
    assert any(note.startswith("1 artworks with a vector are not in inventory.csv") for note in made.notes)


def test_what_the_tutorial_reads_has_its_own_flag_and_dates(tmp_path):
    convert("ugallery", tutorial(tmp_path / "source"), tmp_path / "data")
    items = pl.read_csv(tmp_path / "data" / "items.csv", infer_schema=False)
    assert items["item_id"].to_list() == ["32769", "32771", "16391"]
    assert items["one_of_a_kind"].to_list() == ["true", "false", "true"]
    assert items["medium_id"].to_list() == ["0", "12", "12"]
    assert items["artist"].to_list() == ["11208", "15061", "9175"]
    assert items["available_from"][0] == "2014-06-25 07:07:27.223"
    found = load_dataset(tmp_path / "data", missing_images="mask").interactions
    assert len(np.unique(found.timestamp)) == 3  # the basket of two has one moment
    assert found.timestamp.min() == 1424121173993000  # 2015-02-16 21:12:53.993, in microseconds


def test_the_flag_serves_the_protocol_that_knows_of_one_of_a_kind(tmp_path):
    """u1 buys 0c3 last. Of those that are left then: 0a1 (sold, unique) is gone, 0b2 was u1's, so 0c3 and 0d4 are."""
    convert("ugallery", curatornet(tmp_path / "source"), tmp_path / "data")
    data = load_dataset(tmp_path / "data", missing_images="mask")
    split = leave_last_out(data.interactions)
    protocol = Protocol(name="temporal", one_of_a_kind="one_of_a_kind")
    task = task_of(split, "test", protocol, metadata=data.catalog.metadata)
    scores = torch.zeros(1, len(data.catalog))
    task.close(scores, np.arange(1))
    open_items = data.catalog.items.take(np.flatnonzero(np.isfinite(scores[0].numpy())))
    assert sorted(open_items) == ["0c3", "0d4"]


def test_pictures_of_who_has_them_are_pointed_to(tmp_path):
    folder = tutorial(tmp_path / "source")
    (folder / "images").mkdir()
    for name in ("32769.jpg", "1.jpg"):
        (folder / "images" / name).write_bytes(b"\xff\xd8\xff\xe0")
    convert("ugallery", folder, tmp_path / "data")
    listed = pl.read_csv(tmp_path / "data" / "images.csv", infer_schema=False)
    assert listed.rows() == [("32769", str((folder / "images" / "32769.jpg").resolve()))]


def test_pictures_in_an_archive_are_those_of_their_works(tmp_path):
    folder = tutorial(tmp_path / "source")
    with zipfile.ZipFile(folder / "pictures.zip", "w") as archive:
        archive.writestr("32769.jpg", b"\xff\xd8\xff\xe0")
        archive.writestr("1.jpg", b"\xff\xd8\xff\xe0")
    made = convert("ugallery", folder, tmp_path / "data")
    assert [path.name for path in (tmp_path / "data" / "images").iterdir()] == ["32769.jpg"]
    assert any("1 pictures are of no item" in note for note in made.notes)
    assert "pictures.zip" in {row["file"] for row in made.files}


def test_two_pictures_of_a_work_are_refused(tmp_path):
    folder = tutorial(tmp_path / "source")
    (folder / "images").mkdir()
    for name in ("32769.jpg", "32769.png"):
        (folder / "images" / name).write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(DataError, match="second picture of item '32769'"):
        convert("ugallery", folder, tmp_path / "data")


@pytest.mark.parametrize(
    ("make", "name", "content", "message"),
    [
        (curatornet, "purchases.csv", "user,items\n1,2\n", "column user_id_hash, purchased_artwork_ids_hash"),
        (
            curatornet, "purchases.csv",
            "user_id_hash,purchased_artwork_ids_hash,purchase_timestamp\nu1,0a1,5\n", "is no list of ids",
        ),
        (
            curatornet, "purchases.csv",
            "user_id_hash,purchased_artwork_ids_hash,purchase_timestamp\nu1,\"__import__('os')\",5\n",
            "is no list of ids",
        ),
        (
            curatornet, "inventory.csv",
            "artwork_id_hash,artist_id_hash,upload_timestamp\n0a1,x,1\n0a1,y,1\n", "'0a1' stands twice",
        ),
        (curatornet, "clusters.json", "[1]", "a whole number for each artwork"),
        (curatornet, "clusters.json", "{", "is no JSON"),
        (tutorial, "valid_sales.csv", "id,customer_id,artwork_id,order_date\n1,2,3,soon\n", "is not a time"),
        (
            tutorial, "valid_artworks.csv",
            "id,artist_id,upload_date,original\n1,2,2014-06-25 07:07:27.223,maybe\n", "'maybe'; expected t or f",
        ),
        (tutorial, "purchases.csv", "x\n", "holds the sales of both releases"),
    ],
)  # fmt: skip
def test_damage_is_told_and_nothing_is_written(tmp_path, make, name, content, message):
    folder = make(tmp_path / "source")
    (folder / name).write_text(content)
    with pytest.raises(DataError, match=message):
        convert("ugallery", folder, tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_vectors_without_ids_and_an_empty_folder_are_refused(tmp_path):
    folder = curatornet(tmp_path / "source")
    np.save(folder / "resnet_embeddings.npy", VECTORS)
    with pytest.raises(DataError, match="Which row is which artwork is not said"):
        convert("ugallery", folder, tmp_path / "data")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"holds no purchases\.csv or valid_sales\.csv"):
        convert("ugallery", tmp_path / "empty", tmp_path / "data")


def test_packed_tables_are_to_be_unpacked(tmp_path):
    folder = curatornet(tmp_path / "source")
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.write(folder / "purchases.csv", "purchases.csv")
    with pytest.raises(DataError, match=r"Unpack x\.zip first"):
        convert("ugallery", tmp_path / "x.zip", tmp_path / "data")


def test_items_sold_but_unknown_are_counted(tmp_path):
    folder = tutorial(tmp_path / "source")
    with (folder / "valid_sales.csv").open("a") as file:
        file.write("9,9,777,2018-01-01 00:00:00\n")
    made = convert("ugallery", folder, tmp_path / "data")
    assert any(
        note.startswith("1 artworks that were sold are not in valid_artworks.csv") for note in made.notes
    )
    assert "777" in pl.read_csv(tmp_path / "data" / "items.csv", infer_schema=False)["item_id"]
