"""Reading CSV and Parquet tables so that every fault ends in one message naming file, row and column."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import polars as pl

from visrec.data.ids import whole_numbers
from visrec.errors import DataError

# Tried in this order; all values of a column must fit one of them.
_TIME_FORMATS = (
    "%Y-%m-%dT%H:%M:%S%.f%#z",
    "%Y-%m-%d %H:%M:%S%.f%#z",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d",
    "%Y/%m/%d",
)
PARTS = ("train", "valid", "test")
"""The words for the numbers of parts, 0, 1, 2."""
_PARTS = {"0": 0, "false": 0, "train": 0, "1": 2, "true": 2, "test": 2, "valid": 1, "validation": 1}
_OTHER_FILES = {  # what a file that is not UTF-8 begins with: what it is, what to do
    b"PAR1": ("is a Parquet file", "Rename it to .parquet."),
    b"PK\x03\x04": ("is a spreadsheet or ZIP file", "Export it as CSV (UTF-8)."),
    b"\x1f\x8b": ("is compressed", "Unpack it with gunzip."),
    b"\xff\xfe": ("is UTF-16 text", "Convert it: iconv -f utf-16 -t utf-8 {name} > new && mv new {name}"),
    b"\xfe\xff": ("is UTF-16 text", "Convert it: iconv -f utf-16 -t utf-8 {name} > new && mv new {name}"),
}
# Polars panics on some damaged files, which is no Exception to Python.
_UNREADABLE = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)


def find_table(folder: Path, stem: str) -> Path | None:
    """`stem.csv` or `stem.parquet` in a folder, or None; an error where both exist or it is a folder."""
    found = [path for path in (folder / f"{stem}.csv", folder / f"{stem}.parquet") if path.exists()]
    if len(found) == 2:
        raise DataError(f"{folder}: holds both {stem}.csv and {stem}.parquet; keep one of them.")
    if found and not found[0].is_file():
        raise DataError(f"{found[0]}: is a folder; expected a file.")
    return found[0] if found else None


def read_table(path: Path, *, required: tuple[str, ...]) -> pl.DataFrame:
    """Read a Parquet file, or a CSV file with all columns as text, exactly as written.

    Blank lines at the end of a CSV file are no rows.

    Raises:
        DataError: missing or doubled columns, wrong encoding, ragged rows, no rows.
    """
    table = _read_parquet(path) if path.suffix == ".parquet" else _read_csv(path)
    _check(path, table, required)
    return table


class Columns:
    """The columns of a table, handed out one after the other, so that they need not be in memory together.

    Of a Parquet file, each is read when it is taken. A CSV file is read as a whole, and what was taken is let go of.

    Attributes:
        names: of all columns.
        found: the same, for messages.
        height: number of rows.
    """

    def __init__(self, path: Path, *, required: tuple[str, ...]) -> None:
        """Look at a table; raises `DataError` as `read_table` does."""
        self._path = path
        self._table = None if path.suffix == ".parquet" else read_table(path, required=required)
        head = _read_parquet(path, n_rows=1) if self._table is None else self._table
        _check(path, head, required)
        self.names, self.found = head.columns, columns_of(head)
        self.height = _parquet_height(path) if self._table is None else head.height

    def take(self, name: str) -> pl.DataFrame:
        """A table of one column, which is taken once."""
        if self._table is None:
            return _read_parquet(self._path, columns=[name])
        column = self._table.select(name)
        self._table = self._table.drop(name)
        return column


def _check(path: Path, table: pl.DataFrame, required: tuple[str, ...]) -> None:
    """`DataError` where columns are missing, or there is no row."""
    missing = [column for column in required if column not in table.columns]
    if missing:
        found = columns_of(table)
        hint = f"Expected {','.join(required)}; rename or add what is missing."
        if path.suffix != ".parquet":
            hint = f"The first line must be the header, with {','.join(required)}."
        if len(table.columns) == 1 and any(mark in found for mark in (";", "\\t", "|")):
            hint = "The columns seem to be separated by another sign; separate them by commas."
        raise DataError(f"{path}: column {', '.join(missing)} is missing. Found: {found}. {hint}")
    if table.height == 0:
        raise DataError(f"{path}: has column names but no rows; expected at least one.")


def _read_parquet(path: Path, *, columns: list[str] | None = None, n_rows: int | None = None) -> pl.DataFrame:
    try:
        return pl.read_parquet(path, columns=columns, n_rows=n_rows, glob=False, hive_partitioning=False)
    except _UNREADABLE as error:
        raise DataError(
            f"{path}: is not a readable Parquet file ({_first_line(error)}). Write it again, or bring it as CSV."
        ) from None


def _parquet_height(path: Path) -> int:
    try:
        rows = pl.scan_parquet(path, glob=False, hive_partitioning=False).select(pl.len()).collect()
        return int(rows.item())
    except _UNREADABLE as error:
        raise DataError(
            f"{path}: is not a readable Parquet file ({_first_line(error)}). Write it again, or bring it as CSV."
        ) from None


def _read_csv(path: Path) -> pl.DataFrame:
    header = _csv_header(path)
    doubled = sorted({name for name in header if header.count(name) > 1})
    if doubled:
        raise DataError(
            f"{path}: column {', '.join(map(repr, doubled))} occurs twice in the header; keep one."
        )
    try:
        table = pl.read_csv(path, glob=False, infer_schema=False)
    except _UNREADABLE as error:
        message = _first_line(error)
        if "utf-8" in message:
            raise not_text(path) from None
        raise DataError(_broken_row(path, header) or f"{path}: cannot be read as CSV ({message}).") from None
    filled = table.select(~pl.all_horizontal(pl.all().is_null())).to_series().to_numpy()
    return table.head(len(filled) - int(np.argmax(filled[::-1])) if filled.any() else 0)


def _csv_header(path: Path) -> list[str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = next((row for row in csv.reader(file) if row), [])
    except UnicodeDecodeError:
        raise not_text(path) from None
    except (OSError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error}).") from None
    if not header:
        raise DataError(f"{path}: is empty; expected a first line with the names of the columns.")
    if any("\0" in name for name in header):
        raise not_text(path)
    return header


def not_text(path: Path) -> DataError:
    """The error for a file that is no UTF-8 text: what it is instead, where its beginning tells."""
    with path.open("rb") as file:
        head = file.read(4)
    for begin, (what, remedy) in _OTHER_FILES.items():
        if head.startswith(begin):
            return DataError(f"{path}: {what}; expected CSV as UTF-8 text. {remedy.format(name=path.name)}")
    return DataError(
        f"{path}: is not UTF-8 text. Convert it, for example: "
        f"iconv -f latin1 -t utf-8 {path.name} > new && mv new {path.name}"
    )


def _broken_row(path: Path, header: list[str]) -> str | None:
    """The message for the first row that has more fields than the header or is badly quoted, if there is one."""
    row = -1  # of the last record read; 0 is the header, with blank lines above it
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for record in csv.reader(file, strict=True):
                row += bool(record) or row >= 0
                if len(record) > len(header):
                    return (
                        f"{path}: {row_name(path, row)} has {len(record)} fields, the header has {len(header)}. "
                        f'Put a field that contains a comma in quotation marks: "a, b".'
                    )
    except csv.Error as error:
        where = "the header" if row < 0 else row_name(path, row + 1)
        return (
            f"{path}: {where}: wrong quotation marks ({error}). A field that contains them is written "
            f'"so ""quoted"" inside".'
        )
    except UnicodeDecodeError:
        return str(not_text(path))
    return None


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def columns_of(table: pl.DataFrame) -> str:
    """The names of a table's columns, for messages."""
    found = ", ".join(map(repr, table.columns))
    return found if len(found) <= 300 else f"{found[:300]}…"


def row_name(path: Path, row: int) -> str:
    """What row `row` (from 1) of a file is called in messages: nobody shall wonder if the header counts."""
    return f"row {row}" if path.suffix == ".parquet" else f"row {row} below the header"


def first_row(mask: np.ndarray | pl.Series) -> int:
    """The first true row of a mask, counted from 1."""
    return int(np.argmax(np.asarray(mask))) + 1


def _at(path: Path, name: str, table: pl.DataFrame, bad: np.ndarray | pl.Series) -> str:
    """Where the first bad value of a column is, and what it is."""
    row = first_row(bad)
    column = table[name].to_physical() if table[name].dtype.is_temporal() else table[name]
    value = column[row - 1]  # a number for a date, since Python has none far from our time
    text = repr(value)
    shown = "an empty field" if value is None or value == "" else text if len(text) <= 80 else f"{text[:80]}…"
    return f"{path}: column {name}, {row_name(path, row)}: {shown}"


def id_column(path: Path, table: pl.DataFrame, name: str) -> pl.Series:
    """A column of ids as written (String) or Int64; `DataError` names the first missing one."""
    column = table[name]
    if column.dtype in (pl.Categorical, pl.Enum):
        column = column.cast(pl.String)
    if column.dtype.is_float():
        bad = column.is_null() | column.is_nan()
        where = (
            f"; {int(bad.sum())} are missing, first in {row_name(path, first_row(bad))}" if bad.any() else ""
        )
        raise DataError(
            f"{path}: column {name} holds floating-point numbers{where}. "
            f"Ids must be text or whole numbers: drop the rows without an id and store the column so."
        )
    missing = _missing(column) if column.dtype == pl.String else column.is_null()
    if column.dtype != pl.String and not (column.dtype.is_integer() or missing.all()):
        raise DataError(
            f"{path}: column {name} is of type {column.dtype}; store it as text or whole numbers."
        )
    if missing.any():
        raise DataError(
            f"{path}: column {name}, {row_name(path, first_row(missing))}: the id is missing (so in "
            f"{int(missing.sum())} of {len(column)} rows). Fill it in, or remove the rows."
        )
    return whole_numbers(column) if column.dtype.is_integer() else column


def coded_ids(path: Path, table: pl.DataFrame, name: str) -> tuple[np.ndarray, pl.Series]:
    """A column of ids as places `(N,)` int32 in a series of the distinct ones, which are as of `id_column`."""
    column = table[name]
    if column.dtype == pl.String:
        coded = column.cast(pl.Categorical)
        kept = coded.unique()
        ids = kept.cast(pl.String)
        if _missing(ids).any():
            id_column(path, table, name)  # which says where
        numbers = kept.to_physical().to_numpy()
        place = np.empty(int(numbers.max()) + 1, dtype=np.int32)
        place[numbers] = np.arange(len(numbers), dtype=np.int32)
        return place[coded.to_physical().to_numpy()], ids
    column = id_column(path, table, name)
    ids = column.unique()
    known = pl.DataFrame({"id": ids, "place": np.arange(len(ids), dtype=np.int32)})
    found = pl.DataFrame({"id": column}).join(known, on="id", how="left", maintain_order="left")["place"]
    return found.to_numpy(), ids


def _missing(ids: pl.Series) -> pl.Series:
    """Which texts are no ids."""
    return ids.is_null() | ids.str.strip_chars().is_in(["", "nan", "NaN"])


def number_column(path: Path, table: pl.DataFrame, name: str) -> np.ndarray:
    """A column of finite numbers as float64 `(N,)`."""
    column = table[name]
    if not (column.dtype == pl.String or column.dtype.is_numeric()):
        raise DataError(f"{path}: column {name} is of type {column.dtype}; store it as numbers.")
    numbers = column.cast(pl.Float64, strict=False)
    if column.dtype == pl.String and numbers.null_count():
        numbers = column.str.strip_chars().cast(pl.Float64, strict=False)
    bad = ~numbers.is_finite().fill_null(value=False)
    if bad.any():
        raise DataError(
            f"{_at(path, name, table, bad)} is not a finite number (so in {int(bad.sum())} of {len(column)} "
            f"rows). Mend or remove them."
        )
    return numbers.to_numpy()


def weight_column(path: Path, table: pl.DataFrame, name: str) -> np.ndarray:
    """A column of positive numbers as float32 `(N,)`."""
    numbers = number_column(path, table, name)
    with np.errstate(over="ignore", under="ignore"):
        weights = numbers.astype(np.float32)
    bad = ~((weights > 0) & np.isfinite(weights))  # too small or too large for float32 is as bad
    if bad.any():
        raise DataError(
            f"{_at(path, name, table, bad)} is no weight (so in {int(bad.sum())} of {len(bad)} rows). "
            f"Weights must be above 0 (and below 3e38); mend or remove them."
        )
    return weights


def time_column(path: Path, table: pl.DataFrame, name: str) -> np.ndarray:
    """A column of moments `(N,)`: int64 (whole numbers; microseconds since 1970 for dates) or float64."""
    column = table[name]
    parsed = parse_times(column)
    if parsed is None:
        raise DataError(f"{path}: column {name} is of type {column.dtype}; store it as numbers or dates.")
    bad = parsed.is_null()
    if bad.any():
        raise DataError(
            f"{_at(path, name, table, bad)} is not a time as the other rows have it (so in {int(bad.sum())} of "
            f"{len(column)} rows). Expected numbers (such as Unix seconds) or dates such as "
            f"2021-04-13T10:30:00, of one form in the whole column."
        )
    times = parsed.to_numpy()
    return times + 0 if parsed.dtype.is_float() else times  # -0.0 becomes 0.0: equal moments, equal bytes


def parse_times(column: pl.Series) -> pl.Series | None:
    """Moments as numbers, null where a value is none; None where the column's type holds no times."""
    if column.dtype in (pl.Date, pl.Datetime):
        return column.cast(pl.Datetime("us"), strict=False).to_physical()
    if column.dtype == pl.String:
        parsed = column.cast(pl.Int64, strict=False)
        if parsed.null_count():
            parsed = _parse_texts(column.str.strip_chars())
    elif column.dtype.is_integer():
        parsed = column.cast(pl.Int64, strict=False)
    elif column.dtype.is_numeric():
        parsed = column.cast(pl.Float64, strict=False)
    else:
        return None
    if parsed.dtype.is_float():
        parsed = parsed.set(~parsed.is_finite().fill_null(value=False), None)
    return parsed


def _parse_texts(column: pl.Series) -> pl.Series:
    """The parse, of all forms known, that leaves the fewest rows without a value."""
    candidates = [column.cast(pl.Int64, strict=False), column.cast(pl.Float64, strict=False)]
    for form in _TIME_FORMATS:
        if min(parsed.null_count() for parsed in candidates) == 0:
            break
        parsed = column.str.to_datetime(form, time_unit="us", strict=False)
        candidates.append(parsed.to_physical())
    return min(candidates, key=lambda parsed: parsed.null_count())


def part_column(path: Path, table: pl.DataFrame, name: str) -> np.ndarray:
    """The `evaluation` column as int8 `(N,)`: 0 train, 1 valid, 2 test."""
    column = table[name]
    if not (column.dtype.is_integer() or column.dtype in (pl.String, pl.Boolean, pl.Categorical, pl.Enum)):
        raise DataError(f"{path}: column {name} is of type {column.dtype}; store it as text, true or false.")
    parts = parse_parts(column)
    bad = parts.is_null()
    if bad.any():
        raise DataError(
            f"{_at(path, name, table, bad)} is not a part (so in {int(bad.sum())} of {len(column)} rows). "
            f"Expected true or false (true: test), 1 or 0, or one of train, valid, test."
        )
    return parts.to_numpy()


def part_words(parts: np.ndarray) -> pl.Series:
    """The column `evaluation` in words, of 0 train, 1 valid, 2 test `(N,)`."""
    return pl.Series("evaluation", parts).replace_strict(dict(enumerate(PARTS)), return_dtype=pl.String)


def parse_parts(column: pl.Series) -> pl.Series:
    """Words for parts as 0 train, 1 valid, 2 test; null where a word is none."""
    written = column.cast(pl.String, strict=False)
    distinct = written.unique()
    words = distinct.str.strip_chars().str.to_lowercase()
    parts = words.replace_strict(_PARTS, default=None, return_dtype=pl.Int8)
    return written.replace_strict(distinct, parts, default=None, return_dtype=pl.Int8)
