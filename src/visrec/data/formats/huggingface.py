"""Folders of Hugging Face data sets: Parquet files with pictures in them, and folders of pictures with a table.

A picture in Parquet is a column of structs `{bytes, path}`; what columns mean stands in the file's own metadata under
`huggingface`. In an `imagefolder`, `metadata.csv`, `.jsonl` or `.parquet` names the pictures of its folder in
`file_name` (github.com/huggingface/datasets, src/datasets/features/image.py, packaged_modules/folder_based_builder).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from visrec.data.foreign import ForeignData, file_row
from visrec.data.formats.format import Format
from visrec.data.formats.huggingface_pictures import Shard, find_image_column, read_shards, read_vector_files
from visrec.data.formats.huggingface_writing import write
from visrec.data.formats.image_folder import read_image_folder
from visrec.data.formats.interaction_tables import ID_NAMES, interactions_of, sole_table
from visrec.data.formats.moments import with_times
from visrec.data.formats.parquet_columns import kind_of, schema_of
from visrec.data.picture_files import pictures_in
from visrec.data.tables import columns_of
from visrec.errors import DataError
from visrec.progress import Progress

_METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
_TIMES = ("timestamp", "datetime", "time")
_PARTS = {
    "train": "train",
    "valid": "valid",
    "validation": "valid",
    "val": "valid",
    "dev": "valid",
    "test": "test",
}


def read(
    source: Path,
    *,
    progress: Progress | None = None,  # noqa: ARG001 - pictures are read when they are written
    item_column: str = "",
    user_column: str = "",
    image_column: str = "",
) -> ForeignData:
    """Read a data set's folder as it is cloned or downloaded, or one Parquet file with pictures.

    Parquet files with a column of pictures are items; those with columns of users and items are interactions, and so
    are `interactions*.csv`; those with items and vectors are features.

    Args:
        source: the folder or file.
        item_column: the column of item ids. By default `item_id`, `item` or `itemId`; where there is none, an item is
            called by the path of its picture without suffix, or by its place if pictures have no paths.
        user_column: the column of user ids of interactions. By default `user_id`, `user` or `userId`.
        image_column: the column of pictures. By default the one whose cells are `{bytes, path}`.

    Raises:
        DataError: no picture is found, a file is damaged, or a column has not what it should have.
    """
    if not source.exists():
        raise DataError(f"{source}: does not exist; expected a data set's folder, or one Parquet file of it.")
    root = source if source.is_dir() else source.parent
    found = _Found.of(
        [source] if source.is_file() else _files(source), item_column, user_column, image_column
    )
    rows, notes = _interactions(found, item_column, user_column)
    if found.shards:
        about = read_shards(root, found.shards, item_column)
    elif found.metadata:
        about = read_image_folder(root, found.metadata, item_column)
    else:
        raise DataError(
            f"{source}: holds no Parquet file with a column of pictures, and no metadata.csv, .jsonl or "
            f".parquet with file_name. Name the column: --set image_column=… A plain folder of pictures: "
            f"visrec convert images."
        )
    return ForeignData(
        interactions=rows,
        items=about.items,
        pictures=about.pictures,
        encoded=about.encoded,
        features=(*about.features, *read_vector_files(found.vectors, item_column)),
        files=(*found.rows(root), *about.files),
        notes=(*notes, *about.notes),
    )


# ---- which file is what ----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Found:
    shards: list[Shard]  # with the column of pictures
    interactions: list[Path]
    vectors: list[Path]
    metadata: list[Path]
    others: list[Path]

    @classmethod
    def of(cls, files: list[Path], item_column: str, user_column: str, image_column: str) -> _Found:
        found = cls([], [], [], [], [])
        for path in files:
            if path.name in _METADATA:
                found.metadata.append(path)
            elif path.suffix == ".csv":
                (found.interactions if path.name.startswith("interactions") else found.others).append(path)
            elif path.suffix == ".parquet":
                schema = schema_of(path)
                image = find_image_column(path, schema, image_column)
                has_items = _has(schema, item_column, "item_id")
                if image is not None:
                    found.shards.append((path, image))
                elif has_items and _has(schema, user_column, "user_id"):
                    found.interactions.append(path)
                elif has_items and any(kind_of(dtype) == "vectors" for dtype in schema.values()):
                    found.vectors.append(path)
                else:
                    found.others.append(path)
        return found

    def rows(self, root: Path) -> list[dict[str, str]]:
        kinds = (
            ([path for path, _ in self.shards], "pictures and what is known of items", "items, images/"),
            (self.interactions, "interactions", "interactions"),
            (self.vectors, "vectors", "features/"),
            (self.metadata, "what is known of pictures", "items, images"),
            (self.others, "a table", "nothing: it has neither pictures nor users and items"),
        )
        return [
            file_row(path.relative_to(root), what, became) for paths, what, became in kinds for path in paths
        ]


def _files(source: Path) -> list[Path]:
    return [
        source / name
        for name in sorted(pictures_in(source)[1])
        if name.endswith((".parquet", ".csv", ".jsonl"))
    ]


def _has(schema: pl.Schema, asked: str, ours: str) -> bool:
    return any(name in schema for name in ((asked,) if asked else ID_NAMES[ours]))


# ---- interactions ----------------------------------------------------------------------------------


def _interactions(found: _Found, item_column: str, user_column: str) -> tuple[pl.DataFrame | None, list[str]]:
    tables: list[pl.DataFrame] = []
    notes: list[str] = []
    parts = [_part(path) for path in found.interactions]
    for path, part in zip(found.interactions, parts, strict=True):
        table = sole_table(path)
        rows, more = interactions_of(
            path, table, user_column=user_column, item_column=item_column, times=_TIMES
        )
        notes += more
        # Splits are parts only where there are several: a data set of one split calls it train.
        if "evaluation" not in rows.columns and part and len(set(parts)) > 1 and None not in parts:
            rows = rows.with_columns(evaluation=pl.lit(part))
        tables.append(rows)
    if not tables:
        return None, []
    if len({tuple(sorted(table.columns)) for table in tables}) > 1:
        listed = " and ".join(columns_of(table) for table in tables[:2])
        raise DataError(f"The files of interactions have different columns: {listed}. Leave one of them out.")
    rows = pl.concat([table.select(tables[0].columns) for table in tables], how="vertical_relaxed")
    rows, more = with_times(rows)
    return rows, [*notes, *more]


def _part(path: Path) -> str | None:
    """The split that a file's name begins with, or its folder is called by."""
    words = (re.split(r"[-_.]", path.name)[0], path.parent.name)
    return next((_PARTS[word] for word in words if word in _PARTS), None)


HUGGINGFACE = Format(
    name="huggingface",
    title="Hugging Face datasets",
    what="Parquet with pictures in it; imagefolder with metadata",
    read=read,
    write=write,
)
