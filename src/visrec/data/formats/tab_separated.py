"""Tables of lines, their cells between tabs, as RecBole, MMRec and Elliot read and write them.

None of them says how a cell with a quotation mark is written. They read with pandas, which takes a cell in quotation
marks as quoted and some words as "no value"; and many files were put together without any quoting. So a cell is
unquoted here where all of it is quoted, and is taken as it stands otherwise: a lone mark swallows no lines below.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from visrec.data.tables import not_text
from visrec.errors import DataError

NO_VALUE = frozenset(
    {
        "#N/A",
        "#N/A N/A",
        "#NA",
        "-1.#IND",
        "-1.#QNAN",
        "-NaN",
        "-nan",
        "1.#IND",
        "1.#QNAN",
        "<NA>",
        "N/A",
        "NA",
    }
    | {"NULL", "NaN", "None", "n/a", "nan", "null"}
)
"""Words that pandas reads as a missing value."""
_BLOCK = 1 << 22  # bytes
_SHOWN = 80  # characters of a cell in a message


@dataclass(frozen=True, eq=False)
class SeparatedTable:
    """A table that was read.

    Attributes:
        path: of its file.
        rows: all cells as text; null where a cell is empty.
        above: lines above the first row: 1 with a header, 0 without.
    """

    path: Path
    rows: pl.DataFrame
    above: int

    def ids(self, column: str) -> pl.Series:
        """A column of ids as written; `DataError` names the first line without one."""
        ids = self.rows[column]
        missing = ids.is_null() | ids.str.strip_chars().is_in(["", "nan", "NaN"])
        if missing.any():
            raise self.fault(column, missing, "the id is missing")
        return ids

    def numbers(self, column: str) -> pl.Series:
        """A column of finite numbers: Int64 where all are whole, else Float64; an error names the first bad one."""
        texts = self.rows[column].str.strip_chars()
        whole = texts.cast(pl.Int64, strict=False)
        if whole.null_count() == 0:
            return whole
        numbers = texts.cast(pl.Float64, strict=False)
        bad = ~numbers.is_finite().fill_null(value=False)
        if bad.any():
            raise self.fault(column, bad, "is not a finite number")
        return numbers

    def times(self, column: str) -> pl.Series:
        """A column of moments as numbers; whole ones, also those written as 978300760.0, as Int64."""
        numbers = self.numbers(column)
        if numbers.dtype == pl.Float64:
            whole = numbers.cast(pl.Int64, strict=False)
            if whole.null_count() == 0 and (whole.cast(pl.Float64) == numbers).all():
                return whole
        return numbers

    def indices(self, column: str) -> pl.Series:
        """A column of whole numbers from 0 on, as Int64; `DataError` names the first other."""
        numbers = self.rows[column].str.strip_chars().cast(pl.Int64, strict=False)
        bad = (numbers < 0).fill_null(value=True)
        if bad.any():
            raise self.fault(column, bad, "is no whole number from 0 on")
        return numbers

    def fault(self, column: str, bad: pl.Series, what: str) -> DataError:
        """The error that names the first line where `bad` holds."""
        row = int(np.argmax(bad.to_numpy()))
        cell = self.rows[column][row]
        shown = "an empty cell" if cell is None else repr(cell[:_SHOWN])
        more = int(bad.sum())
        return DataError(
            f"{self.path}: line {row + 1 + self.above}, column {column}: {shown}: {what} (so in {more:,} of "
            f"{self.rows.height:,} lines). Mend or remove them."
        )


def read_header(path: Path, *, separator: str = "\t") -> list[str]:
    """The cells of a file's first line.

    Raises:
        DataError: the file is empty or no UTF-8 text, or a name occurs twice.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            line = file.readline(1 << 20)
    except UnicodeDecodeError:
        raise not_text(path) from None
    names = line.rstrip("\r\n").split(separator)
    if not line.strip():
        raise DataError(f"{path}: is empty; expected a first line with the names of the columns.")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{path}: column {twice!r} occurs twice in the first line; keep one.")
    return names


def read_separated(path: Path, *, names: list[str] | None = None, separator: str = "\t") -> SeparatedTable:
    """Read a table.

    Args:
        path: of the file.
        names: of the columns, where the file has no header; None: they are its first line. With names, a file may
            have fewer columns, but the same number in each line.
        separator: one character.

    Raises:
        DataError: no UTF-8 text, or a line with more or fewer cells than the first; the message names the line.
    """
    first = read_header(path, separator=separator) if names is None else _first_line(path, separator)
    columns = first if names is None else names[: len(first)]
    if len(first) > len(columns):
        raise DataError(
            f"{path}: line 1 has {len(first)} cells; expected at most {len(columns)}: {', '.join(columns)}."
        )
    above = int(names is None)
    lines = _checked_lines(path, len(columns), separator)
    try:
        rows = pl.read_csv(
            path,
            has_header=False,
            skip_rows=above,
            schema=dict.fromkeys(columns, pl.String),
            separator=separator,
            quote_char=None,
            glob=False,
        )
    except pl.exceptions.NoDataError:
        rows = pl.DataFrame(schema=dict.fromkeys(columns, pl.String))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        if "utf" in str(error).lower():
            raise not_text(path) from None
        what = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise DataError(f"{path}: cannot be read as a table ({what}).") from None
    return SeparatedTable(path, rows.head(lines - above).select(map(_unquoted, columns)), above)


def write_separated(table: pl.DataFrame, path: Path, *, header: bool) -> None:
    """Write a table between tabs; a cell that holds a quotation mark is quoted, an empty one is empty."""
    empty = pl.when(pl.col(pl.String) != "").then(pl.col(pl.String))
    table.with_columns(empty).write_csv(
        path, separator="\t", include_header=header, quote_style="necessary", null_value=""
    )


def refuse_ids(ids: pl.Series, *, kind: str, program: str) -> None:
    """Refuse ids that such a file cannot hold.

    Args:
        ids: as text.
        kind: "user" or "item", for the message.
        program: that is to read them.

    Raises:
        DataError: an id holds a tab or a line break, or is a word that pandas takes for no value.
    """
    for bad, why in (
        (ids.str.contains(r"[\t\r\n]"), "holds a tab or a line break, which separate cells and lines there"),
        (ids.is_in(sorted(NO_VALUE)), "is read as a missing value there"),
    ):
        if bad.any():
            raise DataError(
                f"{program}: the {kind} id {ids.filter(bad)[0]!r} {why} (so {ids.filter(bad).n_unique():,} ids). "
                f"Change such ids in the data set, in every table that has them, and export again."
            )


def one_line(texts: pl.Series) -> tuple[pl.Series, int]:
    """Texts with a space for tabs and line breaks, and how many were changed."""
    plain = texts.str.replace_all(r"[\t\r\n]+", " ")
    return plain, int((plain != texts).sum())


# ---- helpers ---------------------------------------------------------------------------------------


def _first_line(path: Path, separator: str) -> list[str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            line = file.readline(1 << 20).rstrip("\r\n")
    except UnicodeDecodeError:
        raise not_text(path) from None
    if not line:
        raise DataError(f"{path}: is empty, or its first line is; expected a table.")
    return line.split(separator)


def _checked_lines(path: Path, n: int, separator: str) -> int:
    """How many lines a file has, blank ones at its end aside; `DataError` for one without `n` cells."""
    left, cells, lines = _end(path), 0, 0
    with path.open("rb") as file:
        while left and (block := file.read(min(_BLOCK, left))):
            left -= len(block)
            data = np.frombuffer(block, dtype=np.uint8)
            marks, ends = np.flatnonzero(data == ord(separator)), np.flatnonzero(data == ord("\n"))
            before = np.searchsorted(marks, ends)  # separators until each end of a line
            found = np.diff(before, prepend=0)
            if len(found):
                found[0] += cells
            cells = len(marks) - int(before[-1]) if len(ends) else cells + len(marks)
            bad = np.flatnonzero(found != n - 1)
            if len(bad):
                raise _ragged(path, lines + int(bad[0]) + 1, int(found[bad[0]]) + 1, n)
            lines += len(ends)
    if cells != n - 1:
        raise _ragged(path, lines + 1, cells + 1, n)
    return lines + 1


def _end(path: Path) -> int:
    """The place in a file behind which there are only ends of lines."""
    with path.open("rb") as file:
        end = file.seek(0, 2)
        while end:
            start = max(0, end - _BLOCK)
            file.seek(start)
            tail = file.read(end - start).rstrip(b"\r\n")
            if tail:
                return start + len(tail)
            end = start
    return 0


def _ragged(path: Path, line: int, found: int, expected: int) -> DataError:
    return DataError(
        f"{path}: line {line} has {found} cells, the first line {expected}. The file is cut short or damaged there, "
        f"or a cell holds a tab or a line break; mend or remove the line."
    )


def _unquoted(column: str) -> pl.Expr:
    cell = pl.col(column)
    inner = cell.str.slice(1, cell.str.len_chars() - 2)
    rest = inner.str.replace_all('""', "", literal=True)
    whole = (cell.str.len_chars() >= 2) & cell.str.starts_with('"') & cell.str.ends_with('"')
    quoted = whole & ~rest.str.contains('"', literal=True)
    text = pl.when(quoted).then(inner.str.replace_all('""', '"', literal=True)).otherwise(cell)
    return pl.when(text != "").then(text).alias(column)
