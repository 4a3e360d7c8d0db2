"""Which pictures are the same, or nearly: by content, and by hashes and very small copies of them.

No two pictures are compared that do not share a part of their hash, and one table of such parts is held at a time:
memory grows with the number of pictures, not with that of their pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations
from pathlib import Path

import numpy as np
from scipy import ndimage, sparse

from visrec.data.images import decode
from visrec.errors import ImageError

MOST_BITS = 10
"""Hashes of near duplicates differ in at most so many of their 64 bits."""
MOST_LEVELS = 8.0
"""Small copies of near duplicates differ by at most so many levels of 255, in the mean, brightness left out."""
LEAST_DETAIL = 0.915
"""The details of near duplicates correlate at least so much. Chosen by looking: two photos of one film's poster have
.92, and black trousers of two kinds, which look the same when small, at most .91."""
SURE_BITS = 5
"""Pairs that differ in so many bits or fewer are sure to be compared."""

_BLOCKS = 8  # of 8 bits; a pair is compared where 3 of them are equal, which 5 differing bits always leave
_DETAIL_SIDE, _SMOOTH, _AROUND = (
    64,
    5,
    9,
)  # pixels: of the copy, of what is no detail, of what a detail stands in
_SHIFT = 2  # pixels by which one copy may lie beside the other
_MOST_DETAILS = 4096  # copies kept: 16 KiB each
_PAIRS_AT_ONCE = 1 << 13  # whose small copies are compared: some 14 MB each
_MOST_NEIGHBOURS = 64  # places along a sorted table: bounds the time that thousands of equal keys take


def same_files(digests: np.ndarray) -> np.ndarray:
    """`(n,)` a number for each content, rising with it; files with one digest have one number.

    Args:
        digests: `(n, 32)` uint8.
    """
    words = np.ascontiguousarray(digests).view(">u8").astype(np.uint64)  # (n, 4)
    order = np.lexsort(words.T[::-1])
    differs = (words[order][1:] != words[order][:-1]).any(axis=1)
    number = np.zeros(len(words), dtype=np.int64)
    number[order[1:]] = np.cumsum(differs)
    return number


def near_pairs(hashes: np.ndarray, signatures: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Pairs of pictures that are nearly the same.

    Candidates are found by tables over the combinations of three of the hash's eight bytes (Manku, Jain & Das Sarma
    2007, Detecting near-duplicates for web crawling, section 3), then compared by the hash and by the small copy. Of
    pairs that differ in at most `SURE_BITS` none is missed, unless more than 64 pictures share all three bytes.

    Args:
        hashes: `(n,)` uint64, see `perceptual_hash`.
        signatures: `(n, F)` uint8, the small copies.
        among: `(k,)` rising: the pictures to compare.

    Returns:
        `(m, 2)` int64 indices, the lower first, sorted, each pair once.
    """
    hashes, n = hashes[among], len(among)
    blocks = [(hashes >> np.uint64(8 * place)) & np.uint64(0xFF) for place in range(_BLOCKS)]
    found = np.zeros(0, dtype=np.int64)  # a pair as one number: lower * n + higher
    for a, b, c in combinations(range(_BLOCKS), 3):
        key = (blocks[a] << np.uint64(16) | blocks[b] << np.uint64(8) | blocks[c]).astype(np.uint32)
        order = np.lexsort((hashes, key))  # alike hashes beside each other also within a key
        sorted_key = key[order]
        new = [found]
        for step in range(1, min(n, _MOST_NEIGHBOURS + 1)):
            at = np.flatnonzero(sorted_key[step:] == sorted_key[:-step])
            if len(at) == 0:
                break
            left, right = order[at], order[at + step]
            close = np.bitwise_count(hashes[left] ^ hashes[right]) <= MOST_BITS
            left, right = left[close], right[close]
            new.append(np.minimum(left, right) * n + np.maximum(left, right))
        if len(new) > 1:
            found = np.unique(np.concatenate(new))  # at once: most pairs are found in many tables
    pairs = among[np.stack(np.divmod(found, max(n, 1)), axis=1)]
    return pairs[_alike(signatures, pairs)]


def detailed(paths: Sequence[Path], pairs: np.ndarray) -> np.ndarray:
    """`(m,)` whether the details of each pair are the same: product photos on white ground all look alike when small.

    Both files of a pair are decoded once more.
    """
    details = lru_cache(maxsize=_MOST_DETAILS)(lambda place: _details(paths[place]))
    return np.array(
        [_correlation(details(a), details(b)) >= LEAST_DETAIL for a, b in pairs.tolist()], dtype=bool
    )


def groups_of(n: int, pairs: np.ndarray) -> np.ndarray:
    """`(n,)` a number for each group: what is paired, directly or by others, has one number."""
    ones = np.ones(len(pairs), dtype=np.int8)
    graph = sparse.csr_array((ones, (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    return sparse.csgraph.connected_components(graph, directed=False)[1]


def _alike(signatures: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """`(m,)` whether the small copies of each pair are alike."""
    alike = np.zeros(len(pairs), dtype=bool)
    for start in range(0, len(pairs), _PAIRS_AT_ONCE):
        part = pairs[start : start + _PAIRS_AT_ONCE]
        difference = signatures[part[:, 0]].astype(np.float32) - signatures[part[:, 1]]
        difference -= difference.mean(axis=1, keepdims=True)
        alike[start : start + len(part)] = np.abs(difference).mean(axis=1) <= MOST_LEVELS
    return alike


def _details(path: Path) -> np.ndarray | None:
    """`(64, 64)` what is finer than 5 pixels, in relation to what is around it: faint detail counts too."""
    from PIL import Image

    try:
        image = decode(path, least_side=2 * _DETAIL_SIDE).convert("L")
    except ImageError:
        return None  # it has gone since it was looked at
    grey = image.resize((_DETAIL_SIDE, _DETAIL_SIDE), Image.Resampling.BILINEAR)
    pixels = np.asarray(grey, dtype=np.float32)
    fine = pixels - ndimage.uniform_filter(pixels, _SMOOTH)
    around = np.sqrt(np.maximum(ndimage.uniform_filter(fine**2, _AROUND), 0))
    return fine / (around + 2)


def _correlation(one: np.ndarray | None, other: np.ndarray | None) -> float:
    """The cosine of two copies, at the best of the few shifts that cutting a margin off makes."""
    if one is None or other is None:
        return 0.0
    across = np.fft.irfft2(np.fft.rfft2(one) * np.conj(np.fft.rfft2(other)), s=one.shape)
    shifts = np.arange(-_SHIFT, _SHIFT + 1)
    length = float(np.sqrt((one**2).sum() * (other**2).sum()))
    return float(across[np.ix_(shifts, shifts)].max()) / length if length else 0.0
