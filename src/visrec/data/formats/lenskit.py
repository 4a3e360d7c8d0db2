"""LensKit: tables of interactions, and the folders in which LensKit 2025 saves a data set.

The columns of tables are those of `lenskit.data.from_interactions_df` (github.com/lenskit/lkpy,
src/lenskit/data/adapt.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import polars as pl

from visrec.data.dataset import Dataset
from visrec.data.foreign import ForeignData
from visrec.data.formats.format import Format
from visrec.data.formats.interaction_tables import interactions_in, rows_of
from visrec.data.formats.lenskit_saved import WEIGHTS, read_saved, write_saved
from visrec.data.formats.moments import numbered_times
from visrec.data.formats.requirements import need_interactions
from visrec.data.formats.table_folders import read_tables, write_tables
from visrec.data.interactions import Interactions
from visrec.data.picture_files import pictures_by_item
from visrec.progress import Progress


def to_frame(data: Interactions | Dataset) -> pl.DataFrame:
    """Interactions as `lenskit.data.from_interactions_df` takes them.

    The columns are user_id, item_id, timestamp, and weight and evaluation where they say something. `.to_pandas()`
    makes it a DataFrame of pandas; the way back is `visrec.from_frame`.
    """
    rows = rows_of(interactions_in(data))
    return rows.drop("weight") if (rows["weight"] == 1).all() else rows


# ---- reading ---------------------------------------------------------------------------------------


def read(
    source: Path,
    *,
    progress: Progress | None = None,  # noqa: ARG001 - one pass by polars
    user_column: str = "",
    item_column: str = "",
    interactions: str = "",
    images: Path | None = None,
) -> ForeignData:
    """Read a saved data set, or a CSV or Parquet file of interactions.

    Args:
        source: the folder of a data set (with `schema.json`), a file, or a folder with `interactions` or `ratings` as
            `.parquet` or `.csv`.
        user_column: of a table, another name than `user_id` or `user`.
        item_column: of a table, another name than `item_id` or `item`.
        interactions: of a data set, which class of interactions; by default LensKit's own default.
        images: a folder with pictures `<item_id>.jpg`.

    Raises:
        DataError: a file is damaged or missing, or a row holds no id, number or time.
    """
    schema = source if source.name == "schema.json" else source / "schema.json"
    if schema.is_file():
        return read_saved(schema, interactions, {} if images is None else pictures_by_item(images))
    return read_tables(
        source,
        of="LensKit",
        user_column=user_column,
        item_column=item_column,
        images=images,
        weights=WEIGHTS,
    )


# ---- writing ---------------------------------------------------------------------------------------


def write(
    data: ForeignData,
    folder: Path,
    *,
    progress: Progress | None = None,  # noqa: ARG001 - one pass by polars
    layout: Literal["dataset", "parquet", "csv"] = "dataset",
) -> tuple[str, ...]:
    """Write a data set as LensKit saves it, or tables.

    Args:
        data: what to write.
        folder: an empty one.
        layout: "dataset": for `lenskit.data.Dataset.load`. "parquet", "csv": `interactions`, `items` and `features/`.
    """
    rows, notes = numbered_times(need_interactions(data, "LensKit"))
    if data.pictures:
        notes.append("Pictures have no place in LensKit's files: left out.")
    if layout == "dataset":
        return (*notes, *write_saved(data, rows, folder))
    return (*notes, *write_tables(data, rows, folder, kind=layout))


LENSKIT = Format(
    name="lenskit",
    title="LensKit",
    what="a table user_id, item_id, rating, timestamp; saved data sets",
    read=read,
    write=write,
)
