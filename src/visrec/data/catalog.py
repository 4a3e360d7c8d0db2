"""The items: their ids, where each image is, and what is known of them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np
import polars as pl

from visrec.data.ids import IdMap
from visrec.errors import DataError, ImageError

if TYPE_CHECKING:
    from PIL import Image

_BLOCK = 1 << 18  # rows that are made Python's at once

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif")


class Paths(Sequence["Path | None"]):
    """Where many images are, kept as text: a path is made when it is asked for. Reads like a tuple of paths."""

    folder: Path
    written: pl.Series

    def __init__(self, folder: Path, written: pl.Series) -> None:
        """Of texts `(n,)` that are relative to `folder`, or absolute; null where there is no image."""
        self.folder = folder
        self.written = written

    def __len__(self) -> int:
        return len(self.written)

    @overload
    def __getitem__(self, index: int) -> Path | None: ...
    @overload
    def __getitem__(self, index: slice) -> Paths: ...
    def __getitem__(self, index: int | slice) -> Path | Paths | None:
        if isinstance(index, slice):
            return Paths(self.folder, self.written[index])
        return self._path(self.written[int(index)])

    def __iter__(self) -> Iterator[Path | None]:
        for start in range(0, len(self), _BLOCK):
            yield from map(self._path, self.written[start : start + _BLOCK].to_list())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return len(self) == len(other) and all(one == two for one, two in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Paths({len(self)}, {self.written.null_count()} without an image, in {self.folder})"

    @property
    def there(self) -> np.ndarray:
        """`(n,)` whether there is an image."""
        return self.written.is_not_null().to_numpy()

    def texts(self) -> Iterator[str | None]:
        """The paths as text, in a fraction of the time that it takes to make paths."""
        folder = str(self.folder)
        for start in range(0, len(self), _BLOCK):
            for written in self.written[start : start + _BLOCK].to_list():
                if written is None:
                    yield None
                    continue
                text = os.path.join(folder, written)  # noqa: PTH118
                # What `Path` leaves out at the end would make another name of it, and no file.
                yield str(Path(text)) if os.path.basename(text) in ("", ".") else text  # noqa: PTH119

    def _path(self, written: str | None) -> Path | None:
        return None if written is None else self.folder / written


@dataclass(frozen=True, eq=False)
class Catalog:
    """All items in index order. Frozen.

    Attributes:
        items: the ids.
        paths: `(I,)` where each item's image is; None where it has none.
        metadata: one row an item, in index order, column `item_id` first. What came from CSV is text, as
            written.
    """

    items: IdMap
    paths: Sequence[Path | None]
    metadata: pl.DataFrame

    def __post_init__(self) -> None:
        if len(self.paths) != len(self.items) or self.metadata.height != len(self.items):
            raise DataError(
                f"Catalog: {len(self.items)} items, {len(self.paths)} paths and "
                f"{self.metadata.height} rows of metadata; expected one of each an item."
            )

    def __len__(self) -> int:
        return len(self.items)

    @cached_property
    def pictured(self) -> np.ndarray:
        """`(I,)` bool: which items have an image."""
        if isinstance(self.paths, Paths):
            return self.paths.there
        return np.array([path is not None for path in self.paths], dtype=bool)

    def open(self, item: str | int) -> Image.Image:
        """The image of an item, upright and in RGB.

        Raises:
            DataError: the item is unknown.
            ImageError: it has no image, or the image cannot be decoded.
        """
        from visrec.data.images import decode

        path = self.paths[self.items.index(item)]
        if path is None:
            raise ImageError(f"Item {str(item)!r} has no image in this data set.")
        return decode(path)

    def title(self, index: int) -> str:
        """The title of an item, or its id where the metadata have none."""
        if "title" in self.metadata.columns:
            title = self.metadata["title"][index]
            if title is not None and str(title).strip():
                return str(title)
        return str(self.items.written[index])

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of the ids and of each image file's name and size.

        Names and sizes, not contents: it must be cheap for a large catalogue. It tells catalogues apart;
        features are guarded by the ids themselves.

        Raises:
            DataError: an image file has gone since the catalogue was read.
        """
        digest = hashlib.sha256(self.items.digest.encode())
        paths = self.paths.texts() if isinstance(self.paths, Paths) else self.paths
        for path in paths:
            try:
                text = "-" if path is None else f"{os.path.basename(path)}:{os.stat(path).st_size}"  # noqa: PTH116, PTH119
            except OSError as error:
                raise DataError(
                    f"{Path(str(path))}: cannot be read any more ({error.strerror}). Load it again."
                ) from None
            digest.update(text.encode() + b"\n")
        return digest.hexdigest()

    @cached_property
    def metadata_digest(self) -> str:
        """The digest of what is known of the items, see `digest_of_table`."""
        return digest_of_table(self.metadata)


def digest_of_table(table: pl.DataFrame) -> str:
    """SHA-256 (hex) of a table of items without their titles, which are only shown.

    Columns are taken in the order of their names, rows as they are: of a catalogue in index order, however its file
    orders them.
    """
    digest = hashlib.sha256()
    for name in sorted(set(table.columns) - {"title"}):
        # The JSON of [name, [value, …]], a block of values after the other.
        digest.update(f"[{json.dumps(name, ensure_ascii=False)}, [".encode())
        for start in range(0, table.height, _BLOCK):
            values = table[name][start : start + _BLOCK].to_list()
            text = json.dumps(values, ensure_ascii=False, default=str)[1:-1]
            digest.update(f"{', ' if start else ''}{text}".encode())
        digest.update(b"]]\n")
    return digest.hexdigest()
