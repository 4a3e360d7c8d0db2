"""Cornac: (user, item, rating) and (user, item, rating, time) tuples, as files and in Python; visual features.

The files are those of `cornac.data.Reader`, features those of `cornac.data.ImageModality`
(github.com/PreferredAI/cornac, cornac/data/reader.py, cornac/data/modality.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

from visrec.data.dataset import Dataset
from visrec.data.foreign import ForeignData, file_row, the_file
from visrec.data.formats.format import Format
from visrec.data.formats.id_lines import check_lines, faulty_lines, read_lines
from visrec.data.formats.interaction_tables import (
    interactions_in,
)
from visrec.data.formats.moments import numbered_times, with_times
from visrec.data.formats.requirements import need_interactions
from visrec.data.formats.vector_files import read_vectors, write_vectors
from visrec.data.frames import from_frame
from visrec.data.interactions import Interactions
from visrec.data.picture_files import pictures_by_item
from visrec.data.tables import PARTS
from visrec.errors import DataError
from visrec.progress import Progress

_FIELDS = {"UI": 2, "UIR": 3, "UIRT": 4}
_WHOLE = "interactions.tsv"

# ---- in Python -------------------------------------------------------------------------------------


def to_tuples(
    data: Interactions | Dataset, *, fmt: Literal["UIR", "UIRT"] = "UIRT"
) -> list[tuple[str, str, float] | tuple[str, str, float, float]]:
    """Interactions as the tuples that Cornac's evaluation methods and `Dataset.from_uirt` take, in time order.

    The weight stands where Cornac has the rating.
    """
    found = interactions_in(data)
    columns: list[list[object]] = [
        found.users.take(found.user).cast(pl.String).to_list(),
        found.items.take(found.item).cast(pl.String).to_list(),
        found.weight.astype(np.float64).tolist(),
    ]
    if fmt == "UIRT":
        columns.append(found.timestamp.astype(np.float64).tolist())
    return list(zip(*columns, strict=True))


def from_tuples(
    tuples: Iterable[Sequence[object]],
    *,
    images: str | Path | Mapping[Any, str | Path] | None = None,
    items: Any = None,
    values: Literal["rating", "weight"] = "rating",
    min_rating: float | None = None,
    missing_images: Literal["error", "mask"] = "error",
) -> Dataset:
    """A data set of Cornac's tuples: (user, item), with rating, or with rating and time.

    Without times the order of the tuples is taken for one. `visrec.from_frame` says the rest.

    Args:
        tuples: all of one length.
        images: as `visrec.from_frame`.
        items: as `visrec.from_frame`.
        values: what the third number is.
        min_rating: as `visrec.from_frame`.
        missing_images: as `visrec.from_frame`.

    Raises:
        DataError: tuples are of several lengths, or hold what is no id, number or time.
    """
    rows = list(tuples)
    widths = sorted({len(row) for row in rows})
    if len(widths) != 1 or widths[0] not in (2, 3, 4):
        raise DataError(
            f"Tuples have {' and '.join(map(str, widths)) or 'no'} fields; expected (user, item, rating, time), "
            f"without time, or without both."
        )
    names = ("user", "item", values, "timestamp")[: widths[0]]
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    return from_frame(
        columns, images=images, items=items, user="user", item="item",
        timestamp=None if "timestamp" in columns else "order",
        min_rating=min_rating, missing_images=missing_images,
    )  # fmt: skip


# ---- files -----------------------------------------------------------------------------------------


def read(
    source: Path,
    *,
    progress: Progress | None = None,  # noqa: ARG001 - one pass by polars
    fmt: Literal["auto", "UI", "UIR", "UIRT"] = "auto",
    sep: str = r"\t",
    values: Literal["rating", "weight"] = "rating",
    images: Path | None = None,
) -> ForeignData:
    """Read a file of tuples, or a folder with `interactions.tsv`, or with `train.tsv`, `valid.tsv`, `test.tsv`.

    Args:
        source: the file or folder.
        fmt: as `cornac.data.Reader.read` has it. "auto": UIR or UIRT, by the number of fields of the first line.
            "UI" is a user and any number of its items.
        sep: between the fields; `\\t` is a tab.
        values: what the third field says, where it is not always 1.
        images: a folder with pictures `<item_id>.jpg`.

    Raises:
        DataError: a line has another number of fields or holds no number where one should be.
    """
    sep = sep.replace("\\t", "\t")
    if not sep:
        raise DataError("sep is empty; expected the sign between the fields, as --set sep=, has it.")
    parts = [source / f"{part}.tsv" for part in PARTS]
    given = {part: path for part, path in zip(PARTS, parts, strict=True) if path.is_file()}
    if not given:
        found = the_file(source, _WHOLE, "*.tsv", "*.csv", "*.txt", "*.dat", "*.data", what="Cornac's tuples")
        given = {"": source if source.is_file() else found}
    tables, files = [], []
    for part, path in given.items():
        table = _read_tuples(path, fmt, sep, values)
        tables.append(table.with_columns(evaluation=pl.lit(part)) if part else table)
        files.append(file_row(path, f"{table.height:,} interactions", "interactions"))
    if len({table.width for table in tables}) > 1:
        raise DataError(f"{source}: its files have different numbers of fields; expected one format.")
    rows = pl.concat(tables)
    if values in rows.columns and (rows[values] == 1).all():
        rows = rows.drop(values)
    rows, notes = with_times(rows)
    features, more = read_vectors(source)
    known = pl.concat([rows["item_id"], *(one.ids.alias("item_id") for one in features)])
    return ForeignData(
        interactions=rows,
        items=pl.DataFrame({"item_id": known.unique().sort()}),
        pictures={} if images is None else pictures_by_item(images),
        features=tuple(features),
        files=(*files, *more),
        notes=tuple(notes),
    )


def _read_tuples(path: Path, fmt: str, sep: str, values: str) -> pl.DataFrame:
    lines = read_lines(path).str.strip_chars()  # as Cornac's reader does
    if fmt == "UI":
        words = pl.DataFrame({"word": lines.str.split(sep)})
        table = words.select(user_id=pl.col("word").list.first(), item_id=pl.col("word").list.slice(1))
        short = table["item_id"].list.len() == 0
        if short.any():
            raise faulty_lines(path, short, "has no item")
        return _checked_ids(path, table).explode("item_id", empty_as_null=False, keep_nulls=False)
    n = _FIELDS.get(fmt, 0)
    found = lines.str.count_matches(sep, literal=True) + 1
    if fmt == "auto":
        n = int(found[0])
        if n not in (3, 4):
            raise DataError(
                f"{path}: its first line has {n} fields, separated by {sep!r}; expected user, item, rating, "
                f"and time or not. Name the separator (--set sep=,), or the format: --set fmt=UI."
            )
    wrong = found != n
    if wrong.any():
        row = wrong.arg_max() or 0
        raise faulty_lines(path, wrong, f"has {found[row]} fields, separated by {sep!r}; expected {n}")
    names = ["user_id", "item_id", values, "timestamp"][:n]
    table = lines.str.splitn(sep, n).struct.rename_fields(names).struct.unnest()
    table = _checked_ids(path, table)
    for name in names[2:]:
        numbers = table[name].str.strip_chars().cast(pl.Float64, strict=False)
        bad = ~numbers.is_finite().fill_null(value=False)
        if bad.any():
            text = table[name].filter(bad)[0]
            raise faulty_lines(path, bad, f"has {text[:80]!r} as {name}; expected a finite number")
        table = table.with_columns(numbers.alias(name))
    if n == 4:
        whole = (table["timestamp"] % 1 == 0).all() and (table["timestamp"].abs() < 2**53).all()
        table = table.with_columns(pl.col("timestamp").cast(pl.Int64)) if whole else table
    return table


def _checked_ids(path: Path, table: pl.DataFrame) -> pl.DataFrame:
    for name in ("user_id", "item_id"):
        ids = table[name]
        empty = ids.list.contains("") if ids.dtype == pl.List(pl.String) else ids == ""
        if empty.any():
            raise faulty_lines(path, empty, f"has an empty {name.removesuffix('_id')}")
    return table


def write(
    data: ForeignData,
    folder: Path,
    *,
    progress: Progress | None = None,  # noqa: ARG001 - one pass by polars
    fmt: Literal["UIR", "UIRT"] = "UIRT",
    sep: str = r"\t",
) -> tuple[str, ...]:
    """Write `interactions.tsv`, or a file for each part where the data assign parts, and `features/`.

    Args:
        data: what to write.
        folder: an empty one.
        fmt: with or without times.
        sep: between the fields; `\\t` is a tab.

    Raises:
        DataError: there are no interactions, or an id holds the separator or the end of a line.
    """
    sep = sep.replace("\\t", "\t")
    if not sep:
        raise DataError("sep is empty; expected the sign between the fields, as --set sep=, has it.")
    rows, notes = numbered_times(need_interactions(data, "Cornac"))
    rating = next((name for name in ("rating", "weight") if name in rows.columns), None)
    if rating is None:
        rows = rows.with_columns(rating=pl.lit(1.0))
    elif rating == "rating" and "weight" in rows.columns:
        notes.append("Beside ratings there is no place for weights: left out.")
    for name in ("user_id", "item_id"):
        check_lines(rows[name].unique(), what=name.removesuffix("_id"), separator=sep)
    fields = ["user_id", "item_id", rating or "rating", *(["timestamp"] if fmt == "UIRT" else [])]
    lines = pl.concat_str([pl.col(name).cast(pl.String) for name in fields], separator=sep)
    if "evaluation" in rows.columns:
        for part in PARTS:
            some = rows.filter(pl.col("evaluation") == part)
            if some.height:
                _write_lines(some.select(lines), folder / f"{part}.tsv")
    else:
        _write_lines(rows.select(lines), folder / _WHOLE)
    if data.pictures or data.items is not None:
        notes.append("Pictures and what is known of items have no place in Cornac's files: left out.")
    written, more = write_vectors(data.features, folder)
    if data.items is not None:
        ids = data.items["item_id"]
        gone = ids.filter(~ids.is_in(pl.concat([rows["item_id"], *written]).implode()))
        if len(gone):
            notes.append(
                f"{len(gone):,} items without interactions and vectors have no place either: left out."
            )
    return (*notes, *more)


def _write_lines(lines: pl.DataFrame, target: Path) -> None:
    lines.write_csv(target, include_header=False, quote_style="never", separator="\x1e")


CORNAC = Format(
    name="cornac",
    title="Cornac",
    what="tuples user, item, rating, time; features with their ids",
    read=read,
    write=write,
)
