"""NumPy arrays of objects in `.npy` files, which are pickles: read without running anything that the file names.

A pickle is a program: it names functions and has them called. Here only the steps that make data are taken
(`pickle_steps.py`), and the few functions of NumPy that a pickled array calls are replaced (`stand_ins.py`).
"""

from __future__ import annotations

import mmap
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np

from visrec.data.formats.pickle_steps import DAMAGE, Reader, RecordReader, Stretch
from visrec.data.formats.stand_ins import STANDS_FOR, ObjectArray, plain, shown
from visrec.errors import DataError

LEAVE = 512
"""Bytes from which a string of a record stays in the file: longer than what is asked for, shorter than a picture."""


class PlainArrayError(DataError):
    """The file is a sound `.npy` file of another kind: plain numbers without names."""


def read_object_array(path: Path) -> ObjectArray:
    """The array of objects in a `.npy` file, as `numpy.save(path, array, allow_pickle=True)` wrote it.

    Raises:
        PlainArrayError: it holds plain numbers.
        DataError: it is no such file, is damaged, claims more than it holds, or wants something run.
    """
    return _read(path, Reader)


def read_records(path: Path, *, progress: Callable[[int, int, str], None] | None = None) -> ObjectArray:
    """Like `read_object_array`, for what Python 2 wrote, with dictionaries whose keys are texts or whole numbers.

    The strings of Python 2 are bytes. Those of 512 bytes and more are not read: a `Stretch` says where they are, so
    that gigabytes of pictures take no memory. Arrays deeper than the cells are still what stands for them; `plain`
    turns one into an array.

    Args:
        path: the file.
        progress: called with (bytes read, bytes in all, a note).

    Raises:
        PlainArrayError: it holds plain numbers.
        DataError: it is no such file, is damaged, claims more than it holds, or wants something run.
    """
    return _read(path, RecordReader, keep_bytes=True, leave=LEAVE, progress=progress)


def _read(path: Path, reader: type[Reader], **options: Any) -> ObjectArray:
    with path.open("rb") as file:
        try:
            _check_header(path, file)
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                value = plain(reader(path, content, file.tell(), **options).load())
            if not isinstance(value, ObjectArray):
                raise ValueError(f"the pickle in it holds {type(value).__name__}, no array of objects")
            return ObjectArray(value.shape, [plain(cell) for cell in value.cells], file.seek(0, 2))
        except DataError:
            raise
        except DAMAGE as error:
            what = " ".join(str(error).split())[:300] or type(error).__name__
            raise DataError(f"{path}: is not a readable .npy file of objects ({what}).") from None


def _check_header(path: Path, file: IO[bytes]) -> None:
    version = np.lib.format.read_magic(file)
    readers: dict[tuple[int, int], Callable[[IO[bytes]], tuple[tuple[int, ...], bool, np.dtype[Any]]]] = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        raise ValueError(f"version {version} of the format")
    shape, _, dtype = readers[version](file)
    if dtype != np.dtype(object):
        raise PlainArrayError(f"{path}: holds an array {dtype} {shape} without names of items.")


__all__ = [
    "STANDS_FOR",
    "ObjectArray",
    "PlainArrayError",
    "Stretch",
    "plain",
    "read_object_array",
    "read_records",
    "shown",
]
