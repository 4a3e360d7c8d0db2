from __future__ import annotations

from pathlib import Path

import pytest

from visrec.data.picture_files import ids_of_files, inside, pictures_in
from visrec.errors import DataError


def test_an_id_is_the_path_without_its_suffix():
    assert ids_of_files(["a.jpg", "chairs/b.png", "chairs/v1.2.webp"]) == ["a", "chairs/b", "chairs/v1.2"]


def test_files_that_differ_by_suffix_alone_keep_it():
    assert ids_of_files(["a.jpg", "a.png", "b.jpg"]) == ["a.jpg", "a.png", "b"]


def test_an_id_with_a_suffix_is_never_that_of_another_file():
    assert ids_of_files(["a.jpg", "a.png", "a.jpg.png"]) == ["a.jpg", "a.png", "a.jpg.png"]


def test_stems_are_written_out_only_where_they_must_be():
    names = ["x/a.jpg", "y/a.jpg", "y/b.jpg", "y/b.png", "y/c.jpg"]
    assert ids_of_files(names, stems=True) == ["x/a", "y/a", "y/b.jpg", "y/b.png", "c"]


def test_hidden_and_foreign_files_are_no_pictures(tmp_path):
    for name in ("b/2.PNG", "a.jpeg", ".x.jpg", ".git/a.jpg", "__MACOSX/a.jpg", "b/notes.txt", "c.tif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert pictures_in(tmp_path) == (["a.jpeg", "b/2.PNG"], ["b/notes.txt", "c.tif"])


def test_a_folder_that_is_none_is_refused(tmp_path):
    with pytest.raises(DataError, match="does not exist; expected a folder of pictures"):
        pictures_in(tmp_path / "none")


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../x.jpg", "a/../../x.jpg", "..\\x.jpg", "C:\\x.jpg", "file://x", "", "a\0b"]
)
def test_names_that_lead_elsewhere_are_no_files(name):
    assert inside(Path("data"), name) is None


def test_names_within_are_files():
    assert inside(Path("data"), "a/b c.jpg") == Path("data/a/b c.jpg")
    assert inside(Path("data"), "a\\b.jpg") == Path("data/a/b.jpg")
