"""Columns of tables of any size (CSV, TSV), block by block; every fault is told with its line."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence

import polars as pl

from visrec.data.formats.lines import BLOCK, Block, line_blocks
from visrec.data.published import Published
from visrec.errors import DataError
from visrec.progress import Progress

_UNREADABLE = (pl.exceptions.PolarsError, pl.exceptions.PanicException)
_UNSEEN = "\x1f"  # a sign made to separate fields, which texts don't have
_SHOWN = 80  # characters of a value in a message


def read_rows(
    file: Published,
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
        file: the file.
        columns: that every row must have a value of.
        names: of all its columns, where it has no line of names.
        optional: columns that are taken where they are there.
        separator: between fields; of several signs, such as "::", too.
        progress: as of `line_blocks`.
        size: as of `line_blocks`.

    Yields:
        The number of the block's first line, and its rows, one a line.

    Raises:
        DataError: as `line_blocks`; a column is missing, a row has more fields than there are names or lacks a value
            of `columns`, or it is no UTF-8.
    """
    rows, several = 0, separator
    if len(several) > 1:
        separator = _UNSEEN
    for block in line_blocks(file, progress=progress, size=size):
        data, first = block.data, block.first
        if len(several) > 1:
            data = data.replace(several.encode(), separator.encode())
        if names is None:
            line, _, data = data.partition(b"\n")
            names = _names(file, line, columns, separator)
            first += 1
        found = tuple(name for name in (*columns, *optional) if name in names)
        data = data.rstrip(b"\r\n")  # blank lines at the end are no rows
        if data:
            table = _table(file, Block(first, data), names, separator).select(found)
            rows += table.height
            # Fields that lack at the end of a line count as empty; where a file is cut short, they lack.
            _check_line(file, first + data.count(b"\n"), data[data.rfind(b"\n") + 1 :], len(names), separator)
            _require_values(file, first, table, columns)
            yield first, table
    if not rows:
        raise DataError(f"{file}: holds no rows. Download it again.")


def _names(file: Published, line: bytes, columns: Sequence[str], separator: str) -> tuple[str, ...]:
    text = line.decode("utf-8", "replace").strip("\r\n")
    names = tuple(next(csv.reader([text], delimiter=separator), []))
    missing = [name for name in columns if name not in names]
    if missing or len(set(names)) < len(names):
        shown = text if len(text) <= 4 * _SHOWN else f"{text[: 4 * _SHOWN]}…"
        raise DataError(
            f"{file}: its first line is {shown!r}; expected the names of columns, each once, with "
            f"{', '.join(columns)} among them."
        )
    return names


def _table(file: Published, block: Block, names: Sequence[str], separator: str) -> pl.DataFrame:
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
            _check_line(file, number, line, len(names), separator)
        what = str(error).splitlines()[0][:200]
        raise DataError(
            f"{file}: lines {block.first:,} and following: cannot be read ({what}). Download it again."
        ) from None


def _check_line(file: Published, number: int, line: bytes, width: int, separator: str) -> None:
    try:
        text = line.decode()
    except UnicodeDecodeError:
        raise DataError(f"{file}: line {number:,} is no UTF-8 text. Download it again.") from None
    try:
        found = len(next(csv.reader([text.rstrip("\r")], delimiter=separator, strict=True), []))
    except csv.Error as error:
        raise DataError(f"{file}: line {number:,}: wrong quotation marks ({error}).") from None
    if line.strip() and found != width:
        raise DataError(
            f"{file}: line {number:,} has {found} fields; expected {width}. The file is cut short or damaged: "
            f"download it again."
        )


def _require_values(file: Published, first: int, table: pl.DataFrame, columns: Sequence[str]) -> None:
    for name in columns:
        empty = table[name].is_null()
        if empty.any():
            number = first + int(empty.arg_max() or 0)
            raise DataError(
                f"{file}: line {number:,} has no {name} (so in {int(empty.sum()):,} lines of this part). The file is "
                f"cut short or damaged: download it again."
            )


def whole_numbers_of(file: Published, first: int, table: pl.DataFrame, name: str) -> pl.Series:
    """A column of text as Int64; `DataError` with the line of the first value that is no whole number."""
    return _parsed(
        file,
        first,
        table[name],
        pl.col(name).str.strip_chars().cast(pl.Int64, strict=False),
        "a whole number",
    )


def digits_of(file: Published, first: int, table: pl.DataFrame, name: str) -> pl.Series:
    """A column of text as it is; `DataError` with the line of the first value that is not of digits alone."""
    digits = pl.when(pl.col(name).str.contains("^[0-9]+$")).then(pl.col(name))
    return _parsed(file, first, table[name], digits, "digits alone")


def numbers_of(file: Published, first: int, table: pl.DataFrame, name: str) -> pl.Series:
    """A column of text as Float64; `DataError` with the line of the first value that is no finite number."""
    number = pl.col(name).str.strip_chars().cast(pl.Float64, strict=False)
    return _parsed(file, first, table[name], pl.when(number.is_finite()).then(number), "a number")


def days_of(file: Published, first: int, table: pl.DataFrame, name: str) -> pl.Series:
    """A column of days such as 2020-09-22 as the Unix seconds (Int64) of their midnights in UTC."""
    day = pl.col(name).str.to_datetime("%Y-%m-%d", time_unit="ms", strict=False)
    return _parsed(file, first, table[name], day.dt.epoch("s"), "a day such as 2020-09-22")


def _parsed(file: Published, first: int, column: pl.Series, how: pl.Expr, expected: str) -> pl.Series:
    parsed = column.to_frame().select(how.alias(column.name)).to_series()
    lost = parsed.is_null()
    if lost.any():
        row = int(lost.arg_max() or 0)
        raise DataError(
            f"{file}: line {first + row:,}: {column.name} is {str(column[row])[:_SHOWN]!r}; expected {expected} "
            f"(so in {int(lost.sum()):,} lines of this part)."
        )
    return parsed
