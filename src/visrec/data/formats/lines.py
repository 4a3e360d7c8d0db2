"""Text files of any size, plain or gzipped, in blocks of whole lines."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from visrec.errors import DataError
from visrec.progress import Progress

BLOCK = 1 << 26
"""Bytes of text at a time."""
_LONGEST = 1 << 28  # bytes of a line: no row of a table is as long
_STRANGERS = {  # what other files begin with: what they are, what to do
    b"PK\x03\x04": ("is a ZIP file", "Unpack it: unzip {name}"),
    b"7z\xbc\xaf\x27\x1c": ("is a 7z file", "Unpack it: 7z x {name}"),
    b"PAR1": ("is a Parquet file", "Bring the text file."),
    b"<!DOCTYPE": ("is a web page, not the data", "Download the file again."),
    b"<!doctype": ("is a web page, not the data", "Download the file again."),
    b"<html": ("is a web page, not the data", "Download the file again."),
    b"version https://git-lfs": (
        "only points to the data (Git LFS)",
        "Download the file itself: git lfs pull",
    ),
}


@dataclass(frozen=True)
class Block:
    """Whole lines of a file.

    Attributes:
        first: the number of the first of them, from 1.
        data: their bytes.
    """

    first: int
    data: bytes


def line_blocks(path: Path, *, progress: Progress | None = None, size: int = BLOCK) -> Iterator[Block]:
    """A file in blocks of whole lines, unpacked where it is gzipped (its content tells, not its name).

    Args:
        path: the file.
        progress: called with (bytes read of the file as it lies, its bytes, its name).
        size: bytes of a block.

    Raises:
        DataError: it cannot be read, is damaged or cut short (where it is gzipped), or is no text at all.
    """
    try:
        with path.open("rb") as raw:
            whole = raw.seek(0, 2)
            raw.seek(0)
            head = raw.read(32).removeprefix(b"\xef\xbb\xbf")
            _refuse_strangers(path, head)
            raw.seek(0)
            file: IO[bytes] = gzip.GzipFile(fileobj=raw) if head.startswith(b"\x1f\x8b") else raw  # type: ignore[assignment]
            first, rest = 1, file.read(3).removeprefix(b"\xef\xbb\xbf")
            while data := file.read(size):
                end = data.rfind(b"\n") + 1
                if end:
                    block = Block(first, rest + data[:end])
                    yield block
                    first += block.data.count(b"\n")
                    rest = data[end:]
                else:
                    rest += data
                if len(rest) > _LONGEST:
                    raise DataError(f"{path}: line {first:,} never ends; expected a text file of rows.")
                if progress is not None:
                    progress(raw.tell(), whole, path.name)
            if rest:
                yield Block(first, rest)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read to its end ({error}). Download it again.") from None


def _refuse_strangers(path: Path, head: bytes) -> None:
    for begin, (what, remedy) in _STRANGERS.items():
        if head.startswith(begin):
            raise DataError(f"{path}: {what}. {remedy.format(name=path.name)}")
    if not head:
        raise DataError(f"{path}: is empty. Download it again.")
