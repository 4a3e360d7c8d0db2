"""Features that are there already, taken over for a catalogue: each item's row by its id, as they are."""

from __future__ import annotations

import logging
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from visrec.data.ids import IdMap
from visrec.errors import FeaturesError
from visrec.features.features import ITEMS, META, RAW, VALUES, Features, failures_table
from visrec.features.finishing import blocks
from visrec.features.rows import RowWriter
from visrec.files import replacing_folder, sweep_temporaries

log = logging.getLogger("visrec")

Kind = Literal["vector", "regions"]
Absent = Literal["error", "mask"]

_ARE = {"vector": "one vector an item", "regions": "regions of each item", "image": "pixels"}
_TABLES = {"vector": "features", "regions": "regions"}


def adopt(
    source: Path, items: IdMap, out: Path, *, kind: Kind = "vector", absent: Absent = "error"
) -> Features:
    """Features of `items` from a folder that `Features.save` or `extract` wrote, kept in a folder of their own.

    Values, steps, provenance and what an extractor has learnt stay as they are. Where both are of the same items, the
    files are linked, or copied where that cannot be; else rows are written anew, and those of other items are left
    out. What is in `out` already is what was taken before.

    Args:
        source: the folder.
        items: of the catalogue.
        out: the new folder.
        kind: what they must be.
        absent: "error" refuses items that the folder does not have; "mask" makes them missing.

    Raises:
        FeaturesError: there are no such features, they are of another kind, of none of the items, or not of all.
    """
    sweep_temporaries(out.parent, of=out.name)
    if (out / META).is_file():
        return Features.load(out).align(items)
    found = Features.load(source)
    if found.kind != kind:
        raise FeaturesError(_of_another_kind(source, found, kind))
    row = found.items.lookup(items.written).fill_null(-1).to_numpy()
    _check(source, items, found.items, row, absent)
    if found.items == items:
        _link(source, out)
    else:
        _write(found, items, row, f"none in {source.name}", out)
    features = Features.load(out, verify=False)
    if features.missing.any():
        first = features.failures.row(0)
        log.warning(
            "%d of %d items have no features; the first: %s: %s", features.failures.height, len(items), *first
        )
    return features


def _of_another_kind(source: Path, found: Features, kind: Kind) -> str:
    said = f"{source}: holds {_ARE[found.kind]}; expected {_ARE[kind]}."
    if found.kind == "image":
        return (
            f"{said} Name a folder of features that an extractor made of the pictures: visrec extract DATA."
        )
    hint = "with --pool regions" if kind == "regions" else "without regions (--pool mean)"
    return (
        f"{said} Name it as path under [{_TABLES[found.kind]}] of an experiment's file, for models that look at "
        f"{'regions' if found.kind == 'regions' else 'vectors'}, or extract features {hint}."
    )


def _check(source: Path, items: IdMap, theirs: IdMap, row: np.ndarray, absent: Absent) -> None:
    lacking = np.flatnonzero(row < 0)
    if len(lacking) == len(items):
        raise FeaturesError(
            f"{source}: holds features of none of the {len(items):,} items of the data set: its first item is "
            f"'{theirs.written[0] if len(theirs) else ''}', that of the data set '{items.written[0]}'. Name features "
            f"of these items, or extract them: visrec extract DATA --extractor NAME --out NEW."
        )
    if len(lacking) and absent == "error":
        raise FeaturesError(
            f"{source}: has no features of {len(lacking):,} of the {len(items):,} items of the data set, first "
            f"'{items.written[int(lacking[0])]}'. Extract features of all of them, or go on without: "
            f'--allow-missing-images (in an experiment\'s file missing_images = "mask" under [data]).'
        )


def _link(source: Path, out: Path) -> None:
    """The files of features in another folder. Nothing here writes into a file: one that changes is replaced."""
    with replacing_folder(out) as folder:
        for path in sorted(source.iterdir()):
            is_one = path.name in (ITEMS, META) or path.suffix in (".npy", ".safetensors")
            if not is_one or path.name.startswith(".") or not path.is_file():
                continue
            try:
                os.link(path.resolve(), folder / path.name)
            except OSError:  # another file system, or one without links
                shutil.copyfile(path, folder / path.name)


def _write(found: Features, items: IdMap, row: np.ndarray, reason: str, out: Path) -> None:
    """Features of `items`, each one's in a `row (I,)` of those found; -1: in none."""
    absent = row < 0
    missing = absent | found.missing[row]
    reasons = np.full(len(found), None, dtype=object)
    reasons[found.missing] = found.failures["reason"].to_list()
    why = [reason if one < 0 else str(reasons[one]) for one in row[missing]]
    images = (
        None if found.images is None else found.images.gather(np.maximum(row, 0)).set(pl.Series(absent), None)
    )
    with replacing_folder(out) as folder:
        raw_digest = None if found.raw is None else _gather(found.raw, row, folder / RAW)
        _gather(found.values, row, folder / VALUES)
        made = replace(
            found,
            values=np.load(folder / VALUES, mmap_mode="r", allow_pickle=False),
            raw=None if found.raw is None else np.load(folder / RAW, mmap_mode="r", allow_pickle=False),
            items=items,
            missing=missing,
            failures=failures_table(items, missing, why),
            images=images,
            folder=None,
        )
        made.write_about(folder, made.digest, raw_digest)


def _gather(values: np.ndarray, row: np.ndarray, path: Path) -> str:
    """Write rows of an array, 0 where one is -1; gives their digest."""
    shape = values.shape[1:]
    with RowWriter(path, values.dtype, (len(row), *shape)) as writer:
        for block in blocks(len(row), int(np.prod(shape))):
            rows = np.zeros((block.stop - block.start, *shape), dtype=values.dtype)
            there = row[block] >= 0
            rows[there] = values[row[block][there]]
            writer.write(rows)
    return writer.digest
