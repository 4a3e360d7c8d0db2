"""Popularity bias: whether a model recommends what is taken anyway."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata


def popularity_percentiles(counts: np.ndarray) -> np.ndarray:
    """The place of each item `(I,)` in the order of popularity, in (0, 1); equal counts share the middle place.

    Its mean over all items is .5, so that is what recommending at random gives.
    """
    return (rankdata(counts) - 0.5) / len(counts)


def mean_popularity(lists: Sequence[Sequence[int]], counts: np.ndarray) -> np.ndarray:
    """Mean popularity percentile of what each user is recommended: `(B,)`, in (0, 1); NaN for an empty list.

    Args:
        lists: the items of each user, by index.
        counts: `(I,)` interactions of each item in training.
    """
    percentiles = popularity_percentiles(counts)
    return np.array([percentiles[list(items)].mean() if len(items) else np.nan for items in lists])
