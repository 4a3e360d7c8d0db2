"""Wikimedia Commons: the tutorial's files as they are published, pictures and features in archives."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image
from tests.tutorial_files import write_csv, write_embedding

from visrec import registry
from visrec.converting.conversion import convert
from visrec.data.dataset import load_dataset
from visrec.errors import DataError
from visrec.features.features import Features

ITEMS = ["200501002", "200501003", "200502005"]
ROWS = [("30", ITEMS[0], 10, "False"), ("12", ITEMS[1], 11, "False"), ("30", ITEMS[2], 12, "True")]
HEADER = "user_id,item_id,timestamp,evaluation"


def picture(shade: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (shade, 0, 0)).save(file, "PNG")
    return file.getvalue()


def tarred(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


PICTURES = {f"iui_wikimedia_images/{item}.png": picture(n) for n, item in enumerate(ITEMS)}


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    write_csv(folder / "wikimedia.csv", HEADER, ROWS)
    write_embedding(
        folder / "embedding-resnet50.npy", [f"{item}.png" for item in ITEMS], np.eye(3, dtype=np.float32)
    )
    return folder


@pytest.mark.parametrize(("name", "pack"), [("iui_wikimedia_images.tar.gz", tarred), ("images.zip", zipped)])
def test_pictures_in_an_archive_are_unpacked_into_the_data_set(tmp_path, source, name, pack):
    pack(source / name, PICTURES | {"iui_wikimedia_images/README.txt": b"x"})
    before = {path.name for path in source.iterdir()}
    made = convert("wikimedia", source, tmp_path / "data")
    (tmp_path / "data").rename(tmp_path / "moved")  # nothing points to where it was made
    data = load_dataset(tmp_path / "moved")
    for n, item in enumerate(ITEMS):
        assert data.catalog.paths[data.catalog.items.index(item)].parent == tmp_path / "moved" / "images"
        assert np.asarray(data.catalog.open(item))[0, 0].tolist() == [n, 0, 0]
    assert {row["file"]: row["became"] for row in made.files}[name] == "images/, listed in images.csv"
    assert any(note.startswith(f"3 pictures (0.0 MB) of {name} were unpacked") for note in made.notes)
    assert f"1 files of {name} are of no kind that is converted: left out." in made.notes
    assert {path.name for path in source.iterdir()} == before
    assert not [path for path in (tmp_path / "moved").iterdir() if path.name.startswith(".")]
    assert sorted(data.interactions.timestamp.tolist()) == [10, 11, 12]


def test_features_in_an_archive_are_converted_and_leave_no_copy(tmp_path, source):
    maps = np.random.default_rng(0).normal(size=(3, 4, 2, 2)).astype(np.float32)
    file = write_embedding(
        tmp_path / "embedding-resnet50-layer4.npy", [f"{item}.png" for item in ITEMS], maps
    )
    tarred(source / "embedding-resnet50-layer4.tar.gz", {file.name: file.read_bytes()})
    made = convert("wikimedia", source, tmp_path / "data")
    features = Features.load(tmp_path / "data" / "features" / "resnet50-layer4")
    place = features.items.index(ITEMS[1])
    np.testing.assert_array_equal(features.values[place], maps[1].reshape(4, 4).T)
    names = [row["file"] for row in made.files]
    assert "embedding-resnet50-layer4.tar.gz/embedding-resnet50-layer4.npy" in names
    assert not list((tmp_path / "data").rglob("*.tar.gz"))
    assert [path.name for path in (tmp_path / "data").rglob("*.npy")] == ["values.npy"] * 2


def test_a_trained_model_is_no_archive(tmp_path, source):
    torch.save({"conv.weight": torch.zeros(2)}, source / "VBPR_wikimedia.tar")
    made = convert("wikimedia", source, tmp_path / "data")
    (row,) = [row for row in made.files if row["file"] == "VBPR_wikimedia.tar"]
    assert row["what"] == "tensors of none of the tutorial's models: conv.weight"


def test_what_lies_unpacked_beside_its_archive_is_taken(tmp_path, source):
    zipped(source / "images.zip", PICTURES)
    for name, content in PICTURES.items():
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_bytes(content)
    made = convert("wikimedia", source, tmp_path / "data")
    assert "3 files of images.zip lie unpacked beside it: those were taken." in made.notes
    assert not (tmp_path / "data" / "images").exists()
    assert load_dataset(tmp_path / "data").catalog.paths[0].is_relative_to(source)


def test_pictures_of_no_item_are_not_kept(tmp_path, source):
    zipped(source / "images.zip", PICTURES | {"iui_wikimedia_images/999.png": picture(9)})
    made = convert("wikimedia", source, tmp_path / "data")
    assert sorted(path.stem for path in (tmp_path / "data" / "images").iterdir()) == sorted(ITEMS)
    assert "1 unpacked pictures are of no item: removed." in made.notes


def test_the_tables_of_the_course_become_the_one_of_the_tutorial(tmp_path):
    source = tmp_path / "source"
    write_csv(
        source / "train_tarea_recsys_2019.csv", "user,image_id,timestamp",
        [(1, ITEMS[0], 50), (1, ITEMS[1], 20), (6, ITEMS[0], 30), (1, ITEMS[0], 60)],
    )  # fmt: skip
    write_csv(source / "test_tarea_recsys_2019.csv", "user,image_id,timestamp", [(1, ITEMS[2], 70)])
    made = convert("wikimedia", source, tmp_path / "data")
    rows = pl.read_csv(tmp_path / "data" / "interactions.csv", infer_schema=False).rows()
    # In the order of time; of the pair (1, first item) the newer row.
    assert rows == [
        ("1", ITEMS[1], "20", "train"), ("6", ITEMS[0], "30", "train"),
        ("1", ITEMS[0], "60", "train"), ("1", ITEMS[2], "70", "test"),
    ]  # fmt: skip
    assert "1 of 5 interactions are repeated: the newest was kept, as the tutorial does." in made.notes
    assert made.files[0]["file"] == "train_tarea_recsys_2019.csv and test_tarea_recsys_2019.csv"
    assert "Here are 2 users and 4 interactions; published are 1,079 and 96,991." in made.notes


def test_damage_within_an_archive_is_told_under_its_name(tmp_path, source):
    tarred(source / "embedding.tar.gz", {"data/embedding-vgg16.npy": b"\x93NUMPY\x01\x00no header"})
    with pytest.raises(DataError, match=r"source/embedding\.tar\.gz/embedding-vgg16\.npy: is not a readable"):
        convert("wikimedia", source, tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_an_archive_that_leads_outside_leaves_nothing(tmp_path, source):
    tarred(source / "images.tar.gz", PICTURES | {"../../evil.png": picture(0)})
    with pytest.raises(DataError, match="a place outside the archive"):
        convert("wikimedia", source, tmp_path / "data")
    assert not list(tmp_path.rglob("evil.png"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source"]


def test_its_facts_are_those_of_the_tutorial():
    size = registry.resolve("datasets", "wikimedia").size
    assert all(number in size for number in ("1,079", "9,636", "32,958", "96,991"))
