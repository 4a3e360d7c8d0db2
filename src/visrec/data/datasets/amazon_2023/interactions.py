"""Who rated what: the official parts, the ratings without parts, or the reviews."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from visrec.data.formats.json_lines import Schema, read_objects
from visrec.data.formats.rows import numbers_of, read_rows, whole_numbers_of
from visrec.data.published import Published
from visrec.errors import DataError
from visrec.progress import Progress

COLUMNS = ("user_id", "parent_asin", "rating", "timestamp")
_REVIEW: Schema = {
    "user_id": pl.String,
    "parent_asin": pl.String,
    "rating": pl.Float64,
    "timestamp": pl.Int64,
}


def read_ratings(file: Published, progress: Progress | None, *, part: str | None = None) -> pl.DataFrame:
    found = []
    for first, text in read_rows(file, COLUMNS, progress=progress):
        columns = {
            "user_id": text["user_id"],
            "item_id": text["parent_asin"],
            "timestamp": whole_numbers_of(file, first, text, "timestamp"),
            "rating": numbers_of(file, first, text, "rating"),
        }
        found.append(pl.DataFrame(columns))
    table = pl.concat(found, rechunk=False)
    return table if part is None else table.with_columns(evaluation=pl.lit(part))


def read_parts(files: Mapping[str, Published], progress: Progress | None) -> tuple[pl.DataFrame, list[str]]:
    table = pl.concat(
        [read_ratings(file, progress, part=part) for part, file in files.items()], rechunk=False
    )
    notes = ["The official parts stand in the column evaluation: visrec run DATA --split by_evaluation."]
    untold = _only_in_histories(files["test"], table)
    if untold:
        notes.append(
            f"{untold:,} interactions stand only in the column history, without rating and time: left out. The "
            f"files of last_out and timestamp have them."
        )
    return table, notes


def _only_in_histories(file: Published, table: pl.DataFrame) -> int:
    """How many pairs the histories of the test part name that no row has; 0 where there is no such column."""
    untold = 0
    for _, text in read_rows(file, ("user_id",), optional=("history",)):
        if "history" not in text.columns:
            return 0
        pairs = (
            text.select("user_id", item_id=pl.col("history").str.split(" "))
            .explode("item_id")
            .filter(pl.col("item_id") != "")
            .unique()
        )
        untold += pairs.join(table, on=["user_id", "item_id"], how="anti").height
    return untold


def read_reviews(file: Published, progress: Progress | None) -> pl.DataFrame:
    found = []
    for first, table in read_objects(file, _REVIEW, progress=progress):
        for name in COLUMNS:
            if table[name].null_count():
                number = first + int(table[name].is_null().arg_max() or 0)
                raise DataError(
                    f"{file}: line {number:,} has no {name}; expected a review with {', '.join(COLUMNS)}."
                )
        found.append(table.select("user_id", pl.col("parent_asin").alias("item_id"), "timestamp", "rating"))
    return pl.concat(found, rechunk=False)
