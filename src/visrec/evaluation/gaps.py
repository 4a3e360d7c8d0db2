"""The people behind a number: what a model gives each of them, or how far two models are apart for each.

A mean says that one model is better. Whom it is better for, and for whom it is worse, is said by the rows that the
mean was made of.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl

from visrec.errors import ConfigError

if TYPE_CHECKING:
    from visrec.evaluation.protocol import Report

Order = Literal["least", "most"]
"""Which of the people come first: those with the least of a value or difference, or those with the most."""

_SAME = 1e-12  # differences below this are rounding


@dataclass(frozen=True)
class Gap:
    """One person.

    Attributes:
        user_id: the external id.
        one: what the model gives them.
        other: what the model gives them that it is held against; None where there is no such model.
    """

    user_id: str | int
    one: float
    other: float | None = None

    @property
    def value(self) -> float:
        """The one less the other; the one alone where there is no other."""
        return self.one if self.other is None else self.one - self.other


@dataclass(frozen=True, eq=False)
class Gaps:
    """What a metric is for each of some people.

    Attributes:
        metric: such as "ndcg@20".
        users: `(B,)` external ids.
        one: `(B,)` of the model.
        other: `(B,)` of the model that it is held against, or None.
    """

    metric: str
    users: pl.Series
    one: np.ndarray
    other: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.users)

    @cached_property
    def values(self) -> np.ndarray:
        """`(B,)` the one less the other, rounding errors set to 0; the one alone where there is no other."""
        if self.other is None:
            return self.one
        difference = self.one - self.other
        return np.where(np.abs(difference) < _SAME, 0.0, difference)

    @property
    def n_more(self) -> int:
        """People for whom the value is above 0."""
        return int((self.values > 0).sum())

    @property
    def n_less(self) -> int:
        """People for whom the value is below 0."""
        return int((self.values < 0).sum())

    @property
    def n_same(self) -> int:
        """People for whom the value is 0: there is no difference."""
        return len(self) - self.n_more - self.n_less

    @property
    def mean(self) -> float:
        """Of the values; NaN of nobody."""
        return float(self.values.mean()) if len(self) else float("nan")

    def ordered(self, order: Order) -> np.ndarray:
        """`(B,)` rows, the least or the most first. Equals are in the order of a hash of the id, not of the data."""
        drawn = np.array([zlib.crc32(str(one).encode()) for one in self.users.to_list()], dtype=np.int64)
        return np.lexsort((drawn, self.values if order == "least" else -self.values))

    def page(self, order: Order, *, start: int = 0, n: int = 10) -> list[Gap]:
        """At most n people from a place of the order on."""
        rows = self.ordered(order)[start : start + n]
        return [
            Gap(user, float(self.one[row]), None if self.other is None else float(self.other[row]))
            for row, user in zip(rows, self.users.gather(rows).to_list(), strict=True)
        ]


def gaps(
    one: Report, other: Report | None, metric: str, *, among: Collection[str | int] | None = None
) -> Gaps:
    """The people behind a model's mean, or behind the difference of two.

    Args:
        one: of the model.
        other: of the model that it is held against; None: of none. People whom only one of them has are left out.
        metric: a column of both reports, such as "ndcg@20" or "novelty@20". People for whom it is not defined
            are left out.
        among: external ids, the only people to look at; None: all.

    Raises:
        ConfigError: a report has no such metric by user.
    """
    for report in (one, other):
        if report is not None and metric not in measures_of(report):
            raise ConfigError(
                f"'{report.model}' has no '{metric}' by user. It has {', '.join(measures_of(report))}."
            )
    table = one.per_user.select("user_id", pl.col(metric).alias("one"))
    if other is not None:
        second = other.per_user.select("user_id", pl.col(metric).alias("other"))
        table = table.join(second, on="user_id", how="inner", maintain_order="left")
    if among is not None:
        table = table.filter(pl.col("user_id").is_in(list(among)))
    table = table.drop_nulls()
    values = [table[name].cast(pl.Float64).to_numpy() for name in table.columns[1:]]
    return Gaps(metric, table["user_id"], *values)


def measures_of(report: Report) -> list[str]:
    """The metrics, and the measures beyond accuracy, that a report knows of each user."""
    return [name for name in (*report.metrics, *report.beyond) if name in report.per_user.columns]
