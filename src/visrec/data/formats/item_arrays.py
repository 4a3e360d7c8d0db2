"""Vectors as a folder with one `.npy` file an item, named by its id: as Ducho writes and Elliot reads them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import polars as pl

from visrec.data.foreign import ForeignFeatures
from visrec.data.formats.arrays import read_array
from visrec.errors import DataError
from visrec.progress import Progress

_BLOCK = 512  # vectors at a time


def folders_of_arrays(source: Path) -> list[Path]:
    """The folders in a source, however deep, whose files are all `.npy`."""
    found = []
    for folder in sorted(path for path in source.rglob("*") if path.is_dir()):
        files = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
        if files and all(path.suffix == ".npy" for path in files):
            found.append(folder)
    return found


def read_item_arrays(folder: Path, ids: Mapping[str, str], *, name: str) -> ForeignFeatures:
    """The vectors of a folder.

    Args:
        folder: with files `STEM.npy`, each a vector `(F,)` or `(1, F)`, or regions `(R, F)`; all of one shape.
        ids: from stem to item id; files with other stems keep their stem as id.
        name: of the features.

    Raises:
        DataError: a file is no plain array, or of another shape than the first. The others are read when blocks are.
    """
    files = sorted(folder.glob("*.npy"))
    shape = _array(files[0]).shape

    def blocks() -> Iterator[np.ndarray]:
        for start in range(0, len(files), _BLOCK):
            rows = [_array(path) for path in files[start : start + _BLOCK]]
            for path, row in zip(files[start:], rows, strict=False):
                if row.shape != shape:
                    raise DataError(
                        f"{path}: holds an array {row.shape}, {files[0].name} one {shape}; expected one shape in all."
                    )
            yield np.stack(rows)

    stems = [path.stem for path in files]
    return ForeignFeatures(
        name=name,
        ids=pl.Series("item_id", [ids.get(stem, stem) for stem in stems], dtype=pl.String),
        shape=shape,
        blocks=blocks,
        about={"format": "one .npy file an item", "folder": folder.name},
    )


def write_item_arrays(
    features: ForeignFeatures, folder: Path, stems: Mapping[str, str], *, progress: Progress | None = None
) -> None:
    """Write each vector of an item in `stems` as float32 into `folder/STEM.npy`, a folder that is made."""
    folder.mkdir(parents=True)
    ids, done = features.ids.to_list(), 0
    for block in features.blocks():
        for item, row in zip(ids[done : done + len(block)], block, strict=True):
            if item in stems:
                np.save(folder / f"{stems[item]}.npy", np.asarray(row, dtype=np.float32))
        done += len(block)
        if progress is not None:
            progress(done, len(ids), features.name)


def _array(path: Path) -> np.ndarray:
    array = read_array(path, dimensions=(1, 2), mode=None)
    one = array[0] if array.ndim == 2 and array.shape[0] == 1 else array
    return np.asarray(one, dtype=np.float32)
