"""LensKit: tables of interactions, and the folders in which LensKit 2025 saves a data set.

The columns of tables are those of `lenskit.data.from_interactions_df` (github.com/lenskit/lkpy,
src/lenskit/data/adapt.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import polars as pl

from visrec.data.dataset import Dataset
from visrec.data.foreign import ForeignData, file_row
from visrec.data.formats.format import Format
from visrec.data.formats.lenskit_saved import WEIGHTS, read_saved, write_saved
from visrec.data.formats.tables import (
    find_interactions,
    interactions_in,
    interactions_of,
    need_interactions,
    numbered_times,
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
    pictures = {} if images is None else pictures_by_item(images)
    schema = source if source.name == "schema.json" else source / "schema.json"
    if schema.is_file():
        return read_saved(schema, interactions, pictures)
    path = find_interactions(source, what="LensKit's interactions")
    table = sole_table(path)
    rows, notes = interactions_of(
        path, table, user_column=user_column, item_column=item_column, weights=WEIGHTS
    )
    rows, more = with_times(rows)
    items, item_files = read_items(path.parent)
    features, feature_files = read_vectors(path.parent)
    return ForeignData(
        interactions=rows,
        items=items,
        pictures=pictures,
        features=tuple(features),
        files=(file_row(path, "interactions", "interactions"), *item_files, *feature_files),
        notes=(*notes, *more),
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
    rows = numbered_times(need_interactions(data, "LensKit"))
    notes = ["Pictures have no place in LensKit's files: left out."] if data.pictures else []
    if layout == "dataset":
        return (*notes, *write_saved(data, rows, folder))
    write_table(rows, folder / "interactions", kind=layout)
    if data.items is not None:
        write_items(data.items, folder, kind=layout)
    return (*notes, *write_vectors(data.features, folder)[1])


LENSKIT = Format(
    name="lenskit",
    title="LensKit",
    what="a table user_id, item_id, rating, timestamp; saved data sets",
    read=read,
    write=write,
)
