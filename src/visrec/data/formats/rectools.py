"""RecTools: tables of interactions with the columns user_id, item_id, weight, datetime.

Its names and types are those of `rectools.Columns` and `rectools.dataset.Interactions`
(github.com/MobileTeleSystems/RecTools, rectools/columns.py, rectools/dataset/interactions.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import polars as pl

from visrec.data.dataset import Dataset
from visrec.data.foreign import ForeignData
from visrec.data.formats.format import Format
from visrec.data.formats.interaction_tables import interactions_in, rows_of
from visrec.data.formats.moments import dated_times
from visrec.data.formats.requirements import need_interactions
from visrec.data.formats.table_folders import read_tables, write_tables
from visrec.data.interactions import Interactions
from visrec.progress import Progress


def to_frame(data: Interactions | Dataset) -> pl.DataFrame:
    """Interactions as RecTools wants them: user_id, item_id, weight, datetime.

    `rectools.dataset.Dataset.construct(to_frame(data).to_pandas())` takes it. The way back is `visrec.from_frame`.
    Numbers that are no Unix times (ranks, days of a survey) stay numbers, which RecTools takes for nanoseconds: their
    order is right, and nothing else.
    """
    rows, _ = dated_times(rows_of(interactions_in(data)))
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
    return read_tables(
        source,
        of="RecTools",
        user_column=user_column,
        item_column=item_column,
        images=images,
        times=("datetime",),
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
    rows, notes = dated_times(need_interactions(data, "RecTools"))
    if rows["timestamp"].dtype.is_numeric():
        notes.append("Times are no Unix times: they stay numbers, which RecTools takes for nanoseconds.")
    known = next((name for name in ("weight", "rating") if name in rows.columns), None)
    weight = pl.lit(1.0) if known is None else pl.col(known).cast(pl.Float64)
    extra = [name for name in ("rating", "evaluation") if name in rows.columns]
    rows = rows.select(
        "user_id", "item_id", weight.alias("weight"), pl.col("timestamp").alias("datetime"), *extra
    )
    if data.pictures:
        notes.append("Pictures have no place in RecTools' tables: left out.")
    return (*notes, *write_tables(data, rows, folder, kind=table))


RECTOOLS = Format(
    name="rectools",
    title="RecTools",
    what="a table user_id, item_id, weight, datetime",
    read=read,
    write=write,
)
