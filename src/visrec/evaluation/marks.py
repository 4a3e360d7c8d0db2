"""Signs behind the numbers of a leaderboard: what can be told from the best of its column, and what cannot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from visrec.evaluation.leaderboard import LEVEL_MARK

if TYPE_CHECKING:
    from visrec.evaluation.leaderboard import Leaderboard


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


def level_marks(board: Leaderboard) -> Marks:
    """Marks what the leaderboard's paired tests do not tell from the best of its column."""
    signs = {
        column.key: {
            row.name: Mark(LEVEL_MARK, "not to be told from the best")
            for row in board.rows
            if row.is_level[place]
        }
        for place, column in enumerate(board.columns)
        if column.key in board.tested
    }
    return Marks(signs, f"{LEVEL_MARK} {board.meaning_of_level}") if signs else Marks()
