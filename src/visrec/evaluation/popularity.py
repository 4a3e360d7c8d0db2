"""Popularity bias: whether a model recommends what is taken anyway."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def popularity_percentiles(counts: np.ndarray) -> np.ndarray:
    """The place of each item `(I,)` in the order of popularity, in (0, 1); equal counts share the middle place.

    Its mean over all items is .5, so that is what recommending at random gives.
    """
    _, place, equal = np.unique(counts, return_inverse=True, return_counts=True)
    rank = (
        np.cumsum(equal) - (equal - 1) / 2
    )  # (V,)  the middle of each value's places, from 1; SciPy's is slow to load
    return (rank[place] - 0.5) / len(counts)


def mean_popularity(lists: Sequence[Sequence[int]], counts: np.ndarray) -> np.ndarray:
    """Mean popularity percentile of what each user is recommended: `(B,)`, in (0, 1); NaN for an empty list.

    Args:
        lists: the items of each user, by index.
        counts: `(I,)` interactions of each item in training.
    """
    percentiles = popularity_percentiles(counts)
    return np.array([percentiles[list(items)].mean() if len(items) else np.nan for items in lists])
