from __future__ import annotations

import io

import pytest
from PIL import Image

from visrec.converting.conversion import convert
from visrec.data.dataset import load_catalog
from visrec.errors import ConfigError, DataError
from visrec.features.extraction import extract
from visrec.features.features import Features
from visrec.neighbours import similar_items


def picture(n: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (n, 255 - n, 7)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def source(tmp_path):
    for n, name in enumerate(
        ("a.jpg", "a.png", "chairs/001.png", "lamps/001.png", "lamps/x.webp", "notes.txt")
    ):
        (path := tmp_path / "plain" / name).parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(40 * n))
    return tmp_path / "plain"


def test_items_are_called_by_their_paths(source, tmp_path):
    made = convert("images", source, tmp_path / "data")
    catalog = load_catalog(tmp_path / "data")
    found = dict(zip(catalog.items.written, catalog.paths, strict=True))
    assert found == {
        "a.jpg": source / "a.jpg",
        "a.png": source / "a.png",
        "chairs/001": source / "chairs/001.png",
        "lamps/001": source / "lamps/001.png",
        "lamps/x": source / "lamps/x.webp",
    }
    assert made.notes == [
        "2 files have the name of another but for folder or suffix: their ids are written out, as 'a.jpg'.",
        "Left out, since they are no pictures that are read here: 1 .txt.",
    ]


def test_stems_are_ids_where_they_are_enough(source, tmp_path):
    convert("images", source, tmp_path / "data", options={"ids": "stem"})
    ids = load_catalog(tmp_path / "data").items.written.to_list()
    assert ids == ["x", "a.jpg", "a.png", "lamps/001", "chairs/001"]


def test_a_folder_can_be_the_category(source, tmp_path):
    convert("images", source, tmp_path / "data", options={"category_from_folder": "true"})
    about = load_catalog(tmp_path / "data").metadata
    assert dict(about.iter_rows()) == {
        "a.jpg": None, "a.png": None, "chairs/001": "chairs", "lamps/001": "lamps", "lamps/x": "lamps",
    }  # fmt: skip


def test_pictures_can_be_copied(source, tmp_path):
    convert("images", source, tmp_path / "data", copy_images=True)
    catalog = load_catalog(tmp_path / "data")
    path = catalog.paths[catalog.items.index("lamps/001")]
    assert path.is_relative_to(tmp_path / "data" / "images")
    assert path.read_bytes() == (source / "lamps" / "001.png").read_bytes()


def test_what_was_converted_is_extracted_and_searched(source, tmp_path):
    convert("images", source, tmp_path / "data")
    catalog = load_catalog(tmp_path / "data")
    extract(catalog, "color", out=tmp_path / "color")
    features = Features.load(tmp_path / "color")
    assert not features.missing.any()
    # Of pictures of one colour each, the neighbours in the row of colours are the most alike.
    assert similar_items(features, ["a.jpg"], k=1)["item_id"].to_list() == ["a.png"]


def test_a_folder_without_pictures_is_refused(tmp_path):
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "a.tif").write_bytes(b"II*\0")
    with pytest.raises(DataError, match=r"holds no picture\. Expected files \.jpg, "):
        convert("images", tmp_path / "plain", tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_a_source_that_is_no_folder_is_refused(source, tmp_path):
    with pytest.raises(DataError, match="is a file; expected a folder of pictures"):
        convert("images", source / "a.jpg", tmp_path / "data")
    with pytest.raises(ConfigError, match="--set ids=names: "):
        convert("images", source, tmp_path / "data", options={"ids": "names"})
