"""Catalog: items, where their images are, titles."""

from __future__ import annotations

import hashlib
from pathlib import Path

import polars as pl
import pytest
from PIL import Image

from visrec.data.catalog import Catalog, Paths, digest_of_table
from visrec.data.ids import IdMap
from visrec.errors import DataError, ImageError


def catalog_of(folder: Path, **columns: list[str | None]) -> Catalog:
    """Items 08 (a red picture) and 09 (no picture)."""
    path = folder / "08.png"
    Image.new("RGB", (3, 2), (255, 0, 0)).save(path)
    items = IdMap(["08", "09"], kind="item")
    return Catalog(items, (path, None), pl.DataFrame({"item_id": items.values, **columns}))


def test_open_decodes_the_image_of_an_item(tmp_path: Path):
    image = catalog_of(tmp_path).open("08")

    assert (image.size, image.mode, image.getpixel((0, 0))) == ((3, 2), "RGB", (255, 0, 0))


def test_open_names_an_item_that_is_unknown_or_has_no_image(tmp_path: Path):
    catalog = catalog_of(tmp_path)

    with pytest.raises(DataError, match="Unknown item '8'"):
        catalog.open(8)
    with pytest.raises(ImageError, match="Item '09' has no image"):
        catalog.open("09")


def test_title_is_the_id_where_the_metadata_have_none(tmp_path: Path):
    titled = catalog_of(tmp_path, title=["A chair", None])

    assert [titled.title(0), titled.title(1)] == ["A chair", "09"]
    assert catalog_of(tmp_path, title=[" ", ""]).title(0) == "08"
    assert catalog_of(tmp_path).title(1) == "09"


def test_paths_and_metadata_must_fit_the_items(tmp_path: Path):
    catalog = catalog_of(tmp_path)

    assert len(catalog) == 2
    with pytest.raises(DataError, match="2 items, 1 paths and 2 rows of metadata"):
        Catalog(catalog.items, (None,), catalog.metadata)
    with pytest.raises(DataError, match="2 items, 2 paths and 1 rows of metadata"):
        Catalog(catalog.items, (None, None), catalog.metadata.head(1))


def test_paths_kept_as_text_read_like_a_tuple_of_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("visrec.data.catalog._BLOCK", 2)
    written = pl.Series(["a.jpg", None, "./b//c.jpg", str(tmp_path / "d.jpg"), "../e.jpg/"])
    expected = (
        Path("shop/a.jpg"), None, Path("shop/b/c.jpg"), tmp_path / "d.jpg", Path("shop/../e.jpg"),
    )  # fmt: skip
    paths = Paths(Path("shop"), written)

    assert tuple(paths) == expected
    assert paths == expected
    assert paths != (*expected[:-1], None)
    assert paths != expected[:-1]
    assert [text and Path(text) for text in paths.texts()] == list(expected)
    assert list(paths.texts())[-1] == str(expected[-1])  # with a stroke at its end it would be no file
    assert (len(paths), paths[0], paths[-1]) == (5, expected[0], expected[-1])
    assert tuple(paths[1:4:2]) == expected[1:4:2]
    assert None in paths
    assert paths.there.tolist() == [True, False, True, True, True]
    with pytest.raises(IndexError):
        paths[5]


def test_pictured_items_are_those_with_a_path(tmp_path: Path):
    catalog = catalog_of(tmp_path)
    lazy = Catalog(catalog.items, Paths(tmp_path, pl.Series(["08.png", None])), catalog.metadata)

    assert catalog.pictured.tolist() == lazy.pictured.tolist() == [True, False]
    assert lazy.digest == catalog.digest
    assert lazy.open("08").size == (3, 2)


def test_digest_of_a_table_is_that_of_each_column_as_json(monkeypatch: pytest.MonkeyPatch):
    table = pl.DataFrame({"b": ["é", None, '"'], "title": ["x", "y", "z"], "a,": [1.5, 2, None]})
    whole = '["a,", [1.5, 2.0, null]]\n["b", ["é", null, "\\""]]\n'
    monkeypatch.setattr("visrec.data.catalog._BLOCK", 2)

    assert digest_of_table(table) == hashlib.sha256(whole.encode()).hexdigest()
    assert digest_of_table(table.head(0)) == hashlib.sha256(b'["a,", []]\n["b", []]\n').hexdigest()


def test_digest_changes_with_ids_and_images(tmp_path: Path):
    catalog = catalog_of(tmp_path)
    digest = catalog.digest

    assert catalog_of(tmp_path, title=["a", "b"]).digest == digest
    assert Catalog(IdMap(["08", "10"]), catalog.paths, catalog.metadata).digest != digest
    assert Catalog(catalog.items, (None, catalog.paths[0]), catalog.metadata).digest != digest
    (tmp_path / "08.png").write_bytes(b"other size")
    assert Catalog(catalog.items, catalog.paths, catalog.metadata).digest != digest


def test_digest_says_so_when_an_image_has_gone(tmp_path: Path):
    catalog = catalog_of(tmp_path)
    (tmp_path / "08.png").unlink()

    with pytest.raises(DataError, match=r"08\.png: cannot be read any more"):
        _ = catalog.digest


def test_metadata_digest_is_of_what_is_known_beside_titles(tmp_path: Path):
    one = catalog_of(tmp_path, title=["a", "b"], artist=["x", None], year=["1", "2"])
    again = catalog_of(tmp_path, year=["1", "2"], artist=["x", None], title=["another", None])

    assert again.metadata_digest == one.metadata_digest
    for other in (
        {"artist": ["x", ""], "year": ["1", "2"]},
        {"artist": [None, "x"], "year": ["1", "2"]},
        {"artist": ["1", "2"], "year": ["x", None]},
        {"artist": ["x", None]},
        {},
    ):
        assert catalog_of(tmp_path, **other).metadata_digest != one.metadata_digest
