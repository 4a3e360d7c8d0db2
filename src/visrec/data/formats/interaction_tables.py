"""Interactions in a table whose columns another program names, to and from ours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from visrec.data.dataset import Dataset
from visrec.data.interactions import Interactions
from visrec.data.tables import (
    columns_of,
    id_column,
    number_column,
    part_column,
    part_words,
    read_table,
    time_column,
)
from visrec.errors import DataError

ID_NAMES = {"user_id": ("user_id", "user", "userId"), "item_id": ("item_id", "item", "itemId")}
"""Under which names programs of the field have ids."""


def named_column(path: Path, table: pl.DataFrame, ours: str, asked: str = "") -> str:
    """The name that a table has for a column of ids: the one asked for, or one that is usual.

    Raises:
        DataError: there is no such column.
    """
    names = (asked,) if asked else ID_NAMES[ours]
    found = next((name for name in names if name in table.columns), None)
    if found is None:
        option = "user_column" if ours == "user_id" else "item_column"
        raise DataError(
            f"{path}: has no column {' or '.join(names)}. Found: {columns_of(table)}. Name it: --set {option}=…"
        )
    return found


def interactions_of(
    path: Path,
    table: pl.DataFrame,
    *,
    user_column: str = "",
    item_column: str = "",
    times: Sequence[str] = ("timestamp",),
    weights: Sequence[str] = ("weight",),
) -> tuple[pl.DataFrame, list[str]]:
    """Checked interactions in our names: ids as text, ratings and weights as numbers, times as they are; and notes.

    Moments of Parquet files become Unix seconds, or microseconds where some are not whole. Weights that are all 1 say
    nothing. Where some are not above 0 they are no weights here but ratings, of which the user chooses.

    Args:
        path: where the table is from, for messages.
        table: with `rating` and `evaluation`, if it has them, by these names.
        user_column: another name than the usual ones.
        item_column: the same.
        times: names of the column of times; without one there is no `timestamp`.
        weights: names of the column of weights.

    Raises:
        DataError: names the first row that holds no id, number, time or part.
    """
    user = named_column(path, table, "user_id", user_column)
    item = named_column(path, table, "item_id", item_column)
    columns: dict[str, pl.Series | np.ndarray] = {
        "user_id": id_column(path, table, user).cast(pl.String),
        "item_id": id_column(path, table, item).cast(pl.String),
    }
    time = next((name for name in times if name in table.columns), None)
    if time is not None:
        columns["timestamp"] = _times(path, table, time)
    if "rating" in table.columns:
        columns["rating"] = number_column(path, table, "rating")
    if "evaluation" in table.columns:
        parts = part_column(path, table, "evaluation")
        columns["evaluation"] = part_words(parts)
    rows = pl.DataFrame(columns)
    weight = next((name for name in weights if name in table.columns), None)
    return (rows, []) if weight is None else _with_weights(rows, number_column(path, table, weight))


def _times(path: Path, table: pl.DataFrame, name: str) -> pl.Series:
    moments = pl.Series(time_column(path, table, name))
    column = table[name]
    if column.dtype.is_temporal():
        return moments // 1_000_000 if (moments % 1_000_000 == 0).all() else moments
    if column.dtype == pl.String and column.str.strip_chars().cast(pl.Float64, strict=False).null_count():
        return column  # dates: people can read them
    return moments


def _with_weights(interactions: pl.DataFrame, numbers: np.ndarray) -> tuple[pl.DataFrame, list[str]]:
    weight = pl.Series("weight", numbers)
    if (weight == 1).all() or ("rating" in interactions.columns and (interactions["rating"] == weight).all()):
        return interactions, []
    if (weight > 0).all():
        return interactions.with_columns(weight), []
    if "rating" in interactions.columns:
        return interactions, [f"{(weight <= 0).sum():,} weights are not above 0: weights are left out."]
    note = f"{(weight <= 0).sum():,} weights are not above 0: they became ratings. --min-rating chooses among them."
    return interactions.with_columns(weight.alias("rating")), [note]


def sole_table(path: Path) -> pl.DataFrame:
    """A CSV or Parquet file of any columns."""
    return read_table(path, required=())


# ---- ours in their words ---------------------------------------------------------------------------


def rows_of(interactions: Interactions) -> pl.DataFrame:
    """Interactions as a table: user_id, item_id (as they were given), timestamp, weight, evaluation (words)."""
    rows = pl.DataFrame(
        {
            "user_id": interactions.users.take(interactions.user),
            "item_id": interactions.items.take(interactions.item),
            "timestamp": interactions.timestamp,
            "weight": interactions.weight,
        }
    )
    if interactions.evaluation is not None:
        rows = rows.with_columns(part_words(interactions.evaluation))
    return rows


def interactions_in(data: Interactions | Dataset) -> Interactions:
    """The interactions of a data set, or those given."""
    return data.interactions if isinstance(data, Dataset) else data
