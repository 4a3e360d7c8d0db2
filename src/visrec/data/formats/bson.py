"""BSON, the format of MongoDB's dumps: documents one after the other (bsonspec.org, version 1.1).

Only the kinds of values that dumps of data sets hold are read: texts, numbers, ids, times, lists, documents. Nothing
else is needed here, and code within a document is refused rather than kept.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from visrec.errors import DataError

MOST = 1 << 24
"""Bytes of a document: MongoDB's own limit."""
_DEPTH = 16
_INT32, _INT64, _DOUBLE = struct.Struct("<i"), struct.Struct("<q"), struct.Struct("<d")


class Readable(Protocol):
    """What bytes can be read from."""

    def read(self, n: int, /) -> bytes:
        """The next bytes, `n` of them except at the end."""


def read_documents(
    file: Readable, *, name: str, progress: Callable[[int], None] | None = None
) -> Iterator[dict[str, Any]]:
    """The documents of a dump; ids of MongoDB as hexadecimal text, times as milliseconds since 1970.

    Args:
        file: from its beginning.
        name: what messages call it.
        progress: called now and then with the bytes read.

    Raises:
        DataError: it is cut short, damaged, or holds what no data set has.
    """
    at, number = 0, 0
    while head := file.read(4):
        number += 1
        size = _INT32.unpack(head)[0] if len(head) == 4 else -1
        if not 5 <= size <= MOST:
            raise DataError(f"{name}: document {number:,}, at byte {at:,}, is no BSON. Get the file again.")
        body = file.read(size - 4)
        if len(body) < size - 4:
            raise DataError(f"{name}: is cut short in document {number:,}. Get the file again.")
        try:
            yield _document(head + body, 0, size, 0)[0]
        except (struct.error, ValueError, IndexError, RecursionError) as error:
            what = str(error) or type(error).__name__
            raise DataError(
                f"{name}: document {number:,}, at byte {at:,}, is damaged ({what:.120})."
            ) from None
        at += size
        if progress is not None and number % 4096 == 0:
            progress(at)


def _document(data: bytes, at: int, end: int, depth: int) -> tuple[dict[str, Any], int]:
    """The document that begins at a byte, which must end before another; and where it ends."""
    size = _INT32.unpack_from(data, at)[0]
    stop = at + size
    if size < 5 or stop > end or data[stop - 1] != 0 or depth > _DEPTH:
        raise ValueError("a document that does not end where it should")
    at += 4
    found: dict[str, Any] = {}
    while data[at] != 0:
        kind = data[at]
        zero = data.index(0, at + 1, stop)
        key = data[at + 1 : zero].decode()
        found[key], at = _value(kind, data, zero + 1, stop - 1, depth)
        if at > stop - 1:
            raise ValueError("a value longer than its document")
    if at != stop - 1:
        raise ValueError("bytes behind the end of a document")
    return found, stop


def _value(kind: int, data: bytes, at: int, end: int, depth: int) -> tuple[Any, int]:
    """A value and where it ends."""
    if kind == 0x02:
        size = _INT32.unpack_from(data, at)[0]
        stop = at + 4 + size
        if size < 1 or stop > end or data[stop - 1] != 0:
            raise ValueError("a text that does not end where it should")
        return data[at + 4 : stop - 1].decode(), stop
    if kind == 0x10:
        return _INT32.unpack_from(data, at)[0], at + 4
    if kind in (0x09, 0x12):
        return _INT64.unpack_from(data, at)[0], at + 8
    if kind == 0x01:
        return _DOUBLE.unpack_from(data, at)[0], at + 8
    if kind == 0x07:
        return data[at : at + 12].hex(), at + 12
    if kind in (0x03, 0x04):
        found, stop = _document(data, at, end, depth + 1)
        return list(found.values()) if kind == 0x04 else found, stop
    if kind == 0x08:
        return bool(data[at]), at + 1
    if kind == 0x0A:
        return None, at
    raise ValueError(f"a value of kind {kind:#04x}, which no data set needs")
