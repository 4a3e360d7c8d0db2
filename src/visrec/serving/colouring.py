"""What a column of the metadata says of the items, as a few classes to draw them by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from visrec.serving.filters import is_told

NO_CLASS = 0xFF
"""The class of an item of which the column says nothing."""
MOST_CLASSES = 12
"""Values of a column that have a sign of their own; all others share one, as the last class."""
RAMP = 6
"""Classes of a column of numbers."""


@dataclass(frozen=True)
class Class:
    """An entry of the legend: its name, and how many items it has."""

    name: str
    n: int


@dataclass(frozen=True, eq=False)
class Colouring:
    """The classes of a column. Frozen.

    Attributes:
        column: of the metadata.
        kind: "classes", each with a colour and a shape, or "ramp", numbers in steps of about equally many items.
        legend: one an index of `of`; of more than `MOST_CLASSES` classes the last one is all the others.
        of: `(I,)` uint8; `NO_CLASS` where the column is empty.
    """

    column: str
    kind: Literal["classes", "ramp"]
    legend: tuple[Class, ...]
    of: np.ndarray

    @property
    def others(self) -> int | None:
        """The class that is all the values without one of their own; None: each has its own."""
        return MOST_CLASSES if self.kind == "classes" and len(self.legend) > MOST_CLASSES else None


def telling_columns(metadata: pl.DataFrame) -> tuple[str, ...]:
    """The columns worth a colour: more than one value, and either numbers or values that many items share."""
    return tuple(
        name
        for name in metadata.columns
        if name not in ("item_id", "title", "path")
        and (is_told(metadata[name].dtype) or metadata[name].dtype == pl.List(pl.String))
        and _is_telling(texts(metadata[name]))
    )


def colouring(metadata: pl.DataFrame, column: str) -> Colouring:
    """The classes of a column.

    Numbers of more than `MOST_CLASSES` values become a ramp whose steps hold about equally many items; of anything
    else, the most common values are classes, the most common first.
    """
    given = texts(metadata[column])
    numbers = _numbers(given)
    return _classes(column, given) if numbers is None else _ramp(column, numbers)


def texts(column: pl.Series) -> pl.Series:
    """A column as text without white space around it, null where nothing is left."""
    if column.dtype == pl.List(pl.String):
        column = column.list.join(", ")
    stripped = column.cast(pl.String, strict=False).str.strip_chars()
    return stripped.set(stripped == "", None)


def _is_telling(given: pl.Series) -> bool:
    there = given.drop_nulls()
    distinct = there.n_unique()
    return distinct > 1 and (_numbers(given) is not None or distinct <= max(MOST_CLASSES, len(there) // 4))


def _numbers(given: pl.Series) -> np.ndarray | None:
    """The column as numbers `(I,)` float64, NaN where it is empty; None where it is none of numbers, or of few."""
    numbers = given.cast(pl.Float64, strict=False)
    if numbers.null_count() != given.null_count() or numbers.n_unique() <= MOST_CLASSES:
        return None
    found = numbers.fill_null(float("nan")).to_numpy()
    return found if not np.isinf(found).any() else None


def _classes(column: str, given: pl.Series) -> Colouring:
    counts = given.drop_nulls().value_counts().sort(["count", given.name], descending=[True, False])
    names, sizes = counts[given.name].to_list(), counts["count"].to_list()
    legend = [Class(name, n) for name, n in zip(names[:MOST_CLASSES], sizes, strict=False)]
    rest = sum(sizes[MOST_CLASSES:])
    if rest:
        others = names[MOST_CLASSES:]
        legend.append(Class(others[0] if len(others) == 1 else f"{len(others)} others", rest))
    number = {name: min(place, MOST_CLASSES) for place, name in enumerate(names)}
    of = np.array([NO_CLASS if one is None else number[one] for one in given.to_list()], dtype=np.uint8)
    return Colouring(column, "classes", tuple(legend), of)


def _ramp(column: str, numbers: np.ndarray) -> Colouring:
    there = numbers[np.isfinite(numbers)]
    edges = np.unique(np.quantile(there, np.arange(1, RAMP) / RAMP, method="closest_observation"))
    of = np.full(len(numbers), NO_CLASS, dtype=np.uint8)
    steps = np.searchsorted(edges, there, side="left")  # a step holds its upper edge
    _, steps = np.unique(steps, return_inverse=True)  # without a gap
    of[np.isfinite(numbers)] = steps
    legend = []
    for step in range(int(steps.max()) + 1):
        inside = there[steps == step]
        low, high = f"{inside.min():g}", f"{inside.max():g}"
        legend.append(Class(low if low == high else f"{low} – {high}", len(inside)))
    return Colouring(column, "ramp", tuple(legend), of)
