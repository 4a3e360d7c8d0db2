"""Columns of Parquet files that are more than one value: lists become text, vectors become features."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from visrec.data.foreign import ForeignFeatures
from visrec.errors import DataError

_BYTES = 1 << 27
"""Of a file that are read at once, about."""
_ARROW = b"\x18\x0cARROW:schema"  # a text of 12 bytes, as Parquet's footer has it
_SMALL = (pl.String, pl.Boolean, pl.Categorical, pl.Enum)


def schema_of(path: Path) -> pl.Schema:
    """The columns of a Parquet file, without reading them.

    Raises:
        DataError: it is no Parquet file, or is cut short.
    """
    try:
        return pl.Schema(pl.read_parquet_schema(path))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise DataError(
            f"{path}: is not a readable Parquet file ({str(error).splitlines()[0][:200]}). Get it again."
        ) from None


def blocks_of(path: Path, columns: Sequence[str | pl.Expr], *, heavy: bool = True) -> Iterator[pl.DataFrame]:
    """Some columns of a Parquet file, some rows at a time; `heavy`: as many as make about 128 MB of the file.

    Raises:
        DataError: the file is damaged.
    """
    try:
        n = pl.scan_parquet(path, glob=False, hive_partitioning=False).select(pl.len()).collect().item()
        step = max(1, int(_BYTES / max(path.stat().st_size / max(n, 1), 1))) if heavy else max(n, 1)
        for start in range(0, n, step):
            table = pl.scan_parquet(path, glob=False, hive_partitioning=False).slice(start, step)
            yield table.select(columns).collect()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise DataError(f"{path}: is damaged ({str(error).splitlines()[0][:200]}). Get it again.") from None


def kind_of(dtype: pl.DataType) -> str:
    """What a column becomes: "plain", "joined" (lists of words or whole numbers), "vectors" (of floats), or ""."""
    inner, depth = dtype, 0
    while isinstance(inner, pl.List | pl.Array):
        inner, depth = inner.inner, depth + 1  # type: ignore[assignment]
    if isinstance(dtype, pl.Array):
        depth = len(dtype.shape) if not isinstance(dtype.inner, pl.List) else depth
    if depth == 0:
        return "" if isinstance(dtype, pl.Struct | pl.Binary | pl.Object | pl.Null) else "plain"
    if inner.is_float():
        return "vectors" if depth <= 2 else ""
    return "joined" if depth == 1 and (inner.is_integer() or inner in _SMALL) else ""


def plain_columns(table: pl.DataFrame) -> pl.DataFrame:
    """A table with its lists as text, joined by "|", and words as text."""
    made = []
    for name, dtype in table.schema.items():
        column = pl.col(name)
        if kind_of(dtype) == "joined":
            column = column.arr.to_list() if isinstance(dtype, pl.Array) else column
            column = column.cast(pl.List(pl.String)).list.join("|", ignore_nulls=True)
        elif isinstance(dtype, pl.Categorical | pl.Enum):
            column = column.cast(pl.String)
        made.append(column.alias(name))
    return table.select(made)


def vectors_in(files: Sequence[Path], ids: pl.Series, column: str, *, name: str) -> ForeignFeatures:
    """A column of vectors, or of regions' vectors, as features of the items whose cell is not null.

    Args:
        files: Parquet files with that column, whose rows are those of `ids` one after the other.
        ids: `(n,)` of all rows.
        column: its name in the files.
        name: of the features.

    Raises:
        DataError: vectors are of several lengths.
    """
    there: list[np.ndarray] = []
    shapes: set[tuple[int, ...]] = set()
    narrow = False
    for path in files:
        narrow = _innermost(schema_of(path)[column]) == pl.Float16
        for block in blocks_of(path, [column]):
            cells = block[column]
            there.append(cells.is_not_null().to_numpy())
            shapes |= _shapes(cells.drop_nulls())
            if len(shapes) > 1:
                listed = " and ".join(map(str, sorted(shapes)[:2]))
                raise DataError(
                    f"{path}: column {column} holds vectors of shapes {listed}; expected one shape."
                )
    if not shapes:
        raise DataError(f"{files[0]}: column {column} holds no vector.")
    (shape,) = shapes

    def blocks() -> Iterator[np.ndarray]:
        for path in files:
            for block in blocks_of(path, [column]):
                cells = block[column].drop_nulls()
                for _ in shape:
                    cells = cells.explode()
                yield cells.cast(pl.Float32).to_numpy().reshape(-1, *shape)

    about = {"file": files[0].name, "column": column}
    dtype = "float16" if narrow else "float32"
    return ForeignFeatures(name, ids.filter(np.concatenate(there)), shape, blocks, about, dtype)


def _shapes(cells: pl.Series) -> set[tuple[int, ...]]:
    """The shapes of lists, or of lists of lists; (…, -1) where those within one cell differ."""
    if isinstance(cells.dtype, pl.Array):
        cells = cells.arr.to_list()
    lengths = set(cells.list.len().unique().to_list())
    if not isinstance(cells.dtype.inner, pl.List | pl.Array):  # type: ignore[attr-defined]
        return {(n,) for n in lengths}
    inner = cells.explode()
    if isinstance(inner.dtype, pl.Array):
        inner = inner.arr.to_list()
    return {(n, m) for n in lengths for m in inner.list.len().unique().to_list()}


def _innermost(dtype: pl.DataType) -> pl.DataType:
    while isinstance(dtype, pl.List | pl.Array):
        dtype = dtype.inner  # type: ignore[assignment]
    return dtype


def write_plain_parquet(
    table: pl.DataFrame, path: Path, *, about: Mapping[str, str] | None = None, rows: int | None = None
) -> None:
    """A Parquet file whose texts, bytes and lists are of the common types of Arrow, `string` and not `large_string`.

    Polars notes in each file of which Arrow types its columns were, and all of them are large there; programs that
    obey and know the common ones alone (LensKit) refuse the file. So the note is made unfindable: its name in the
    footer is spelt in another way, of the same length. The columns themselves stay as they are.

    Args:
        table: to write.
        path: the file.
        about: texts for the file's own metadata.
        rows: in a row group, of tables of pictures.
    """
    # Pictures are compressed already: trying hard again takes most of the time.
    compression: Literal["snappy", "zstd"] = "zstd" if rows is None else "snappy"
    table.write_parquet(path, metadata=dict(about or {}), row_group_size=rows, compression=compression)
    with path.open("rb+") as file:
        end = file.seek(-8, os.SEEK_END)
        length = int.from_bytes(file.read(4), "little")
        file.seek(end - length)
        footer = file.read(length)
        file.seek(end - length + footer.index(_ARROW))
        file.write(_ARROW.replace(b":", b"_"))
