"""Files of an id and a vector, one after the other, as Caffe's features were published with VBPR."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from visrec.data.foreign import ForeignFeatures
from visrec.errors import DataError

LENGTH = 4096
"""Numbers of a vector: the layer fc7 of the reference network of Caffe."""
_BLOCK = 1024  # vectors at a time: 16 MB


def read_vectors(path: Path, *, id_bytes: int) -> tuple[ForeignFeatures, tuple[str, ...]]:
    """Vectors of 4096 little-endian float32 numbers, each behind an id of `id_bytes` ASCII letters.

    Ids that are shorter are filled with blanks at the end. Where an id comes again, its first vector counts.

    Args:
        path: the file; its vectors are read a block at a time.
        id_bytes: of an id.

    Returns:
        The features, and notes.

    Raises:
        DataError: the file ends within a vector, or an id is none.
    """
    record = np.dtype([("id", f"S{id_bytes}"), ("vector", "<f4", (LENGTH,))])
    size = path.stat().st_size
    if size == 0 or size % record.itemsize:
        raise DataError(
            f"{path}: has {size:,} bytes; expected records of {record.itemsize:,}, {id_bytes} of an id and "
            f"{LENGTH:,} float32 numbers. It is cut short or of another kind; download it again."
        )
    ids = _ids(path, np.memmap(path, dtype=record, mode="r")["id"])
    first = ids.is_first_distinct()

    def blocks() -> Iterator[np.ndarray]:
        keep = first.to_numpy()
        with path.open("rb") as file:
            for start in range(0, len(ids), _BLOCK):
                taken = keep[start : start + _BLOCK]
                content = file.read(len(taken) * record.itemsize)
                yield np.frombuffer(content, dtype=record)["vector"][taken]

    about = {"network": "the reference network of Caffe", "layer": "fc7", "file": path.name}
    name = "caffe-fc7"
    again = len(ids) - int(first.sum())
    notes = (f"{path.name}: {again:,} vectors of ids that came before are left out.",) if again else ()
    return ForeignFeatures(name, ids.filter(first), (LENGTH,), blocks, about), notes


def _ids(path: Path, written: np.ndarray) -> pl.Series:
    ids = np.char.strip(np.array(written), b" \0")
    try:
        texts = pl.Series("item_id", np.char.decode(ids, "ascii").tolist(), dtype=pl.String)
    except UnicodeDecodeError:
        number, odd_id = next((n, one) for n, one in enumerate(ids.tolist()) if not one.isascii())
        raise DataError(
            f"{path}: the id of record {number + 1:,} is {odd_id!r}, no ASCII text. The file is damaged, or has "
            f"ids of another length."
        ) from None
    odd = texts.str.contains(r"^[!-~]+$").not_()
    if odd.any():
        number = int(odd.arg_true()[0])
        raise DataError(
            f"{path}: the id of record {number + 1:,} is {texts[number]!r}. The file is damaged, or has ids of "
            f"another length."
        )
    return texts
