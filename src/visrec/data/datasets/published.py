"""The published files in a folder: as they lie there, or within the zip archives in which they are published."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import IO

from visrec.data.archives import is_zip, opened_member, zip_members
from visrec.data.catalog import IMAGE_SUFFIXES
from visrec.data.foreign import file_row
from visrec.errors import DataError


@dataclass(frozen=True)
class Published:
    """A published file.

    Attributes:
        path: where it lies, or the zip archive that it is in.
        member: its name in the archive; None: it lies there as it is.
        size: bytes.
    """

    path: Path
    member: str | None
    size: int

    @property
    def name(self) -> str:
        """Its name, without folders."""
        return self.path.name if self.member is None else PurePosixPath(self.member).name

    @property
    def stem(self) -> str:
        """Its name without the last suffix."""
        return PurePosixPath(self.name).stem

    @property
    def place(self) -> str:
        """The folder that it lies in, an archive counted as one."""
        return str(self.path.parent if self.member is None else self.path / PurePosixPath(self.member).parent)

    def __str__(self) -> str:
        return str(self.path) if self.member is None else f"{self.path}/{self.member}"

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """For reading; what is named `.gz` is unpacked on the way.

        Raises:
            DataError: it is damaged.
        """
        with self._raw() as file:
            if not self.name.lower().endswith(".gz"):
                yield file
                return
            try:
                with gzip.open(file) as unpacked:
                    yield unpacked  # type: ignore[misc]  # a reader of bytes
            except (gzip.BadGzipFile, EOFError, zlib.error) as error:
                raise DataError(f"{self}: is no whole gzip file ({error}). Get it again.") from None

    @contextmanager
    def _raw(self) -> Iterator[IO[bytes]]:
        if self.member is not None:
            with opened_member(self.path, self.member) as file:
                yield file
        else:
            with self.path.open("rb") as file:
                yield file


class PublishedFiles:
    """All files of a source, looked up once.

    Args:
        source: a folder (hidden files apart), or one file of it.

    Raises:
        DataError: there is no such place, or an archive in it is damaged.
    """

    def __init__(self, source: Path) -> None:
        if not source.exists():
            raise DataError(
                f"{source}: does not exist; expected a folder with the published files, or one of them."
            )
        self.source = source
        self.all = tuple(_all(source))

    def matching(self, *names: str) -> list[Published]:
        """The files whose names fit one of the patterns."""
        return [file for file in self.all if any(fnmatchcase(file.name, name) for name in names)]

    def find(self, *names: str, beside: Published | None = None) -> Published | None:
        """The one file whose name fits a pattern; None where there is none.

        Args:
            names: patterns.
            beside: only in the folder of this one.

        Raises:
            DataError: several fit.
        """
        found = [file for file in self.matching(*names) if beside is None or file.place == beside.place]
        if len(found) > 1:
            several = ", ".join(str(file) for file in found[:4])
            raise DataError(f"{self.source}: holds several of what is read once: {several}. Keep one.")
        return found[0] if found else None

    def get(self, *names: str, what: str, beside: Published | None = None) -> Published:
        """Like `find`.

        Raises:
            DataError: there is none, or several.
        """
        found = self.find(*names, beside=beside)
        if found is None:
            place = self.source if beside is None else Path(beside.place)
            raise DataError(
                f"{place}: holds no {' or '.join(names)} ({what}). Put it there, under its published name."
            )
        return found

    def row(self, file: Published, what: str, became: str) -> dict[str, str]:
        """A row of `ForeignData.files`: the file as seen from the source."""
        root = self.source if self.source.is_dir() else self.source.parent
        return file_row(Path(str(file)).relative_to(root).as_posix(), what, became)

    def pictures(self) -> list[Published]:
        """The picture files."""
        return [file for file in self.all if file.name.lower().endswith(IMAGE_SUFFIXES)]


def _all(source: Path) -> Iterator[Published]:
    for path in [source] if source.is_file() else _walk(source):
        if is_zip(path):
            for member in zip_members(path):
                yield Published(path, member.name, member.size)
        else:
            yield Published(path, None, path.stat().st_size)


def _walk(source: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(source):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(place, name)
            if not name.startswith(".") and path.is_file():
                yield path


def text_of(file: Published) -> str:
    """A small file as text: UTF-8, or else Latin-1, as old files are."""
    with file.open() as opened:
        content = opened.read()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")
