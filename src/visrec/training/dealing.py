"""Rows in random order, so many of them that what belongs to a row no longer lies in the cache."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from visrec.compiled import compiled

_MOST = 1 << 16  # parts: their numbers are 2 bytes long


def dealt(n: int, size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """The numbers 0 … n-1, dealt out by chance to parts of about `size`, each in rising order.

    Each number comes into any part with the same chance, whatever the others do. Put into random order part by part,
    any order of all is as likely as any other (Rao 1961; Sandelius 1962). Unlike one great shuffle, which looks
    anywhere at each step, this runs through memory in order.

    Yields:
        `(about size,)` uint32, or int64 where n needs it; never an empty one.
    """
    kind = np.uint32 if n <= 2**32 else np.int64
    n_parts = min(n // size, _MOST)
    if n_parts < 2:
        if n:
            yield np.arange(n, dtype=kind)
        return
    part = rng.integers(n_parts, size=n, dtype=np.uint16)
    end = np.zeros(n_parts, dtype=np.int64)
    rows = np.empty(n, dtype=kind)
    _deal(part, end, rows)
    del part
    for start, stop in zip([0, *end[:-1].tolist()], end.tolist(), strict=True):
        if stop > start:
            yield rows[start:stop]


@compiled
def _deal(part: np.ndarray, end: np.ndarray, rows: np.ndarray) -> None:
    """Write the numbers of each part into `rows (n,)`, part after part, and into `end` where each part ends.

    Args:
        part: `(n,)` of each number.
        end: zeros, one a part.
        rows: to be written.
    """
    for row in range(len(part)):
        end[part[row]] += 1
    begin = 0
    for one in range(len(end)):
        size = end[one]
        end[one] = begin
        begin += size
    for row in range(len(part)):
        rows[end[part[row]]] = row
        end[part[row]] += 1
