"""The arrays of MMRec: `NAME_feat.npy`, whose row is an item's number.

Described by enoche/MMRec, `preprocessing/3feat-encoder.ipynb`: items without a vector get the mean of the others, and
`missed_img_itemIDs.csv` lists them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from visrec.data.foreign import ForeignFeatures
from visrec.data.formats.arrays import blocks_of_rows, read_array
from visrec.data.formats.requirements import need_vectors
from visrec.data.formats.tab_separated import read_separated
from visrec.errors import DataError
from visrec.progress import Progress

MISSED = "missed_img_itemIDs.csv"
_IMAGES, _TEXTS = "image_feat.npy", "text_feat.npy"


def read_rows(path: Path, ids: list[str], interacted: int) -> ForeignFeatures:
    """The rows of an array as vectors of items; rows that are only the mean of the others are left out.

    Args:
        path: of a file `NAME_feat.npy`.
        ids: of all items, by number.
        interacted: items that MMRec counts, by the largest number of an interaction.

    Raises:
        DataError: it is no array of numbers, or has neither as many rows as there are ids nor as MMRec counts items.
    """
    array = read_array(path, dimensions=(2,))
    if len(array) not in (len(ids), interacted):
        raise DataError(
            f"{path}: has {len(array):,} rows, but there are {len(ids):,} items. A row is an item by its number: "
            f"one row too few or too many may give every item another's vector. Bring the array of these items."
        )
    missed = _missed(path.parent / MISSED, len(array)) if path.name == _IMAGES else np.empty(0, np.int64)
    kept = np.setdiff1d(np.arange(len(array)), missed)

    about = {"format": "mmrec", "file": path.name}
    named = pl.Series("item_id", ids, dtype=pl.String).gather(kept)
    return ForeignFeatures(
        name=path.name.removesuffix("_feat.npy"),
        ids=named,
        shape=array.shape[1:],
        blocks=lambda: blocks_of_rows(array, kept),
        about=about,
    )


def _missed(path: Path, n: int) -> np.ndarray:
    """The rows that MMRec's preparation filled with the mean of the others."""
    if not path.exists() or not path.read_bytes().strip():
        return np.empty(0, dtype=np.int64)
    table = read_separated(path, names=["itemID"])
    numbers = table.indices("itemID")
    if (numbers >= n).any():
        raise table.fault("itemID", numbers >= n, f"is no row of the array, which has {n:,}")
    return numbers.to_numpy()


def by_array(features: tuple[ForeignFeatures, ...]) -> dict[str, ForeignFeatures]:
    """The features by the file that they become; `DataError` for regions, and for two of one file."""
    made: dict[str, ForeignFeatures] = {}
    for one in features:
        need_vectors(one, "MMRec")
        file = _TEXTS if one.name.startswith("text") else _IMAGES
        if file in made:
            raise DataError(
                f"Features {one.name}: {made[file].name} is {file} already. MMRec holds one of images and one of "
                f"texts (a folder whose name begins with text); export the others apart."
            )
        made[file] = one
    return made


def write_array(
    features: ForeignFeatures, order: pl.Series, path: Path, *, progress: Progress | None
) -> list[str]:
    """Rows by number; an item without a vector gets the mean of the others, as MMRec's own preparation does."""
    place = dict(zip(order.to_list(), range(len(order)), strict=True))
    rows = np.array([place.get(one, -1) for one in features.ids.to_list()], dtype=np.int64)
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(len(order), *features.shape))
    total, done = np.zeros(features.shape), 0
    for block in features.blocks():
        at = rows[done : done + len(block)]
        array[at[at >= 0]] = block[at >= 0]
        total += block[at >= 0].sum(axis=0, dtype=np.float64)
        done += len(block)
        if progress is not None:
            progress(done, len(rows), features.name)
    missed = np.setdiff1d(np.arange(len(order)), rows)
    if not len(missed):
        array.flush()
        return []
    array[missed] = total / max(1, len(order) - len(missed))
    array.flush()
    listed = ""
    if path.name == _IMAGES:
        (path.parent / MISSED).write_text("".join(f"{one}\n" for one in missed), encoding="utf-8")
        listed = f"; {MISSED} lists them"
    return [f"{path.name}: {len(missed):,} items without a vector have the mean of the others{listed}."]
