"""Visual words: a bounded sample of a catalogue's descriptors, and the centres of their clusters."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

import numpy as np

SAMPLE = 50_000
"""Descriptors that words are learnt from at most: 49 for each of 1024 words, in seconds."""
PER_WORD = 8
"""Descriptors of which a word is learnt at least, on average."""
_ITERATIONS = 20


def subsample(pictures: Iterable[np.ndarray], rng: np.random.Generator, most: int = SAMPLE) -> np.ndarray:
    """At most `most` of all rows of `pictures`, each of them as likely, in their order.

    Each row draws a number, those with the least stay: what is kept never exceeds twice `most`, and one
    picture.

    Args:
        pictures: Descriptors `(n, 128)` of each picture, n from 0.
        rng: Where the numbers come from.
        most: Rows to keep.
    """
    kept: list[np.ndarray] = []
    drawn: list[np.ndarray] = []
    n = 0
    for descriptors in pictures:
        kept.append(descriptors.copy())
        drawn.append(rng.random(len(descriptors)))
        n += len(descriptors)
        if n > 2 * most:
            kept, drawn, n = *_least(kept, drawn, most), most
    return _least(kept, drawn, most)[0][0] if kept else np.zeros((0, 0), dtype=np.uint8)


def cluster(vectors: np.ndarray, n_words: int, rng: np.random.Generator) -> np.ndarray:
    """Centres `(V, D)` float32 of k-means clusters of `vectors (n, D)` float32, n from 1.

    V is `n_words`, or where there are fewer than `PER_WORD` distinct vectors for each, less: at least 1.
    """
    from scipy.cluster.vq import kmeans2

    distinct = np.unique(vectors, axis=0)
    n_words = min(n_words, max(1, len(distinct) // PER_WORD))
    first = distinct[rng.choice(len(distinct), n_words, replace=False)]
    with warnings.catch_warnings():
        # A cluster that loses all its vectors keeps its centre.
        warnings.filterwarnings("ignore", message="One of the clusters is empty")
        centres, _ = kmeans2(vectors, first, iter=_ITERATIONS, minit="matrix", missing="warn")
    return np.ascontiguousarray(centres, dtype=np.float32)


def _least(
    kept: list[np.ndarray], drawn: list[np.ndarray], most: int
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The rows with the least numbers, in their order."""
    rows, numbers = np.concatenate(kept), np.concatenate(drawn)
    chosen = np.sort(np.argsort(numbers, kind="stable")[:most])
    return [rows[chosen]], [numbers[chosen]]
