from __future__ import annotations

import gzip
import zipfile
from functools import partial
from pathlib import Path

import pytest

from visrec.data import archives
from visrec.data.published import Published, PublishedFiles, first_line, text_of
from visrec.errors import DataError

TEXT = b"\xef\xbb\xbfuser,item\nu,a\n"


def lying(folder: Path, way: str, content: bytes = TEXT) -> Published:
    """A file `a.csv` as it lies there, gzipped under its own name, or in a zip archive."""
    folder.mkdir(exist_ok=True)
    if way == "zip":
        with zipfile.ZipFile(folder / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("in/a.csv", content)
    else:
        (folder / "a.csv").write_bytes(gzip.compress(content) if way == "gzip" else content)
    return PublishedFiles(folder).get("a.csv", what="a table")


@pytest.mark.parametrize("way", ["plain", "gzip", "zip"])
def test_a_file_is_read_however_it_lies(tmp_path, way):
    file = lying(tmp_path, way)
    assert text_of(file) == "user,item\nu,a\n"
    assert first_line(file) == "user,item"
    with file.open() as opened:
        assert opened.peek(4) == TEXT[:4]
        assert opened.read(5) + opened.read(100) == TEXT
        assert opened.done == file.size
        assert opened.read(1) == b""


def test_what_is_in_an_archive_lies_nowhere(tmp_path):
    assert lying(tmp_path / "plain", "plain").on_disk == tmp_path / "plain" / "a.csv"
    with pytest.raises(DataError, match=r"x\.zip/in/a\.csv: is packed\. Unpack x\.zip first"):
        _ = lying(tmp_path / "zip", "zip").on_disk


@pytest.mark.parametrize("size", [1 << 10, 1 << 20])
def test_a_gzip_file_that_unpacks_to_far_more_than_its_size_is_not_read_to_its_end(
    tmp_path, monkeypatch, size
):
    """A thousand times its size, which is as far as gzip goes."""
    monkeypatch.setattr(archives, "_SMALL", 1000)
    file = lying(tmp_path, "gzip", b"1,1,1,1\n" * (1 << 19))
    assert file.size * archives.MOST < 1 << 22
    with file.open() as opened, pytest.raises(DataError, match=r"a\.csv: unpacks to more than 100 times"):
        list(iter(partial(opened.read, size), b""))


@pytest.mark.parametrize(
    "damage",
    [lambda whole: whole[:-5], lambda whole: whole[:3], lambda whole: whole[:12] + b"\xff" + whole[13:]],
)
def test_a_damaged_gzip_file_is_told(tmp_path, damage):
    file = lying(tmp_path, "gzip")
    file.path.write_bytes(damage(file.path.read_bytes()))
    with pytest.raises(DataError, match=r"a\.csv: cannot be read to its end .* Get it again"):
        text_of(file)


def test_a_table_that_is_read_at_once_has_a_limit(tmp_path, monkeypatch):
    file = lying(tmp_path, "plain")
    monkeypatch.setattr("visrec.data.published.LARGEST", len(TEXT) - 1)
    with pytest.raises(DataError, match=r"a\.csv: has more than 16 bytes; expected a small table"):
        text_of(file)


def test_a_zip_archive_that_is_none_is_told_and_not_passed_over(tmp_path):
    lying(tmp_path, "zip")
    path = tmp_path / "x.zip"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(DataError, match=r"x\.zip: is no whole zip archive\. Get it again"):
        PublishedFiles(tmp_path)


def test_links_to_folders_are_followed_once(tmp_path):
    (far := tmp_path / "far").mkdir()
    (far / "a.jpg").write_bytes(b"A")
    (source := tmp_path / "source").mkdir()
    (source / ".hidden").mkdir()
    (source / ".hidden" / "b.jpg").write_bytes(b"B")
    (source / "images").symlink_to(far)
    (far / "again").symlink_to(source)
    assert [str(file) for file in PublishedFiles(source).all] == [str(source / "images" / "a.jpg")]


def test_one_of_several_is_not_guessed(tmp_path):
    lying(tmp_path / "one", "plain")
    lying(tmp_path / "two", "zip")
    files = PublishedFiles(tmp_path)
    with pytest.raises(DataError, match=r"holds several of what is read once: .*a\.csv, .*x\.zip/in/a\.csv"):
        files.find("a.csv")
    assert files.find("b.csv") is None
    with pytest.raises(DataError, match=r"holds no b\.csv \(what\)\. Put it there"):
        files.get("b.csv", what="what")
