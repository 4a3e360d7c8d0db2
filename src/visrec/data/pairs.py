"""The rows of an interactions file, one a user-item pair."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from visrec.data.ids import IdMap
from visrec.data.order import order_of
from visrec.data.tables import (
    Columns,
    coded_ids,
    number_column,
    part_column,
    time_column,
    weight_column,
)
from visrec.errors import DataError

READING = 5
"""Steps of `read_pairs`."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """Rows of the file that count, in its order; of users and items their places in the series of ids.

    Attributes:
        kept: `(rows of the file,)` which of them these are.
        user: `(N,)` int32 places in `user_ids`.
        item: `(N,)` int32 places in `item_ids`.
        user_ids: distinct, as written or as integers; some may have no row left.
        item_ids: likewise.
        timestamp: `(N,)` int64 or float64.
        weight: `(N,)` float32.
        evaluation: `(N,)` int8, or None.
    """

    kept: np.ndarray
    user: np.ndarray
    item: np.ndarray
    user_ids: pl.Series
    item_ids: pl.Series
    timestamp: np.ndarray
    weight: np.ndarray
    evaluation: np.ndarray | None = None

    @classmethod
    def none(cls) -> Pairs:
        """No row of no file."""
        nothing, ids = np.zeros(0, dtype=np.int32), pl.Series(dtype=pl.String)
        return cls(nothing.astype(bool), nothing, nothing, ids, ids, nothing, nothing)

    def where(self, mask: np.ndarray) -> Pairs:
        """Only the pairs where `mask (N,)` is true."""
        kept = self.kept.copy()
        kept[kept] = mask
        return Pairs(
            kept,
            self.user[mask],
            self.item[mask],
            self.user_ids,
            self.item_ids,
            self.timestamp[mask],
            self.weight[mask],
            None if self.evaluation is None else self.evaluation[mask],
        )

    def row(self, place: int) -> int:
        """Which row of the file, from 1, a pair was in."""
        return int(np.flatnonzero(self.kept)[place]) + 1

    def users(self) -> tuple[IdMap, np.ndarray]:
        """The users that have a row, and the index of each row's `(N,)` int32."""
        taken = np.bincount(self.user, minlength=len(self.user_ids)) > 0
        users = IdMap(self.user_ids.filter(taken), kind="user")
        return users, indices_of(users, self.user_ids)[self.user]

    def taken_items(self) -> np.ndarray:
        """Which of `item_ids` have a row."""
        return np.bincount(self.item, minlength=len(self.item_ids)) > 0


def indices_of(ids: IdMap, external: pl.Series) -> np.ndarray:
    """The indices `(n,)` int32 of ids; -1 where one is unknown."""
    return ids.lookup(external).fill_null(-1).to_numpy().astype(np.int32)


def read_pairs(
    source: Path, min_rating: float | None, *, progress: Callable[[int, str], None]
) -> tuple[Pairs, list[str]]:
    """Read and check an interactions file; of a repeated user-item pair the newest row counts.

    Columns are read and turned into numbers one after the other: texts need many times the memory.

    Args:
        source: the file.
        min_rating: keep only pairs whose rating is at least this.
        progress: called with how many of `READING` steps are done, and what is done now.

    Raises:
        DataError: names the file, the row or column, and the remedy.
    """
    progress(0, f"reading {source.name}")
    columns = Columns(source, required=("user_id", "item_id", "timestamp"))
    names, n = columns.names, columns.height
    progress(1, "numbering users")
    user, user_ids = coded_ids(source, columns.take("user_id"), "user_id")
    progress(2, "numbering items")
    item, item_ids = coded_ids(source, columns.take("item_id"), "item_id")
    progress(3, "reading times and values")
    timestamp = time_column(source, columns.take("timestamp"), "timestamp")
    weight, evaluation, rating = np.ones(n, dtype=np.float32), None, None
    if "weight" in names:
        weight = weight_column(source, columns.take("weight"), "weight")
    if "evaluation" in names:
        evaluation = part_column(source, columns.take("evaluation"), "evaluation")
    if "rating" in names:
        rating = number_column(source, columns.take("rating"), "rating")
    if min_rating is not None and rating is None:
        raise DataError(
            f"{source}: min_rating is {min_rating:g} but there is no column rating. "
            f"Found: {columns.found}. Leave min_rating out, or add the column."
        )
    progress(4, "looking for repeated pairs")
    pairs = Pairs(np.ones(n, dtype=bool), user, item, user_ids, item_ids, timestamp, weight, evaluation)
    del user, item, timestamp, weight, evaluation
    notes: list[str] = []
    older = _repeated(pairs, rating)
    if len(older):
        newest = np.ones(n, dtype=bool)
        newest[older] = False
        pairs = pairs.where(newest)
        rating = None if rating is None else rating[newest]
        notes.append(f"{len(older):,} repeated user-item pairs: the newest row of each was kept.")
    if rating is not None:
        if min_rating is None:
            notes.append("There is a column rating: all ratings count as liked. --min-rating sets a limit.")
        else:
            enough = rating >= min_rating
            if not enough.any():
                raise DataError(
                    f"{source}: no rating is at least {min_rating:g}; the highest is "
                    f"{rating.max() + 0.0:g}. Choose a lower min_rating."  # 0, not -0
                )
            notes.append(
                f"{(~enough).sum():,} of {len(rating):,} interactions are rated below {min_rating:g}: left out."
            )
            pairs = pairs.where(enough)
    return pairs, notes


def _repeated(pairs: Pairs, rating: np.ndarray | None) -> np.ndarray:
    """The places of rows whose pair has a newer row; of equally new ones, all but the one that is last by its values.

    By everything that is data, so that equal timestamps too are settled alike in any row order.
    """
    order = order_of([pairs.item, pairs.user])
    same = np.zeros(len(order), dtype=bool)
    same[1:] = _like_the_one_before(pairs, order)
    same[:-1] |= same[1:]
    rows = order[same]
    del order, same
    by = [rating, pairs.evaluation, pairs.weight, pairs.timestamp, pairs.item, pairs.user]
    rows = rows[order_of([column[rows] for column in by if column is not None])]
    return rows[:-1][_like_the_one_before(pairs, rows)]


def _like_the_one_before(pairs: Pairs, rows: np.ndarray) -> np.ndarray:
    """`(n - 1,)` whether a row and the one before it are of the same user and item."""
    user, item = pairs.user[rows], pairs.item[rows]
    return (user[1:] == user[:-1]) & (item[1:] == item[:-1])
