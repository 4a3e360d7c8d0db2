"""Plain folders of pictures: items without interactions, for features, likeness and maps."""

from __future__ import annotations

from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Literal

import polars as pl

from visrec.data.catalog import IMAGE_SUFFIXES
from visrec.data.foreign import ForeignData, file_row
from visrec.data.formats.format import Format
from visrec.data.picture_files import ids_of_files, pictures_in
from visrec.errors import DataError
from visrec.progress import Progress


def read(
    source: Path,
    *,
    progress: Progress | None = None,  # noqa: ARG001 - nothing here takes long
    ids: Literal["path", "stem"] = "path",
    category_from_folder: bool = False,
) -> ForeignData:
    """Read the pictures of a folder and of the folders in it.

    Args:
        source: the folder.
        ids: what an item is called. "path": the file's path below the folder without its suffix, `chairs/001`.
            "stem": `001`, where no other file has that name. Where two files would have one id, theirs are written
            out: first with the folders, then with the suffix.
        category_from_folder: the name of the folder that a picture lies in is its item's category.

    Raises:
        DataError: there is no such folder, or no picture in it.
    """
    names, others = pictures_in(source)
    if not names:
        raise DataError(
            f"{source}: holds no picture. Expected files {', '.join(IMAGE_SUFFIXES)}, also in folders within."
        )
    made = ids_of_files(names, stems=ids == "stem")
    items = pl.DataFrame({"item_id": made})
    if category_from_folder:
        folders = [PurePosixPath(name).parent.name or None for name in names]
        items = items.with_columns(pl.Series("category", folders, dtype=pl.String))
    return ForeignData(
        items=items,
        pictures={item: source / name for item, name in zip(made, names, strict=True)},
        files=(file_row(source, f"{len(names):,} pictures", "items.csv, images.csv"),),
        notes=(*_written_out(names, made, stems=ids == "stem"), *_left_out(others)),
    )


def _written_out(names: list[str], ids: list[str], *, stems: bool) -> list[str]:
    plain = [PurePosixPath(name).with_suffix("") for name in names]
    longer = [
        one for one, path in zip(ids, plain, strict=True) if one != (path.name if stems else path.as_posix())
    ]
    if not longer:
        return []
    return [
        f"{len(longer):,} files have the name of another but for folder or suffix: their ids are written out, as "
        f"{longer[0]!r}."
    ]


def _left_out(others: list[str]) -> list[str]:
    if not others:
        return []
    kinds = Counter(PurePosixPath(name).suffix.lower() or "without a suffix" for name in others)
    listed = ", ".join(f"{n:,} {kind}" for kind, n in kinds.most_common(5))
    return [f"Left out, since they are no pictures that are read here: {listed}."]


IMAGES = Format(
    name="images",
    title="a folder of pictures",
    what="pictures alone, without interactions",
    read=read,
)
