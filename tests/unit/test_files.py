"""Files: a reader sees the old content or the new, and nothing is left beside it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from visrec.files import (
    exclusive,
    read_json,
    replacing,
    replacing_folder,
    sweep_temporaries,
    write_json,
    write_text,
)


class Interrupted(BaseException):
    """Stands for Ctrl-C, or any other end half way."""


def write_half(temporary: Path) -> None:
    """A writer that is interrupted."""
    (temporary / "new.txt" if temporary.is_dir() else temporary).write_text("ne")
    raise Interrupted


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_replaced_file_has_the_mode_of_any_new_one_whatever_its_writer_chooses(tmp_path: Path):
    old = os.umask(0o027)
    try:
        with replacing(tmp_path / "a.bin") as temporary:
            temporary.unlink()
            temporary.touch(mode=0o600)
    finally:
        os.umask(old)
    assert (tmp_path / "a.bin").stat().st_mode & 0o777 == 0o640


def test_replacing_shows_the_new_content_only_when_it_is_whole(tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
        assert (temporary.parent, temporary.suffix) == (tmp_path, ".csv")

    assert path.read_text() == "new"
    assert names_in(tmp_path) == ["a.csv"]


def test_replacing_that_fails_keeps_the_old_content_and_leaves_nothing(tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_text("old")
    with pytest.raises(Interrupted), replacing(path) as temporary:
        write_half(temporary)

    assert path.read_text() == "old"
    assert names_in(tmp_path) == ["a.csv"]


def test_replacing_makes_the_folders_above(tmp_path: Path):
    write_text(tmp_path / "a" / "b" / "c.txt", "é")

    assert (tmp_path / "a" / "b" / "c.txt").read_bytes() == "é".encode()


def test_replacing_folder_shows_the_new_folder_only_when_it_is_whole(tmp_path: Path):
    path = tmp_path / "run"
    for round_, content in enumerate(("first", "second")):
        with replacing_folder(path) as temporary:
            (temporary / f"{content}.txt").write_text(content)
            assert path.exists() == (round_ == 1)

    assert names_in(path) == ["second.txt"]
    assert names_in(tmp_path) == ["run"]


def test_replacing_folder_that_fails_keeps_the_old_folder_and_leaves_nothing(tmp_path: Path):
    path = tmp_path / "run"
    path.mkdir()
    (path / "old.txt").touch()
    with pytest.raises(Interrupted), replacing_folder(path) as temporary:
        write_half(temporary)

    assert names_in(path) == ["old.txt"]
    assert names_in(tmp_path) == ["run"]


def test_replacing_folder_does_not_take_the_place_of_a_file(tmp_path: Path):
    path = tmp_path / "notes"
    path.write_text("mine")
    with pytest.raises(NotADirectoryError, match="notes is a file"), replacing_folder(path):
        pass

    assert path.read_text() == "mine"
    assert names_in(tmp_path) == ["notes"]


def temporary_name(path: Path) -> str:
    """The name that `replacing` writes to."""
    with pytest.raises(Interrupted), replacing(path) as temporary:
        raise Interrupted
    return temporary.name


def test_sweep_removes_what_a_killed_process_left(tmp_path: Path):
    for name in ("a.csv", "b", "c.tar.gz", ".d"):
        (tmp_path / temporary_name(tmp_path / name)).touch()
    with pytest.raises(Interrupted), replacing_folder(tmp_path / "run") as temporary:
        raise Interrupted
    temporary.mkdir()
    (temporary / "half.txt").touch()
    sweep_temporaries(tmp_path)

    assert names_in(tmp_path) == []


def test_sweep_touches_nothing_else(tmp_path: Path):
    mine = [
        ".bashrc",
        ".cache.tmp",
        ".notes.tmp.txt",
        "a.tmp",
        ".old",
        ".vimrc.old",
        ".x.12345678.bak",
        "b.12345678.tmp",
    ]
    for name in mine:
        (tmp_path / name).touch()
    (tmp_path / ".config.tmp.d").mkdir()
    (tmp_path / ".backup.old.d").mkdir()
    sweep_temporaries(tmp_path)

    assert names_in(tmp_path) == sorted([*mine, ".config.tmp.d", ".backup.old.d"])


def test_sweep_puts_back_a_folder_whose_replacement_never_came(tmp_path: Path):
    """Killed between its two renames, `replacing_folder` leaves the old folder under another name."""
    for name in (".run.0123abcd.old", ".kept.0123abcd.old", "kept"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name.strip('.')}.txt").touch()
    sweep_temporaries(tmp_path)

    assert names_in(tmp_path) == ["kept", "run"]
    assert names_in(tmp_path / "run") == ["run.0123abcd.old.txt"]
    assert names_in(tmp_path / "kept") == ["kept.txt"]


def test_json_round_trip(tmp_path: Path):
    value = {"b": [1, 2.5, None], "a": "é"}
    write_json(tmp_path / "a.json", value)

    assert read_json(tmp_path / "a.json") == value
    assert (tmp_path / "a.json").read_text(encoding="utf-8").startswith('{\n  "b"')  # the order as given
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", float("nan"))
    assert read_json(tmp_path / "a.json") == value


def test_a_name_is_held_by_one_at_a_time(tmp_path: Path):
    with exclusive(tmp_path / "out"):
        with pytest.raises(BlockingIOError), exclusive(tmp_path / "out"):
            pass
        with exclusive(tmp_path / "other"):
            pass
    with exclusive(tmp_path / "out"):  # free again
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_a_killed_process_left_holds_nobody(tmp_path: Path):
    (tmp_path / ".out.lock").write_text("")
    with exclusive(tmp_path / "out"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_the_place_of_a_file_is_refused_by_its_name(tmp_path: Path):
    (tmp_path / "page.html").mkdir()
    with pytest.raises(IsADirectoryError, match="is a folder") as caught:
        write_text(tmp_path / "page.html", "new")
    assert caught.value.filename == str(tmp_path / "page.html")
    assert names_in(tmp_path) == ["page.html"]


@pytest.mark.parametrize("replaced", [replacing, replacing_folder])
def test_what_cannot_be_written_is_told_by_its_own_name(replaced, tmp_path: Path, monkeypatch):
    def refuse(path: Path, *args, **kwargs) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "touch", refuse)
    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(PermissionError) as caught, replaced(tmp_path / "new"):
        pass
    assert caught.value.filename == str(tmp_path / "new")
