"""Which id is meant by which index in the tutorial's files, found out and checked against what the files say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from visrec.data.formats.tutorial import user_orders
from visrec.errors import DataError

RULES = {
    "tutorial": "as the tutorial's notebook numbers them",
    "ids": "in the order of their ids",
    "occurrence": "in the order in which they first occur",
}


@dataclass(frozen=True, eq=False)
class Indices:
    """The ids of the tutorial's indices.

    Attributes:
        users: ids by index.
        items: ids by index.
        rule: how users are numbered, a key of `RULES`.
        checked: number of pairs that had to be interactions, and are.
    """

    users: list[str]
    items: list[str]
    rule: str
    checked: int


def find_indices(
    source: Path, interactions: pl.DataFrame, items: list[str], pairs: Mapping[Path, pl.DataFrame]
) -> Indices:
    """The numbering under which the pairs (user, item) of all files are interactions.

    Args:
        source: the file of the interactions, for messages.
        interactions: user_id, item_id as text, in file order, only of `items`.
        items: ids in the order of the file of features, which numbers the items.
        pairs: by file, the distinct columns user and item that must be interactions.

    Raises:
        DataError: there is no such numbering.
    """
    place = {item: n for n, item in enumerate(items)}
    taken_items = np.array([place[item] for item in interactions["item_id"].to_list()], dtype=np.int64)
    orders = user_orders(interactions["user_id"])
    n_users = len(orders["ids"])
    for path, found in pairs.items():
        _check_range(path, found, n_users, len(items), source)
    asked = {path: (found["user"] * len(items) + found["item"]).to_numpy() for path, found in pairs.items()}
    misses: dict[str, tuple[Path, int]] = {}
    for rule, users in orders.items():
        number = {user: n for n, user in enumerate(users)}
        taken_users = np.array([number[user] for user in interactions["user_id"].to_list()], dtype=np.int64)
        codes = taken_users * len(items) + taken_items
        wrong = {path: int((~np.isin(code, codes)).sum()) for path, code in asked.items()}
        if not any(wrong.values()):
            return Indices(users, items, rule, sum(map(len, asked.values())))
        misses[rule] = max(wrong.items(), key=lambda pair: pair[1])
    path, n = min(misses.values(), key=lambda miss: miss[1])
    raise DataError(
        f"{path}: {n:,} of its {len(asked[path]):,} pairs of a user and an item are no interactions in {source}, "
        f"however its users are numbered. The files are of different data, or the features are not those that they "
        f"were made with. Bring the files of one data set, or move {path.name} away."
    )


def _check_range(path: Path, found: pl.DataFrame, n_users: int, n_items: int, source: Path) -> None:
    for column, n, where in (("user", n_users, f"users in {source.name}"), ("item", n_items, "items")):
        highest = int(found[column].to_numpy().max(initial=-1))
        if highest >= n:
            raise DataError(
                f"{path}: has the {column} index {highest:,}, but there are {n:,} {where}. The files are of "
                f"different data; bring those of one."
            )


def translate(indices: pl.Series, ids: list[str]) -> pl.Series:
    """Ids for indices, or for lists of indices; what is below 0 becomes null."""
    known = pl.Series(ids, dtype=pl.String)
    flat = indices.explode().drop_nulls() if indices.dtype == pl.List else indices
    found = known.gather(flat.clip(0)) if len(known) else known
    found = pl.select(pl.when(flat >= 0).then(found)).to_series()
    if indices.dtype != pl.List:
        return found
    owner = pl.Series("owner", np.repeat(np.arange(len(indices)), indices.list.len().to_numpy()))
    lists = pl.DataFrame({"owner": owner, "ids": found}).group_by("owner", maintain_order=True).agg("ids")
    rows = pl.DataFrame({"owner": np.arange(len(indices))}).join(
        lists, on="owner", how="left", maintain_order="left"
    )
    return rows["ids"].fill_null([])
