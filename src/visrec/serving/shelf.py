"""The catalogue as pages and answers show it: columns read once, an item without a look into a table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from visrec.data.catalog import Catalog
from visrec.serving.filters import Filtering, is_told

CREATORS = ("artist", "creator", "author", "brand", "designer", "photographer")
CATEGORIES = ("category", "style", "genre", "genres", "type")

LONGEST_SEARCH = 200
"""Characters of a text that is searched for."""


@dataclass(frozen=True)
class Item:
    """An item as pages and answers show it.

    Attributes:
        index: in the catalogue.
        id: the external id.
        title: or the id, where there is none.
        creator: who made it, if a column says so.
        category: what it is, if a column says so.
        metadata: the other columns, as far as they are not empty.
        path: of its picture; None where the data set has none. It is never shown.
    """

    index: int
    id: str | int
    title: str
    creator: str | None
    category: str | None
    metadata: dict[str, Any]
    path: Path | None

    @property
    def has_image(self) -> bool:
        """Whether the data set has a picture of it."""
        return self.path is not None


class Shelf:
    """The items of a catalogue, quick to show, to filter and to search. Safe in threads."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog

    def __len__(self) -> int:
        return len(self.catalog)

    @cached_property
    def ids(self) -> list[str | int]:
        """Of all items, in index order."""
        return self.catalog.items.values.to_list()

    @cached_property
    def filtering(self) -> Filtering:
        """By columns of the items' table."""
        return Filtering(self.catalog.metadata)

    @cached_property
    def _columns(self) -> dict[str, list[Any]]:
        table = self.catalog.metadata
        shown = [n for n in table.columns if n != "item_id" and table[n].dtype not in (pl.Binary, pl.Object)]
        return {name: table[name].to_list() for name in shown}

    @cached_property
    def _text(self) -> pl.Series:
        """What is searched: everything that is said of an item, and its id, in lower case."""
        parts = [pl.col(name).cast(pl.String, strict=False) for name in self._searched]
        text = pl.concat_str([self.catalog.items.written, *parts], separator=" ", ignore_nulls=True)
        return self.catalog.metadata.select(text.str.to_lowercase().alias("text"))["text"]

    @property
    def _searched(self) -> list[str]:
        table = self.catalog.metadata
        return [n for n in table.columns if n != "item_id" and is_told(table[n].dtype)]

    def item(self, index: int) -> Item:
        """An item by its index."""
        rest = {
            name: values[index]
            for name, values in self._columns.items()
            if values[index] is not None and str(values[index]).strip() not in ("", "nan")
        }
        title = rest.pop("title", None)
        return Item(
            index=index,
            id=self.ids[index],
            title=str(self.ids[index] if title is None else title),
            creator=next((str(rest[c]) for c in CREATORS if c in rest), None),
            category=next((str(rest[c]) for c in CATEGORIES if c in rest), None),
            metadata=rest,
            path=self.catalog.paths[index],
        )

    def items(self, indices: Iterable[int]) -> list[Item]:
        """Several items by index, in that order."""
        return [self.item(int(index)) for index in indices]

    def search(self, text: str) -> np.ndarray:
        """True at the items `(I,)` that hold every word of a text somewhere in their table or id.

        Each word is looked for in what the longer ones have left, so that many words cost hardly more than one.
        """
        rows, left = np.arange(len(self)), self._text
        for word in sorted(set(text.lower().split()), key=len, reverse=True):
            holds = left.str.contains(word, literal=True)
            rows, left = rows[holds.to_numpy()], left.filter(holds)
        found = np.zeros(len(self), dtype=bool)
        found[rows] = True
        return found
