"""Text files of any size, plain or gzipped, in blocks of whole lines; every fault is told with its line."""

from __future__ import annotations

import csv
import gzip
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import polars as pl

from visrec.data.foreign import Progress
from visrec.errors import DataError

BLOCK = 1 << 26
"""Bytes of text at a time."""
_LONGEST = 1 << 28  # bytes of a line: no row of a table is as long
_UNREADABLE = (pl.exceptions.PolarsError, pl.exceptions.PanicException)
_SHOWN = 80
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


# ---- tables ----------------------------------------------------------------------------------------


def read_rows(
    path: Path,
    columns: Sequence[str],
    *,
    names: Sequence[str] | None = None,
    optional: Sequence[str] = (),
    separator: str = ",",
    progress: Progress | None = None,
    size: int = BLOCK,
) -> Iterator[tuple[int, pl.DataFrame]]:
    """Columns of a table without line breaks in its fields, as text, block by block.

    Args:
        path: the file.
        columns: that every row must have a value of.
        names: of all its columns, where it has no line of names.
        optional: columns that are taken where they are there.
        separator: between fields.
        progress: as of `line_blocks`.
        size: as of `line_blocks`.

    Yields:
        The number of the block's first line, and its rows, one a line.

    Raises:
        DataError: as `line_blocks`; a column is missing, a row has more fields than there are names or lacks a value
            of `columns`, or it is no UTF-8.
    """
    rows = 0
    for block in line_blocks(path, progress=progress, size=size):
        data, first = block.data, block.first
        if names is None:
            line, _, data = data.partition(b"\n")
            names = _names(path, line, columns, separator)
            first += 1
        found = tuple(name for name in (*columns, *optional) if name in names)
        data = data.rstrip(b"\r\n")  # blank lines at the end are no rows
        if data:
            table = _table(path, Block(first, data), names, separator).select(found)
            rows += table.height
            _require_values(path, first, table, columns)
            yield first, table
    if not rows:
        raise DataError(f"{path}: holds no rows. Download it again.")


def _names(path: Path, line: bytes, columns: Sequence[str], separator: str) -> tuple[str, ...]:
    text = line.decode("utf-8", "replace").strip("\r\n")
    names = tuple(next(csv.reader([text], delimiter=separator), []))
    missing = [name for name in columns if name not in names]
    if missing or len(set(names)) < len(names):
        shown = text if len(text) <= 4 * _SHOWN else f"{text[: 4 * _SHOWN]}…"
        raise DataError(
            f"{path}: its first line is {shown!r}; expected the names of columns, each once, with "
            f"{', '.join(columns)} among them."
        )
    return names


def _table(path: Path, block: Block, names: Sequence[str], separator: str) -> pl.DataFrame:
    try:
        return pl.read_csv(
            block.data,
            has_header=False,
            schema=dict.fromkeys(names, pl.String),
            separator=separator,
            quote_char='"' if b'"' in block.data else None,
        )
    except _UNREADABLE as error:
        for number, line in enumerate(block.data.split(b"\n"), start=block.first):
            _check_line(path, number, line, len(names), separator)
        what = str(error).splitlines()[0][:200]
        raise DataError(
            f"{path}: lines {block.first:,} and following: cannot be read ({what}). Download it again."
        ) from None


def _check_line(path: Path, number: int, line: bytes, width: int, separator: str) -> None:
    try:
        text = line.decode()
    except UnicodeDecodeError:
        raise DataError(f"{path}: line {number:,} is no UTF-8 text. Download it again.") from None
    try:
        found = len(next(csv.reader([text.rstrip("\r")], delimiter=separator, strict=True), []))
    except csv.Error as error:
        raise DataError(f"{path}: line {number:,}: wrong quotation marks ({error}).") from None
    if line.strip() and found != width:
        raise DataError(
            f"{path}: line {number:,} has {found} fields; expected {width}. The file is cut short or damaged: "
            f"download it again."
        )


def _require_values(path: Path, first: int, table: pl.DataFrame, columns: Sequence[str]) -> None:
    for name in columns:
        empty = table[name].is_null()
        if empty.any():
            number = first + int(empty.arg_max() or 0)
            raise DataError(
                f"{path}: line {number:,} has no {name} (so in {int(empty.sum()):,} lines of this part). The file is "
                f"cut short or damaged: download it again."
            )


def whole_numbers_of(path: Path, first: int, table: pl.DataFrame, name: str) -> pl.Series:
    """A column of text as Int64; `DataError` with the line of the first value that is no whole number."""
    return _parsed(
        path,
        first,
        table[name],
        pl.col(name).str.strip_chars().cast(pl.Int64, strict=False),
        "a whole number",
    )


def numbers_of(path: Path, first: int, table: pl.DataFrame, name: str) -> pl.Series:
    """A column of text as Float64; `DataError` with the line of the first value that is no finite number."""
    number = pl.col(name).str.strip_chars().cast(pl.Float64, strict=False)
    return _parsed(path, first, table[name], pl.when(number.is_finite()).then(number), "a number")


def days_of(path: Path, first: int, table: pl.DataFrame, name: str) -> pl.Series:
    """A column of days such as 2020-09-22 as the Unix seconds (Int64) of their midnights in UTC."""
    day = pl.col(name).str.to_datetime("%Y-%m-%d", time_unit="ms", strict=False)
    return _parsed(path, first, table[name], day.dt.epoch("s"), "a day such as 2020-09-22")


def _parsed(path: Path, first: int, column: pl.Series, how: pl.Expr, expected: str) -> pl.Series:
    parsed = column.to_frame().select(how.alias(column.name)).to_series()
    lost = parsed.is_null()
    if lost.any():
        row = int(lost.arg_max() or 0)
        raise DataError(
            f"{path}: line {first + row:,}: {column.name} is {_short(column[row])}; expected {expected} (so in "
            f"{int(lost.sum()):,} lines of this part)."
        )
    return parsed


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


# ---- JSON ------------------------------------------------------------------------------------------


def read_objects(
    path: Path,
    schema: Mapping[str, pl.DataType | type[pl.DataType]],
    *,
    progress: Progress | None = None,
    size: int = BLOCK,
) -> Iterator[tuple[int, pl.DataFrame]]:
    """Some fields of a file with one JSON object a line, block by block; what an object lacks is null.

    Args:
        path: the file.
        schema: the fields that are taken, and their types. A number where text is expected becomes text.
        progress: as of `line_blocks`.
        size: as of `line_blocks`.

    Yields:
        The number of the block's first line, and its rows.

    Raises:
        DataError: as `line_blocks`; a line is no JSON object, or a field is of a kind that does not fit.
    """
    for block in line_blocks(path, progress=progress, size=size):
        if not block.data.strip():
            continue
        try:
            yield block.first, pl.read_ndjson(block.data, schema=dict(schema))
        except _UNREADABLE as error:
            raise DataError(_faulty_object(path, block, schema, error)) from None


def _faulty_object(
    path: Path, block: Block, schema: Mapping[str, pl.DataType | type[pl.DataType]], error: BaseException
) -> str:
    for number, line in enumerate(block.data.split(b"\n"), start=block.first):
        if not line.strip():
            continue
        try:
            found = json.loads(line.decode())
        except ValueError:
            return (
                f"{path}: line {number:,} is no JSON ({line[:_SHOWN].decode('utf-8', 'replace')!r}). The file is cut "
                f"short or damaged: download it again."
            )
        if not isinstance(found, dict):
            return f"{path}: line {number:,} holds {_short(found)}; expected a JSON object."
        if not _fits(line, schema):
            return f"{path}: line {number:,}: {_misfit(found, schema)}"
    return f"{path}: lines {block.first:,} and following: {str(error).splitlines()[0][:200]}"


def _fits(line: bytes, schema: Mapping[str, pl.DataType | type[pl.DataType]]) -> bool:
    try:
        pl.read_ndjson(line + b"\n", schema=dict(schema))
    except _UNREADABLE:
        return False
    return True


def _misfit(found: Mapping[str, object], schema: Mapping[str, pl.DataType | type[pl.DataType]]) -> str:
    for name, dtype in schema.items():
        if name in found and not _fits(json.dumps({name: found[name]}).encode(), {name: dtype}):
            return f"{name} is {_short(found[name])}; expected what the published files have there."
    return "its fields are of another kind than those of the published files."
