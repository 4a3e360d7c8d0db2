"""Folders of pictures with a table of them: Hugging Face's `imagefolder`."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from visrec.data.foreign import ForeignData
from visrec.data.formats.huggingface_pictures import item_name
from visrec.data.formats.interaction_tables import sole_table
from visrec.data.formats.parquet_columns import kind_of, plain_columns
from visrec.data.ids import IdMap
from visrec.data.picture_files import ids_of_files, inside, pictures_in
from visrec.data.tables import columns_of, id_column
from visrec.errors import DataError


def read_image_folder(root: Path, metadata: list[Path], item_column: str) -> ForeignData:
    """The pictures that `metadata` files name, and what these say of them.

    Args:
        root: the data set's folder.
        metadata: files, each in the folder of its pictures.
        item_column: the column of ids; "": a usual one, or the pictures' names are the ids.

    Raises:
        DataError: a file names no pictures, or pictures outside its folder; an item has two.
    """
    tables, names = [], []
    for path in metadata:
        table = _metadata(path)
        column = _file_column(path, table)
        for row, name in enumerate(table[column].to_list(), start=1):
            where = inside(path.parent, name or "")
            if where is None:
                raise DataError(
                    f"{path}: {column} in row {row} is {name!r}; expected the path of a file within {path.parent}."
                )
            names.append(where.relative_to(root).as_posix())
        item = item_name(path, table, item_column)
        if item is not None:
            table = table.with_columns(id_column(path, table, item).cast(pl.String).alias("item_id"))
            table = table.drop(*({item} - {"item_id"}))
        tables.append(plain_columns(table.rename({column: "file_name"})))
    items = pl.concat(tables, how="diagonal_relaxed")
    notes = []
    if "item_id" not in items.columns:
        items = items.with_columns(pl.Series("item_id", ids_of_files(names), dtype=pl.String))
        notes.append(
            "There is no column of item ids: items are called by the paths of their pictures, without suffix."
        )
    if items["item_id"].null_count():
        raise DataError(f"{metadata[0]}: some metadata files have a column of item ids, others not.")
    ids = IdMap(items["item_id"], kind="item")
    if len(ids) < items.height:
        twice = items["item_id"].filter(items["item_id"].is_duplicated())[0]
        raise DataError(f"{metadata[0]}: item {twice!r} stands in two rows; expected one picture an item.")
    pictures = dict(zip(items["item_id"].to_list(), (root / name for name in names), strict=True))
    there = {item: path for item, path in pictures.items() if path.is_file()}
    if len(there) < len(pictures):
        gone = next(item for item in pictures if item not in there)
        notes.append(f"{len(pictures) - len(there):,} pictures are not there, first {pictures[gone]}.")
    strangers = len(set(pictures_in(root)[0]) - set(names))
    if strangers:
        notes.append(f"{strangers:,} pictures stand in no metadata: left out.")
    items = items.select("item_id", pl.exclude("item_id", "file_name"))
    return ForeignData(items=items, pictures=there, notes=tuple(notes))


def _metadata(path: Path) -> pl.DataFrame:
    if path.suffix != ".jsonl":
        return sole_table(path)
    try:
        table = pl.read_ndjson(path, infer_schema_length=None)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise DataError(
            f"{path}: is not one JSON object a line ({str(error).splitlines()[0][:200]}). Mend it."
        ) from None
    lost = [name for name, dtype in table.schema.items() if not kind_of(dtype)]
    return table.drop(lost)


def _file_column(path: Path, table: pl.DataFrame) -> str:
    found = [name for name in table.columns if name == "file_name"] or [
        name for name in table.columns if name.endswith("_file_name")
    ]
    if len(found) != 1 or table[found[0]].dtype != pl.String:
        raise DataError(
            f"{path}: has {'no' if not found else 'several'} columns file_name of text. Found: {columns_of(table)}. "
            f"The column file_name says where each picture is, relative to {path.parent}."
        )
    return found[0]
