"""Pictures within Parquet files, as Hugging Face's `datasets` writes them, and the vectors beside them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from visrec.data.foreign import ForeignData, ForeignFeatures
from visrec.data.formats.interaction_tables import ID_NAMES, named_column
from visrec.data.formats.parquet_columns import blocks_of, kind_of, plain_columns, schema_of, vectors_in
from visrec.data.picture_files import ids_of_files, inside
from visrec.data.tables import id_column
from visrec.errors import DataError

_SHARD = re.compile(r"(.+?)-\d{5}-of-\d{5}")
# Read with the other columns, so that rows are counted where there are none.
_PLACE = pl.int_range(pl.len()).alias("place within the block")

Shard = tuple[Path, str]
"""A file, and its column of pictures."""


def read_shards(root: Path, shards: Sequence[Shard], item_column: str) -> ForeignData:
    """Items, their pictures, and columns of vectors as features.

    Args:
        root: the data set's folder, in which pictures lie that are only named.
        shards: the files.
        item_column: the column of ids; "": a usual one, or ids are made of the pictures' names or places.
    """
    items, notes = _items(shards, item_column)
    ids = items["item_id"]
    schemas = [schema_of(path) for path, _ in shards]
    vectors = [
        name
        for name, dtype in schemas[0].items()
        if kind_of(dtype) == "vectors" and all(name in schema for schema in schemas)
    ]
    files = [path for path, _ in shards]
    return ForeignData(
        items=items,
        encoded=lambda: _pictures(root, shards, ids),
        features=tuple(vectors_in(files, ids, name, name=name) for name in vectors),
        notes=tuple(notes),
    )


def read_vector_files(paths: list[Path], item_column: str) -> list[ForeignFeatures]:
    """Files of items and vectors; shards of one name are one."""
    groups: dict[str, list[Path]] = {}
    for path in paths:
        shard = _SHARD.fullmatch(path.stem)
        groups.setdefault(shard[1] if shard else path.stem, []).append(path)
    made = []
    for name, files in groups.items():
        ids = []
        for path in files:
            column = item_column or next(one for one in ID_NAMES["item_id"] if one in schema_of(path))
            ids += [
                id_column(path, block, column).cast(pl.String)
                for block in blocks_of(path, [column], heavy=False)
            ]
        columns = [one for one, dtype in schema_of(files[0]).items() if kind_of(dtype) == "vectors"]
        for column in columns:
            title = name if len(columns) == 1 else f"{name}-{column}"
            made.append(vectors_in(files, pl.concat(ids), column, name=title))
    return made


def find_image_column(path: Path, schema: pl.Schema, asked: str) -> str | None:
    if asked:
        if asked not in schema:
            return None
        if not _is_picture(schema[asked]) and schema[asked] != pl.Binary:
            raise DataError(
                f"{path}: column {asked} is of type {schema[asked]}; expected {{bytes, path}}, or bytes."
            )
        return asked
    told = [
        name for name, kind in _hugging_face(path).items() if kind.get("_type") == "Image" and name in schema
    ]
    found = [name for name in told if schema[name] == pl.Binary or _is_picture(schema[name])] or [
        name for name, dtype in schema.items() if _is_picture(dtype)
    ]
    if len(found) > 1 and "image" not in found:
        raise DataError(
            f"{path}: has several columns of pictures, {', '.join(found)}. Choose: --set image_column=…"
        )
    return None if not found else "image" if "image" in found else found[0]


def _items(shards: Sequence[Shard], item_column: str) -> tuple[pl.DataFrame, list[str]]:
    tables, ids, notes = [], [], []
    lost: set[str] = set()
    for path, image in shards:
        schema = schema_of(path)
        kinds = {name: kind_of(dtype) for name, dtype in schema.items() if name != image}
        lost |= {name for name, kind in kinds.items() if not kind}
        known = [name for name, kind in kinds.items() if kind in ("plain", "joined")]
        blocks = list(blocks_of(path, [*known, _PLACE], heavy=False))
        if not blocks:
            continue
        table = pl.concat(blocks)
        name = item_name(path, table, item_column)
        if name is not None:
            ids.append(id_column(path, table, name).cast(pl.String))
        tables.append(_with_labels(path, plain_columns(table.drop(name or []))))
    if not tables:
        raise DataError(f"{shards[0][0]}: has no rows; expected pictures.")
    items = pl.concat(tables, how="diagonal_relaxed")
    if len(ids) == len(tables):
        made = pl.concat(ids)
    elif ids:
        raise DataError(
            "Some of the Parquet files have a column of item ids, others not. Give those of one data set."
        )
    else:
        made, note = _made_ids(shards, items.height)
        notes.append(note)
    if lost:
        notes.append(f"Columns that are no values here: {', '.join(sorted(lost))}: left out.")
    return items.select(made.alias("item_id"), pl.exclude("item_id", "place within the block")), notes


def item_name(path: Path, table: pl.DataFrame, asked: str) -> str | None:
    if asked:
        return named_column(path, table, "item_id", asked)
    return next((name for name in ID_NAMES["item_id"] if name in table.columns), None)


def _made_ids(shards: Sequence[Shard], n: int) -> tuple[pl.Series, str]:
    """Ids of pictures without any: their paths, or their places."""
    paths: list[str | None] = []
    for path, image in shards:
        if _is_picture(schema_of(path)[image]):
            field = pl.col(image).struct.field("path")
            paths += [name for block in blocks_of(path, [field]) for name in block["path"].to_list()]
    names = [name for name in paths if name]
    if len(names) == n == len(set(names)):
        note = (
            "There is no column of item ids: items are called by the paths of their pictures, without suffix."
        )
        return pl.Series(ids_of_files(names), dtype=pl.String), note
    note = "There is no column of item ids, and pictures have no names: items are called by their places."
    return pl.int_range(n, eager=True).cast(pl.String), note


def _with_labels(path: Path, table: pl.DataFrame) -> pl.DataFrame:
    """Classes by their names instead of their numbers; a column `label` of classes is the category."""
    for name, kind in _hugging_face(path).items():
        names = kind.get("names")
        if kind.get("_type") != "ClassLabel" or not isinstance(names, list) or name not in table.columns:
            continue
        if table[name].dtype.is_integer():
            words = pl.Series(names).cast(pl.String)
            number = pl.col(name).cast(pl.Int64)
            inside_names = pl.when(number.is_between(0, len(words) - 1)).then(number)
            table = table.with_columns(words.gather(table.select(inside_names).to_series()).alias(name))
        if name == "label" and "category" not in table.columns:
            table = table.rename({"label": "category"})
    return table


def _pictures(root: Path, shards: Sequence[Shard], ids: pl.Series) -> Iterator[tuple[str, bytes]]:
    place = 0
    for path, image in shards:
        for block in blocks_of(path, [image]):
            cells = block[image]
            for n, cell in enumerate(cells):
                content = cell.get("bytes") if isinstance(cell, dict) else cell
                if content is None and isinstance(cell, dict) and cell.get("path"):
                    beside = inside(root, cell["path"])
                    content = beside.read_bytes() if beside is not None and beside.is_file() else None
                if content is not None:
                    yield ids[place + n], content
            place += len(cells)


def _is_picture(dtype: pl.DataType) -> bool:
    return (
        isinstance(dtype, pl.Struct)
        and {"bytes": pl.Binary, "path": pl.String}.items() <= dict(dtype).items()
    )


def _hugging_face(path: Path) -> dict[str, dict[str, Any]]:
    """What the file's metadata say of its columns; {} where they say nothing that can be understood."""
    try:
        features = json.loads(pl.read_parquet_metadata(path)["huggingface"])["info"]["features"]
        return {str(name): kind for name, kind in features.items() if isinstance(kind, dict)}
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}
