"""Tradesy as published with VBPR: what people bought, want, sell and sold, and Caffe's features of the pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from visrec.data.datasets.named import NamedDataset, PublishedFile
from visrec.data.datasets.record_lines import records
from visrec.data.datasets.vector_files import read_vectors
from visrec.data.foreign import ForeignData, ForeignFeatures, places_as_times
from visrec.data.published import Published, PublishedFiles
from visrec.errors import ConfigError, DataError
from visrec.progress import Progress

LISTS = ("bought", "want", "selling", "sold")
_PEOPLE = ("tradesy.json.gz", "tradesy.json")
_URLS = ("tradesy_item_urls.json.gz", "tradesy_item_urls.json")
_FEATURES = "image_features_tradesy.b"


def read_tradesy(
    source: Path, *, progress: Progress | None = None, lists: str = "bought,want", all_items: bool = False
) -> ForeignData:
    """Read the lists of all users.

    Args:
        source: a folder with `tradesy.json.gz`, and of addresses and features what is there.
        lists: which lists are interactions, separated by commas: bought, want, selling, sold. As VBPR has it, what
            was bought and what is wanted.
        all_items: keep items that are on none of these lists, but on another.
        progress: called with (bytes read, bytes in all, a note).

    Raises:
        DataError: a file is missing or damaged; the message names the line.
        ConfigError: there is no such list.
    """
    chosen = [name.strip() for name in lists.split(",") if name.strip()]
    for name in chosen:
        if name not in LISTS:
            raise ConfigError(f"There is no list '{name}'. The lists: {', '.join(LISTS)}.")
    if not chosen:
        raise ConfigError(f"--set lists names no list. The lists: {', '.join(LISTS)}.")
    published = PublishedFiles(source)
    people = published.get(*_PEOPLE, what="the lists of each user")
    table = _people(people, progress)
    taken = table.filter(pl.col("list").is_in(chosen))
    rows = taken.unique(["user_id", "item_id"], keep="first", maintain_order=True)
    if not rows.height:
        raise DataError(f"{people}: holds no item on the lists {', '.join(chosen)}.")
    notes = [
        "The files have no times: `timestamp` is the place on the user's lists. Splits by time mean nothing.",
        f"Interactions are the lists {', '.join(chosen)}; who sells or sold an item is its `seller`.",
    ]
    if rows.height < taken.height:
        notes.append(
            f"{taken.height - rows.height:,} entries stand twice among a user's lists: counted once."
        )
    sellers = (
        table.filter(pl.col("list").is_in(["selling", "sold"]))
        .unique(["item_id", "user_id"], maintain_order=True)
        .group_by("item_id", maintain_order=True)
        .agg(seller=pl.col("user_id").str.join("|"))
    )
    items = (table if all_items else rows).select("item_id").unique(maintain_order=True)
    others = table["item_id"].n_unique() - items.height
    if others:
        notes.append(
            f"{others:,} items are on none of these lists: left out. Keep them by --set all_items=true."
        )
    files = [
        published.row(people, f"{table.height:,} entries of lists", f"{rows.height:,} interactions, items")
    ]
    about = items.join(sellers, on="item_id", how="left", maintain_order="left")
    about = _with_addresses(published, about, files, progress)
    features: tuple[ForeignFeatures, ...] = ()
    vectors = published.find(_FEATURES)
    if vectors is not None:
        found, more = read_vectors(vectors.on_disk, id_bytes=10)
        features, notes = (found,), [*notes, *more]
        files.append(published.row(vectors, f"{len(found.ids):,} vectors of 4,096", f"features/{found.name}"))
    return ForeignData(
        interactions=places_as_times(rows).select("user_id", "item_id", "timestamp"),
        items=about,
        features=features,
        files=tuple(files),
        notes=tuple(notes),
    )


def _people(file: Published, progress: Progress | None) -> pl.DataFrame:
    """`user_id`, `item_id`, `list`: the entries of all lists, in the order of the file and of `LISTS`."""
    users: list[str] = []
    items: list[str] = []
    lists: list[str] = []
    known: set[str] = set()
    for line, record in records(file, progress=progress):
        user, own = _id(record.get("uid")), record.get("lists")
        if user is None or not isinstance(own, dict):
            raise DataError(f"{file}: line {line:,} has no 'uid' or no 'lists'; expected both.")
        if user in known:
            raise DataError(f"{file}: line {line:,} is the second of user {user!r}; expected one each.")
        known.add(user)
        for name in LISTS:
            entries = own.get(name, [])
            ids = [_id(entry) for entry in entries] if isinstance(entries, list) else [None]
            if None in ids:
                raise DataError(f"{file}: line {line:,}: '{name}' of user {user!r} is no list of item ids.")
            users.extend([user] * len(ids))
            items.extend(one for one in ids if one is not None)
            lists.extend([name] * len(ids))
    columns = {"user_id": users, "item_id": items, "list": lists}
    return pl.DataFrame({name: pl.Series(values, dtype=pl.String) for name, values in columns.items()})


def _with_addresses(
    published: PublishedFiles, items: pl.DataFrame, files: list[dict[str, str]], progress: Progress | None
) -> pl.DataFrame:
    file = published.find(*_URLS)
    if file is None:
        return items
    addresses: dict[str, str] = {}
    for line, record in records(file, progress=progress):
        item, address = _id(record.get("itemID")), record.get("imageUrl")
        if item is None:
            raise DataError(f"{file}: line {line:,} has no 'itemID'; expected itemID and imageUrl.")
        if isinstance(address, str) and address:
            addresses.setdefault(item, address)
    files.append(
        published.row(file, f"addresses of {len(addresses):,} pictures", "column image_url of the items")
    )
    table = pl.DataFrame(
        {
            "item_id": pl.Series(list(addresses), dtype=pl.String),
            "image_url": pl.Series(list(addresses.values()), dtype=pl.String),
        }
    )
    return items.join(table, on="item_id", how="left", maintain_order="left")


def _id(value: Any) -> str | None:
    """An id as it is written; None where there is none."""
    if isinstance(value, str):
        return value.strip() or None
    return str(value) if type(value) is int and abs(value) < 1 << 63 else None


TRADESY_VBPR = NamedDataset(
    name="tradesy-vbpr",
    title="Tradesy (VBPR)",
    what="second-hand clothes: what people bought, want, sell and sold, and Caffe's features",
    size="19,823 users with 5 items and more, 166,526 items, 410,186 interactions (bought, want); 5.9 GB of features",
    licence="its authors state none",
    citation="R. He, J. McAuley: VBPR: Visual Bayesian Personalized Ranking from Implicit Feedback. AAAI 2016",
    home="https://cseweb.ucsd.edu/~jmcauley/datasets.html#bartering_data",
    files=(
        PublishedFile(_PEOPLE[0], "a user's lists on each line, as Python writes a dictionary"),
        PublishedFile(
            _FEATURES, "an id of 10 letters and 4,096 float32 numbers, for each item", needed=False
        ),
        PublishedFile(_URLS[0], "the address of an item's picture on each line", needed=False),
    ),
    read=read_tradesy,
)
