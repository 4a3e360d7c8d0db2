"""Text files of any size, plain or packed, in blocks of whole lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from visrec.data.published import Published
from visrec.errors import DataError
from visrec.progress import Progress

BLOCK = 1 << 26
"""Bytes of text at a time."""
_BOM = b"\xef\xbb\xbf"
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


def line_blocks(file: Published, *, progress: Progress | None = None, size: int = BLOCK) -> Iterator[Block]:
    """A file in blocks of whole lines.

    Args:
        file: plain, gzipped, or in an archive.
        progress: called with (bytes read of the file as it lies, its bytes, its name).
        size: bytes of a block.

    Raises:
        DataError: it cannot be read, is damaged or cut short (where it is packed), or is no text at all.
    """
    with file.open() as opened:
        _refuse_strangers(file, opened.peek(32).removeprefix(_BOM))
        first, rest = 1, opened.read(len(_BOM)).removeprefix(_BOM)
        while data := opened.read(size):
            end = data.rfind(b"\n") + 1
            if end:
                block = Block(first, rest + data[:end])
                yield block
                first += block.data.count(b"\n")
                rest = data[end:]
            else:
                rest += data
            if len(rest) > _LONGEST:
                raise DataError(f"{file}: line {first:,} never ends; expected a text file of rows.")
            if progress is not None:
                progress(opened.done, file.size, file.name)
        if rest:
            yield Block(first, rest)


def _refuse_strangers(file: Published, head: bytes) -> None:
    for begin, (what, remedy) in _STRANGERS.items():
        if head.startswith(begin):
            raise DataError(f"{file}: {what}. {remedy.format(name=file.name)}")
    if not head:
        raise DataError(f"{file}: is empty. Download it again.")
