"""Pictures of known items in other people's folders and ZIP files, told by the names of their files."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePath, PurePosixPath

from visrec.data.catalog import IMAGE_SUFFIXES
from visrec.data.foreign import file_row
from visrec.errors import DataError

MOST_BYTES = 1 << 26
"""Of one picture in a ZIP file: what is larger is left out, since a few bytes may unpack to any size."""


@dataclass(frozen=True, eq=False)
class FoundPictures:
    """Where the pictures of items are.

    Attributes:
        files: picture files where they lie, by item.
        encoded: as of `ForeignData`, for those in ZIP files; None where there are none.
        rows: as of `ForeignData.files`.
        notes: what was left out.
    """

    files: Mapping[str, Path] = field(default_factory=dict)
    encoded: Callable[[], Iterator[tuple[str, bytes]]] | None = None
    rows: tuple[dict[str, str], ...] = ()
    notes: tuple[str, ...] = ()


def find_pictures(
    source: Path, items: Collection[str], *, folders: Sequence[str], zips: Sequence[str] = ()
) -> FoundPictures:
    """The pictures of items: the stem of a file's name is the item's id.

    Args:
        source: a folder; a single file holds no pictures.
        items: the ids that are known. Files of others are counted and left out.
        folders: patterns (small letters) for the names of folders in `source`, however deep, that hold pictures.
        zips: patterns (small letters) for the names of ZIP files that do. What they hold is read member by member and
            never unpacked to a path that they name. Items that have a file already need none of them.

    Raises:
        DataError: two files or members are of one item, or a ZIP file cannot be read.
    """
    if not source.is_dir():
        return FoundPictures()
    known = items if isinstance(items, set | frozenset) else set(items)
    files: dict[str, Path] = {}
    rows: list[dict[str, str]] = []
    notes: list[str] = []
    for folder in _picture_folders(source, folders):
        strangers = _take_files(folder, known, files)
        rows.append(file_row(folder.relative_to(source), "pictures", "images.csv points to them"))
        if strangers:
            notes.append(f"{folder}: {strangers:,} pictures are of no item of the data set: left out.")
    members: dict[str, tuple[Path, str]] = {}
    for path in _zip_files(source, zips):
        before = len(members)
        notes += _take_members(path, known - files.keys(), members)
        name, taken = path.relative_to(source), len(members) - before
        became = f"images/ ({taken:,} pictures)" if taken else "not needed: no item lacks a picture of it"
        rows.append(file_row(name, "pictures in a ZIP file", became))
    return FoundPictures(files, (lambda: _contents(members)) if members else None, tuple(rows), tuple(notes))


# ---- folders ---------------------------------------------------------------------------------------


def _picture_folders(source: Path, patterns: Sequence[str]) -> Iterator[Path]:
    """The topmost folders whose names fit, hidden ones left out."""
    for place, names, _ in os.walk(source):
        names[:] = sorted(name for name in names if not name.startswith((".", "__MACOSX")))
        fitting = [name for name in names if _fits(name, patterns)]
        yield from (Path(place) / name for name in fitting)
        names[:] = [name for name in names if name not in fitting]


def _take_files(folder: Path, known: Collection[str], files: dict[str, Path]) -> int:
    """Adds a folder's pictures of known items; how many are of others."""
    strangers = 0
    for place, names, found in os.walk(folder):
        names[:] = sorted(name for name in names if not name.startswith("."))
        for name in sorted(found):
            stem = PurePath(name).stem
            if PurePath(name).suffix.lower() not in IMAGE_SUFFIXES or name.startswith("."):
                continue
            if stem not in known:
                strangers += 1
            elif stem in files:
                raise DataError(
                    f"{Path(place) / name}: is the second picture of item {stem!r}, beside {files[stem]}. Keep one."
                )
            else:
                files[stem] = Path(place) / name
    return strangers


def _fits(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name.lower(), pattern) for pattern in patterns)


# ---- ZIP files -------------------------------------------------------------------------------------


def _zip_files(source: Path, patterns: Sequence[str]) -> list[Path]:
    found = [
        Path(place) / name
        for place, _, names in os.walk(source)
        for name in names
        if not name.startswith(".") and _fits(name, patterns)
    ]
    return sorted(found)


def _take_members(path: Path, known: Collection[str], members: dict[str, tuple[Path, str]]) -> list[str]:
    """Adds a ZIP file's pictures of known items; notes on the others."""
    strangers, large = 0, 0
    try:
        with zipfile.ZipFile(path) as archive:
            listed = archive.infolist()
    except (OSError, zipfile.BadZipFile, NotImplementedError) as error:
        raise DataError(f"{path}: is no readable ZIP file ({error}). Download it again.") from None
    for member in listed:
        name = PurePosixPath(member.filename)
        if member.is_dir() or name.suffix.lower() not in IMAGE_SUFFIXES or name.name.startswith("."):
            continue
        if name.stem not in known:
            strangers += 1
        elif member.file_size > MOST_BYTES:
            large += 1
        elif name.stem in members:
            other = members[name.stem][1]
            raise DataError(
                f"{path}: {member.filename} is the second picture of item {name.stem!r}, beside {other}. Keep one."
            )
        else:
            members[name.stem] = (path, member.filename)
    notes = []
    if strangers:
        notes.append(f"{path}: {strangers:,} pictures are of no item that lacks one: left out.")
    if large:
        notes.append(f"{path}: {large:,} pictures have more than {MOST_BYTES >> 20} MB: left out.")
    return notes


def _contents(members: Mapping[str, tuple[Path, str]]) -> Iterator[tuple[str, bytes]]:
    for path in dict.fromkeys(path for path, _ in members.values()):
        with zipfile.ZipFile(path) as archive:
            for item, (of, name) in members.items():
                if of == path:
                    yield item, _read_member(path, archive, name)


def _read_member(path: Path, archive: zipfile.ZipFile, name: str) -> bytes:
    try:
        with archive.open(name) as file:
            content = file.read(MOST_BYTES + 1)
    # RuntimeError: it is encrypted; NotImplementedError: a method of compression that Python has not.
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError) as error:
        raise DataError(f"{path}: {name} cannot be read ({error}). Download the ZIP file again.") from None
    if len(content) > MOST_BYTES:
        raise DataError(f"{path}: {name} holds more than the ZIP file says. Download it again.")
    return content
