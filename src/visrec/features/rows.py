"""An array in a .npy file, read and written by rows.

Not mapped: mapped pages count as the process's memory, which would then seem to grow with the catalogue.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np


class RowWriter:
    """Writes `(n, …)` rows one block after the other; `n` is known from the start."""

    def __init__(self, path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
        self._file = path.open("wb")
        self.dtype, self.shape = dtype, shape
        self._digest = hashlib.sha256()
        header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._file, header)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, rows: np.ndarray) -> None:
        """Append rows `(m, …)`."""
        data = np.ascontiguousarray(rows, dtype=self.dtype).data
        self._file.write(data)
        self._digest.update(data)

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the rows written."""
        return self._digest.hexdigest()


class RowReader:
    """Reads blocks of rows of a .npy file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            read = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            self.shape, fortran, self.dtype = read(file)
            self._offset = file.tell()
        if fortran or self.dtype.hasobject:
            raise ValueError(f"{path.name} is not an array of plain rows")
        self._row = int(np.prod(self.shape[1:])) * self.dtype.itemsize
        if path.stat().st_size != self._offset + len(self) * self._row:
            raise ValueError(f"{path.name} is cut short")

    def __len__(self) -> int:
        return int(self.shape[0])

    def read(self, start: int, stop: int) -> np.ndarray:
        """Rows `start … stop - 1`."""
        count = (stop - start) * int(np.prod(self.shape[1:]))
        flat = np.fromfile(self.path, self.dtype, count, offset=self._offset + start * self._row)
        return flat.reshape(stop - start, *self.shape[1:])

    def take(self, indices: np.ndarray) -> np.ndarray:
        """Some rows `(len(indices), …)`, in the order asked for; neighbours are read together."""
        found = np.empty((len(indices), *self.shape[1:]), dtype=self.dtype)
        order = np.argsort(indices, kind="stable")
        breaks = np.flatnonzero(np.diff(indices[order]) > 1) + 1
        for group in np.split(order, breaks):
            if len(group):
                first, last = int(indices[group[0]]), int(indices[group[-1]])
                found[group] = self.read(first, last + 1)[indices[group] - first]
        return found
