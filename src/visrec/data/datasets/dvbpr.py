"""Amazon Fashion, Women, Men and Tradesy as published with DVBPR: people, items and pictures in one `.npy` file.

The file is `numpy.save` of `[user_train, user_validation, user_test, Item, usernum, itemnum]` by Python 2, as the
programs in github.com/kang205/DVBPR (Kang, Fang, Wang & McAuley, ICDM 2017) read it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from visrec.data.datasets.named import NamedDataset, PublishedFile
from visrec.data.datasets.paths import category_of
from visrec.data.foreign import ForeignData, file_row, places_as_times
from visrec.data.formats.pickled import ObjectArray, Stretch, plain, read_records, shown
from visrec.data.published import PublishedFiles
from visrec.errors import DataError
from visrec.progress import Progress

PARTS = {"train": "user_train", "valid": "user_validation", "test": "user_test"}
_CITATION = (
    "W.-C. Kang, C. Fang, Z. Wang, J. McAuley: Visually-Aware Fashion Recommendation and Design with Generative "
    "Image Models. ICDM 2017"
)
_NEVER = {"imgs", "categories", "c", "asin"}  # they become something else than a column of their own name
_MOST_FIELDS = 200  # of an item
_MOST = 8  # characters of categories, for a byte of the file
_SHOWN = 10  # names in a note
_NAMES = {"imUrl": "image_url", "salesRank": "sales_rank"}


def read_partitioned(path: Path, *, progress: Progress | None = None) -> ForeignData:
    """Read one file. Pictures stay in it until they are written, one at a time.

    Raises:
        DataError: it is no such file, is damaged, wants something run, or its parts do not fit each other.
    """
    records = read_records(path, progress=progress)
    if records.shape != (6,):
        expected = ", ".join([*PARTS.values(), "Item", "usernum", "itemnum"])
        raise DataError(f"{path}: holds an array of shape {records.shape}; expected 6 parts: {expected}.")
    try:
        return _data_of(path, records)
    except ValueError as error:  # an array without content, a text that is no text
        what = " ".join(str(error).split())[:300]
        raise DataError(f"{path}: is damaged ({what}).") from None


def _data_of(path: Path, records: ObjectArray) -> ForeignData:
    *histories, things, n_users, n_items = records.cells
    items = dict(_numbered(path, "Item", things))
    ids, called = _ids(path, items)
    interactions, others = _interactions(
        path, dict(zip(PARTS, histories, strict=True)), ids, size=records.size
    )
    about, left_out = _items(path, items, ids, size=records.size)
    pictures = _pictures(path, items, ids, size=records.size)
    notes = [
        "The file has no times: `timestamp` is the place among the user's items, those for training first. Splits by "
        "time mean nothing; the column evaluation has the parts as published.",
        called,
    ]
    if others:
        notes.append(f"Of interactions, {_listed(others)} is left out.")
    if left_out:
        notes.append(f"Of items, {_listed(left_out)} is left out: neither short text nor numbers.")
    for what, stated, found in (
        ("users", n_users, interactions["user_id"].n_unique()),
        ("items", n_items, len(items)),
    ):
        if not isinstance(stated, int | np.integer) or int(stated) != found:
            notes.append(f"The file states {shown(stated)} {what}, and holds {found:,}.")

    def encoded() -> Iterator[tuple[str, bytes]]:
        with path.open("rb") as file:
            for item, picture in pictures:
                yield item, picture.read(file) if isinstance(picture, Stretch) else picture

    what = f"{interactions.height:,} interactions, {len(items):,} items with their pictures"
    became = f"interactions, items, {len(pictures):,} pictures in images/"
    return ForeignData(
        interactions=interactions,
        items=about,
        encoded=encoded,
        files=(file_row(path.name, what, became),),
        notes=tuple(notes),
    )


# ---- parts -----------------------------------------------------------------------------------------


def _numbered(path: Path, name: str, value: Any) -> Iterable[tuple[int, Any]]:
    """Number and content, whether a part is a dictionary, a list or an array."""
    value = plain(value)
    if isinstance(value, dict):
        for number in value:
            if type(number) is not int or number < 0:
                raise DataError(
                    f"{path}: {name} has the key {shown(number)}; expected whole numbers from 0 on."
                )
        return sorted(value.items())
    if isinstance(value, ObjectArray):
        value = value.cells
    if isinstance(value, list | tuple):
        return enumerate(value)
    raise DataError(
        f"{path}: {name} is of type {type(value).__name__}; expected a dictionary by number, or a list."
    )


def _field(record: dict[Any, Any], name: str) -> Any:
    return plain(record.get(name.encode(), record.get(name)))


def _interactions(
    path: Path, histories: dict[str, Any], ids: dict[int, str], *, size: int
) -> tuple[pl.DataFrame, set[str]]:
    """The rows, and what else is known of them."""
    users: list[int] = []
    items: list[str] = []
    parts: list[str] = []
    others: set[str] = set()
    for part, value in histories.items():
        for user, listed in _numbered(path, PARTS[part], value):
            entries = listed.cells if isinstance(listed, ObjectArray) else listed
            if not isinstance(entries, list | tuple):
                raise DataError(
                    f"{path}: {PARTS[part]}[{user}] is of type {type(entries).__name__}; expected a list of "
                    f"dictionaries."
                )
            if (
                len(users) + len(entries) > size
            ):  # the same list for many users: small on disk, endless in memory
                raise DataError(f"{path}: claims more interactions than it has bytes ({size:,}).")
            for entry in entries:
                number = _field(entry, "productid") if isinstance(entry, dict) else None
                item = ids.get(int(number)) if isinstance(number, int | np.integer) else None
                if item is None:
                    raise DataError(
                        f"{path}: {PARTS[part]}[{user}] has an entry whose 'productid' is {shown(number)}; expected "
                        f"the number of one of the {len(ids):,} items."
                    )
                others.update(entry)
                users.append(user)
                items.append(item)
            parts.extend([part] * len(entries))
    if not users:
        raise DataError(f"{path}: holds no interactions.")
    table = pl.DataFrame({"user": users, "item_id": items, "evaluation": parts})
    table = table.sort("user", maintain_order=True).with_columns(user_id=pl.col("user").cast(pl.String))
    rows = places_as_times(table).select("user_id", "item_id", "timestamp", "evaluation")
    return rows, {_text(key) for key in others} - {"productid"}


def _ids(path: Path, items: dict[int, Any]) -> tuple[dict[int, str], str]:
    """The id of each item, its `asin` where all have one of their own, else its number; and a word on that."""
    for number, record in items.items():
        if not isinstance(record, dict):
            raise DataError(
                f"{path}: Item[{number}] is of type {type(record).__name__}; expected a dictionary with 'imgs'."
            )
    named = {number: _field(record, "asin") for number, record in items.items()}
    texts = {number: _text(name) for number, name in named.items() if isinstance(name, bytes | str) and name}
    if len(texts) == len(items) == len(set(texts.values())):
        return texts, "Items are called by their `asin`, users by their number in the file."
    why = "do not all have an `asin`" if len(texts) < len(items) else "share an `asin`"
    called = f"Items and users are called by their number in the file: items {why}."
    return {number: str(number) for number in items}, called


# ---- items -----------------------------------------------------------------------------------------


def _items(
    path: Path, items: dict[int, Any], ids: dict[int, str], *, size: int
) -> tuple[pl.DataFrame, list[str]]:
    """What is known of items, and what of that is no cell of a table."""
    names = sorted({_text(key) for record in items.values() for key in record} - _NEVER)
    if len(names) > _MOST_FIELDS:
        raise DataError(f"{path}: items have {len(names):,} different fields; expected a handful.")
    columns: dict[str, pl.Series] = {
        "item_id": pl.Series(list(ids.values()), dtype=pl.String),
        "productid": pl.Series(list(items), dtype=pl.Int64),
    }
    left_out = []
    for name in names:
        column = _column([_field(record, name) for record in items.values()])
        if column is None or _NAMES.get(name, name) in columns:
            left_out.append(name)
        else:
            columns[_NAMES.get(name, name)] = column
    classes = [_classes(path, number, _field(record, "c")) for number, record in items.items()]
    paths: list[str | None] = []
    total = 0
    for number, record in items.items():
        paths.append(_category(path, number, _field(record, "categories")))
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
        return pl.Series([None if value is None else _text(value) for value in values], dtype=pl.String)
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
    return category_of([[_text(name) for name in one] for one in value])


def _pictures(
    path: Path, items: dict[int, Any], ids: dict[int, str], *, size: int
) -> list[tuple[str, Stretch | bytes]]:
    """Item and picture, in the order of the file, where there is one."""
    found: list[tuple[str, Stretch | bytes]] = []
    total = 0
    for number, record in items.items():
        picture = _field(record, "imgs")
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


def _listed(names: Iterable[str]) -> str:
    first = sorted(names)
    return ", ".join(first[:_SHOWN]) + (f" and {len(first) - _SHOWN:,} more" if len(first) > _SHOWN else "")


def _text(value: bytes | str | int) -> str:
    """A string of Python 2, UTF-8 where it is that."""
    if not isinstance(value, bytes):
        return str(value)
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin1")


# ---- the four --------------------------------------------------------------------------------------


def _data_set(name: str, title: str, file: str, size: str, *patterns: str) -> NamedDataset:
    def read(source: Path, *, progress: Progress | None = None) -> ForeignData:
        found = PublishedFiles(source).get(file, *patterns, what=f"{title} of the DVBPR authors")
        return read_partitioned(found.on_disk, progress=progress)

    reader: Callable[..., ForeignData] = read
    return NamedDataset(
        name=name,
        title=title,
        what="who took what, with a picture of each item, and the parts for training, validation and test",
        size=size,
        licence="its authors say: the raw images are for academic use only",
        citation=_CITATION,
        home="https://github.com/kang205/DVBPR",
        files=(PublishedFile(file, "people, items and pictures (a NumPy array of objects by Python 2)"),),
        read=reader,
    )


AMAZON_FASHION = _data_set(
    "amazon-fashion",
    "Amazon Fashion (DVBPR)",
    "AmazonFashion6ImgPartitioned.npy",
    "64 thousand users, 234 thousand images, 0.5 million actions, 3.3 GB",
)
AMAZON_WOMEN = _data_set(
    "amazon-women",
    "Amazon Women (DVBPR)",
    "AmazonWomenWithImgPartitioned.npy",
    "97 thousand users, 347 thousand images, 0.8 million actions, 6.2 GB",
    "AmazonWomen*ImgPartitioned.npy",
)
AMAZON_MEN = _data_set(
    "amazon-men",
    "Amazon Men (DVBPR)",
    "AmazonMenWithImgPartitioned.npy",
    "34 thousand users, 110 thousand images, 0.2 million actions, 2.1 GB",
    "AmazonMen*ImgPartitioned.npy",
)
TRADESY = _data_set(
    "tradesy",
    "Tradesy (DVBPR)",
    "TradesyImgPartitioned.npy",
    "33 thousand users, 326 thousand images, 0.6 million actions, 3.4 GB",
)
