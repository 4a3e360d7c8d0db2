"""The items of a file of DVBPR: a dictionary each, by number, with the bytes of a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from visrec.data.datasets.paths import category_of
from visrec.data.formats.pickled import Stretch, plain
from visrec.errors import DataError

_NEVER = {"imgs", "categories", "c", "asin"}  # they become something else than a column of their own name
_MOST_FIELDS = 200  # of an item
_MOST = 8  # characters of categories, for a byte of the file
_NAMES = {"imUrl": "image_url", "salesRank": "sales_rank"}


def item_ids(path: Path, items: dict[int, Any]) -> tuple[dict[int, str], str]:
    """The id of each item, its `asin` where all have one of their own, else its number; and a word on that."""
    for number, record in items.items():
        if not isinstance(record, dict):
            raise DataError(
                f"{path}: Item[{number}] is of type {type(record).__name__}; expected a dictionary with 'imgs'."
            )
    named = {number: field_of(record, "asin") for number, record in items.items()}
    texts = {
        number: text_of(name) for number, name in named.items() if isinstance(name, bytes | str) and name
    }
    if len(texts) == len(items) == len(set(texts.values())):
        return texts, "Items are called by their `asin`, users by their number in the file."
    why = "do not all have an `asin`" if len(texts) < len(items) else "share an `asin`"
    called = f"Items and users are called by their number in the file: items {why}."
    return {number: str(number) for number in items}, called


def item_table(
    path: Path, items: dict[int, Any], ids: dict[int, str], *, size: int
) -> tuple[pl.DataFrame, list[str]]:
    """What is known of items, and what of that is no cell of a table."""
    names = sorted({text_of(key) for record in items.values() for key in record} - _NEVER)
    if len(names) > _MOST_FIELDS:
        raise DataError(f"{path}: items have {len(names):,} different fields; expected a handful.")
    columns: dict[str, pl.Series] = {
        "item_id": pl.Series(list(ids.values()), dtype=pl.String),
        "productid": pl.Series(list(items), dtype=pl.Int64),
    }
    left_out = []
    for name in names:
        column = _column([field_of(record, name) for record in items.values()])
        if column is None or _NAMES.get(name, name) in columns:
            left_out.append(name)
        else:
            columns[_NAMES.get(name, name)] = column
    classes = [_classes(path, number, field_of(record, "c")) for number, record in items.items()]
    paths: list[str | None] = []
    total = 0
    for number, record in items.items():
        paths.append(_category(path, number, field_of(record, "categories")))
        total += len(paths[-1] or "")
        if total > _MOST * size:  # the same list for many items
            raise DataError(f"{path}: claims far more names of categories than it has bytes ({size:,}).")
    if any(paths):
        columns["category"] = pl.Series(paths, dtype=pl.String)
        if any(classes):
            columns["class"] = pl.Series(classes, dtype=pl.String)
    elif any(classes):
        columns["category"] = pl.Series(classes, dtype=pl.String)
    return pl.DataFrame(columns), left_out


def _column(values: list[Any]) -> pl.Series | None:
    """Numbers or texts as a column; None where there is anything else, or nothing."""
    there = [value for value in values if value is not None]
    if there and all(isinstance(value, bytes | str) for value in there):
        return pl.Series([None if value is None else text_of(value) for value in values], dtype=pl.String)
    if there and all(isinstance(value, int | np.integer) for value in there):
        whole = [None if value is None else int(value) for value in values]
        small = all(one is None or abs(one) < 1 << 63 for one in whole)
        return pl.Series(whole, dtype=pl.Int64) if small else None  # as floats, numbers of things are others
    if there and all(isinstance(value, int | float | np.number) for value in there):
        try:
            return pl.Series([None if value is None else float(value) for value in values], dtype=pl.Float64)
        except OverflowError:
            return None
    return None


def _classes(path: Path, number: int, value: Any) -> str | None:
    """The places of the ones in Amazon Fashion's vector of six classes, whose names the file does not have."""
    if value is None:
        return None
    if isinstance(value, list | tuple):
        value = np.array(value) if all(isinstance(one, int | float | np.number) for one in value) else None
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "biuf" or value.size > _MOST_FIELDS:
        raise DataError(f"{path}: 'c' of Item[{number}] is no short list of numbers.")
    return "|".join(str(place) for place in np.flatnonzero(value)) or None


def _category(path: Path, number: int, value: Any) -> str | None:
    """The names on the paths of a product."""
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(one, list) for one in value):
        raise DataError(f"{path}: 'categories' of Item[{number}] is no list of paths.")
    if not all(isinstance(name, bytes | str) for one in value for name in one):
        raise DataError(f"{path}: 'categories' of Item[{number}] holds other things than names.")
    return category_of([[text_of(name) for name in one] for one in value])


def item_pictures(
    path: Path, items: dict[int, Any], ids: dict[int, str], *, size: int
) -> list[tuple[str, Stretch | bytes]]:
    """Item and picture, in the order of the file, where there is one."""
    found: list[tuple[str, Stretch | bytes]] = []
    total = 0
    for number, record in items.items():
        picture = field_of(record, "imgs")
        if picture is None or picture == b"":
            continue
        if not isinstance(picture, Stretch | bytes):
            kind = type(picture).__name__
            raise DataError(
                f"{path}: 'imgs' of Item[{number}] is of type {kind}; expected the bytes of a JPEG file."
            )
        total += picture.size if isinstance(picture, Stretch) else len(picture)
        found.append((ids[number], picture))
    if total > size:  # the same bytes for many items: small on disk, endless when written out
        raise DataError(f"{path}: claims {total:,} bytes of pictures in a file of {size:,} bytes.")
    return sorted(found, key=lambda pair: pair[1].at if isinstance(pair[1], Stretch) else -1)


def field_of(record: dict[Any, Any], name: str) -> Any:
    """A field, whether its name is a text or, as of Python 2, bytes."""
    return plain(record.get(name.encode(), record.get(name)))


def text_of(value: bytes | str | int) -> str:
    """A string of Python 2, UTF-8 where it is that."""
    if not isinstance(value, bytes):
        return str(value)
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin1")
