"""A data set of tables that are in memory already: `from_frame`."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import polars as pl

from visrec.data.dataset import Dataset, load_dataset
from visrec.data.foreign import places_as_times
from visrec.data.picture_files import pictures_by_item
from visrec.errors import DataError

USUAL = {
    "user": ("user_id", "user", "userId"),
    "item": ("item_id", "item", "itemId"),
    "timestamp": ("timestamp", "datetime", "time"),
    "weight": ("weight",),
    "rating": ("rating",),
    "evaluation": ("evaluation",),
}
"""The names under which each column is looked for where none is given."""
_OURS = {"user": "user_id", "item": "item_id"}


def from_frame(
    frame: Any,
    *,
    images: str | Path | Mapping[Any, str | Path] | None = None,
    items: Any = None,
    user: str | int | None = None,
    item: str | int | None = None,
    timestamp: str | int | Literal["order"] | None = None,
    weight: str | int | None = None,
    rating: str | int | None = None,
    evaluation: str | int | None = None,
    min_rating: float | None = None,
    missing_images: Literal["error", "mask"] = "error",
) -> Dataset:
    """A data set of a table of interactions, with the checks and the result of `load_dataset`.

        data = visrec.from_frame(likes, images="pictures", items=products, user="customer", min_rating=4)

    Rows may come in any order; of a repeated user-item pair the newest row counts.

    Args:
        frame: the interactions: a DataFrame of polars or pandas, whatever has an Arrow stream (pyarrow, DuckDB), or
            a dict of columns.
        images: a folder with pictures `<item_id>.jpg` (jpeg, png, webp, gif), or the path of each item's picture.
            None: no item has one, and models know interactions alone.
        items: the same kind of table with one row an item, what is known of them. None: the items are those that
            have a picture (or, without pictures, an interaction).
        user: the column of user ids. None: `user_id`, `user` or `userId`.
        item: the column of item ids, in `items` too. None: `item_id`, `item` or `itemId`.
        timestamp: the column of moments, numbers or dates. None: `timestamp`, `datetime` or `time`. "order": there is
            none, the order of a user's rows is that of time.
        weight: the column of weights, above 0. None: `weight`, if there is one.
        rating: the column of ratings. None: `rating`, if there is one.
        evaluation: the column that says what is train, valid or test. None: `evaluation`, if there is one.
        min_rating: keep only pairs whose (newest) rating is at least this.
        missing_images: "error" refuses items without a picture; "mask" keeps them, without visual features.

    Returns:
        The data set. Its `folder` is that of the images, or the current one.

    Raises:
        DataError: a column is missing, or a value is no id, time, number or part; the message names the row, from 1.
    """
    table = table_of(frame, name="frame")
    asked = {
        "user": user, "item": item, "timestamp": timestamp, "weight": weight, "rating": rating,
        "evaluation": evaluation,
    }  # fmt: skip
    names = {column: _find(table, column, name) for column, name in asked.items()}
    for column, theirs in names.items():
        twin = next((one for one in names if one != column and theirs and names[one] == theirs), None)
        if twin is not None:
            raise DataError(
                f"frame: column {theirs!r} is given as {column} and as {twin}; expected one for each."
            )
    rows = table.select(
        pl.col(theirs).alias(_OURS.get(column, column)) for column, theirs in names.items() if theirs
    )
    if names["timestamp"] is None:
        rows = places_as_times(rows)
    about = None if items is None else table_of(items, name="items")
    if about is not None:
        theirs = _find(about, "item", item if str(item) in about.columns else None, name="items")
        about = about.rename({str(theirs): "item_id"})
    pictures = _pictures(images, missing_images)
    if images is None:
        missing_images = "mask"
    renamed = {_OURS.get(column, column): theirs for column, theirs in names.items() if theirs}
    with tempfile.TemporaryDirectory(prefix="visrec-") as made:
        # Through the loader, so that there is one reader, and one set of checks, of all data.
        folder = Path(made)
        rows.write_parquet(folder / "interactions.parquet")
        if about is not None:
            about.write_parquet(folder / "items.parquet")
        if pictures:
            listed = {"item_id": list(pictures), "path": [str(path.absolute()) for path in pictures.values()]}
            pl.DataFrame(listed).write_parquet(folder / "images.parquet")
        try:
            found = load_dataset(folder, min_rating=min_rating, missing_images=missing_images)
        except DataError as error:
            raise DataError(_in_words_of_the_caller(str(error), folder, renamed)) from None
    notes = tuple(_in_words_of_the_caller(note, folder, {}) for note in found.notes)
    if names["timestamp"] is None:
        notes = (*notes, "There are no times: the order of a user's rows was taken for one.")
    where = Path(images) if isinstance(images, str | Path) else Path()
    return replace(found, folder=where, notes=notes)


def table_of(frame: Any, *, name: str) -> pl.DataFrame:
    """A polars DataFrame of one of polars or pandas, of an Arrow stream, or of a dict of columns.

    pandas is not needed, nor imported: what has `columns` and gives each as `to_numpy()` is read. A named index of
    pandas counts as a column.

    Raises:
        DataError: it is no table, or a column holds values of several types.
    """
    if isinstance(frame, pl.LazyFrame):
        return frame.collect()
    if isinstance(frame, pl.DataFrame):
        objects = [column for column, dtype in frame.schema.items() if dtype == pl.Object]
        return frame.with_columns(_column(name, column, frame[column].to_list()) for column in objects)
    if isinstance(frame, Mapping):
        columns = [_column(name, str(key), values) for key, values in frame.items()]
        lengths = [f"{column.name} has {len(column):,}" for column in columns]
        if len({len(column) for column in columns}) > 1:
            raise DataError(
                f"{name}: columns differ in length: {', '.join(lengths)[:300]}; expected one length."
            )
        return pl.DataFrame(columns)
    if hasattr(frame, "reset_index") and hasattr(frame, "columns"):
        if any(level is not None for level in frame.index.names):
            frame = frame.reset_index()
        doubled = {str(one) for one in frame.columns if list(frame.columns).count(one) > 1}
        if doubled:
            raise DataError(f"{name}: column {', '.join(sorted(doubled))} occurs twice; keep one.")
        return pl.DataFrame({str(key): _pandas_column(name, str(key), frame[key]) for key in frame.columns})
    if hasattr(frame, "__arrow_c_stream__"):
        return pl.DataFrame(frame)
    remedy = " Read the file first, or a whole folder with visrec.load_dataset." * isinstance(
        frame, str | Path
    )
    raise DataError(
        f"{name} is of type {type(frame).__name__}; expected a DataFrame of polars or pandas, an Arrow table, or a "
        f"dict of columns.{remedy}"
    )


def _pandas_column(name: str, key: str, column: Any) -> pl.Series:
    kind = str(column.dtype)
    if kind.startswith("datetime64"):
        if getattr(column.dt, "tz", None) is not None:
            column = column.dt.tz_convert("UTC").dt.tz_localize(None)
        return pl.Series(key, column.to_numpy().astype("datetime64[us]"))
    if getattr(column.dtype, "kind", "O") in "iufb" and hasattr(column.dtype, "str"):
        return pl.Series(key, column.to_numpy())
    missing = column.isna().tolist()  # None, NaN, NaT, pandas.NA
    values = [None if gone else value for value, gone in zip(column.tolist(), missing, strict=True)]
    return _column(name, key, values)


def _column(name: str, key: str, values: Iterable[Any]) -> pl.Series:
    try:
        column = pl.Series(key, values)
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError):
        column = None
    if column is None or column.dtype == pl.Object:
        raise DataError(
            f"{name}: column {key} holds values of several types, or other things than text and numbers; store it as "
            f"text or as numbers, or leave it out."
        )
    return column


def _find(table: pl.DataFrame, column: str, asked: str | int | None, *, name: str = "frame") -> str | None:
    if column == "timestamp" and asked == "order":
        return None
    usual = (
        (str(asked),) if asked is not None else USUAL[column]
    )  # columns of pandas may be called by numbers
    found = next((one for one in usual if one in table.columns), None)
    if found is None and (asked is not None or column in ("user", "item", "timestamp")):
        listed = ", ".join(map(repr, table.columns))
        remedy = f"Name it: {column}=…"
        if column == "timestamp":
            remedy += ', or timestamp="order" where there is none and rows are in the order of time'
        raise DataError(f"{name}: has no column {' or '.join(usual)}. Found: {listed[:300]}. {remedy}.")
    return found


def _pictures(images: str | Path | Mapping[Any, str | Path] | None, missing_images: str) -> dict[str, Path]:
    if images is None:
        return {}
    if isinstance(images, str | Path):
        found, where = pictures_by_item(Path(images)), str(images)
    elif isinstance(images, Mapping):
        found, where = {str(key): Path(path) for key, path in images.items() if path is not None}, "images"
    else:
        raise DataError(
            f"images is of type {type(images).__name__}; expected a folder, or a path for each item."
        )
    if missing_images != "error":
        return found
    if not found:
        raise DataError(
            f'{where}: holds no picture. Expected <item_id>.jpg, jpeg, png, webp or gif, or missing_images="mask".'
        )
    gone = next((key for key, path in found.items() if not path.is_file()), None)
    if gone is not None:
        raise DataError(
            f'images: item {gone!r}: no image file at {found[gone]}. Mend the path, or missing_images="mask".'
        )
    return found


def _in_words_of_the_caller(text: str, folder: Path, renamed: Mapping[str, str]) -> str:
    """A message of the loader about the arguments instead of files that the caller never saw."""
    for stem, name in (("interactions", "frame"), ("items", "items"), ("images", "images")):
        text = text.replace(f"{folder / stem}.parquet", name).replace(f"{stem}.parquet", name)
    text = text.replace(f"{folder / 'images'}: ", "images: ")
    for ours, theirs in renamed.items():
        text = re.sub(rf"\bcolumn {ours}\b", f"column {theirs}".replace("\\", r"\\"), text)
    return text
