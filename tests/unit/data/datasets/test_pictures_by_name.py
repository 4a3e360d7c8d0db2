from __future__ import annotations

import io
import zipfile

import pytest

from visrec.data.datasets import pictures_by_name as pictures
from visrec.data.datasets.pictures_by_name import find_pictures
from visrec.data.published import PublishedFiles
from visrec.errors import DataError


def fill(folder, *names: str):
    for name in names:
        (path := folder / name).parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())


def pack(path, **members: bytes):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def find(source, *items: str):
    return find_pictures(PublishedFiles(source), items, folders=("*cover*",), zips=("*cover*.zip",))


def test_files_are_told_by_their_stems_in_folders_of_that_name(tmp_path):
    fill(
        tmp_path,
        "x/Covers/01.jpg",
        "x/Covers/deep/b.PNG",
        "x/other/c.jpg",
        "x/Covers/d.txt",
        "x/Covers/.e.jpg",
    )
    found = find(tmp_path, "01", "b", "c", "d", ".e")
    assert found.files == {"01": tmp_path / "x/Covers/01.jpg", "b": tmp_path / "x/Covers/deep/b.PNG"}
    assert found.encoded is None
    assert [row["file"] for row in found.rows] == ["x/Covers"]
    assert found.notes == ()


def test_pictures_of_unknown_items_are_counted(tmp_path):
    fill(tmp_path, "covers/1.jpg", "covers/01.jpg", "covers/2.jpg")
    found = find(tmp_path, "01")
    assert [*found.files] == ["01"]
    assert "2 pictures are of no item" in found.notes[0]


def test_members_of_a_zip_are_read_without_unpacking(tmp_path):
    pack(
        tmp_path / "all_covers.zip",
        **{
            "covers/a.jpg": b"A",
            "b.PNG": b"B",
            "deep/er/c.jpg": b"C",
            "covers/x.jpg": b"X",
            "__MACOSX/._a.jpg": b"-",
        },
    )
    found = find(tmp_path, "a", "b", "c")
    assert found.encoded is not None
    assert dict(found.encoded()) == {"a": b"A", "b": b"B", "c": b"C"}
    assert dict(found.encoded()) == {"a": b"A", "b": b"B", "c": b"C"}  # as often as it is called
    assert [path.name for path in tmp_path.rglob("*")] == ["all_covers.zip"]
    assert "1 pictures are of no item" in found.notes[0]


def test_a_zip_beside_what_was_in_it_is_not_needed(tmp_path):
    fill(tmp_path, "covers/a.jpg")
    pack(tmp_path / "covers.zip", **{"covers/a.jpg": b"A"})
    found = find(tmp_path, "a")
    assert [*found.files] == ["a"]
    assert found.encoded is None
    assert "not needed" in found.rows[1]["became"]


def test_two_pictures_of_one_item_are_refused(tmp_path):
    fill(tmp_path, "covers/a.jpg", "covers/old/a.png")
    with pytest.raises(DataError, match="second picture of item 'a'"):
        find(tmp_path, "a")
    (two := tmp_path / "two").mkdir()
    pack(two / "covers.zip", **{"a.jpg": b"A", "more/a.jpg": b"B"})
    with pytest.raises(
        DataError, match=r"more/a\.jpg: is the second picture of item 'a', beside .*covers\.zip/a\.jpg"
    ):
        find(two, "a")


def test_what_unpacks_to_too_much_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "MOST_BYTES", 1 << 20)
    pack(tmp_path / "covers.zip", **{"a.jpg": bytes(1 << 20), "b.jpg": bytes((1 << 20) + 1)})
    found = find(tmp_path, "a", "b")
    assert found.encoded is not None
    assert [(item, len(content)) for item, content in found.encoded()] == [("a", 1 << 20)]
    assert "1 pictures have more than 1 MB" in found.notes[0]


def test_a_member_that_holds_more_than_it_says_is_refused(tmp_path, monkeypatch):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.jpg", bytes(5000))
    size = (5000).to_bytes(4, "little")
    (tmp_path / "covers.zip").write_bytes(packed.getvalue().replace(size, (500).to_bytes(4, "little")))
    found = find(tmp_path, "a")
    assert found.encoded is not None
    with pytest.raises(DataError, match=r"covers\.zip: is damaged"):
        list(found.encoded())


@pytest.mark.parametrize("fault", ["cut", "bytes", "none"])
def test_a_damaged_zip_is_told(tmp_path, fault):
    path = pack(tmp_path / "covers.zip", **{"a.jpg": b"A" * 500})
    whole = path.read_bytes()
    content = {"cut": whole[:-40], "bytes": whole.replace(b"AAA", b"AAB"), "none": b"no zip"}[fault]
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"covers\.zip: .*Get it again"):
        list((find(tmp_path, "a").encoded or iter)())
