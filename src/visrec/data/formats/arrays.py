"""Files `.npy` of other programs: nothing in them is run, and one that is damaged is told by its name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np

from visrec.errors import DataError

_BLOCK = 4096  # rows at a time


def read_array(path: Path, *, dimensions: tuple[int, ...], mode: Literal["r"] | None = "r") -> np.ndarray:
    """An array of numbers.

    Args:
        path: the file.
        dimensions: how many it may have, such as (1, 2).
        mode: "r": it stays on disk until its rows are read. None: it is read.

    Raises:
        DataError: it is no such file, is cut short, or holds something else.
    """
    try:
        array = np.load(path, mmap_mode=mode, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise DataError(
            f"{path}: is not a readable .npy file of numbers ({' '.join(str(error).split())[:200]}). It is cut "
            f"short, or holds objects; write it again with numpy.save."
        ) from None
    if not isinstance(array, np.ndarray):  # an archive .npz under another name
        array.close()
        raise DataError(f"{path}: is an archive of arrays; expected one array, as numpy.save writes it.")
    if array.dtype.kind not in "fiu" or array.ndim not in dimensions or not array.size:
        many = " or ".join(map(str, dimensions))
        raise DataError(
            f"{path}: holds an array {array.shape} of {array.dtype}; expected numbers in {many} dimensions, "
            f"at least one."
        )
    return array


def blocks_of_rows(array: np.ndarray, rows: np.ndarray | None = None) -> Iterator[np.ndarray]:
    """Rows of an array, all or some, a few at a time."""
    for start in range(0, len(array if rows is None else rows), _BLOCK):
        some = slice(start, start + _BLOCK) if rows is None else rows[start : start + _BLOCK]
        yield np.asarray(array[some])
