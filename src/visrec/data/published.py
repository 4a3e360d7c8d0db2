"""The published files in a folder: as they lie there, gzipped, or within zip archives."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

from visrec.data.archives import LARGEST, Limit, is_zip, opened_member, read_members, zip_members
from visrec.data.catalog import IMAGE_SUFFIXES
from visrec.data.foreign import file_row, files_below
from visrec.errors import DataError

_GZIP = b"\x1f\x8b"


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

    @classmethod
    def at(cls, path: Path) -> Published:
        """A file that lies there as it is."""
        return cls(path, None, path.stat().st_size)

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

    @property
    def on_disk(self) -> Path:
        """Where it lies, for what can only be read there.

        Raises:
            DataError: it is in an archive.
        """
        if self.member is not None:
            raise DataError(f"{self}: is packed. Unpack {self.path.name} first: unzip {self.path}")
        return self.path

    def __str__(self) -> str:
        return str(self.path) if self.member is None else f"{self.path}/{self.member}"

    @contextmanager
    def open(self) -> Iterator[Opened]:
        """For reading; what is gzipped (its content tells, not its name) is unpacked on the way."""
        if self.member is not None:
            with opened_member(self.path, self.member) as file:
                yield Opened(self, file)
        else:
            with self.path.open("rb") as raw:
                yield Opened(self, raw)


class Opened:
    """A published file on its way: no more bytes than a sound file can have, and damage told in one way."""

    def __init__(self, of: Published, raw: Any) -> None:
        self._of, self._raw, self._file = of, raw, raw
        self._limit: Limit | None = None
        if self.peek(len(_GZIP)) == _GZIP:
            self._file, self._limit = gzip.GzipFile(fileobj=raw), Limit(of.path)

    @property
    def done(self) -> int:
        """How many bytes of the file as it lies were read."""
        return int(self._raw.tell())

    def read(self, n: int) -> bytes:
        """The next bytes, `n` of them except at the end.

        Raises:
            DataError: it is damaged, or unpacks to more than any data do.
        """
        with self._reading():
            found: bytes = self._file.read(n)
        if self._limit is not None:
            self._limit.add(len(found))
        return found

    def peek(self, n: int) -> bytes:
        """The next bytes, at most `n` of them, which stay to be read."""
        with self._reading():
            found: bytes = self._file.peek(n)
        return found[:n]

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{self._of}: cannot be read to its end ({error}). Get it again.") from None


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
            raise DataError(
                f"{self.source if beside is None else beside.place}: holds no {' or '.join(names)} ({what}). Put it "
                f"there, under its published name."
            )
        return found

    def row(self, file: Published, what: str, became: str) -> dict[str, str]:
        """A row of `ForeignData.files`: the file as seen from the source."""
        return file_row(self.shown(Path(str(file))), what, became)

    def shown(self, place: Path) -> str:
        """A place as seen from the source."""
        root = self.source if self.source.is_dir() else self.source.parent
        return place.relative_to(root).as_posix()

    def pictures(self) -> list[Published]:
        """The picture files."""
        return [file for file in self.all if file.name.lower().endswith(IMAGE_SUFFIXES)]


def _all(source: Path) -> Iterator[Published]:
    for path in [source] if source.is_file() else files_below(source):
        if is_zip(path):
            for member in zip_members(path):
                yield Published(path, member.name, member.size)
        elif path.suffix.lower() == ".zip":
            raise DataError(f"{path}: is no whole zip archive. Get it again, or take it out of the folder.")
        else:
            yield Published.at(path)


def contents(files: Mapping[str, Published]) -> Iterator[tuple[str, bytes]]:
    """Pictures in archives, each of which is opened once: item, bytes.

    Raises:
        DataError: one is damaged, or larger than any picture.
    """
    items: dict[Path, list[tuple[str, str]]] = {}
    for item, file in files.items():
        items.setdefault(file.path, []).append((item, str(file.member)))
    for archive, pairs in items.items():
        found = read_members(archive, (member for _, member in pairs))
        for (item, _), (_, content) in zip(pairs, found, strict=True):
            yield item, content


def first_line(file: Published) -> str:
    """What stands on the first line of a text, or the beginning of that."""
    with file.open() as opened:
        start = opened.read(1 << 16).removeprefix(b"\xef\xbb\xbf")
    return start.partition(b"\n")[0].decode("utf-8", "replace").strip("\r")


def text_of(file: Published) -> str:
    """A small file as text: UTF-8, or else Latin-1, as old files are."""
    with file.open() as opened:
        content = opened.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise DataError(f"{file}: has more than {LARGEST:,} bytes; expected a small table. Get it again.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")
