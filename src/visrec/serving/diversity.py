"""Lists that are not all of a kind."""

from __future__ import annotations

import numpy as np

POOL = 200
"""So many of the best items are put into another order; those behind them follow as they are."""


def rearranged(scores: np.ndarray, similarity: np.ndarray, diversity: float) -> np.ndarray:
    """The order of items by maximal marginal relevance (Carbonell & Goldstein 1998).

    Next comes always argmax (1 - diversity) rel_i - diversity max_j sim_ij, j over the items that stand already
    (0 while there are none), rel the scores brought to [0, 1]. So the beginning of the order does not depend on how
    much of it is read.

    Args:
        scores: `(n,)` descending.
        similarity: `(n, n)` how alike two items are, in [-1, 1].
        diversity: 0 keeps the order; at 1 only likeness counts, after the first item.

    Returns:
        `(n,)` places in `scores`. Among equals, the better score comes first.
    """
    n = len(scores)
    if diversity == 0 or n == 0:
        return np.arange(n)
    spread = float(scores[0] - scores[-1])
    relevance = (scores - scores[-1]) / spread if spread > 0 else np.zeros(n)
    worth = (1 - diversity) * relevance  # (n,)
    nearest = np.full(n, -np.inf)  # to what stands already
    left = np.ones(n, dtype=bool)
    order = np.empty(n, dtype=np.int64)
    order[0] = 0  # nothing stands: the best
    for place in range(1, n):
        left[order[place - 1]] = False
        nearest = np.maximum(nearest, similarity[order[place - 1]])
        order[place] = np.argmax(np.where(left, worth - diversity * nearest, -np.inf))
    return order
