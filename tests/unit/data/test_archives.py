"""Archives are read; none of them writes elsewhere or fills the disk."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from visrec.data import archives
from visrec.data.archives import is_tar, is_zip, opened_member, read_members, unpack, zip_members
from visrec.errors import DataError


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def tarred(path: Path, files: dict[str, bytes], *more: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        for entry in more:
            archive.addfile(entry)
    return path


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return entry


FILES = {"data/a.jpg": b"one", "data/sub/b.png": b"two", "__MACOSX/data/._a.jpg": b"x", "data/.hidden": b"x"}


@pytest.mark.parametrize(
    ("name", "make"), [("x.zip", zipped), ("x.tar.gz", tarred), ("x.tgz", tarred), ("x.tar", tarred)]
)
def test_files_of_an_archive_go_where_they_are_wanted(tmp_path, name, make):
    archive = make(tmp_path / name, FILES)
    told = []
    gone = unpack(
        archive,
        lambda one: tmp_path / "out" / Path(one).name if one.endswith(".jpg") else None,
        progress=lambda *said: told.append(said),
    )
    assert gone == {"data/a.jpg": tmp_path / "out" / "a.jpg"}
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.jpg"]
    assert (tmp_path / "out" / "a.jpg").read_bytes() == b"one"
    assert told[-1][0] == 3
    assert told[-1][2] == name


def test_what_is_an_archive_is_told_by_name_and_content(tmp_path):
    assert is_zip(zipped(tmp_path / "a.zip", FILES))
    assert not is_zip(zipped(tmp_path / "model.tar", FILES))  # as torch.save writes it
    assert not is_tar(tmp_path / "model.tar")
    assert is_tar(tarred(tmp_path / "b.tar.gz", FILES))
    (tmp_path / "c.zip").write_bytes(b"no zip")
    (tmp_path / "c.tar.gz").write_bytes(b"no tar")
    assert not is_zip(tmp_path / "c.zip")
    assert not is_tar(tmp_path / "c.tar.gz")


def test_a_member_is_read_without_unpacking(tmp_path):
    archive = zipped(tmp_path / "x.zip", FILES)
    assert [(one.name, one.size) for one in zip_members(archive)] == [
        ("data/a.jpg", 3),
        ("data/sub/b.png", 3),
    ]
    with opened_member(archive, "data/sub/b.png") as file:
        assert file.read() == b"two"
    with pytest.raises(DataError, match=r"holds no data/c\.png"), opened_member(archive, "data/c.png"):
        pass


@pytest.mark.parametrize(
    "name", ["../evil.jpg", "/etc/evil.jpg", "a/../../evil.jpg", "..\\evil.jpg", "C:/evil.jpg"]
)
@pytest.mark.parametrize(("archive", "make"), [("x.zip", zipped), ("x.tar.gz", tarred)])
def test_a_name_that_leads_outside_is_refused_before_anything_is_written_there(tmp_path, archive, make, name):
    packed = make(tmp_path / archive, {name: b"evil"})
    with pytest.raises(DataError, match="a place outside the archive"):
        unpack(packed, lambda one: tmp_path / "out" / one)
    assert not list(tmp_path.rglob("evil.jpg"))


def test_several_members_are_read_at_once_and_none_without_bound(tmp_path, monkeypatch):
    archive = zipped(tmp_path / "x.zip", FILES)
    assert list(read_members(archive, ["data/sub/b.png", "data/a.jpg"])) == [
        ("data/sub/b.png", b"two"),
        ("data/a.jpg", b"one"),
    ]
    with pytest.raises(DataError, match=r"holds no c\.png"):
        list(read_members(archive, ["c.png"]))
    monkeypatch.setattr(archives, "LARGEST", 2)
    with pytest.raises(DataError, match="claims 3 bytes; expected a picture"):
        list(read_members(archive, ["data/a.jpg"]))


def test_links_and_devices_are_no_files(tmp_path):
    device = tarfile.TarInfo("zero")
    device.type = tarfile.CHRTYPE
    archive = tarred(
        tmp_path / "x.tar", {"a.jpg": b"one"},
        link("b.jpg", "/etc/passwd"), link("c.jpg", "../../secret", tarfile.LNKTYPE), device,
    )  # fmt: skip
    gone = unpack(archive, lambda name: tmp_path / "out" / name)
    assert list(gone) == ["a.jpg"]


@pytest.mark.parametrize(("name", "make"), [("x.zip", zipped), ("x.tar.gz", tarred)])
def test_an_archive_that_unpacks_to_far_more_than_its_size_is_refused(tmp_path, monkeypatch, name, make):
    monkeypatch.setattr(archives, "_SMALL", 1000)
    bomb = make(tmp_path / name, {"a.csv": b"0" * 5_000_000})
    assert bomb.stat().st_size * archives.MOST < 5_000_000
    with pytest.raises(DataError, match="unpacks to more than 100 times"):
        unpack(bomb, lambda one: tmp_path / "out" / one)
    assert not (tmp_path / "out").exists()


def test_two_files_for_one_place_are_refused(tmp_path):
    archive = zipped(tmp_path / "x.zip", {"a/1.jpg": b"1", "b/1.jpg": b"2"})
    with pytest.raises(DataError, match=r"a/1\.jpg and b/1\.jpg are both to be 1\.jpg"):
        unpack(archive, lambda name: tmp_path / "out" / Path(name).name)


def test_names_that_stand_twice_are_refused(tmp_path):
    archive = zipped(tmp_path / "x.zip", {"a.csv": b"1", "b.csv": b"2"})
    archive.write_bytes(archive.read_bytes().replace(b"b.csv", b"a.csv"))
    with pytest.raises(DataError, match=r"a\.csv stands twice"):
        zip_members(tmp_path / "x.zip")


def test_a_password_is_told(tmp_path):
    archive = zipped(tmp_path / "x.zip", {"a.csv": b"1"})
    content = bytearray(archive.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1  # the flag "encrypted" of the directory at the end
    archive.write_bytes(content)
    with pytest.raises(DataError, match="protected by a password"):
        zip_members(archive)


@pytest.mark.parametrize(("name", "make"), [("x.zip", zipped), ("x.tar.gz", tarred)])
def test_damage_ends_in_one_message(tmp_path, name, make):
    import random

    noise = random.Random(0).randbytes(200_000)
    archive = make(tmp_path / name, {"a.jpg": noise})
    content = bytearray(archive.read_bytes())
    content[50_000:50_050] = bytes(50)
    archive.write_bytes(content)
    with pytest.raises(DataError, match=f"{name}: is damaged or cut short"):
        unpack(archive, lambda one: tmp_path / "out" / one)


def test_a_tar_cut_short_is_told(tmp_path):
    archive = tarred(tmp_path / "x.tar", {"a.jpg": b"1" * 5000, "b.jpg": b"2" * 5000})
    packed = gzip.compress(archive.read_bytes())
    (tmp_path / "y.tar.gz").write_bytes(packed[: len(packed) - 40])
    with pytest.raises(DataError, match=r"y\.tar\.gz: is damaged or cut short"):
        unpack(tmp_path / "y.tar.gz", lambda one: tmp_path / "out" / one)
