"""The items of a converted data set: what is said of them, and where their pictures lie."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from visrec.converting.finding import Found
from visrec.data.formats.tutorial import KNOWN
from visrec.errors import DataError


@dataclass
class Pictures:
    """Pictures of items.

    Attributes:
        paths: of each item that has one.
        strangers: files in folders that have no picture of an item, with the reason to leave them out.
        notes: what was left out of the other folders.
    """

    paths: dict[str, Path] = field(default_factory=dict)
    strangers: list[tuple[Path, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def places(self) -> dict[Path, int]:
        """The folders that they lie in, and how many in each."""
        return dict(sorted(Counter(path.parent for path in self.paths.values()).items()))


def find_pictures(found: Found, taken: Sequence[str], items: Sequence[str] | None) -> Pictures:
    """The pictures whose stems are ids.

    Args:
        found: all files.
        taken: ids of the items that somebody took.
        items: ids of all items; None: nobody knows, so all pictures in a folder with one of `taken` are items.

    Raises:
        DataError: an item has two pictures.
    """
    wanted = set(taken if items is None else items)
    pictures = Pictures()
    others = 0
    for paths in found.images.values():
        if wanted and not any(path.stem in wanted for path in paths):
            pictures.strangers += [(path, "a picture of no item") for path in paths]
            continue
        for path in paths:
            if items is not None and path.stem not in wanted:
                others += 1
            elif path.stem in pictures.paths:
                raise DataError(
                    f"{path}: is the second image of item {path.stem!r}, after {pictures.paths[path.stem]}; keep one."
                )
            else:
                pictures.paths[path.stem] = path
    if others:
        pictures.notes.append(f"{others:,} pictures belong to no item that has features: left out.")
    return pictures


def write_pictures(target: Path, pictures: Pictures) -> None:
    """A table item_id, path, which points to where the pictures lie: those in the data set as seen from it."""
    folder = target.parent.resolve()
    where = {}
    for item, path in pictures.paths.items():
        place = path.resolve()
        where[item] = place.relative_to(folder).as_posix() if place.is_relative_to(folder) else str(place)
    pl.DataFrame({"item_id": list(where), "path": list(where.values())}).write_csv(target)


def with_metadata(about: pl.DataFrame, table: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """Items with the further columns of the interactions that are the same in all rows of an item; and notes.

    `artist_id` becomes `artist`, a name that is known here.
    """
    notes = []
    for name in [column for column in table.columns if column not in KNOWN]:
        values = table.select("item_id", name).drop_nulls().unique()
        if values["item_id"].n_unique() < values.height:
            notes.append(f"The column {name} of the interactions is none of an item: left out.")
            continue
        ours = "artist" if name == "artist_id" else name
        about = about.join(values.rename({name: ours}), on="item_id", how="left", maintain_order="left")
        notes.append(f"The column {name} of the interactions is the column {ours} of items.csv.")
    return about, notes
