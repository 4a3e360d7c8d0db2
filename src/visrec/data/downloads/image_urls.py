"""The addresses of pictures that a data set lists: `image_urls.csv`, or a column of its items."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from visrec.data.tables import columns_of, find_table, id_column, read_table, row_name
from visrec.errors import DataError

COLUMN = "image_url"
_BETWEEN = re.compile(r"[|\s]+(?=https?://)", re.IGNORECASE)  # neither may stand in an address


@dataclass(frozen=True)
class ImageUrls:
    """Which addresses each item has.

    Attributes:
        source: the file that lists them.
        addresses: by item id (as text), in the file's order; an empty tuple where an item has none.
    """

    source: Path
    addresses: dict[str, tuple[str, ...]]


def read_image_urls(folder: Path, *, column: str | None = None) -> ImageUrls:
    """Read the addresses of a data set.

    `image_urls.csv|parquet` (item_id, url; several rows of an item are several addresses) is read where it is there
    and no column is named; else the column of `items.csv|parquet`. A value is an address, several with
    blanks or | between them, a list, or a list in JSON.

    Args:
        folder: the data set.
        column: a column of the items; None: `image_urls.csv`, or the column image_url.

    Raises:
        DataError: no such table or column, or a value that is neither.
    """
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise DataError(f"{folder}: {what}; expected a data set folder with items.csv or image_urls.csv.")
    listing = find_table(folder, "image_urls") if column is None else None
    source = listing or find_table(folder, "items")
    if source is None:
        raise DataError(
            f"{folder}: no items.csv with a column {column or COLUMN}, and no image_urls.csv. Expected one of them "
            f"(or .parquet), with item_id and the addresses of the pictures."
        )
    name = "url" if listing else column or COLUMN
    table = read_table(source, required=("item_id",))
    if name not in table.columns:
        raise DataError(
            f"{source}: there is no column {name}. Found: {columns_of(table)}. Say which one holds the addresses: "
            f"--column NAME."
        )
    ids = id_column(source, table, "item_id").cast(pl.String).to_list()
    found: dict[str, tuple[str, ...]] = {}
    for row, (item, value) in enumerate(zip(ids, table[name].to_list(), strict=True), start=1):
        try:
            addresses = _addresses(value)
        except (ValueError, RecursionError):
            raise DataError(
                f"{source}: column {name}, {row_name(source, row)}: {str(value)[:80]!r} is no address. Expected "
                f'text such as https://…, several with | between them, or a list in JSON: ["https://…", "https://…"].'
            ) from None
        found[item] = tuple(dict.fromkeys((*found.get(item, ()), *addresses)))
    return ImageUrls(source, found)


def _addresses(value: object) -> list[str]:
    if value is None:
        return []
    if isinstance(value, str):
        text = value.strip()
        value = json.loads(text) if text.startswith("[") else _BETWEEN.split(text)
    if not isinstance(value, list) or not all(one is None or isinstance(one, str) for one in value):
        raise ValueError
    return [one.strip() for one in value if one and one.strip()]
