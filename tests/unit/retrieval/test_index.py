"""Item vectors made ready to be searched: what is found, what never is, and what changes."""

from __future__ import annotations

import numpy as np
import pytest

from visrec.errors import ConfigError, DataError
from visrec.ranking import tie_order
from visrec.retrieval.index import Index


def _vectors(n: int, d: int = 5, *, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


def test_the_inner_product_decides():
    index = Index.build(np.array([[1.0, 0.0], [0.0, 3.0], [2.0, 2.0]]))
    rows, scores = index.search(np.array([[1.0, 0.0], [0.0, 1.0]]), 2)
    assert rows.tolist() == [[2, 0], [1, 2]]
    assert scores.tolist() == [[2.0, 1.0], [3.0, 2.0]]


def test_the_cosine_does_not_see_lengths_and_is_0_with_nothing():
    index = Index.build(np.array([[9.0, 9.0], [0.1, 0.0], [0.0, 0.0]]), "cosine")
    rows, scores = index.search(np.array([[5.0, 0.0]]), 3)
    assert rows.tolist() == [[1, 0, 2]]
    np.testing.assert_allclose(scores, [[1.0, 0.5**0.5, 0.0]], rtol=1e-6)


def test_equal_vectors_rank_by_the_hash_of_their_owner():
    index = Index.build(np.repeat(_vectors(1, 256), 40, axis=0))
    for owner in (-1, 3):
        rows, scores = index.search(_vectors(1, 256, seed=1), 10, owners=np.array([owner]))
        assert rows[0].tolist() == np.argsort(tie_order(owner, np.arange(40)))[:10].tolist()
        assert len(set(scores[0].tolist())) == 1


def test_a_query_that_says_nothing_finds_k_all_the_same():
    rows, scores = Index.build(_vectors(50)).search(np.zeros((1, 5)), 7)
    assert len(set(rows[0].tolist())) == 7
    assert scores.tolist() == [[0.0] * 7]


def test_a_query_gets_the_same_answer_alone_and_among_others():
    index, queries = Index.build(_vectors(3000, 33)), _vectors(40, 33, seed=1)
    together = index.search(queries, 12)
    for b in range(40):
        alone = index.search(queries[b : b + 1], 12)
        np.testing.assert_array_equal(alone[0][0], together[0][b])
        np.testing.assert_array_equal(alone[1][0], together[1][b])


def test_what_is_left_out_is_filled_up_where_there_is_too_little():
    index = Index.build(np.eye(4))
    allowed = np.array([True, True, False, True])
    rows, scores = index.search(
        np.ones((2, 4)), 4, exclude=[np.array([0]), np.array([], int)], allowed=allowed
    )
    assert sorted(rows[0].tolist()) == [-1, -1, 1, 3]
    assert rows[0, 2:].tolist() == [-1, -1]
    assert sorted(rows[1].tolist()) == [-1, 0, 1, 3]
    assert np.isneginf(scores[0, 2:]).all()


def test_added_rows_are_found_and_removed_ones_are_not():
    index = Index.build(_vectors(10))
    before = index.vectors.copy()
    assert index.add(np.full((2, 5), 10.0)).tolist() == [10, 11]
    index.remove(np.array([11]))
    rows, _ = index.search(np.ones((1, 5)), 20)
    assert rows[0, 0] == 10
    assert 11 not in rows
    assert len(index) == 12
    np.testing.assert_array_equal(index.vectors[:10], before)


def test_adding_leaves_the_vectors_it_was_built_of_alone():
    vectors = _vectors(10)
    index = Index.build(vectors)
    for _ in range(5):
        index.add(_vectors(1, seed=2))
    assert vectors.shape == (10, 5)
    np.testing.assert_array_equal(index.vectors[:10], vectors)


@pytest.mark.parametrize(
    ("vectors", "metric", "error"),
    [
        (np.ones(3), "inner", "shape"),
        (np.ones((2, 0)), "inner", "shape"),
        (np.array([[1.0, np.nan]]), "inner", "Vector 0"),
        (np.array([["a"]]), "inner", "numbers"),
    ],
)
def test_what_is_no_table_of_numbers_is_refused(vectors, metric, error):
    with pytest.raises(DataError, match=error):
        Index.build(vectors, metric)


def test_filters_of_another_size_are_refused():
    index = Index.build(np.eye(3))
    with pytest.raises(ConfigError, match="shape"):
        index.search(np.eye(3), 1, allowed=np.ones(2, dtype=bool))
    with pytest.raises(ConfigError, match="3, one a query"):
        index.search(np.eye(3), 1, exclude=[np.array([0])])
    with pytest.raises(ConfigError, match="Row 3"):
        index.search(np.eye(3), 1, exclude=[np.array([3])] * 3)
    with pytest.raises(ConfigError, match="Row -1"):
        index.remove(np.array([-1]))
    with pytest.raises(ConfigError, match="at least 1"):
        index.search(np.eye(3), 0)
    with pytest.raises(DataError, match=r"\(n, 3\)"):
        index.search(np.eye(2), 1)
    with pytest.raises(ConfigError, match="metric"):
        Index.build(np.eye(3), "euclidean")  # type: ignore[arg-type]
