"""Exact search against loops over all rows."""

from __future__ import annotations

import numpy as np
import pytest

from visrec.ranking import tie_order
from visrec.retrieval import exact
from visrec.retrieval.vectors import lengths


def _loops(vectors, queries, k, owners, closed, exclude):
    """Rows by score, then by the hash of ties; each score is summed in float64."""
    found = np.full((len(queries), min(k, len(vectors))), -1)
    for b, query in enumerate(queries):
        candidates = [i for i in range(len(vectors)) if not closed[i] and i not in exclude[b]]
        score = {i: np.float32((vectors[i] * query.astype(np.float64)).sum()) for i in candidates}
        tie = {i: int(tie_order(int(owners[b]), np.array([i]))[0]) for i in candidates}
        best = sorted(candidates, key=lambda i: (-score[i], tie[i]))[:k]
        found[b, : len(best)] = best
    return found


@pytest.mark.parametrize("open_share", [1.0, 0.6, 0.1])  # the last: few enough to be gathered one by one
@pytest.mark.parametrize("cells", [64, 1 << 24])  # the first: many small blocks
def test_equals_loops_over_all_rows(monkeypatch, open_share, cells):
    monkeypatch.setattr(exact, "_CELLS", cells)
    rng = np.random.default_rng(0)
    vectors = rng.integers(-2, 3, size=(150, 3)).astype(np.float32)  # many ties
    queries = rng.integers(-2, 3, size=(6, 3)).astype(np.float32)
    owners = np.array([-1, 0, 1, 2, 3, 3])
    closed = rng.random(150) >= open_share
    exclude = [np.unique(rng.integers(0, 150, size=n)) for n in (0, 1, 5, 40, 150, 3)]
    reach = float(lengths(vectors).max())
    rows, _ = exact.largest(vectors, queries, 9, owners=owners, reach=reach, closed=closed, exclude=exclude)
    np.testing.assert_array_equal(rows, _loops(vectors, queries, 9, owners, closed, exclude))


def test_of_several_vectors_the_nearest_counts():
    vectors = np.array([[1, 0], [0, 2], [-3, -3]], dtype=np.float32)
    rows, scores = exact.ordered(
        vectors, np.arange(3), np.array([[1, 0], [0, 1]], dtype=np.float32), 3, owner=-1
    )
    assert rows.tolist() == [1, 0, 2]
    assert scores.tolist() == [2, 1, -3]
