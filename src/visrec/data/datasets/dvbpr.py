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

from visrec.data.datasets.dvbpr_items import field_of, item_ids, item_pictures, item_table, text_of
from visrec.data.datasets.named import NamedDataset, PublishedFile
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
_SHOWN = 10  # names in a note


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
    ids, called = item_ids(path, items)
    interactions, others = _interactions(
        path, dict(zip(PARTS, histories, strict=True)), ids, size=records.size
    )
    about, left_out = item_table(path, items, ids, size=records.size)
    pictures = item_pictures(path, items, ids, size=records.size)
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
                number = field_of(entry, "productid") if isinstance(entry, dict) else None
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
    return rows, {text_of(key) for key in others} - {"productid"}


def _listed(names: Iterable[str]) -> str:
    first = sorted(names)
    return ", ".join(first[:_SHOWN]) + (f" and {len(first) - _SHOWN:,} more" if len(first) > _SHOWN else "")


# ---- the four --------------------------------------------------------------------------------------


_WHAT = "who took what, with a picture of each item, and the parts for training, validation and test"
_LICENCE = "its authors say: the raw images are for academic use only"
_HOME = "https://github.com/kang205/DVBPR"


def _reader(title: str, *names: str) -> Callable[..., ForeignData]:
    def read(source: Path, *, progress: Progress | None = None) -> ForeignData:
        found = PublishedFiles(source).get(*names, what=f"{title} of the DVBPR authors")
        return read_partitioned(found.on_disk, progress=progress)

    return read


def _file(name: str) -> tuple[PublishedFile]:
    return (PublishedFile(name, "people, items and pictures (a NumPy array of objects by Python 2)"),)


AMAZON_FASHION = NamedDataset(
    name="amazon-fashion",
    title="Amazon Fashion (DVBPR)",
    what=_WHAT,
    size="64 thousand users, 234 thousand images, 0.5 million actions, 3.3 GB",
    licence=_LICENCE,
    citation=_CITATION,
    home=_HOME,
    files=_file("AmazonFashion6ImgPartitioned.npy"),
    read=_reader("Amazon Fashion (DVBPR)", "AmazonFashion6ImgPartitioned.npy"),
)
AMAZON_WOMEN = NamedDataset(
    name="amazon-women",
    title="Amazon Women (DVBPR)",
    what=_WHAT,
    size="97 thousand users, 347 thousand images, 0.8 million actions, 6.2 GB",
    licence=_LICENCE,
    citation=_CITATION,
    home=_HOME,
    files=_file("AmazonWomenWithImgPartitioned.npy"),
    read=_reader(
        "Amazon Women (DVBPR)", "AmazonWomenWithImgPartitioned.npy", "AmazonWomen*ImgPartitioned.npy"
    ),
)
AMAZON_MEN = NamedDataset(
    name="amazon-men",
    title="Amazon Men (DVBPR)",
    what=_WHAT,
    size="34 thousand users, 110 thousand images, 0.2 million actions, 2.1 GB",
    licence=_LICENCE,
    citation=_CITATION,
    home=_HOME,
    files=_file("AmazonMenWithImgPartitioned.npy"),
    read=_reader("Amazon Men (DVBPR)", "AmazonMenWithImgPartitioned.npy", "AmazonMen*ImgPartitioned.npy"),
)
TRADESY = NamedDataset(
    name="tradesy",
    title="Tradesy (DVBPR)",
    what=_WHAT,
    size="33 thousand users, 326 thousand images, 0.6 million actions, 3.4 GB",
    licence=_LICENCE,
    citation=_CITATION,
    home=_HOME,
    files=_file("TradesyImgPartitioned.npy"),
    read=_reader("Tradesy (DVBPR)", "TradesyImgPartitioned.npy"),
)
