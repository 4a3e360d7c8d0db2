"""Where a data set folder has its pictures."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from visrec.data.catalog import IMAGE_SUFFIXES, Paths
from visrec.data.file_names import is_utf8
from visrec.data.tables import find_table, first_row, id_column, read_table, row_name
from visrec.errors import DataError

ALLOW = (
    "or allow missing images, whose items then have no visual features: --allow-missing-images (in an experiment's "
    'file missing_images = "mask" under [data], in Python missing_images="mask")'
)


@dataclass(frozen=True, eq=False)
class Pictures:
    """The pictures of a data set folder, one an item.

    Attributes:
        source: what says where they are: `images/`, or `images.csv`.
        items: `(P,)` ids as written.
        paths: `(P,)` their files.
    """

    source: Path
    items: pl.Series
    paths: Paths

    @classmethod
    def of(cls, folder: Path, *, missing_images: str) -> Pictures:
        """Find them.

        Raises:
            DataError: names the file, the row, and the remedy.
        """
        listing, images = find_table(folder, "images"), folder / "images"
        if listing is not None:
            return _listed(listing, folder, missing_images)
        if not images.exists():
            if missing_images == "mask":
                return _named(images, [], [])
            raise DataError(
                f"{folder}: no images/ folder and no images.csv. Put each item's picture at images/<item_id>.jpg, "
                f"list item_id,path in images.csv, {ALLOW}."
            )
        if not images.is_dir():
            raise DataError(f"{images}: is a file; expected a folder of pictures.")
        found = _in_folder(images)
        if not len(found.items) and missing_images == "error":
            raise DataError(
                f"{images}: holds no picture. Put each item's picture there as <item_id>.jpg "
                f"(any of {', '.join(IMAGE_SUFFIXES)}), {ALLOW}."
            )
        return found


def refuse_repeated(path: Path, ids: pl.Series) -> None:
    """`DataError` where an item has two rows in a table."""
    if ids.n_unique() == len(ids):
        return
    row = first_row(ids.is_duplicated())
    again = int(np.flatnonzero((ids == ids[row - 1]).to_numpy())[1]) + 1
    raise DataError(
        f"{path}: item {ids[row - 1]!r} occurs twice, in {row_name(path, row)} and in row {again}; "
        f"keep one row an item."
    )


def _named(images: Path, items: list[str], names: list[str]) -> Pictures:
    return Pictures(
        images,
        pl.Series("item_id", items, dtype=pl.String),
        Paths(images, pl.Series("path", names, dtype=pl.String)),
    )


def _in_folder(images: Path) -> Pictures:
    items: list[str] = []
    names: list[str] = []
    with os.scandir(images) as entries:
        found = sorted(entry.name for entry in entries if entry.is_file())
    for name in found:
        item, _, suffix = name.rpartition(".")
        if f".{suffix.lower()}" not in IMAGE_SUFFIXES or name.startswith("."):
            continue
        if not name.isascii() and not is_utf8(name):
            _refuse_two(_named(images, items, names))
            raise DataError(f"{images}: the file name {os.fsencode(name)!r} is not UTF-8; rename it.")
        items.append(item)
        names.append(name)
    pictures = _named(images, items, names)
    _refuse_two(pictures)
    return pictures


def _refuse_two(pictures: Pictures) -> None:
    again = ~pictures.items.is_first_distinct()
    if not again.any():
        return
    second = first_row(again) - 1
    item, names = pictures.items[second], pictures.paths.written
    first = first_row(pictures.items == item) - 1
    raise DataError(
        f"{pictures.source}: item {item!r} has two images, {names[first]} and {names[second]}; keep one."
    )


def _listed(listing: Path, folder: Path, missing_images: str) -> Pictures:
    table = read_table(listing, required=("item_id", "path"))
    if table["path"].dtype != pl.String:
        raise DataError(f"{listing}: column path is of type {table['path'].dtype}; store it as text.")
    ids = id_column(listing, table, "item_id").cast(pl.String)
    refuse_repeated(listing, ids)
    written = table["path"].fill_null("")
    there = np.zeros(len(written), dtype=bool)
    for place, path in enumerate(Paths(folder, written).texts()):
        there[place] = os.path.isfile(path or "")  # noqa: PTH113 - Path.is_file raises where a name is too long
        if not there[place] and missing_images == "error":
            raise DataError(
                f"{listing}: {row_name(listing, place + 1)}: item {ids[place]!r}: no image file at "
                f"{written[place]!r} (paths are relative to {folder}). Mend the path, {ALLOW}."
            )
    return Pictures(listing, ids.filter(there), Paths(folder, written.filter(there)))
