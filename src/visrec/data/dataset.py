"""A data set folder: interactions, images, metadata. `load_dataset` reads and checks it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from visrec.data.catalog import IMAGE_SUFFIXES, Catalog, Paths
from visrec.data.ids import IdMap
from visrec.data.interactions import Interactions
from visrec.data.pairs import READING, Pairs, indices_of, read_pairs
from visrec.data.pictures import ALLOW, Pictures, refuse_repeated
from visrec.data.tables import find_table, id_column, read_table, row_name
from visrec.errors import DataError
from visrec.progress import Progress

NO_DATA_SET = (
    "is no data set folder: it holds neither interactions.csv nor pictures in images/. Files of another program "
    "or of a published data set become one by visrec convert (see visrec formats, visrec datasets)."
)
"""What is said of a folder with nothing that a data set has."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """What `load_dataset` gives.

    Attributes:
        folder: where it was read from.
        interactions: who took what, on the catalogue's item ids.
        catalog: the items and their images.
        notes: what reading it left out or decided, one sentence each.
    """

    folder: Path
    interactions: Interactions
    catalog: Catalog
    notes: tuple[str, ...] = ()


def load_dataset(
    folder: str | Path,
    *,
    min_rating: float | None = None,
    missing_images: Literal["error", "mask"] = "error",
    progress: Progress | None = None,
) -> Dataset:
    """Read a data set folder.

    `interactions.csv|parquet` holds user_id, item_id, timestamp and optionally weight, rating, evaluation.
    `images/<item_id>.<jpg|jpeg|png|webp|gif>`, or `images.csv` with item_id and path, says where the images
    are. `items.csv|parquet`, if there is one, says which items there are and what is known of them; without
    it the items are those that have an image. The order of rows never matters; of a repeated user-item pair
    the newest row counts.

    Args:
        folder: the data set.
        min_rating: keep only pairs whose (newest) rating is at least this.
        missing_images: "error" refuses items without an image; "mask" keeps them, without visual features.
        progress: called with steps done, steps in all, and what is done now.

    Raises:
        DataError: one message that names the file, the row or column, and the remedy.
    """
    folder = Path(folder)
    if missing_images not in ("error", "mask"):
        raise DataError(f"missing_images is {missing_images!r}; expected 'error' or 'mask'.")
    try:
        return _load(folder, min_rating, missing_images, progress)
    except OSError as error:
        raise DataError(f"{error.filename or folder}: cannot be read ({error.strerror}).") from None


def load_catalog(folder: str | Path, *, missing_images: Literal["error", "mask"] = "error") -> Catalog:
    """Read the items of a data set folder, which need no interactions: `images/` or `images.csv`, and `items.csv`.

    Where there are interactions too, they are read and checked as `load_dataset` does.

    Raises:
        DataError: one message that names the file, the row or column, and the remedy.
    """
    folder = Path(folder)
    _check_folder(folder, "images/ (or images.csv)")
    if find_table(folder, "interactions") is not None:
        return load_dataset(folder, missing_images=missing_images).catalog
    try:
        return _read_catalog(folder, folder / "interactions.csv", Pairs.none(), missing_images)[0]
    except OSError as error:
        raise DataError(f"{error.filename or folder}: cannot be read ({error.strerror}).") from None


def _load(folder: Path, min_rating: float | None, missing_images: str, progress: Progress | None) -> Dataset:
    _check_folder(folder, "interactions.csv and images/")
    source = find_table(folder, "interactions")
    if source is None:
        raise DataError(
            f"{folder}: no interactions.csv or interactions.parquet. "
            f"Expected one with the columns user_id,item_id,timestamp."
        )
    told = progress or (lambda done, total, note: None)  # noqa: ARG005
    steps = READING + 2
    pairs, notes = read_pairs(source, min_rating, progress=lambda done, note: told(done, steps, note))
    told(READING, steps, "reading items")
    catalog, more_notes, item_index = _read_catalog(folder, source, pairs, missing_images)
    told(READING + 1, steps, "sorting by time")
    users, user = pairs.users()
    item, rest = (
        item_index[pairs.item],
        (pairs.timestamp, pairs.weight, users, catalog.items, pairs.evaluation),
    )
    del pairs  # sorting takes memory enough
    interactions = Interactions(user, item, *rest)
    told(steps, steps, f"{len(interactions):,} interactions")
    return Dataset(folder, interactions, catalog, (*notes, *more_notes))


def _check_folder(folder: Path, holding: str) -> None:
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise DataError(f"{folder}: {what}; expected a folder with {holding}.")


def _read_catalog(
    folder: Path, source: Path, pairs: Pairs, missing_images: str
) -> tuple[Catalog, list[str], np.ndarray]:
    """The catalogue, notes, and the index in it of each of the pairs' `item_ids`."""
    notes: list[str] = []
    pictures = Pictures.of(folder, missing_images=missing_images)
    items_file = find_table(folder, "items")
    if items_file is not None:
        metadata = read_table(items_file, required=("item_id",))
        ids = id_column(items_file, metadata, "item_id").cast(pl.String)
        refuse_repeated(items_file, ids)
        metadata = metadata.drop("item_id")
    else:
        ids, metadata = pictures.items, pl.DataFrame()
        if missing_images == "mask":
            taken_ids = pairs.item_ids.filter(pairs.taken_items()).cast(pl.String)
            ids = pl.concat([ids, taken_ids]).unique()
    items = IdMap(_as_given(ids, pairs.item_ids), kind="item")
    if metadata.width:
        of_row = np.empty(len(ids), dtype=np.int64)
        of_row[indices_of(items, ids)] = np.arange(len(ids))
        metadata = metadata[of_row]
    taken, index = pairs.taken_items(), indices_of(items, pairs.item_ids)  # of item_ids
    unknown = taken & (index < 0)
    if items_file is not None and unknown.any():
        item, row = _first(pairs, unknown)
        raise DataError(
            f"{source}: {row_name(source, row)}: item {item!r} is not in "
            f"{items_file.name} ({unknown.sum():,} such items in all). "
            f"Add them to {items_file.name}, or remove their interactions."
        )
    of_picture = indices_of(items, pictures.items)
    if items_file is not None and (extra := int((of_picture < 0).sum())):
        notes.append(f"{extra:,} images belong to no item of {items_file.name}: ignored.")
    paths = _by_item(pictures, of_picture, len(items))
    lacking = int(paths.written.null_count() + unknown.sum())
    if lacking and missing_images == "error":
        without = taken & ((index < 0) | ~np.append(paths.there, False)[index])
        if without.any():
            item, row = _first(pairs, without)
        else:
            item, row = str(items.written.filter(~paths.there).min()), 0
        place = f"{source.name}, {row_name(source, row)}" if row else items_file.name if items_file else ""
        raise DataError(
            f"{pictures.source}: {lacking:,} item(s) have no image, first {item!r} ({place}). "
            f"Add the pictures ({', '.join(IMAGE_SUFFIXES)}), {ALLOW}."
        )
    if lacking:
        notes.append(f"{lacking:,} items have no image: they have no visual features.")
    table = pl.DataFrame([items.values.alias("item_id"), *metadata.get_columns()])
    return Catalog(items, paths, table), notes, index


def _by_item(pictures: Pictures, of_picture: np.ndarray, n_items: int) -> Paths:
    """The pictures in the order of the items; null where an item has none."""
    picture = np.full(n_items, -1)
    known = of_picture >= 0
    picture[of_picture[known]] = np.flatnonzero(known)
    place = pl.Series(picture)
    return Paths(pictures.paths.folder, pictures.paths.written.gather(place.set(place < 0, None)))


def _first(pairs: Pairs, of: np.ndarray) -> tuple[str, int]:
    """The first pair with one of some items (a mask of `item_ids`): its item, and its row in the file."""
    place = int(np.argmax(of[pairs.item]))
    return str(pairs.item_ids[int(pairs.item[place])]), pairs.row(place)


def _as_given(ids: pl.Series, interacted: pl.Series) -> pl.Series:
    """The ids as integers if the interactions have them so and every id is one; else as strings."""
    if not interacted.dtype.is_integer():
        return ids
    numbers = ids.cast(pl.Int64, strict=False)
    return numbers if numbers.cast(pl.String).equals(ids) else ids
