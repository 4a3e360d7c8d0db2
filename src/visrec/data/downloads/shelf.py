"""Where a data set keeps its pictures: `images/<item_id>.<suffix>`, and `images.csv` where names are not ids."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from pathlib import Path

import polars as pl

from visrec.data.catalog import IMAGE_SUFFIXES
from visrec.data.downloads.failures import Refused
from visrec.data.file_names import file_stems, is_utf8
from visrec.data.images import loaded, suffix_of
from visrec.data.tables import find_table, id_column, read_table
from visrec.errors import ImageError
from visrec.files import replacing

_LEAST_SIDE = 64  # pixels: a JPEG is looked at in this size, since damage shows in any
_REASONS = {
    "empty": "empty answer",
    "other-type": "not a JPEG, PNG, WebP or GIF picture",
    "damaged": "damaged picture",
    "oversized": "picture of too many pixels",
}


class Shelf:
    """The pictures of a data set folder, those that are there and those that come."""

    def __init__(self, folder: Path, ids: Iterable[str]) -> None:
        self._folder = folder
        self._images = folder / "images"
        self._listing = find_table(folder, "images")
        listed = self._read_listing()
        self._there = _by_stem(self._images)
        # A listing may give one item's file a name that is another item's id.
        others = [stem for item, path in listed.items() if (stem := self._stem(path)) not in (None, item)]
        self._stems = file_stems(ids, taken=self._there, others=filter(None, others))
        self._paths = {
            item: path
            for item, path in listed.items()
            if os.path.isfile(folder / path)  # noqa: PTH113 - Path.is_file raises where a name is too long
        }
        self._listed = dict(self._paths)
        for item, stem in self._stems.items():
            if item not in self._paths and stem in self._there:
                self._paths[item] = f"images/{self._there[stem]}"

    def __contains__(self, item: str) -> bool:
        """Whether an item has a picture."""
        return item in self._paths

    def keep(self, item: str, data: bytes) -> None:
        """Write an item's picture under the suffix that its content has.

        Raises:
            Refused: it is none that visrec decodes.
        """
        path = self._images / f"{self._stems[item]}{_suffix_of(data)}"
        with replacing(path) as temporary:
            temporary.write_bytes(data)
        self._paths[item] = f"images/{path.name}"

    def write_listing(self) -> None:
        """Bring `images.csv` up to date, where there is one or a name is not its item's id."""
        paths, table = dict(self._paths), None
        if self._listing is not None:
            if paths == self._listed:
                return
            table = read_table(self._listing, required=("item_id", "path"))
        elif all(Path(path).stem == item for item, path in paths.items()):
            return
        else:  # from now on the listing alone counts: what else lies in the folder has to be in it too
            known = {stem: item for item, stem in self._stems.items()}
            for stem, name in _by_stem(self._images).items():
                paths.setdefault(known.get(stem, stem), f"images/{name}")
        new = {item: path for item, path in paths.items() if self._listed.get(item) != path}
        rows = pl.DataFrame({"item_id": list(new), "path": list(new.values())})
        if table is not None:
            old = table.with_columns(pl.col("item_id", "path").cast(pl.String))
            rows = pl.concat([old.filter(~pl.col("item_id").is_in(list(new))), rows], how="diagonal")
        target = self._listing or self._folder / "images.csv"
        with replacing(target) as temporary:
            (rows.write_parquet if target.suffix == ".parquet" else rows.write_csv)(temporary)

    def _stem(self, path: str) -> str | None:
        """The name without suffix of a listed file in `images/`; None of one elsewhere."""
        folder, name = os.path.split(os.path.normpath(self._folder / path))
        return name.rpartition(".")[0] if folder == os.path.normpath(self._images) else None

    def _read_listing(self) -> dict[str, str]:
        if self._listing is None:
            return {}
        table = read_table(self._listing, required=("item_id", "path"))
        ids = id_column(self._listing, table, "item_id").cast(pl.String).to_list()
        paths = table["path"].cast(pl.String).fill_null("").to_list()
        return dict(zip(ids, paths, strict=True))


def _by_stem(images: Path) -> dict[str, str]:
    """The pictures of a folder: names by stem. What is not UTF-8 is left out."""
    if not images.is_dir():
        return {}
    with os.scandir(images) as entries:
        names = sorted(entry.name for entry in entries if entry.is_file() and not entry.name.startswith("."))
    found: dict[str, str] = {}
    for name in names:
        stem, _, suffix = name.rpartition(".")
        if f".{suffix.lower()}" in IMAGE_SUFFIXES and is_utf8(name):
            found.setdefault(stem, name)
    return found


def _suffix_of(data: bytes) -> str:
    """The suffix of a picture's format; the whole of it is decoded, so that damage is found now."""
    try:
        with loaded(Path("answer"), io.BytesIO(data), least_side=_LEAST_SIDE):
            return suffix_of(data)
    except ImageError as error:
        raise Refused(_REASONS.get(error.kind, "damaged picture"), lasting=True) from None
