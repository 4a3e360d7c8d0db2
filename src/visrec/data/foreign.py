"""What the files of another program or of a published data set hold, in our words."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from visrec.errors import DataError

KNOWN = ("user_id", "item_id", "timestamp", "weight", "rating", "evaluation")
"""Columns of interactions that mean something here, in the order in which they are written."""


@dataclass(frozen=True, eq=False)
class ForeignFeatures:
    """Vectors of items.

    Attributes:
        name: of the folder that they become, below `features/`.
        ids: `(n,)` item ids (text), in the order of the rows; items without a vector are left out.
        shape: of one item: `(F,)`, or `(R, F)` for regions.
        blocks: gives all rows from the first, `(b, *shape)` numbers at a time; as often as it is called.
        about: where they come from, JSON-able, for the provenance: `extractor`, `layer`, `file`, …
        dtype: "float32", or "float16" where the files have it so.
        grid: (h, w) of the map whose cells the regions are, row by row; None where nobody says.
    """

    name: str
    ids: pl.Series
    shape: tuple[int, ...]
    blocks: Callable[[], Iterator[np.ndarray]]
    about: Mapping[str, Any] = field(default_factory=dict)
    dtype: str = "float32"
    grid: tuple[int, int] | None = None


@dataclass(frozen=True, eq=False)
class ForeignData:
    """A data set on its way between two layouts.

    Attributes:
        interactions: `user_id`, `item_id` (text), `timestamp` (a number, or text that `time_column` reads), and where
            there is one `rating`, `weight` (numbers), `evaluation` ("train", "valid", "test"). Rows in the order of
            the source. None where there are none.
        items: one row an item: `item_id` (text) and what is known of it. `title`, `artist`, `category`, `image_url`
            are known by name; several values of one cell are joined by "|". None where nothing says which items there
            are; then they are those with a picture or an interaction.
        pictures: picture files where they lie, by item.
        encoded: gives (item, the bytes of its picture file) for pictures that stand within other files.
        features: vectors that came along.
        files: one row a file that was found: `file`, `what` it is, `became` (what it is turned into, or why nothing).
        notes: what was decided or left out, one sentence each.
    """

    interactions: pl.DataFrame | None = None
    items: pl.DataFrame | None = None
    pictures: Mapping[str, Path] = field(default_factory=dict)
    encoded: Callable[[], Iterator[tuple[str, bytes]]] | None = None
    features: tuple[ForeignFeatures, ...] = ()
    files: tuple[dict[str, str], ...] = ()
    notes: tuple[str, ...] = ()


def file_row(name: str | Path, what: str, became: str) -> dict[str, str]:
    """A row of `ForeignData.files`."""
    return {"file": str(name), "what": what, "became": became}


def places_as_times(table: pl.DataFrame) -> pl.DataFrame:
    """Interactions without times, with the place of a row among those of its user (from 0) as `timestamp`."""
    return table.with_columns(timestamp=pl.int_range(pl.len()).over("user_id").cast(pl.Int64))


def files_below(folder: Path) -> Iterator[Path]:
    """All files below a folder, in order; what is hidden is passed over, and links to folders are followed once."""
    seen: set[str] = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
        real = os.path.realpath(place)
        if real in seen:
            folders[:] = []
            continue
        seen.add(real)
        for name in sorted(names):
            path = Path(place, name)
            if not name.startswith(".") and path.is_file():
                yield path


def the_file(source: Path, *names: str, what: str) -> Path:
    """One file of a source: the source itself, or the first of `names` (glob patterns) in it, however deep.

    Raises:
        DataError: there is no such file, or a pattern fits several; the message names what was expected.
    """
    found = find_file(source, *names)
    if found is None:
        raise DataError(
            f"{source}: holds no {' or '.join(names)} ({what}). Put it there, under its published name."
        )
    return found


def find_file(source: Path, *names: str) -> Path | None:
    """Like `the_file`; None where there is none."""
    if not source.exists():
        raise DataError(
            f"{source}: does not exist; expected a folder with the published files, or one of them."
        )
    if source.is_file():
        return source if any(source.match(name) for name in names) else None
    files = list(files_below(source))
    for name in names:
        found = [path for path in files if path.match(name)]
        if len(found) > 1:
            several = ", ".join(path.relative_to(source).as_posix() for path in found[:4])
            raise DataError(
                f"{source}: holds several {name}: {several}. Name the one that is meant, or its folder."
            )
        if found:
            return found[0]
    return None
