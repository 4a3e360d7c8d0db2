"""The data files of the visual recommendation tutorial of ACM IUI 2021: features, interactions, triples."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np
import polars as pl

from visrec.data.formats.pickled import ObjectArray, read_object_array, shown
from visrec.data.tables import (
    first_row,
    id_column,
    part_column,
    part_words,
    read_table,
    row_name,
    time_column,
)
from visrec.errors import DataError

INTERACTIONS = ("user_id", "item_id", "timestamp")
KNOWN = (*INTERACTIONS, "evaluation", "weight", "rating")
"""Columns of a table of interactions that say something of the interaction."""
EVALUATION = ("user_id", "predict", "profile")
TRIPLES = ("profile", "pi", "ni", "ui")
_WHOLE = re.compile(r"[+-]?[0-9]+")


@dataclass(frozen=True, eq=False)
class Embedding:
    """A file of features. The place of an item in it is the tutorial's index of the item, in all its other files.

    Attributes:
        path: the file.
        ids: `(n,)` item ids, the stems of the file names, in file order.
        rows: n arrays of one shape and type, `(F,)` or a map `(C, h, w)`.
    """

    path: Path
    ids: tuple[str, ...]
    rows: tuple[np.ndarray, ...]

    @property
    def grid(self) -> tuple[int, int] | None:
        """(h, w) of maps; None of vectors."""
        shape = self.rows[0].shape
        return (shape[1], shape[2]) if len(shape) == 3 else None

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one item in our layout: `(F,)`, or regions `(h w, C)`."""
        shape = self.rows[0].shape
        return (shape[1] * shape[2], shape[0]) if len(shape) == 3 else shape

    def row(self, n: int) -> np.ndarray:
        """One item's vector, or its regions row by row of the map."""
        found = self.rows[n]
        return found if found.ndim == 1 else found.reshape(len(found), -1).T


def read_embedding(path: Path) -> Embedding:
    """Read `[[filename, vector], …]` from a `.npy` file, without running anything in it.

    Raises:
        DataError: it is no such array; the message names the item at fault.
    """
    found = read_object_array(path)
    pairs = _pairs(path, found)
    ids: dict[str, str] = {}
    rows: list[np.ndarray] = []
    total = 0
    for number, (name, value) in enumerate(pairs, start=1):
        text = _name(path, number, name)
        item = PurePath(text).stem
        if item in ids:
            raise DataError(
                f"{path}: item {shown(item)} comes twice, as {shown(ids[item])} and as {shown(text)} (row {number}). "
                f"Write the file again with one row an item: the other files count items by their rows."
            )
        ids[item] = text
        row = _vector(path, text, value)
        if rows and row.shape != rows[0].shape:
            raise DataError(
                f"{path}: {shown(text)} has a vector of shape {row.shape}, {shown(next(iter(ids.values())))} one of "
                f"{rows[0].shape}; all must be of one shape. Extract the features again."
            )
        rows.append(row)
        # The same bytes may stand for many items: what is small on disk must not fill the memory.
        total += row.nbytes
        if total > 8 * found.size:
            raise DataError(
                f"{path}: claims more than {total:,} bytes of vectors in a file of {found.size:,} bytes."
            )
    return Embedding(path, tuple(ids), tuple(rows))


def _pairs(path: Path, found: ObjectArray) -> list[tuple[object, object]]:
    cells = found.cells
    if len(found.shape) == 2 and found.shape[1] == 2 and cells:
        return list(zip(cells[::2], cells[1::2], strict=True))
    pairs = [cell.cells if isinstance(cell, ObjectArray) else cell for cell in cells]
    if len(found.shape) == 1 and pairs and all(isinstance(p, list | tuple) and len(p) == 2 for p in pairs):
        return [(pair[0], pair[1]) for pair in pairs]
    raise DataError(
        f"{path}: holds an array of objects of shape {found.shape}; expected (n, 2), a file name and a vector in "
        f"each row."
    )


def _name(path: Path, number: int, name: object) -> str:
    if isinstance(name, bytes):
        text = name.decode("utf-8", "replace")
    elif isinstance(name, str):
        text = str(name)
    else:
        is_number = isinstance(name, int | np.integer) and abs(int(name)) < 10**80
        text = str(name) if is_number else ""
    if PurePath(text).stem in ("", "nan", "NaN"):
        raise DataError(
            f"{path}: row {number} begins with {shown(name)}; expected the file name of an image."
        )
    return text


def _vector(path: Path, name: str, value: object) -> np.ndarray:
    if isinstance(value, ObjectArray):
        value = value.cells if len(value.shape) == 1 else None
    if isinstance(value, list | tuple) and all(isinstance(v, int | float | np.number) for v in value):
        try:
            value = np.array(value, dtype=np.float64)
        except OverflowError:  # a whole number of hundreds of digits
            value = np.array([np.inf])
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu":
        kind = value.dtype if isinstance(value, np.ndarray) else type(value).__name__
        raise DataError(f"{path}: the vector of {shown(name)} is of type {kind}; expected numbers.")
    if value.ndim not in (1, 3) or value.size == 0:
        raise DataError(
            f"{path}: the vector of {shown(name)} has the shape {value.shape}; expected (F,), or a map (C, h, w)."
        )
    with np.errstate(over="ignore"):
        row = value if value.dtype == np.float16 else value.astype(np.float32, copy=False)
    if not np.isfinite(row).all():
        raise DataError(
            f"{path}: the vector of {shown(name)} holds NaN or infinity. Extract the features again."
        )
    return row


# ---- tables --------------------------------------------------------------------------------------------------


def kind_of(columns: list[str]) -> str | None:
    """What a table with these columns is: "triples", "evaluation", "interactions", or None."""
    for kind, required in (("triples", TRIPLES), ("evaluation", EVALUATION), ("interactions", INTERACTIONS)):
        if set(required) <= set(columns):
            return kind
    return None


def read_interactions(path: Path) -> pl.DataFrame:
    """A table of interactions as it is, all columns text, checked; `evaluation` in words: train, valid, test."""
    table = read_table(path, required=INTERACTIONS)
    for name in ("user_id", "item_id"):
        id_column(path, table, name)
    time_column(path, table, "timestamp")
    if "evaluation" in table.columns:
        table = table.with_columns(part_words(part_column(path, table, "evaluation")))
    return table


def read_held_out(path: Path) -> pl.DataFrame:
    """The held-out pairs of an evaluation file: user, item (indices), and timestamp where it has them.

    `predict` is an index, or several: each of them is a row of its own.
    """
    table = read_table(path, required=EVALUATION)
    items = index_lists(path, table, "predict")
    found = pl.DataFrame({"user": index_column(path, table, "user_id"), "item": items})
    if "timestamp" in table.columns:
        time = time_column(path, table, "timestamp").astype(np.float64)
        found = found.with_columns(pl.Series("timestamp", time))
    return found.explode("item").drop_nulls("item")


def read_triples(path: Path) -> pl.DataFrame:
    """Training triples: profile (list), pos, neg, user, all indices; an empty profile is an empty list.

    The user -1 is nobody: a profile that was made up.
    """
    table = read_table(path, required=TRIPLES)
    return pl.DataFrame(
        {
            "user": index_column(path, table, "ui", least=-1),
            "profile": index_lists(path, table, "profile"),
            "pos": index_column(path, table, "pi"),
            "neg": index_column(path, table, "ni"),
        }
    )


def index_column(path: Path, table: pl.DataFrame, name: str, *, least: int = 0) -> pl.Series:
    """A column of whole numbers from `least` on."""
    numbers = table[name].str.strip_chars().cast(pl.Int64, strict=False)
    bad = (numbers.is_null()) | (numbers < least).fill_null(value=True)
    if bad.any():
        row = first_row(bad)
        raise DataError(
            f"{path}: column {name}, {row_name(path, row)}: {table[name][row - 1]!r} is no index; expected whole "
            f"numbers from {least} on."
        )
    return numbers


def index_lists(path: Path, table: pl.DataFrame, name: str) -> pl.Series:
    """A column of indices separated by spaces, as lists; what is empty, or reloaded as NaN, is an empty list."""
    text = table[name].fill_null("").str.strip_chars()
    words = text.str.replace(r"^(?i:nan)$", "").str.extract_all(r"\S+")
    numbers = words.cast(pl.List(pl.Int64), strict=False)
    lost = numbers.list.eval(pl.element().is_null() | (pl.element() < 0)).list.any().fill_null(value=False)
    if lost.any():
        row = first_row(lost)
        raise DataError(
            f"{path}: column {name}, {row_name(path, row)}: {table[name][row - 1]!r} is no list of indices; expected "
            f"whole numbers from 0 on, separated by spaces."
        )
    return numbers.alias(name)


def user_orders(user_ids: pl.Series) -> dict[str, list[str]]:
    """The users in the order of their indices, under each rule that the tutorial's files may follow.

    "tutorial" is what its notebook does: the n-th user to occur has, as index, the place *of the n-th smallest id*
    among those that occur (an argsort taken for a rank). Where the users first occur in the order of their ids, as in
    its own data, that is the order of the ids.

    Args:
        user_ids: of all interactions, in file order, as text.
    """
    unique = user_ids.unique(maintain_order=True).to_list()
    whole = all(_WHOLE.fullmatch(one.strip()) for one in unique)
    places = sorted(range(len(unique)), key=lambda n: int(unique[n]) if whole else unique[n])
    tutorial = [""] * len(unique)
    for n, place in enumerate(places):
        tutorial[place] = unique[n]
    return {"tutorial": tutorial, "ids": [unique[place] for place in places], "occurrence": unique}
