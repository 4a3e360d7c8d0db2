"""One atomic file of RecBole: a table whose header gives each field a type."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from visrec.data.foreign import ForeignFeatures
from visrec.data.formats.requirements import need_vectors
from visrec.data.formats.tab_separated import (
    SeparatedTable,
    one_line,
    read_header,
    read_separated,
    write_separated,
)
from visrec.errors import DataError
from visrec.progress import Progress

TYPES = ("token", "token_seq", "float", "float_seq")
_TITLES = ("title", "movie_title", "item_title", "book_title", "name", "item_name")
_BLOCK = 1024  # vectors at a time


@dataclass(frozen=True, eq=False)
class AtomicFile:
    """A file that was read.

    Attributes:
        path: of it.
        types: field to type, one of `TYPES`, in the order of the file.
        table: its rows; the columns are named as the header has them, `field:type`. Without rows where the file is
            only to be gone through.
    """

    path: Path
    types: dict[str, str]
    table: SeparatedTable

    def column(self, field: str) -> str:
        """The name of a field's column."""
        return f"{field}:{self.types[field]}"


def read_atomic(path: Path, *, required: tuple[str, ...] = (), lazily: bool = False) -> AtomicFile:
    """Read an atomic file; `lazily`: its header alone.

    Raises:
        DataError: the header has cells other than `name:type`, a required field is missing, or the table is damaged.
    """
    types: dict[str, str] = {}
    for cell in read_header(path):
        field, _, kind = cell.partition(":")
        if not field or kind not in TYPES:
            raise DataError(
                f"{path}: the header has a cell {cell[:80]!r}; expected name:type, a type of {', '.join(TYPES)}, "
                f"and tabs between the cells."
            )
        types[field] = kind
    for field in required:
        if field not in types:
            raise DataError(f"{path}: has no field {field!r}. Found: {', '.join(types)}.")
    if lazily:
        return AtomicFile(path, types, SeparatedTable(path, pl.DataFrame(), 1))
    return AtomicFile(path, types, read_separated(path))


# ---- items -----------------------------------------------------------------------------------------


def item_columns(
    file: AtomicFile, item: str, *, running: tuple[str, ...], separator: str
) -> tuple[pl.DataFrame, list[str]]:
    """The table of items as we have it, and notes.

    Args:
        file: the `.item` file.
        item: the field of ids.
        running: fields of the type `token_seq` that are running text; the title is anyway.
        separator: between the tokens of a sequence; they are joined by "|" instead.
    """
    title = next((name for name in _TITLES if name in file.types), None)
    columns, joined = {"item_id": file.table.ids(file.column(item))}, []
    for field, kind in file.types.items():
        if field == item or kind == "float_seq":
            continue
        cells = file.table.rows[file.column(field)]
        name = "title" if field == title else field
        name = "category" if field == "categories" and "category" not in file.types else name
        name = f"{name}_" if name in columns else name  # a field item_id beside that of the ids
        if kind == "token_seq" and field != title and field not in running:
            tokens = cells.str.split(separator).list.eval(pl.element().filter(pl.element() != ""))
            cells = tokens.list.join("|")
            joined.append(field)
        columns[name] = pl.select(pl.when(cells != "").then(cells)).to_series()
    notes = []
    if joined:
        notes.append(
            f"{file.path.name}: the values of {', '.join(joined)} are joined by '|'. Running text is kept as it "
            f"stands with --set text={joined[0]}"
        )
    return pl.DataFrame(columns), notes


def write_items(items: pl.DataFrame, path: Path, *, separator: str) -> tuple[list[str], list[str]]:
    """Write `NAME.item`; returns its fields, and notes on what was changed."""
    header: list[tuple[str, str]] = []
    columns, notes = [], []
    for name in items.columns:
        field = name.translate(str.maketrans(":\t\r\n", "____"))
        while any(field == taken for taken, _ in header):
            field += "_"
        if field != name:
            notes.append(f"Column {name!r} is named {field!r}, since ':' and tabs separate in a header.")
        cells, kind = items[name], "token"
        if cells.dtype.is_numeric() and name != "item_id":
            kind = "float"
        elif cells.dtype.is_nested() or (name not in ("item_id", "title") and _several(cells)):
            kind = "token_seq"
            lists = cells.cast(pl.List(pl.String)) if cells.dtype.is_nested() else cells.str.split("|")
            plain = lists.list.eval(
                pl.element().str.replace_all(r"[\t\r\n]", " ").str.replace_all(separator, "_", literal=True)
            )
            changed = int((plain != lists).sum())
            if changed:
                notes.append(
                    f"{field}: {changed:,} items have values with {separator!r} in them, written as '_'."
                )
            cells = plain.list.join(separator)
        else:
            cells, changed = one_line(cells.cast(pl.String))
            if changed and name != "item_id":
                notes.append(f"{field}: {changed:,} cells have spaces instead of tabs and line breaks.")
            kind = "token_seq" if name == "title" else "token"
        header.append((field, kind))
        columns.append(cells.alias(f"{field}:{kind}"))
    write_separated(pl.DataFrame(columns), path, header=True)
    return [field for field, _ in header], notes


def _several(cells: pl.Series) -> bool:
    return cells.dtype == pl.String and bool(cells.str.contains("|", literal=True).any())


# ---- vectors ---------------------------------------------------------------------------------------


def read_vectors(file: AtomicFile, item: str, field: str, *, name: str, separator: str) -> ForeignFeatures:
    """The vectors in a field `float_seq`, read line by line.

    Raises:
        DataError: a vector is missing, has another length than the first, or is no vector; also when blocks are read.
    """
    id_at, at = list(file.types).index(item), list(file.types).index(field)
    lines = [(line, cells[id_at], cells[at]) for line, cells in _lines(file, keep=1)]
    if not lines:
        raise DataError(f"{file.path}: has a header and no vectors.")
    width = len(_vector(file.path, *lines[0][::2], separator))
    ids = pl.Series(
        "item_id", [cells[id_at] for _, cells in _lines(file) if cells[at].strip()], dtype=pl.String
    )

    def blocks() -> Iterator[np.ndarray]:
        rows = []
        for line, cells in _lines(file):
            if not cells[at].strip():
                continue
            rows.append(_vector(file.path, line, cells[at], separator))
            if len(rows[-1]) != width:
                raise DataError(
                    f"{file.path}: line {line}: {len(rows[-1])} numbers in {field}, where the first has {width}. The "
                    f"file is cut short or damaged there."
                )
            if len(rows) == _BLOCK:
                yield np.stack(rows)
                rows = []
        if rows:
            yield np.stack(rows)

    return ForeignFeatures(name, ids, (width,), blocks, {"format": "recbole", "file": file.path.name})


def write_vectors(
    features: ForeignFeatures,
    path: Path,
    fields: tuple[str, str],
    *,
    separator: str,
    progress: Progress | None,
) -> None:
    """Write vectors as a field `float_seq`, each number as short as float32 allows.

    Raises:
        DataError: they are regions.
    """
    need_vectors(features, "RecBole")
    done = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(f"{fields[0]}:token\t{fields[1]}:float_seq\n")
        for block in features.blocks():
            numbers = pl.Series(np.ascontiguousarray(block, dtype=np.float32))
            texts = numbers.arr.to_list().cast(pl.List(pl.String)).list.join(separator)
            ids = features.ids[done : done + len(block)]
            csv = pl.DataFrame({"ids": ids, "texts": texts})
            file.write(csv.write_csv(separator="\t", include_header=False, quote_style="necessary"))
            done += len(block)
            if progress is not None:
                progress(done, len(features.ids), features.name)


def _lines(file: AtomicFile, *, keep: int | None = None) -> Iterator[tuple[int, list[str]]]:
    """The rows of a file with their line, one at a time; `keep`: that many."""
    with file.path.open(encoding="utf-8-sig", newline="\n") as lines:
        next(lines)
        for n, line in enumerate(lines, start=2):
            if keep is not None and n >= 2 + keep:
                return
            cells = line.rstrip("\r\n").split("\t")
            if len(cells) != len(file.types):
                if line.strip():
                    raise DataError(
                        f"{file.path}: line {n} has {len(cells)} cells, the header {len(file.types)}. The file is "
                        f"cut short or damaged there; mend or remove the line."
                    )
                continue
            yield n, [_plain(cell) for cell in cells]


def _plain(cell: str) -> str:
    if len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in cell[1:-1].replace('""', ""):
        return cell[1:-1].replace('""', '"')
    return cell


def _vector(path: Path, line: int, text: str, separator: str) -> np.ndarray:
    try:
        return np.array([float(one) for one in text.split(separator) if one], dtype=np.float32)
    except ValueError as error:
        raise DataError(f"{path}: line {line}: no vector of numbers ({error}).") from None
