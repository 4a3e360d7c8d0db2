"""Vectors of items as two files that every program reads: `NAME.npy`, and `NAME.ids.txt` with an id a line."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import polars as pl

from visrec.data.foreign import ForeignFeatures, file_row
from visrec.data.formats.arrays import blocks_of_rows, read_array
from visrec.data.formats.id_lines import check_lines, read_lines
from visrec.errors import DataError


def write_vectors(features: Iterable[ForeignFeatures], folder: Path) -> tuple[list[pl.Series], list[str]]:
    """Write features to `folder/features/`, block by block: whose they are, and notes on what has no place there."""
    ids: list[pl.Series] = []
    notes: list[str] = []
    for one in features:
        if len(one.shape) != 1:
            notes.append(
                f"Features {one.name} are vectors of regions, {one.shape} an item: left out, since one "
                f"vector an item is expected."
            )
            continue
        (folder / "features").mkdir(exist_ok=True)
        check_lines(one.ids, what="item")
        (folder / "features" / f"{one.name}.ids.txt").write_text("\n".join([*one.ids, ""]), encoding="utf-8")
        values = np.lib.format.open_memmap(
            folder / "features" / f"{one.name}.npy", mode="w+",
            dtype=np.dtype(one.dtype), shape=(len(one.ids), *one.shape),
        )  # fmt: skip
        done = 0
        for block in one.blocks():
            values[done : done + len(block)] = block
            done += len(block)
        values.flush()
        ids.append(one.ids.alias("item_id"))
    return ids, notes


def read_vectors(source: Path) -> tuple[list[ForeignFeatures], list[dict[str, str]]]:
    """All `NAME.npy` with a `NAME.ids.txt` beside them, in a folder however deep; nothing in them is run.

    Raises:
        DataError: a file is damaged, or ids and rows are not equally many.
    """
    found, files = [], []
    for path in sorted(source.rglob("*.npy")) if source.is_dir() else []:
        listing = path.with_name(f"{path.stem}.ids.txt")
        if not listing.is_file():
            files.append(file_row(path, "an array", f"nothing: no {listing.name} says whose rows they are"))
            continue
        found.append(_features(path, listing))
        files.append(file_row(path, "features", f"features/{path.stem}"))
    return found, files


def _features(path: Path, listing: Path) -> ForeignFeatures:
    ids = read_lines(listing)
    values = read_array(path, dimensions=(2,))
    if len(values) != len(ids):
        raise DataError(
            f"{path}: has {len(values):,} rows, {listing.name} has {len(ids):,} ids; expected one id a row. "
            f"Write both anew from one list."
        )

    return ForeignFeatures(
        name=path.stem,
        ids=pl.Series(ids, dtype=pl.String),
        shape=values.shape[1:],
        blocks=lambda: blocks_of_rows(values),
        about={"file": path.name},
        dtype="float16" if values.dtype == np.float16 else "float32",
    )
