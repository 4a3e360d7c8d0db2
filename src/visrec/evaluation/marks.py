"""Signs behind the numbers of a leaderboard: what can be told from the best of its column, and what cannot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from visrec.evaluation.leaderboard import LEVEL_MARK
from visrec.evaluation.significance import bootstrap

if TYPE_CHECKING:
    import polars as pl

    from visrec.evaluation.leaderboard import Leaderboard
    from visrec.evaluation.protocol import Report


@dataclass(frozen=True)
class Mark:
    """A sign and what it means, for those who do not see it."""

    sign: str
    meaning: str


@dataclass(frozen=True)
class Marks:
    """Signs as data, so that any test can give them.

    Attributes:
        signs: by the key of a column and the name of a model.
        note: below the table: what the signs mean and by which test.
    """

    signs: Mapping[str, Mapping[str, Mark]] = field(default_factory=dict)
    note: str = ""

    def of(self, column: str, model: str) -> Mark | None:
        """The sign of a cell, if it has one."""
        return self.signs.get(column, {}).get(model)


def level_marks(reports: Mapping[str, Report], board: Leaderboard) -> Marks:
    """Marks what is level with the best of its column: the interval of the difference, user by user, reaches 0.

    No allowance is made for the number of models. Columns without values of each user have no marks.
    """
    signs: dict[str, dict[str, Mark]] = {}
    if len(reports) < 2:
        return Marks()
    for place, column in enumerate(board.columns):
        values = {
            row.name: reports[row.name].per_user.select("user_id", column.key)
            for row in board.rows
            if row.cells[place] is not None and column.key in reports[row.name].per_user.columns
        }
        if len(values) < 2:
            continue
        sense = 1 if column.larger_is_better else -1
        best = max(values, key=lambda name: sense * reports[name].metrics[column.key].mean)
        signs[column.key] = {
            row.name: Mark(LEVEL_MARK, "not to be told from the best")
            for row in board.rows
            if row.name in values
            and not row.is_best[place]
            and _reaches_zero(values[best].join(values[row.name], on="user_id", suffix=" other"), column.key)
        }
    if not signs:
        return Marks()
    return Marks(
        signs,
        f"{LEVEL_MARK} not to be told from the best: the 95 % interval of the difference, user by user, reaches 0. "
        "No allowance is made for there being many models.",
    )


def _reaches_zero(both: pl.DataFrame, key: str) -> bool:
    """Whether the interval of a paired difference holds 0: of a column and the same one of another model."""
    difference = both[key].to_numpy() - both[f"{key} other"].to_numpy()
    difference = difference[np.isfinite(difference)]
    if len(difference) == 0:
        return False
    found = bootstrap(difference)
    return found.low <= 0 <= found.high
