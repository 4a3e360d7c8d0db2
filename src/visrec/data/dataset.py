"""A data set folder: interactions, images, metadata. `load_dataset` reads and checks it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from visrec.data.catalog import IMAGE_SUFFIXES, Catalog
from visrec.data.ids import IdMap
from visrec.data.interactions import Interactions
from visrec.data.tables import (
    columns_of,
    find_table,
    first_row,
    id_column,
    number_column,
    part_column,
    read_table,
    row_name,
    time_column,
    weight_column,
)
from visrec.errors import DataError

_ALLOW = (
    "or allow missing images, whose items then have no visual features: --allow-missing-images (in an experiment's "
    'file missing_images = "mask" under [data], in Python missing_images="mask")'
)


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

    Raises:
        DataError: one message that names the file, the row or column, and the remedy.
    """
    folder = Path(folder)
    if missing_images not in ("error", "mask"):
        raise DataError(f"missing_images is {missing_images!r}; expected 'error' or 'mask'.")
    try:
        return _load(folder, min_rating, missing_images)
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
    nobody = pl.DataFrame(schema={"row": pl.Int64, "user_id": pl.String, "item_id": pl.String})
    try:
        return _read_catalog(folder, folder / "interactions.csv", nobody, missing_images)[0]
    except OSError as error:
        raise DataError(f"{error.filename or folder}: cannot be read ({error.strerror}).") from None


def _load(folder: Path, min_rating: float | None, missing_images: str) -> Dataset:
    _check_folder(folder, "interactions.csv and images/")
    source = find_table(folder, "interactions")
    if source is None:
        raise DataError(
            f"{folder}: no interactions.csv or interactions.parquet. "
            f"Expected one with the columns user_id,item_id,timestamp."
        )
    rows, notes = _read_rows(source, min_rating)
    catalog, more_notes = _read_catalog(folder, source, rows, missing_images)
    users = IdMap(rows["user_id"], kind="user")
    interactions = Interactions(
        user=users.lookup(rows["user_id"]).to_numpy(),
        item=catalog.items.lookup(rows["item_id"]).to_numpy(),
        timestamp=rows["timestamp"].to_numpy(),
        weight=rows["weight"].to_numpy(),
        users=users,
        items=catalog.items,
        evaluation=rows["evaluation"].to_numpy() if "evaluation" in rows.columns else None,
    )
    return Dataset(folder, interactions, catalog, (*notes, *more_notes))


def _check_folder(folder: Path, holding: str) -> None:
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise DataError(f"{folder}: {what}; expected a folder with {holding}.")


def _read_rows(source: Path, min_rating: float | None) -> tuple[pl.DataFrame, list[str]]:
    """Checked rows, one a user-item pair: row (1-based, in the file), ids, timestamp, weight, evaluation."""
    notes: list[str] = []
    table = read_table(source, required=("user_id", "item_id", "timestamp"))
    rows = pl.DataFrame(
        {
            "row": np.arange(1, table.height + 1),
            "user_id": id_column(source, table, "user_id"),
            "item_id": id_column(source, table, "item_id"),
            "timestamp": time_column(source, table, "timestamp"),
            "weight": np.ones(table.height, dtype=np.float32),
        }
    )
    for name, read in (("weight", weight_column), ("evaluation", part_column), ("rating", number_column)):
        if name in table.columns:
            rows = rows.with_columns(pl.Series(name, read(source, table, name)))
    if min_rating is not None and "rating" not in table.columns:
        raise DataError(
            f"{source}: min_rating is {min_rating:g} but there is no column rating. "
            f"Found: {columns_of(table)}. Leave min_rating out, or add the column."
        )
    # Sorted by everything that is data, so that equal timestamps too are settled alike in any row order.
    content = [column for column in rows.columns if column not in ("row", "timestamp")]
    n = rows.height
    rows = rows.sort(["timestamp", *content]).unique(["user_id", "item_id"], keep="last", maintain_order=True)
    if rows.height < n:
        notes.append(f"{n - rows.height:,} repeated user-item pairs: the newest row of each was kept.")
    if "rating" in rows.columns:
        if min_rating is None:
            notes.append("There is a column rating: all ratings count as liked. min_rating sets a limit.")
        else:
            enough = (rows["rating"] >= min_rating).to_numpy()
            if not enough.any():
                raise DataError(
                    f"{source}: no rating is at least {min_rating:g}; the highest is "
                    f"{rows['rating'].to_numpy().max():g}. Choose a lower min_rating."
                )
            notes.append(
                f"{(~enough).sum():,} of {rows.height:,} interactions are rated below {min_rating:g}: left out."
            )
            rows = rows.filter(enough)
    return rows, notes


def _read_catalog(
    folder: Path, source: Path, rows: pl.DataFrame, missing_images: str
) -> tuple[Catalog, list[str]]:
    notes: list[str] = []
    where, paths = _image_paths(folder, missing_images)
    taken = rows["item_id"].cast(pl.String)
    items_file = find_table(folder, "items")
    if items_file is not None:
        metadata = read_table(items_file, required=("item_id",))
        ids = id_column(items_file, metadata, "item_id").cast(pl.String)
        _refuse_repeated(items_file, ids)
        unknown = rows.filter(~taken.is_in(ids.implode())).sort("row")
        if unknown.height:
            n = unknown["item_id"].n_unique()
            raise DataError(
                f"{source}: {row_name(source, unknown['row'][0])}: item {str(unknown['item_id'][0])!r} is not in "
                f"{items_file.name} ({n:,} such items in all). "
                f"Add them to {items_file.name}, or remove their interactions."
            )
        extra = len(paths.keys() - set(ids.to_list()))
        if extra:
            notes.append(f"{extra:,} images belong to no item of {items_file.name}: ignored.")
    else:
        known = set(paths)
        if missing_images == "mask":
            known |= set(taken.to_list())
        ids = pl.Series("item_id", sorted(known), dtype=pl.String)
        metadata = pl.DataFrame({"item_id": ids})
    without = _first_without_image(rows, taken, ids, paths)
    if without is not None and missing_images == "error":
        item, row, count = without
        place = f"{source.name}, {row_name(source, row)}" if row else items_file.name if items_file else ""
        raise DataError(
            f"{where}: {count:,} item(s) have no image, first {item!r} ({place}). "
            f"Add the pictures ({', '.join(IMAGE_SUFFIXES)}), {_ALLOW}."
        )
    if without is not None:
        notes.append(f"{without[2]:,} items have no image: they have no visual features.")
    items = IdMap(_as_given(ids, rows["item_id"]), kind="item")
    order = items.lookup(ids).to_numpy()
    metadata = metadata.with_columns(ids.alias("item_id"))[np.argsort(order)]
    metadata = metadata.select("item_id", pl.exclude("item_id")).with_columns(items.values.alias("item_id"))
    written = items.written.to_list()
    return Catalog(items, tuple(paths.get(item) for item in written), metadata), notes


def _first_without_image(
    rows: pl.DataFrame, taken: pl.Series, ids: pl.Series, paths: dict[str, Path]
) -> tuple[str, int, int] | None:
    """(item, its first row in the interactions or 0, how many items) without an image; None if all have one."""
    have = pl.Series("have", list(paths), dtype=pl.String).implode()
    interacted = rows.filter(~taken.is_in(have)).sort("row")
    lacking = set(ids.filter(~ids.is_in(have)).to_list()) | set(
        interacted["item_id"].cast(pl.String).to_list()
    )
    if not lacking:
        return None
    if interacted.height:
        return str(interacted["item_id"][0]), int(interacted["row"][0]), len(lacking)
    return min(lacking), 0, len(lacking)


def _as_given(ids: pl.Series, interacted: pl.Series) -> pl.Series:
    """The ids as integers if the interactions have them so and every id is one; else as strings."""
    if not interacted.dtype.is_integer():
        return ids
    numbers = ids.cast(pl.Int64, strict=False)
    return numbers if numbers.cast(pl.String).equals(ids) else ids


def _refuse_repeated(path: Path, ids: pl.Series) -> None:
    repeated = ids.is_duplicated()
    if repeated.any():
        row = first_row(repeated)
        again = int(np.flatnonzero((ids == ids[row - 1]).to_numpy())[1]) + 1
        raise DataError(
            f"{path}: item {ids[row - 1]!r} occurs twice, in {row_name(path, row)} and in row {again}; "
            f"keep one row an item."
        )


def _image_paths(folder: Path, missing_images: str) -> tuple[Path, dict[str, Path]]:
    """Where the images are said to be, and each item's file."""
    listing, images = find_table(folder, "images"), folder / "images"
    if listing is not None:
        return listing, _listed_images(listing, folder, missing_images)
    if not images.exists():
        if missing_images == "mask":
            return images, {}
        raise DataError(
            f"{folder}: no images/ folder and no images.csv. Put each item's picture at images/<item_id>.jpg, "
            f"list item_id,path in images.csv, {_ALLOW}."
        )
    if not images.is_dir():
        raise DataError(f"{images}: is a file; expected a folder of pictures.")
    paths: dict[str, Path] = {}
    with os.scandir(images) as entries:
        found = sorted(entry.name for entry in entries if entry.is_file())
    for name in found:
        item, _, suffix = name.rpartition(".")
        if f".{suffix.lower()}" not in IMAGE_SUFFIXES or name.startswith("."):
            continue
        if not name.isascii():
            _check_utf8(images, name)
        if item in paths:
            raise DataError(
                f"{images}: item {item!r} has two images, {paths[item].name} and {name}; keep one."
            )
        paths[item] = images / name
    if not paths and missing_images == "error":
        raise DataError(
            f"{images}: holds no picture. Put each item's picture there as <item_id>.jpg "
            f"(any of {', '.join(IMAGE_SUFFIXES)}), {_ALLOW}."
        )
    return images, paths


def _check_utf8(folder: Path, name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise DataError(f"{folder}: the file name {os.fsencode(name)!r} is not UTF-8; rename it.") from None


def _listed_images(listing: Path, folder: Path, missing_images: str) -> dict[str, Path]:
    table = read_table(listing, required=("item_id", "path"))
    if table["path"].dtype != pl.String:
        raise DataError(f"{listing}: column path is of type {table['path'].dtype}; store it as text.")
    ids = id_column(listing, table, "item_id").cast(pl.String)
    _refuse_repeated(listing, ids)
    paths: dict[str, Path] = {}
    for row, (item, written) in enumerate(zip(ids.to_list(), table["path"].to_list(), strict=True), start=1):
        path = folder / (written or "")
        if os.path.isfile(path):  # noqa: PTH113 - Path.is_file raises where a name is too long
            paths[item] = path
        elif missing_images == "error":
            raise DataError(
                f"{listing}: {row_name(listing, row)}: item {item!r}: no image file at {written or ''!r} (paths "
                f"are relative to {folder}). Mend the path, {_ALLOW}."
            )
    return paths
