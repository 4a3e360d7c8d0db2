"""What may stand in a list by what is known of the items: `artist!=Mina Bianchi`, `year>=1990`, `style=mosaic`."""

from __future__ import annotations

import difflib
import math
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, get_args

import numpy as np
import polars as pl

from visrec.errors import ConfigError

Comparison = Literal["=", "!=", "<", "<=", ">", ">="]

# No spaces at the ends of the parts: who may choose them would have the search try all ways to share them out.
_WRITTEN = re.compile(r"(?P<column>[^=!<>]+)(?P<comparison>!=|<=|>=|=|<|>)(?P<value>.*)", re.DOTALL)
_ORDERS: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_NAMES = ("item_id", "title")  # text, whatever they look like: 007 is not 7
_KEPT = 64  # masks of filters, a byte an item each


@dataclass(frozen=True)
class Filter:
    """One condition on a column of the items' table.

    Attributes:
        column: its name.
        comparison: `=` and `!=` compare numbers in a column of numbers, else text, letter by letter; the others
            numbers alone.
        value: what it is compared with, as written.
    """

    column: str
    comparison: Comparison
    value: str

    @classmethod
    def parse(cls, text: str) -> Filter:
        """From its written form; `ConfigError` if it is none."""
        found = _WRITTEN.fullmatch(text)
        if found is None or not found["column"].strip():
            raise ConfigError(
                f"The filter {text!r} is none; expected a column, one of {' '.join(get_args(Comparison))} and a "
                f"value, such as artist!=Mina Bianchi or year>=1990."
            )
        column, comparison, value = (found[part].strip() for part in ("column", "comparison", "value"))
        return cls(column, comparison, value)  # type: ignore[arg-type]

    def __str__(self) -> str:
        return f"{self.column}{self.comparison}{self.value}"


class Filtering:
    """Filters of one items' table, as masks `(I,)`. What was asked lately is kept. Safe in threads."""

    def __init__(self, metadata: pl.DataFrame) -> None:
        self._metadata = metadata
        told = [name for name in metadata.columns if is_told(metadata[name].dtype)]
        self._numbers = {name: None if name in _NAMES else _numbers(metadata[name]) for name in told}
        self._mask = lru_cache(_KEPT)(self._made)

    @property
    def columns(self) -> dict[str, Literal["number", "text"]]:
        """What can be filtered by, in the table's order, and whether it is numbers."""
        return {name: "text" if found is None else "number" for name, found in self._numbers.items()}

    def mask(self, filters: Sequence[Filter]) -> np.ndarray | None:
        """True at the items `(I,)` that pass all filters; None where there are none.

        An item of which the column says nothing passes `!=` alone.

        Raises:
            ConfigError: there is no such column, or it is not of numbers where these are compared.
        """
        if not filters:
            return None
        found = self._mask(filters[0])
        for one in filters[1:]:
            found = found & self._mask(one)
        return found

    def _made(self, one: Filter) -> np.ndarray:
        if one.column not in self._numbers:
            near = difflib.get_close_matches(one.column, self._numbers, n=2)
            hint = f" Did you mean {' or '.join(near)}?" if near else ""
            raise ConfigError(
                f"The items have no column {one.column!r}.{hint} There are {', '.join(self._numbers)}."
            )
        numbers = self._numbers[one.column]
        if numbers is not None:
            value = _number(one)
            if one.comparison == "=":
                return numbers == value
            return numbers != value if one.comparison == "!=" else _ORDERS[one.comparison](numbers, value)
        if one.comparison in _ORDERS:
            raise ConfigError(
                f"The filter {one} compares numbers, and not everything in the column {one.column} is one; "
                f"use = or !=."
            )
        written = pl.col(one.column).cast(pl.String)
        same = self._metadata.select(written.eq_missing(pl.lit(one.value)))[one.column].to_numpy()
        return same if one.comparison == "=" else ~same


def is_told(dtype: pl.DataType) -> bool:
    """Whether what a column holds can be written as text: lists, records and bytes cannot."""
    return not (dtype.is_nested() or dtype in (pl.Binary, pl.Object))


def _numbers(column: pl.Series) -> np.ndarray | None:
    """A column as float64 `(I,)`, NaN where it says nothing; None if something in it is no number."""
    if column.dtype in (pl.Boolean, pl.Categorical, pl.Enum):
        return None
    if column.dtype == pl.String:
        column = column.str.strip_chars().replace("", None)
    found = column.cast(pl.Float64, strict=False)
    if found.null_count() != column.null_count() or found.null_count() == found.len():
        return None
    return found.fill_null(math.nan).to_numpy()


def _number(one: Filter) -> float:
    try:
        found = float(one.value)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise ConfigError(f"The filter {one} compares numbers; {one.value!r} is none.")
    return found
