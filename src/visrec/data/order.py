"""The order of many rows by several columns: what np.lexsort gives, in a fraction of its time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_FEW = 20_000  # rows that np.lexsort sorts as quickly


def order_of(keys: Sequence[np.ndarray]) -> np.ndarray:
    """`np.lexsort(keys)`: the places `(n,)` int64 of the rows by the last key, among equals by the one before, ….

    A key is sorted as integers that end in the row's place. Such integers are all different, so the quickest sort of
    plain numbers keeps the order of equals, and nothing is looked up elsewhere while it sorts. A key that needs more
    bits than the place leaves is sorted in parts, the lower bits first.

    Args:
        keys: `(n,)` each, the most important last. Of numbers; NaN comes last.
    """
    n = len(keys[-1])
    numbers = None if n < _FEW else [_whole(key) for key in keys]
    if numbers is None or any(key is None for key in numbers):
        return np.lexsort(tuple(keys))
    place_bits = np.uint64((n - 1).bit_length())
    room = 64 - int(place_bits)
    place = np.arange(n, dtype=np.uint64)
    order: np.ndarray | None = None
    for key in numbers:
        assert key is not None
        low = int(key.min())
        for shift in range(0, (int(key.max()) - low).bit_length(), room):
            word = (key if order is None else key[order]).astype(np.uint64)
            word -= np.uint64(low % 2**64)  # of a negative number too, since both wrap around
            word >>= np.uint64(shift)
            word &= np.uint64(2**room - 1)
            if (word[1:] >= word[:-1]).all():
                continue
            word <<= place_bits
            word |= place
            word.sort()
            word &= np.uint64(2 ** int(place_bits) - 1)
            order = word.view(np.int64) if order is None else order[word.view(np.int64)]
    return place.view(np.int64) if order is None else order


def in_order(keys: Sequence[np.ndarray]) -> bool:
    """Whether `order_of(keys)` would leave the rows where they are."""
    ties: np.ndarray | None = None  # places of rows that equal the next one so far
    for key in reversed(keys):
        before, after = (key[:-1], key[1:]) if ties is None else (key[ties], key[ties + 1])
        if not (before <= after).all():
            return False
        same = np.flatnonzero(before == after)
        ties = same if ties is None else ties[same]
        if len(ties) == 0:
            return True
    return True


def _whole(key: np.ndarray) -> np.ndarray | None:
    """Whole numbers that are ordered like the key; None where there are none so simple."""
    if key.dtype.kind in "iu":
        return key
    if key.dtype not in (np.float32, np.float64) or np.isnan(key).any():
        return None
    width = key.dtype.itemsize * 8
    bits = (key + key.dtype.type(0)).view(f"i{key.dtype.itemsize}")  # -0.0 becomes 0.0, its equal
    # The bits of floating-point numbers rise with their size; of negative ones, all but the sign are turned.
    return np.where(bits < 0, bits ^ bits.dtype.type(2 ** (width - 1) - 1), bits)
