"""When items are there: from when on, and until when if one can be taken only once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from visrec.data.interactions import Interactions
from visrec.data.tables import time_column
from visrec.errors import ConfigError, DataError

COLUMNS = ("available_from", "release")
"""The columns of the items' table that may say since when there is an item."""

_FAR = 100  # times another: moments so far apart are not of one unit
_YES, _NO = ("true", "1", "yes"), ("false", "0", "no", "")


@dataclass(frozen=True, eq=False)
class Availability:
    """Since when there is each item, and until when.

    Attributes:
        start: `(I,)` float64, infinite where an item was never there as far as is known.
        gone: `(I,)` float64, the last moment at which it can be taken; infinite where others can still take it.
        column: of the items' table, which says `start`; None: it is the first interaction.
    """

    start: np.ndarray
    gone: np.ndarray
    column: str | None

    @classmethod
    def of(cls, rows: Interactions, metadata: pl.DataFrame | None, one_of_a_kind: bool | str) -> Availability:
        """Of all interactions that there are, and what the items' table says.

        An item is there from its first interaction, or from the moment that the table says, if that is earlier.

        Args:
            rows: of all parts.
            metadata: the items' table; None: there is none.
            one_of_a_kind: whether an item is gone with its first interaction; or the table's column that says so.

        Raises:
            ConfigError: there is no such column.
            DataError: a column cannot be read.
        """
        first = first_moment(rows, "item")
        since, column = _available_from(metadata, rows)
        gone = np.where(_one_of_a_kind(one_of_a_kind, metadata, rows), first, np.inf)
        return cls(np.minimum(since, first), gone, column)

    def at(self, items: np.ndarray, moment: np.ndarray) -> np.ndarray:
        """Whether items `(n,)` are there at moments `(n,)`."""
        return (self.start[items] <= moment) & (self.gone[items] >= moment)


def first_moment(rows: Interactions, by: Literal["user", "item"]) -> np.ndarray:
    """`(U,)` or `(I,)` float64: the earliest timestamp; infinite where there is no row."""
    first = np.full(rows.n_users if by == "user" else rows.n_items, np.inf)
    np.minimum.at(first, rows.user if by == "user" else rows.item, rows.timestamp.astype(np.float64))
    return first


def _available_from(metadata: pl.DataFrame | None, rows: Interactions) -> tuple[np.ndarray, str | None]:
    """`(I,)` float64, since when there is an item, infinite where that is not said; and the column that says it."""
    column = next((name for name in COLUMNS if metadata is not None and name in metadata.columns), None)
    start = np.full(rows.n_items, np.inf)
    if metadata is None or column is None:
        return start, None
    said = metadata.select("item_id", column)
    if said[column].dtype == pl.String:
        said = said.with_columns(pl.col(column).str.strip_chars().replace("", None))
    said = said.filter(pl.col(column).is_not_null())
    if said.is_empty():
        return start, None
    since = time_column(Path("items"), said, column).astype(np.float64)
    if since.max() * _FAR < rows.timestamp.min() or since.min() > _FAR * rows.timestamp.max():
        raise DataError(
            f"items: column {column} goes from {since.min():g} to {since.max():g}, the timestamps of interactions "
            f"from {rows.timestamp.min():g} to {rows.timestamp.max():g}; expected one unit. Write both as dates, or "
            f"both as numbers of the same kind, or rename the column."
        )
    start[rows.items.indices(said["item_id"].to_list())] = since
    return start, column


def _one_of_a_kind(setting: bool | str, metadata: pl.DataFrame | None, rows: Interactions) -> np.ndarray:
    """`(I,)` bool."""
    if isinstance(setting, bool):
        return np.full(rows.n_items, setting)
    if metadata is None or setting not in metadata.columns:
        there = "there is no table" if metadata is None else f"there are {', '.join(metadata.columns)}"
        raise ConfigError(
            f"one_of_a_kind is '{setting}', but the items' table has no such column; {there}. "
            f"Name one of them, or true for all items."
        )
    words = metadata[setting].cast(pl.String).fill_null("").str.strip_chars().str.to_lowercase()
    unknown = words.filter(~words.is_in([*_YES, *_NO]))
    if len(unknown):
        raise DataError(f"items: column {setting} holds {unknown[0]!r}; expected true or false (or 1 or 0).")
    flags = np.zeros(rows.n_items, dtype=bool)
    flags[rows.items.indices(metadata["item_id"].to_list())] = words.is_in(_YES).to_numpy()
    return flags
