"""A data set as plain tables: `interactions`, `items` (CSV or Parquet), and vectors in `features/`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from visrec.data.foreign import ForeignData, file_row, the_file
from visrec.data.formats.interaction_tables import interactions_of, sole_table
from visrec.data.formats.moments import with_times
from visrec.data.formats.parquet_columns import plain_columns
from visrec.data.formats.vector_files import read_vectors, write_vectors
from visrec.data.picture_files import pictures_by_item
from visrec.data.tables import find_table, id_column, read_table


def read_tables(
    source: Path,
    *,
    of: str,
    user_column: str,
    item_column: str,
    images: Path | None,
    times: Sequence[str] = ("timestamp",),
    weights: Sequence[str] = ("weight",),
) -> ForeignData:
    """Read a table of interactions, and what lies beside it.

    Args:
        source: a CSV or Parquet file, or a folder with `interactions` or `ratings`, or one file of these kinds.
        of: the program, for messages.
        user_column: as of `interactions_of`.
        item_column: as of `interactions_of`.
        images: a folder with pictures `<item_id>.jpg`.
        times: as of `interactions_of`.
        weights: as of `interactions_of`.

    Raises:
        DataError: a file is damaged or missing, or a row holds no id, number or time.
    """
    names = [f"{stem}.{suffix}" for stem in ("interactions", "ratings") for suffix in ("parquet", "csv")]
    path = the_file(source, *names, "*.parquet", "*.csv", what=f"{of}'s interactions")
    rows, notes = interactions_of(
        path,
        sole_table(path),
        user_column=user_column,
        item_column=item_column,
        times=times,
        weights=weights,
    )
    rows, more = with_times(rows)
    items, item_files = _items(path.parent)
    features, feature_files = read_vectors(path.parent)
    return ForeignData(
        interactions=rows,
        items=items,
        pictures={} if images is None else pictures_by_item(images),
        features=tuple(features),
        files=(file_row(path, "interactions", "interactions"), *item_files, *feature_files),
        notes=(*notes, *more),
    )


def write_tables(data: ForeignData, rows: pl.DataFrame, folder: Path, *, kind: str) -> list[str]:
    """Write tables, `kind` "csv" or "parquet", and features; notes on what has no place there.

    Args:
        data: of which the items and features are written.
        rows: its interactions, as the program wants them.
        folder: an empty one.
        kind: of the files.
    """
    _write_table(rows, folder / "interactions", kind=kind)
    if data.items is not None:
        items = plain_columns(data.items) if kind == "csv" else data.items
        _write_table(items, folder / "items", kind=kind)
    return write_vectors(data.features, folder)[1]


def _items(folder: Path) -> tuple[pl.DataFrame | None, list[dict[str, str]]]:
    path = find_table(folder, "items")
    if path is None:
        return None, []
    table = read_table(path, required=("item_id",))
    ids = id_column(path, table, "item_id").cast(pl.String)
    return table.with_columns(ids.alias("item_id")), [file_row(path, "what is known of items", "items")]


def _write_table(table: pl.DataFrame, target: Path, *, kind: str) -> None:
    if kind == "csv":
        table.write_csv(target.with_suffix(".csv"), datetime_format="%Y-%m-%d %H:%M:%S%.f")
    else:
        table.write_parquet(target.with_suffix(".parquet"))
