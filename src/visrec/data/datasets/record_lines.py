"""Files of one record a line, as JSON or as Python writes a dictionary, gzipped or not: read without running them."""

from __future__ import annotations

import ast
import json
import warnings
from collections.abc import Iterator
from typing import Any

from visrec.data.formats.lines import Block, line_blocks
from visrec.data.published import Published
from visrec.errors import DataError
from visrec.progress import Progress

_BLOCK = 1 << 22  # bytes of text whose records are in memory at once
_LONGEST = 1 << 22  # bytes of a literal of Python


def records(file: Published, *, progress: Progress | None = None) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number of the line and the record on it. Empty lines are passed over.

    Args:
        file: of the records.
        progress: as of `line_blocks`.

    Raises:
        DataError: a line is neither JSON nor a literal of Python, or no dictionary; the file is cut short.
    """
    for block in line_blocks(file, progress=progress, size=_BLOCK):
        yield from _parsed(file, block)


def _parsed(file: Published, block: Block) -> list[tuple[int, dict[str, Any]]]:
    found = []
    with warnings.catch_warnings():  # Python warns of \d in a text
        warnings.simplefilter("ignore")
        for number, line in enumerate(block.data.split(b"\n"), start=block.first):
            if not line.strip():
                continue
            record = _record(line)
            if not isinstance(record, dict):
                raise DataError(
                    f"{file}: line {number:,} is no record: {line[:60]!r}…; expected a dictionary, in JSON or as "
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
            # What Python makes of a literal on the way takes a hundred times its bytes.
            found = ast.literal_eval(text) if len(line) < _LONGEST else None
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
