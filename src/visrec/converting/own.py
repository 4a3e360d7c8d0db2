"""Our own layout as one format among others: a data set folder written from `ForeignData`, and read into it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from visrec.data.dataset import load_catalog, load_dataset
from visrec.data.file_names import file_stem
from visrec.data.foreign import KNOWN, ForeignData, ForeignFeatures
from visrec.data.ids import IdMap
from visrec.data.images import suffix_of
from visrec.data.interactions import Interactions
from visrec.data.tables import find_table, id_column, number_column, part_column, part_words, read_table
from visrec.errors import DataError
from visrec.features.features import VALUES, Features
from visrec.files import replacing_folder
from visrec.progress import Progress

LARGE = 1_000_000
"""Rows from which a table is written as Parquet instead of CSV."""
_BLOCK = 4096  # vectors at a time


def write_own(
    data: ForeignData, folder: Path, *, copy_images: bool = False, progress: Progress | None = None
) -> list[str]:
    """Write a data set folder.

    Args:
        data: what to write.
        folder: an empty one.
        copy_images: copy picture files into `images/`; False: `images.csv` points to where they lie.
        progress: called with (done, in all, a note).

    Returns:
        Notes on what it became.

    Raises:
        DataError: there is nothing to write, an item stands twice, or vectors are not what they should be.
    """
    have = _write_pictures(data, folder, copy_images=copy_images, progress=progress)
    ids = _items_of(data, have)
    if not len(ids):
        raise DataError("The files hold no items: no interactions, no pictures, no table of items.")
    notes: list[str] = []
    if data.interactions is not None:
        table = data.interactions.select([name for name in KNOWN if name in data.interactions.columns])
        _write_table(table, folder / "interactions")
    about = pl.DataFrame({"item_id": ids}) if data.items is None else data.items
    _write_table(_with_all(about, ids), folder / "items")
    if len(have) < len(ids):
        lacking = f"{len(ids) - len(have):,} of {len(ids):,} items have no picture"
        urls = "image_url" in about.columns and about["image_url"].null_count() < about.height
        remedy = "Get those that have an address: visrec fetch-images DATA. " if urls else ""
        notes.append(
            f"{lacking}. {remedy}A data set without all pictures is used with --allow-missing-images."
        )
    items = IdMap(ids, kind="item")
    for features in data.features:
        notes += write_features(features, items, folder / "features" / features.name, progress=progress)
    return notes


def read_own(
    folder: Path, *, features: Sequence[str | Path] = (), min_rating: float | None = None
) -> ForeignData:
    """Read a data set folder, and features that belong to it, as `ForeignData`.

    Raises:
        DataError: the folder cannot be read.
        FeaturesError: features cannot be read, or are of another catalogue.
    """
    source = find_table(folder, "interactions") if folder.is_dir() else None
    if source is None:
        catalog, rows = load_catalog(folder, missing_images="mask"), None
    else:
        data = load_dataset(folder, min_rating=min_rating, missing_images="mask")
        catalog, rows = data.catalog, _rows(source)
        if min_rating is not None:
            rows = _rated(rows, data.interactions, min_rating)
    written = catalog.items.written.to_list()
    return ForeignData(
        interactions=rows,
        items=catalog.metadata.with_columns(pl.col("item_id").cast(pl.String)),
        pictures={item: path for item, path in zip(written, catalog.paths, strict=True) if path is not None},
        features=tuple(_foreign(Path(one), Features.load(one).align(catalog.items)) for one in features),
    )


def write_features(
    features: ForeignFeatures, items: IdMap, target: Path, *, progress: Progress | None = None
) -> list[str]:
    """Write features of all items of a data set, block by block; notes on what does not fit.

    Raises:
        DataError: ids and vectors are not one each, or a vector holds NaN or infinity.
    """
    ids = features.ids.cast(pl.String)
    if ids.is_duplicated().any():
        raise DataError(
            f"Features {features.name}: item {ids.filter(ids.is_duplicated())[0]!r} has two rows."
        )
    place = items.lookup(ids).fill_null(-1).to_numpy()
    missing = np.ones(len(items), dtype=bool)
    missing[place[place >= 0]] = False
    dtype = np.dtype(features.dtype)
    with replacing_folder(target) as folder:
        shape = (len(items), *features.shape)
        values = np.lib.format.open_memmap(folder / VALUES, mode="w+", dtype=dtype, shape=shape)
        done = 0
        for block in features.blocks():
            rows = place[done : done + len(block)]
            if len(rows) < len(block):
                raise DataError(
                    f"Features {features.name}: more vectors than the {len(ids):,} ids; expected one each."
                )
            if not np.isfinite(block).all():
                row = int(np.flatnonzero(~np.isfinite(block).reshape(len(block), -1).all(axis=1))[0])
                raise DataError(
                    f"Features {features.name}: the vector of item {ids[done + row]!r} holds NaN or infinity."
                )
            values[rows[rows >= 0]] = block[rows >= 0]
            done += len(block)
            if progress is not None:
                progress(done, len(ids), features.name)
        if done != len(ids):
            raise DataError(
                f"Features {features.name}: {done:,} vectors for {len(ids):,} ids; expected one each."
            )
        values.flush()
        lacking = items.take(np.flatnonzero(missing))
        failures = pl.DataFrame({"item_id": lacking, "reason": ["no vector in the source"] * len(lacking)})
        provenance: dict[str, Any] = {"extractor": "own values", "source": dict(features.about)}
        if features.grid is not None:
            provenance["grid"] = list(features.grid)
        made = Features(
            values, items, missing, failures.with_columns(pl.col("reason").cast(pl.String)), provenance
        )
        made.write_about(folder, made.digest, None)
    notes = []
    if lacking.len():
        notes.append(f"features/{features.name}: {lacking.len():,} of {len(items):,} items have no vector.")
    strangers = int((place < 0).sum())
    if strangers:
        notes.append(
            f"features/{features.name}: {strangers:,} vectors are of no item of the data set: left out."
        )
    return notes


# ---- tables ----------------------------------------------------------------------------------------


def _items_of(data: ForeignData, pictured: set[str]) -> pl.Series:
    """The ids of all items: those of the table of items, then the others, sorted."""
    known = [] if data.items is None else [data.items["item_id"].cast(pl.String)]
    if known and known[0].is_duplicated().any():
        twice = known[0].filter(known[0].is_duplicated())[0]
        raise DataError(f"Item {twice!r} stands twice in the table of items; expected one row an item.")
    others = [pl.Series("item_id", list(pictured), dtype=pl.String)]
    if data.interactions is not None:
        others.append(data.interactions["item_id"].cast(pl.String).unique())
    more = pl.concat(others).unique().sort()
    if known:
        return pl.concat([known[0], more.filter(~more.is_in(known[0].implode()))])
    return more


def _with_all(about: pl.DataFrame, ids: pl.Series) -> pl.DataFrame:
    about = about.with_columns(pl.col("item_id").cast(pl.String)).select("item_id", pl.exclude("item_id"))
    return pl.DataFrame({"item_id": ids}).join(about, on="item_id", how="left", maintain_order="left")


def _write_table(table: pl.DataFrame, target: Path) -> None:
    """CSV, which people can read; Parquet where it is large, or has cells that CSV cannot hold."""
    nested = any(dtype.is_nested() for dtype in table.dtypes)
    if nested or table.height > LARGE:
        table.write_parquet(target.with_suffix(".parquet"))
    else:
        table.write_csv(target.with_suffix(".csv"))


def _rows(source: Path) -> pl.DataFrame:
    """The interactions as they stand, numbers as numbers."""
    table = read_table(source, required=("user_id", "item_id", "timestamp"))
    columns: dict[str, Any] = {
        name: id_column(source, table, name).cast(pl.String) for name in ("user_id", "item_id")
    }
    columns["timestamp"] = table["timestamp"]
    for name in ("rating", "weight"):
        if name in table.columns:
            columns[name] = number_column(source, table, name)
    if "evaluation" in table.columns:
        columns["evaluation"] = part_words(part_column(source, table, "evaluation"))
    rows = pl.DataFrame(columns)
    whole = rows["timestamp"].cast(pl.Int64, strict=False)
    if rows["timestamp"].dtype == pl.String and whole.null_count() == 0:
        rows = rows.with_columns(timestamp=whole)
    return rows


def _rated(rows: pl.DataFrame, kept: Interactions, min_rating: float) -> pl.DataFrame:
    """The rows rated at least so, of the pairs whose newest rating is."""
    pairs = pl.DataFrame(
        {
            "user_id": kept.users.take(kept.user).cast(pl.String),
            "item_id": kept.items.take(kept.item).cast(pl.String),
        }
    )
    return rows.filter(pl.col("rating") >= min_rating).join(
        pairs, on=["user_id", "item_id"], how="semi", maintain_order="left"
    )


# ---- pictures --------------------------------------------------------------------------------------


def _write_pictures(
    data: ForeignData, folder: Path, *, copy_images: bool, progress: Progress | None
) -> set[str]:
    """Pictures within files into `images/`, picture files there too or listed where they lie; who has one now."""
    listed: dict[str, str] = {}
    taken: set[str] = set()
    plain = True  # whether all names are ids, so that no list is needed
    images = folder / "images"
    if data.encoded is not None:
        images.mkdir()
        for n, (item, content) in enumerate(data.encoded(), start=1):
            if item in listed:
                raise DataError(f"Item {item!r} has two pictures; expected one.")
            stem = file_stem(item, taken)
            name = f"{stem}{suffix_of(content)}"
            (images / name).write_bytes(content)
            listed[item] = f"images/{name}"
            plain = plain and stem == item
            if progress is not None and n % 100 == 0:
                progress(n, 0, "pictures")
    for n, (item, path) in enumerate(data.pictures.items(), start=1):
        if item in listed:
            raise DataError(f"{path}: is the second picture of item {item!r}; expected one.")
        if copy_images:
            images.mkdir(exist_ok=True)
            stem = file_stem(item, taken)
            name = f"{stem}{path.suffix.lower()}"
            shutil.copyfile(path, images / name)
            listed[item] = f"images/{name}"
            plain = plain and stem == item
        else:
            listed[item] = str(path.resolve())
            plain = False
        if progress is not None and n % 100 == 0:
            progress(n, len(data.pictures), "pictures")
    if listed and not plain:
        table = pl.DataFrame({"item_id": list(listed), "path": list(listed.values())})
        _write_table(table, folder / "images")
    return set(listed)


# ---- features --------------------------------------------------------------------------------------


def _foreign(folder: Path, features: Features) -> ForeignFeatures:
    there = np.flatnonzero(~features.missing)

    def blocks() -> Iterator[np.ndarray]:
        for start in range(0, len(there), _BLOCK):
            yield features.values[there[start : start + _BLOCK]]

    return ForeignFeatures(
        name=folder.resolve().name,
        ids=features.items.take(there).cast(pl.String),
        shape=features.values.shape[1:],
        blocks=blocks,
        about=features.provenance,
        dtype=str(features.values.dtype),
    )
