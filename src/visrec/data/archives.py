"""Archives of strangers (zip, tar): read so that nothing is written elsewhere, and no disk or memory is filled.

What stands in an archive is a claim. A name may lead out of the folder, a link may point anywhere, and a few thousand
bytes may unpack to terabytes. So names are checked, links and devices are passed over, and an archive that unpacks to
more than `MOST` times its size is refused before anything is written.
"""

from __future__ import annotations

import lzma
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from visrec.errors import DataError
from visrec.progress import Progress

MOST = 100
"""Times its own size that an archive may unpack to. Tables take some 4 times, pictures hardly more than 1."""
LARGEST = 1 << 28
"""Bytes of a file that is read into memory at once."""
_SMALL = 1 << 28  # bytes that any archive may unpack to
_SPARE = 1 << 28  # bytes of the disk that stay free
_CHUNK = 1 << 20
_TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    ValueError,
    NotImplementedError,
)


@dataclass(frozen=True)
class Member:
    """A file within an archive: its name, parts separated by "/", and its bytes when unpacked."""

    name: str
    size: int


class Limit:
    """Counts the bytes that an archive unpacks to, and refuses too many.

    Args:
        path: the archive, or the packed file.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._left = path, max(_SMALL, MOST * path.stat().st_size)

    def add(self, size: int) -> None:
        """So many more.

        Raises:
            DataError: they are more than `MOST` times the bytes of the file.
        """
        self._left -= size
        if self._left < 0:
            raise DataError(
                f"{self._path}: unpacks to more than {MOST} times its {self._path.stat().st_size:,} bytes, which no "
                f"data do: it is damaged, or made to fill the disk. Unpack it yourself if you trust it."
            )


def is_zip(path: Path) -> bool:
    """Whether a file is a zip archive by name and content. (PyTorch's files are one by content alone.)"""
    return path.suffix.lower() == ".zip" and path.is_file() and zipfile.is_zipfile(path)


def is_tar(path: Path) -> bool:
    """Whether a file is a tar archive, packed or not, by name and content."""
    return path.name.lower().endswith(_TARS) and path.is_file() and tarfile.is_tarfile(path)


def zip_members(path: Path) -> list[Member]:
    """The files of a zip archive; folders, and what systems hide in archives, are none.

    Raises:
        DataError: it is damaged, protected by a password, names a place outside, or claims too much.
    """
    with _reading(path), zipfile.ZipFile(path) as archive:
        entries = [entry for entry in archive.infolist() if not entry.is_dir()]
        limit = Limit(path)
        found = []
        for entry in entries:
            if entry.flag_bits & 1:
                raise DataError(
                    f"{path}: is protected by a password. Unpack it yourself, and give the folder."
                )
            limit.add(entry.file_size)
            if _wanted(path, entry.filename):
                found.append(Member(entry.filename, entry.file_size))
    _check_once(path, found)
    return found


@contextmanager
def opened_member(path: Path, name: str) -> Iterator[IO[bytes]]:
    """A file of a zip archive, for reading from its beginning; never more bytes than it claims.

    Raises:
        DataError: there is no such file, or it is damaged.
    """
    with _reading(path), zipfile.ZipFile(path) as archive:
        try:
            entry = archive.getinfo(name)
        except KeyError:
            raise DataError(f"{path}: holds no {name}.") from None
        with archive.open(entry) as file:
            yield file


def read_members(path: Path, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """Small files of a zip archive, which is opened once: name, content.

    Raises:
        DataError: there is no such file, it is damaged, or larger than `LARGEST`.
    """
    with _reading(path), zipfile.ZipFile(path) as archive:
        for name in names:
            if name not in archive.NameToInfo:
                raise DataError(f"{path}: holds no {name}.")
            size = archive.getinfo(name).file_size
            if size > LARGEST:
                raise DataError(
                    f"{path}: {name} claims {size:,} bytes; expected a picture. Take it out of the archive."
                )
            yield name, archive.read(name)


def unpack(
    path: Path, where: Callable[[str], Path | None], *, progress: Progress | None = None
) -> dict[str, Path]:
    """Unpack the files of a zip or tar archive.

    Args:
        path: the archive.
        where: from a checked name to where the file goes; None: it is passed over. Folders are made.
        progress: called with (bytes done, bytes in all or 0, the archive's name).

    Returns:
        Where each file went, by name.

    Raises:
        DataError: as of `zip_members`; two files would go to one place; the disk is too small.
    """
    gone: dict[str, Path] = {}
    taken: dict[Path, str] = {}
    done, total = 0, sum(member.size for member in zip_members(path)) if is_zip(path) else 0
    for name, size, file in _each(path):
        target = where(name)
        if target is None:
            continue
        if target in taken or target.exists():
            first = taken.get(target, "another file")
            raise DataError(
                f"{path}: {first} and {name} are both to be {target.name}. Unpack it yourself, keep one, and give "
                f"the folder."
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(target.parent).free < size + _SPARE:
            raise DataError(
                f"{path}: {name} takes {size:,} bytes, and the disk of {target.parent} has too few. Free some, or "
                f"take a data folder on another disk."
            )
        with target.open("xb") as written:
            while chunk := _chunk(path, file):
                written.write(chunk)
        taken[target], gone[name] = name, target
        done += size
        if progress is not None:
            progress(done, total, path.name)
    return gone


def _chunk(path: Path, file: IO[bytes]) -> bytes:
    with _reading(path):  # what fails in writing is another matter
        return file.read(_CHUNK)


def _each(path: Path) -> Iterator[tuple[str, int, IO[bytes]]]:
    """The files one after the other: name, size, content."""
    if is_zip(path):
        members = zip_members(path)
        with _reading(path), zipfile.ZipFile(path) as archive:
            for member in members:
                with archive.open(member.name) as file:
                    yield member.name, member.size, file
        return
    limit, seen = Limit(path), set()
    with _reading(path), tarfile.open(path, mode="r:*") as tar:
        for entry in tar:
            if not entry.isreg():
                continue
            if entry.sparse is not None:
                raise DataError(f"{path}: {entry.name} is a file with holes; pack it plainly.")
            limit.add(entry.size)
            if not _wanted(path, entry.name):
                continue
            if entry.name in seen:
                raise DataError(f"{path}: {entry.name} stands twice in it. Pack it again.")
            seen.add(entry.name)
            content = tar.extractfile(entry)
            if content is not None:
                yield entry.name, entry.size, content
        # To the very end, where a packed archive has its checksum.
        while tar.fileobj is not None and (tail := tar.fileobj.read(_CHUNK)):
            limit.add(len(tail))


def _wanted(path: Path, name: str) -> bool:
    """Whether a name is that of a file to look at; an error where it leads out of the archive's folder."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if not parts or name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0] or "\0" in name:
        raise DataError(
            f"{path}: names the file {name!r:.100}, a place outside the archive. Nothing of it was read: it is made "
            f"to overwrite other files."
        )
    return not any(part.startswith(".") and part != "." for part in parts) and parts[0] != "__MACOSX"


def _check_once(path: Path, members: list[Member]) -> None:
    seen: set[str] = set()
    for member in members:
        if member.name in seen:
            raise DataError(f"{path}: {member.name} stands twice in it. Pack it again.")
        seen.add(member.name)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    except _DAMAGE as error:
        what = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError(f"{path}: is damaged or cut short ({what}). Get it again.") from None
