"""Files of one record a line, as JSON or as Python writes a dictionary, gzipped or not: read without running them."""

from __future__ import annotations

import ast
import gzip
import json
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from visrec.errors import DataError
from visrec.progress import Progress

_LINES = 20_000  # at a time
_LONGEST = 1 << 24  # bytes of a line
_GZIP = b"\x1f\x8b"


def records(path: Path, *, progress: Progress | None = None) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number of the line and the record on it. Empty lines are passed over.

    Args:
        path: the file, `.gz` or plain.
        progress: called with (bytes read of the file, bytes in all, a note).

    Raises:
        DataError: a line is neither JSON nor a literal of Python, or no dictionary; the file is cut short.
    """
    size = path.stat().st_size
    with path.open("rb") as raw:
        zipped = raw.read(2) == _GZIP
        file: IO[bytes] | gzip.GzipFile = gzip.GzipFile(fileobj=raw) if zipped else raw
        raw.seek(0)
        number = 0
        try:
            while batch := _batch(file):
                yield from _parsed(path, batch, number)
                number += len(batch)
                if progress is not None:
                    progress(raw.tell(), size, path.name)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise DataError(
                f"{path}: is cut short or damaged after line {number:,} ({error}). Download it again."
            ) from None


def _batch(file: IO[bytes] | gzip.GzipFile) -> list[bytes]:
    lines: list[bytes] = []
    taken = 0
    while len(lines) < _LINES and taken < _LONGEST and (line := file.readline(_LONGEST)):
        lines.append(line)
        taken += len(line)
    return lines


def _parsed(path: Path, lines: list[bytes], before: int) -> list[tuple[int, dict[str, Any]]]:
    found = []
    with warnings.catch_warnings():  # Python warns of \d in a text
        warnings.simplefilter("ignore")
        for number, line in enumerate(lines, start=before + 1):
            if not line.strip():
                continue
            record = _record(line)
            if not isinstance(record, dict):
                raise DataError(
                    f"{path}: line {number:,} is no record: {line[:60]!r}…; expected a dictionary, in JSON or as "
                    f"Python writes it."
                )
            found.append((number, record))
    return found


def _record(line: bytes) -> Any:
    try:
        text = line.decode("utf-8").strip()
    except UnicodeDecodeError:
        return None
    try:
        try:
            found = json.loads(text)
        except ValueError:
            found = ast.literal_eval(text)
        return _sound(found) if b"\\u" in line else found
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def _sound(value: Any) -> Any:
    """The same without halves of letters (\\ud83d alone, of a text that was cut), which no table takes."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, dict):
        return {_sound(key): _sound(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_sound(one) for one in value]
    return value
