"""RecTools: tables of interactions with the columns user_id, item_id, weight, datetime.

Its names and types are those of `rectools.Columns` and `rectools.dataset.Interactions`
(github.com/MobileTeleSystems/RecTools, rectools/columns.py, rectools/dataset/interactions.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import polars as pl

from visrec.data.dataset import Dataset
from visrec.data.foreign import ForeignData, file_row
from visrec.data.formats.format import Format
from visrec.data.formats.tables import (
    dated_times,
    find_interactions,
    interactions_in,
    interactions_of,
    need_interactions,
    read_items,
    rows_of,
    sole_table,
    with_times,
    write_items,
    write_table,
)
from visrec.data.formats.vector_files import read_vectors, write_vectors
from visrec.data.interactions import Interactions
from visrec.data.picture_files import pictures_by_item
from visrec.progress import Progress


def to_frame(data: Interactions | Dataset) -> pl.DataFrame:
    """Interactions as RecTools wants them: user_id, item_id, weight, datetime.

    `rectools.dataset.Dataset.construct(to_frame(data).to_pandas())` takes it. The way back is `visrec.from_frame`.
    Numbers that are no Unix times (ranks, days of a survey) stay numbers, which RecTools takes for nanoseconds: their
    order is right, and nothing else.
    """
    rows = dated_times(rows_of(interactions_in(data)))
    return rows.select("user_id", "item_id", pl.col("weight").cast(pl.Float64), datetime="timestamp")


def read(
    source: Path,
    *,
    progress: Progress | None = None,  # noqa: ARG001 - one pass by polars
    user_column: str = "",
    item_column: str = "",
    images: Path | None = None,
) -> ForeignData:
    """Read a CSV or Parquet file of interactions, and `items` and `features/` beside it.

    Args:
        source: the file, or a folder with `interactions.parquet` or `.csv`.
        user_column: another name than `user_id`.
        item_column: another name than `item_id`.
        images: a folder with pictures `<item_id>.jpg`.

    Raises:
        DataError: names the row that holds no id, number or time.
    """
    path = find_interactions(source, what="RecTools' interactions")
    table = sole_table(path)
    rows, notes = interactions_of(
        path, table, user_column=user_column, item_column=item_column, times=("datetime",)
    )
    rows, more = with_times(rows)
    items, item_files = read_items(path.parent)
    features, feature_files = read_vectors(path.parent)
    return ForeignData(
        interactions=rows,
        items=items,
        pictures={} if images is None else pictures_by_item(images),
        features=tuple(features),
        files=(file_row(path, "interactions", "interactions"), *item_files, *feature_files),
        notes=(*notes, *more),
    )


def write(
    data: ForeignData,
    folder: Path,
    *,
    progress: Progress | None = None,  # noqa: ARG001 - one pass by polars
    table: Literal["parquet", "csv"] = "parquet",
) -> tuple[str, ...]:
    """Write `interactions`, `items` and `features/`.

    Args:
        data: what to write.
        folder: an empty one.
        table: the kind of file.
    """
    rows = dated_times(need_interactions(data, "RecTools"))
    notes = []
    if rows["timestamp"].dtype.is_numeric():
        notes.append("Times are no Unix times: they stay numbers, which RecTools takes for nanoseconds.")
    known = next((name for name in ("weight", "rating") if name in rows.columns), None)
    weight = pl.lit(1.0) if known is None else pl.col(known).cast(pl.Float64)
    extra = [name for name in ("rating", "evaluation") if name in rows.columns]
    rows = rows.select(
        "user_id", "item_id", weight.alias("weight"), pl.col("timestamp").alias("datetime"), *extra
    )
    write_table(rows, folder / "interactions", kind=table)
    if data.items is not None:
        write_items(data.items, folder, kind=table)
    if data.pictures:
        notes.append("Pictures have no place in RecTools' tables: left out.")
    return (*notes, *write_vectors(data.features, folder)[1])


RECTOOLS = Format(
    name="rectools",
    title="RecTools",
    what="a table user_id, item_id, weight, datetime",
    read=read,
    write=write,
)
