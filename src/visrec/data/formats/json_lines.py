"""Fields of files with one JSON object a line, block by block; every fault is told with its line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

import polars as pl

from visrec.data.formats.lines import Block, line_blocks
from visrec.data.published import Published
from visrec.errors import DataError
from visrec.progress import Progress

_UNREADABLE = (pl.exceptions.PolarsError, pl.exceptions.PanicException)
_SHOWN = 80  # characters of a value in a message

BLOCK = 1 << 24
"""Bytes of text at a time: parsed, they take many times as much."""
Schema = Mapping[str, pl.DataType | type[pl.DataType]]
"""The fields that are taken, and their types."""


def read_objects(
    file: Published,
    schema: Schema,
    *,
    progress: Progress | None = None,
    size: int = BLOCK,
) -> Iterator[tuple[int, pl.DataFrame]]:
    """Some fields of a file with one JSON object a line, block by block; what an object lacks is null.

    Args:
        file: the file.
        schema: the fields that are taken, and their types. A number where text is expected becomes text.
        progress: as of `line_blocks`.
        size: as of `line_blocks`.

    Yields:
        The number of the block's first line, and its rows.

    Raises:
        DataError: as `line_blocks`; a line is no JSON object, or a field is of a kind that does not fit.
    """
    empty = True
    for block in line_blocks(file, progress=progress, size=size):
        if not block.data.strip():
            continue
        empty = False
        try:
            yield block.first, pl.read_ndjson(block.data, schema=dict(schema))
        except _UNREADABLE as error:
            raise DataError(_faulty_object(file, block, schema, error)) from None
    if empty:
        raise DataError(f"{file}: holds no rows. Download it again.")


def _faulty_object(file: Published, block: Block, schema: Schema, error: BaseException) -> str:
    for number, line in enumerate(block.data.split(b"\n"), start=block.first):
        if not line.strip():
            continue
        try:
            found = json.loads(line.decode())
        except ValueError:
            return (
                f"{file}: line {number:,} is no JSON ({line[:_SHOWN].decode('utf-8', 'replace')!r}). The file is cut "
                f"short or damaged: download it again."
            )
        if not isinstance(found, dict):
            return f"{file}: line {number:,} holds {_shown(found)}; expected a JSON object."
        if not _fits(line, schema):
            return f"{file}: line {number:,}: {_misfit(found, schema)}"
    return f"{file}: lines {block.first:,} and following: {str(error).splitlines()[0][:200]}"


def _fits(line: bytes, schema: Schema) -> bool:
    try:
        pl.read_ndjson(line + b"\n", schema=dict(schema))
    except _UNREADABLE:
        return False
    return True


def _misfit(found: Mapping[str, object], schema: Schema) -> str:
    for name, dtype in schema.items():
        if name in found and not _fits(json.dumps({name: found[name]}).encode(), {name: dtype}):
            return f"{name} is {_shown(found[name])}; expected what the published files have there."
    return "its fields are of another kind than those of the published files."


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
