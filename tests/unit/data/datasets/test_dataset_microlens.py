from __future__ import annotations

import zipfile

import numpy as np
import pytest

from visrec.converting.conversion import convert
from visrec.data.dataset import load_dataset
from visrec.data.datasets.microlens import read_microlens
from visrec.errors import DataError
from visrec.features.features import Features

PAIRS = [("36121", "3", 1583378629552), ("36121", "1", 1584806169408), ("7", "3", 1600000000000)]
VECTORS = np.arange(16, dtype=np.float32).reshape(4, 4)


@pytest.fixture
def source(tmp_path):
    (folder := tmp_path / "MicroLens-100k-Dataset").mkdir()
    rows = "".join(f"{user},{item},{time}\n" for user, item, time in PAIRS)
    (folder / "MicroLens-100k_pairs.csv").write_text(f"user,item,timestamp\n{rows}")
    (folder / "MicroLens-100k_pairs.tsv").write_text("36121\t3  1 \n7\t3\n")
    (folder / "MicroLens-100k_title_en.csv").write_text(
        '1,Pond fishing, at dusk\n2,"She said ""no"""\n3,\n4,Cat\n'
    )
    (folder / "tags_to_summary.csv").write_text("1,Fishing\n2,Drama\n3,Drama\n")
    (folder / "MicroLens-100k_likes_and_views.txt").write_text("1\t10\t900\n2\t0\t0\n3\t5\t70\n4\t1\t2\n")
    (features := folder / "extracted_modality_features").mkdir()
    np.save(features / "MicroLens-100k_image_features_CLIPRN50.npy", VECTORS)
    with zipfile.ZipFile(folder / "MicroLens-100k_covers.zip", "w") as archive:
        for item in ("1", "3", "99"):
            archive.writestr(f"MicroLens-100k_covers/{item}.jpg", item)
    return folder


def test_everything_becomes_a_data_set(source, tmp_path):
    made = convert("microlens", source, tmp_path / "data")
    data = load_dataset(tmp_path / "data", missing_images="mask")
    found = data.interactions
    triples = zip(found.users.take(found.user), found.items.take(found.item), found.timestamp, strict=True)
    assert sorted(triples) == sorted(PAIRS)
    table = data.catalog.metadata.sort("item_id")
    assert table["item_id"].to_list() == ["1", "2", "3", "4"]
    assert table["title"].to_list() == ["Pond fishing, at dusk", 'She said "no"', None, "Cat"]
    assert table["category"].to_list() == ["Fishing", "Drama", "Drama", None]
    assert table["likes"].to_list() == ["10", "0", "5", "1"]
    assert table["views"].to_list() == ["900", "0", "70", "2"]
    pictures = {path.name: path.read_text() for path in (tmp_path / "data" / "images").iterdir()}
    assert pictures == {"1.jpg": "1", "3.jpg": "3"}
    vectors = Features.load(tmp_path / "data" / "features" / "image_features_CLIPRN50").align(
        data.catalog.items
    )
    for index, item in enumerate(data.catalog.items.written):
        np.testing.assert_array_equal(vectors.values[index], VECTORS[int(item) - 1])  # row n is video n + 1
    assert [note for note in made.notes if "1 pictures are of no item" in note]


def test_without_times_the_order_stands_for_them(source):
    (source / "MicroLens-100k_pairs.csv").unlink()
    found = read_microlens(source)
    assert found.interactions is not None
    assert found.interactions.rows() == [("36121", "3", 0), ("36121", "1", 1), ("7", "3", 0)]
    assert "has an order and no times" in found.notes[0]


def test_the_smaller_set_has_a_line_of_names(tmp_path):
    (tmp_path / "MicroLens-50k_pairs.csv").write_text("user,item,timestamp\n1,2,3\n")
    (tmp_path / "MicroLens-50k_titles.csv").write_text('item,title\n2,"Snow, again"\n')
    found = read_microlens(tmp_path)
    assert found.items is not None
    assert found.items.rows() == [("2", "Snow, again")]


def test_a_quotation_mark_that_would_swallow_lines_is_told(source):
    (source / "MicroLens-100k_title_en.csv").write_text('1,"Pond\nat dusk"\n2,"Quiet\n3,Cat\n4,"Dog"\n')
    with pytest.raises(DataError, match="in the line of video 2 is not closed"):
        read_microlens(source)


def test_pairs_of_both_sets_are_refused(source):
    (source / "MicroLens-50k_pairs.csv").write_text("user,item,timestamp\n1,2,3\n")
    with pytest.raises(DataError, match=r"holds several of what is read once: .*MicroLens-100k_pairs\.csv"):
        read_microlens(source)


def test_unpacked_covers_are_pointed_to(source):
    with zipfile.ZipFile(source / "MicroLens-100k_covers.zip") as archive:
        archive.extractall(source)
    found = read_microlens(source)
    assert found.pictures == {item: source / "MicroLens-100k_covers" / f"{item}.jpg" for item in ("1", "3")}
    assert found.encoded is None


@pytest.mark.parametrize(
    "values", [VECTORS[:3], np.vstack([VECTORS, VECTORS]), VECTORS[0], VECTORS.astype(int)]
)
def test_features_of_other_videos_are_refused(source, values):
    np.save(source / "MicroLens-100k_image_features_CLIPRN50.npy", values)
    (source / "extracted_modality_features" / "MicroLens-100k_image_features_CLIPRN50.npy").unlink()
    with pytest.raises(DataError, match="expected a vector for each of the videos 1 to 4"):
        read_microlens(source)


def test_features_that_want_something_run_are_refused(source):
    np.save(source / "MicroLens-100k_x_features_y.npy", np.array([{"a": 1}], dtype=object))
    with pytest.raises(DataError, match=r"is no readable \.npy file of numbers"):
        read_microlens(source)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("MicroLens-100k_pairs.csv", b"user,item,timestamp\n1,2\n", "line 2 has"),
        ("MicroLens-100k_pairs.csv", b"user,item,timestamp\n1,2,soon\n", "line 2: timestamp is 'soon'"),
        ("MicroLens-100k_title_en.csv", b"1,a\n1,b\n", "video 1 stands twice"),
        ("MicroLens-100k_title_en.csv", b"id,text\n1,b\n", "begins a line with 'id'; expected the number"),
        ("MicroLens-100k_title_en.csv", b"1,\xff\n", "cannot be read"),
        ("MicroLens-100k_likes_and_views.txt", b"1\t2\n", "a line has 2 fields"),
        ("MicroLens-100k_likes_and_views.txt", b"1\tmany\t2\n", "'many'; expected a video, its likes"),
    ],
)
def test_damaged_files_are_told(source, tmp_path, name, content, message):
    (source / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        convert("microlens", source, tmp_path / "data")
    assert not (tmp_path / "data").exists()
