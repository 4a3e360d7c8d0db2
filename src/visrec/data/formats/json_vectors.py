"""Vectors by item in one JSON object, `{"id": [0.1, …], …}`: read item by item, however large the file is."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from visrec.data.foreign import ForeignFeatures
from visrec.errors import DataError
from visrec.progress import Progress

_CHUNK = 1 << 24  # bytes read at a time
_LONGEST = 1 << 24  # bytes of an item: an id and a vector of some hundred thousand numbers
_BLOCK = 1024  # vectors at a time
_ENTRY = re.compile(rb'\s*"([^"\\]*)"\s*:\s*\[([^\[\]{}"]*)\]\s*([,}])')


def read_json_vectors(
    path: Path,
    items: Collection[str],
    *,
    name: str,
    about: dict[str, Any] | None = None,
    progress: Progress | None = None,
) -> tuple[ForeignFeatures, int]:
    """The vectors of some items.

    Args:
        path: the file.
        items: the ids that are known.
        name: of the features.
        about: more of where they come from.
        progress: called with (bytes, in all, the file's name) while ids are looked for.

    Returns:
        The features, and how many vectors are of other items.

    Raises:
        DataError: the file is of another form, cut short or damaged, or has no vector of these items.
    """
    known = items if isinstance(items, set | frozenset) else set(items)
    ids, strangers, length = [], 0, 0
    for item, text in _entries(path, progress):
        if item in known:
            length = length or len(_vector(path, item, text))
            ids.append(item)
        else:
            strangers += 1
    if not ids:
        raise DataError(
            f"{path}: holds {strangers:,} vectors, none of an item of this data set. Take the file out to "
            f"go on without it."
        )

    def blocks() -> Iterator[np.ndarray]:
        rows: list[np.ndarray] = []
        for item, text in _entries(path, None):
            if item in known:
                rows.append(_vector(path, item, text, length))
            if len(rows) == _BLOCK:
                yield np.stack(rows)
                rows = []
        if rows:
            yield np.stack(rows)

    found = ForeignFeatures(
        name, pl.Series("item_id", ids), (length,), blocks, {"file": path.name, **(about or {})}
    )
    return found, strangers


def _vector(path: Path, item: str, text: bytes, length: int | None = None) -> np.ndarray:
    try:
        with np.errstate(over="ignore"):  # what is infinite is told where features are written
            values = np.array(json.loads(b"[%b]" % text), dtype=np.float32)
    except (ValueError, OverflowError):
        raise DataError(f"{path}: the vector of item {item!r} holds something else than numbers.") from None
    if values.ndim != 1 or not len(values) or (length is not None and len(values) != length):
        raise DataError(
            f"{path}: the vector of item {item!r} has {values.size} numbers; expected {length or 'some'}."
        )
    return values


def _entries(path: Path, progress: Progress | None) -> Iterator[tuple[str, bytes]]:
    """Each item and the text between the brackets of its vector."""
    with path.open("rb") as file:
        whole = file.seek(0, 2)
        file.seek(0)
        rest = file.read(_CHUNK).lstrip()
        if not rest.startswith(b"{"):
            raise DataError(f'{path}: begins with {rest[:20]!r}; expected {{"item": [numbers], …}}.')
        start, last = 1, "the beginning"
        while True:
            found = _ENTRY.match(rest, start)
            if found is None:
                more = file.read(_CHUNK) if len(rest) - start < _LONGEST else b""
                if not more:
                    raise DataError(
                        f'{path}: cannot be read after {last}; expected "item": [numbers]. The file is cut '
                        f"short, or of another form."
                    )
                rest, start = rest[start:] + more, 0
                if progress is not None:
                    progress(file.tell(), whole, path.name)
                continue
            item, text, end = found.groups()
            last = f"item {item.decode('utf-8', 'replace')!r}"
            yield item.decode("utf-8", "replace"), text
            start = found.end()
            if end == b"}":
                return
