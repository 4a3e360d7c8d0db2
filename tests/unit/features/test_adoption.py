"""Features that are there already, taken over for the items of a catalogue."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from visrec.data.ids import IdMap
from visrec.errors import FeaturesError
from visrec.features import adoption
from visrec.features.adoption import adopt
from visrec.features.features import Features

IDS = ["b", "d", "a", "c"]
VALUES = np.arange(12, dtype=np.float32).reshape(4, 3) ** 2 + 1  # row r is that of IDS[r]


@pytest.fixture
def source(tmp_path):
    """Standardised features, so with raw values too, of a to d; that of d is missing."""
    found = Features.from_array(VALUES, IDS, missing=[False, True, False, False], provenance={"layer": "x"})
    images = pl.Series("image", ["sha-a", "sha-b", "sha-c", None], dtype=pl.String)
    object.__setattr__(found, "images", images)
    found.finish(standardize=True).save(tmp_path / "source")
    return tmp_path / "source"


def _files(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_features_of_the_same_items_are_the_same_files(source, tmp_path):
    found = adopt(source, IdMap(["d", "c", "b", "a"]), tmp_path / "run" / "features")
    assert _files(tmp_path / "run" / "features") == _files(source)
    assert found.folder == tmp_path / "run" / "features"
    assert (source / "values.npy").stat().st_nlink == 2  # no second copy on the disk


def test_where_files_cannot_be_linked_they_are_copied(source, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("another file system")

    monkeypatch.setattr(adoption.os, "link", refuse)
    adopt(source, IdMap(IDS), tmp_path / "out")
    assert _files(tmp_path / "out") == _files(source)
    assert (source / "values.npy").stat().st_nlink == 1


def test_what_is_done_to_the_source_later_does_not_reach_what_was_taken(source, tmp_path):
    taken = adopt(source, IdMap(IDS), tmp_path / "out").digest
    Features.from_array(VALUES + 1, IDS).save(source)
    assert adopt(source, IdMap(IDS), tmp_path / "out").digest == taken  # and it is not taken again


def test_rows_meet_items_by_id_and_keep_what_is_known_of_them(source, tmp_path):
    before = Features.load(source)
    found = adopt(source, IdMap(["c", "d", "new", "b"]), tmp_path / "out", absent="mask")
    assert found.items.values.to_list() == ["b", "c", "d", "new"]
    assert found.missing.tolist() == [False, False, True, True]
    rows = before.items.indices(["b", "c"])
    np.testing.assert_array_equal(found.values[:2], before.values[rows])
    np.testing.assert_array_equal(found.raw[:2], before.raw[rows])
    assert not found.values[2:].any()
    assert found.failures.rows() == [("d", "marked as missing"), ("new", "none in source")]
    assert found.images.to_list() == ["sha-b", "sha-c", None, None]
    assert found.provenance == before.provenance
    np.testing.assert_array_equal(found.finishing.mean, before.finishing.mean)
    assert Features.load(tmp_path / "out").digest == found.digest  # what was written is intact


def test_items_without_features_are_refused_unless_that_is_allowed(source, tmp_path):
    with pytest.raises(
        FeaturesError, match=r"no features of 1 of the 3 items.*first 'new'.*--allow-missing-images"
    ):
        adopt(source, IdMap(["a", "b", "new"]), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("absent", ["error", "mask"])
def test_features_of_none_of_the_items_are_refused(source, tmp_path, absent):
    with pytest.raises(FeaturesError, match=r"none of the 2 items .* is 'a', that of the data set 'x'"):
        adopt(source, IdMap(["x", "y"]), tmp_path / "out", absent=absent)


@pytest.mark.parametrize(
    ("shape", "kind", "said"),
    [
        ((4, 2, 3), "vector", r"holds regions of each item; expected one vector.*path under \[regions\]"),
        ((4, 3), "regions", r"holds one vector an item; expected regions.*path under \[features\]"),
        ((4, 8, 8, 3), "vector", r"holds pixels; expected one vector an item\. Name a folder"),
    ],
)
def test_features_of_another_kind_are_refused(tmp_path, shape, kind, said):
    dtype = np.uint8 if len(shape) == 4 else np.float32
    Features.from_array(np.ones(shape, dtype=dtype), IDS).save(tmp_path / "source")
    with pytest.raises(FeaturesError, match=said):
        adopt(tmp_path / "source", IdMap(IDS), tmp_path / "out", kind=kind)


def test_regions_are_taken_too(tmp_path):
    regions = np.random.default_rng(0).random((4, 2, 3)).astype(np.float16)
    Features.from_array(regions, IDS).save(tmp_path / "source")
    found = adopt(tmp_path / "source", IdMap(["a", "d"]), tmp_path / "out", kind="regions")
    np.testing.assert_array_equal(found.values, regions[[2, 1]])


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FeaturesError, match="nowhere: no such folder of features"):
        adopt(tmp_path / "nowhere", IdMap(IDS), tmp_path / "out")
