"""The files of a data set read without giving up at the first fault: what can be read, and what cannot."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl

from visrec.checks.findings import N_EXAMPLES, Finding, finding
from visrec.data.catalog import IMAGE_SUFFIXES
from visrec.data.dataset import NO_DATA_SET
from visrec.data.file_names import is_utf8
from visrec.data.tables import columns_of, find_table, parse_parts, parse_times, read_table, row_name
from visrec.errors import DataError

_NO_ROWS = {
    "row": pl.Int64,
    "user_id": pl.Categorical,
    "item_id": pl.Categorical,
    "time": pl.Float64,
}
_NOTHING = {"no-interactions", "ignored-file"}
_NO_IMAGES = {"item_id": pl.String, "path": pl.String}


@dataclass(frozen=True, eq=False)
class Tables:
    """A data set folder as it stands.

    Attributes:
        folder: where.
        source: the file of interactions, if there is one.
        written: the interactions as they stand in the file; None where they cannot be read.
        rows: those of them that can be read whole: row (from 0, in the file), user_id, item_id (text, as categories:
            millions of rows are grouped in seconds), time (number), and where the file has them rating, weight,
            evaluation (0 train, 1 valid, 2 test).
        items_file: the table of items, if there is one.
        items: its rows as they stand, `item_id` as text; None where there is none or it cannot be read.
        listing: the list of images, if there is one.
        images: `item_id, path` (in the folder) of each picture file; more than one file of an item is a fault.
        findings: what is wrong so far.
    """

    folder: Path
    source: Path | None = None
    written: pl.DataFrame | None = None
    rows: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=_NO_ROWS))
    items_file: Path | None = None
    items: pl.DataFrame | None = None
    listing: Path | None = None
    images: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=_NO_IMAGES))
    findings: tuple[Finding, ...] = ()

    @cached_property
    def known_items(self) -> pl.Series:
        """The items there are: those of the table of items, or else those with a picture. Sorted."""
        table = self.images if self.items is None else self.items
        return table["item_id"].drop_nulls().unique().sort()

    @property
    def has_numbers_for_times(self) -> bool:
        """Whether times are written as numbers, whose unit nobody says, rather than as dates."""
        if self.written is None or self.written["timestamp"].dtype.is_temporal():
            return False
        some = self.written["timestamp"].head(1000)
        return some.cast(pl.Float64, strict=False).null_count() < len(some)


def read_tables(folder: Path) -> Tables:
    """Read what there is.

    Raises:
        DataError: there is no such folder, or nothing in it that a data set has.
    """
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise DataError(f"{folder}: {what}; expected a folder with interactions.csv and images/.")
    source, written, rows, found = _interactions(folder)
    items_file, items, more = _items(folder)
    listing, images, yet_more = _images(folder)
    faults = (*found, *more, *yet_more)
    if source is None and items_file is None and not len(images) and {one.code for one in faults} <= _NOTHING:
        raise DataError(f"{folder}: {NO_DATA_SET}")
    return Tables(folder, source, written, rows, items_file, items, listing, images, faults)


def _table(
    folder: Path, stem: str, required: tuple[str, ...]
) -> tuple[Path | None, pl.DataFrame | None, list[Finding]]:
    try:
        path = find_table(folder, stem)
        return (path, None if path is None else read_table(path, required=required), [])
    except (DataError, OSError) as error:
        return None, None, finding("unreadable-file", 1, [error])


def _interactions(folder: Path) -> tuple[Path | None, pl.DataFrame | None, pl.DataFrame, list[Finding]]:
    nothing = pl.DataFrame(schema=_NO_ROWS)
    source, table, found = _table(folder, "interactions", ("user_id", "item_id", "timestamp"))
    if source is None or table is None:
        return None, None, nothing, found or finding("no-interactions", 1)
    columns: dict[str, pl.Series] = {}
    faults: list[tuple[str, str]] = [
        ("missing-id", "user_id"),
        ("missing-id", "item_id"),
        ("unreadable-time", "timestamp"),
    ]
    try:
        columns = {name: _ids(source, table, name) for name in ("user_id", "item_id")}
        columns["timestamp"] = _known(parse_times(table["timestamp"]), source, table, "timestamp")
    except DataError as error:
        return None, None, nothing, finding("unreadable-file", 1, [error])
    if "rating" in table.columns:
        columns["rating"] = _finite(table["rating"])
        faults.append(("unreadable-rating", "rating"))
    if "weight" in table.columns:
        weight = _finite(table["weight"])
        columns["weight"] = weight.set(~(weight.cast(pl.Float32) > 0).fill_null(value=False), None)
        faults.append(("unreadable-weight", "weight"))
    if "evaluation" in table.columns:
        columns["evaluation"] = parse_parts(table["evaluation"])
        faults.append(("unreadable-part", "evaluation"))
    ids = columns["user_id"].is_null() | columns["item_id"].is_null()
    whole = ~ids
    found = _rows_at_fault("missing-id", source, table, ids, ("user_id", "item_id"))
    for code, name in faults[2:]:
        bad = columns[name].is_null()
        found += _rows_at_fault(code, source, table, bad, (name,))
        whole &= ~bad
    rows = pl.DataFrame({"row": np.arange(table.height), **columns}).filter(whole)
    rows = rows.rename({"timestamp": "time"}).with_columns(
        pl.col("user_id", "item_id").cast(pl.Categorical), pl.col("time").cast(pl.Float64)
    )
    return source, table, rows, found


def _rows_at_fault(
    code: str, source: Path, table: pl.DataFrame, bad: pl.Series, names: tuple[str, ...]
) -> list[Finding]:
    rows = np.flatnonzero(bad.to_numpy())
    examples = [
        f"{row_name(source, int(row) + 1)}: "
        + ", ".join(f"{name} {_shown(table[name], int(row))}" for name in names)
        for row in rows[:5]
    ]
    return finding(code, len(rows), examples, rows=rows)


def _shown(column: pl.Series, row: int) -> str:
    """A value as text: Python has no date far from our time, polars has."""
    if column.dtype.is_temporal():
        column = column.to_physical()
    return repr(column[row])


def _ids(path: Path, table: pl.DataFrame, name: str) -> pl.Series:
    """A column of ids as text, null where one is missing."""
    column = table[name]
    if not (column.dtype == pl.String or column.dtype.is_integer() or column.null_count() == len(column)):
        raise DataError(
            f"{path}: column {name} is of type {column.dtype}; store it as text or whole numbers. "
            f"Found: {columns_of(table)}."
        )
    text = column.cast(pl.String)
    return text.set(text.str.strip_chars().is_in(["", "nan", "NaN"]).fill_null(value=True), None)


def _known(parsed: pl.Series | None, path: Path, table: pl.DataFrame, name: str) -> pl.Series:
    if parsed is None:
        raise DataError(
            f"{path}: column {name} is of type {table[name].dtype}; store it as numbers or dates."
        )
    return parsed


def _finite(column: pl.Series) -> pl.Series:
    """A column as numbers, null where a value is none."""
    if column.dtype == pl.String:
        column = column.str.strip_chars()
    elif not column.dtype.is_numeric():
        return pl.Series(column.name, [None] * len(column), dtype=pl.Float64)
    numbers = column.cast(pl.Float64, strict=False)
    return numbers.set(~numbers.is_finite().fill_null(value=False), None)


def _items(folder: Path) -> tuple[Path | None, pl.DataFrame | None, list[Finding]]:
    path, table, found = _table(folder, "items", ("item_id",))
    if path is None or table is None:
        return None, None, found
    try:
        ids = _ids(path, table, "item_id")
    except DataError as error:
        return None, None, finding("unreadable-file", 1, [error])
    absent = np.flatnonzero(ids.is_null().to_numpy())
    found += finding(
        "missing-item-id", len(absent), [f"{path.name}, {row_name(path, int(row) + 1)}" for row in absent[:5]]
    )
    again = ids.filter(~ids.is_first_distinct() & ids.is_not_null())
    found += finding("duplicate-item", len(again), again.unique(maintain_order=True).head(5))
    return path, table.with_columns(ids.alias("item_id")), found


def _images(folder: Path) -> tuple[Path | None, pl.DataFrame, list[Finding]]:
    listing, table, found = _table(folder, "images", ("item_id", "path"))
    if listing is not None and table is not None:
        listed, faults = _listed(folder, listing, table)
        return listing, listed, found + faults
    where, nothing = folder / "images", _pictures([], [])
    if found or not where.exists():
        return None, nothing, found
    if not where.is_dir():
        said = f"{where}: is a file; expected a folder of pictures."
        return None, nothing, finding("unreadable-file", 1, [said])
    try:
        with os.scandir(where) as entries:
            names = sorted((entry.name, entry.is_dir()) for entry in entries)
    except OSError as error:
        return None, nothing, finding("unreadable-file", 1, [f"{where}: cannot be read ({error.strerror})."])
    items, paths, ignored, misnamed = list[str](), list[str](), list[str](), list[str]()
    for name, is_folder in names:
        item, _, suffix = name.rpartition(".")
        if name.startswith(".") or name.lower() in {"thumbs.db", "desktop.ini"}:
            continue
        if f".{suffix.lower()}" not in IMAGE_SUFFIXES:
            ignored.append(f"{name}/" if is_folder else name)
        elif not is_utf8(name):
            misnamed.append(name)
        else:
            items.append(item)
            paths.append(f"images/{name}")
    found += finding("ignored-file", len(ignored), ignored)
    found += finding("bad-file-name", len(misnamed), [repr(os.fsencode(name)) for name in misnamed])
    return None, _pictures(items, paths), found


def _pictures(items: Sequence[str], paths: Sequence[str]) -> pl.DataFrame:
    return pl.DataFrame({"item_id": items, "path": paths}, schema=_NO_IMAGES)


def _listed(folder: Path, listing: Path, table: pl.DataFrame) -> tuple[pl.DataFrame, list[Finding]]:
    try:
        ids = _ids(listing, table, "item_id")
    except DataError as error:
        return _pictures([], []), finding("unreadable-file", 1, [error])
    absent_mask = ids.is_null().to_numpy()
    absent = np.flatnonzero(absent_mask)
    where = [f"{listing.name}, {row_name(listing, int(row) + 1)}" for row in absent[:5]]
    found = finding("missing-item-id", len(absent), where)
    written = table["path"].cast(pl.String, strict=False).fill_null("")
    there = np.array([_is_there(folder, name) for name in written], dtype=bool) & ~absent_mask
    gone = np.flatnonzero(~there & ~absent_mask)
    examples = [f"{ids[place]}: {written[place] or '(empty)'}" for place in gone[:N_EXAMPLES].tolist()]
    found += finding("listed-image-missing", len(gone), examples, items=ids.gather(gone))
    return _pictures(ids.filter(there).to_list(), written.filter(there).to_list()), found


def _is_there(folder: Path, name: str) -> bool:
    return bool(name) and "\0" not in name and os.path.isfile(folder / name)  # noqa: PTH113 - Path.is_file raises where a name is too long
