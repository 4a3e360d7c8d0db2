"""Item vectors made ready to be searched: what is found, what never is, and what changes."""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest

from visrec.errors import ConfigError, DataError, RunError
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
    with pytest.raises(ConfigError, match="no row 3"):
        index.search(np.eye(3), 1, exclude=[np.array([3])] * 3)
    with pytest.raises(ConfigError, match="no row -1"):
        index.remove(np.array([-1]))
    with pytest.raises(ConfigError, match="at least 1"):
        index.search(np.eye(3), 0)
    with pytest.raises(DataError, match=r"\(n, 3\)"):
        index.search(np.eye(2), 1)
    with pytest.raises(ConfigError, match="metric"):
        Index.build(np.eye(3), "euclidean")  # type: ignore[arg-type]


def _clustered(n: int, d: int = 24, *, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(40, d)) * 2
    points = centres[rng.integers(0, 40, size=n)] + rng.normal(size=(n, d))
    return (points * rng.gamma(5, 0.2, size=(n, 1))).astype(np.float32)


@pytest.mark.parametrize("metric", ["inner", "cosine"])
def test_the_recall_it_states_is_the_one_it_has(metric):
    vectors, queries = _clustered(4000), _clustered(150, seed=1)
    index = Index.build(vectors, metric, kind="approximate", queries=queries)
    truth = Index.build(vectors, metric, kind="exact")
    assert index.kind == "approximate"
    assert truth.recall == {10: 1.0, 100: 1.0}
    for k, stated in index.recall.items():
        found, scores = index.search(queries, k)
        right, exact_scores = truth.search(queries, k)
        shares = [len(set(found[b]) & set(right[b])) / k for b in range(150)]
        assert stated == pytest.approx(np.mean(shares), abs=1e-12)
        assert stated >= 0.95
        for b in range(150):  # what both found has one score
            mine = dict(zip(found[b].tolist(), scores[b].tolist(), strict=True))
            theirs = dict(zip(right[b].tolist(), exact_scores[b].tolist(), strict=True))
            assert all(mine[row] == theirs[row] for row in mine.keys() & theirs.keys())


def test_a_graph_built_again_answers_alike():
    vectors, queries = _clustered(1500), _clustered(20, seed=1)
    first, second = (Index.build(vectors, kind="approximate", seed=3) for _ in range(2))
    assert first.recall == second.recall
    np.testing.assert_array_equal(first.search(queries, 10)[0], second.search(queries, 10)[0])


def test_auto_is_approximate_only_where_there_is_much_and_the_target_is_reached(monkeypatch):
    vectors = _clustered(1500)
    assert Index.build(vectors).kind == "exact"
    monkeypatch.setattr("visrec.retrieval.index.EXACT_UP_TO", 1000)
    assert Index.build(vectors).kind == "approximate"
    monkeypatch.setattr("visrec.retrieval.index.TARGET", 1.1)  # out of reach
    index = Index.build(vectors)
    assert (index.kind, index.effort, index.recall) == ("exact", 0, {10: 1.0, 100: 1.0})
    assert Index.build(vectors, kind="approximate").kind == "approximate"  # as it was told to


def test_a_narrow_filter_is_answered_exactly():
    vectors, queries = _clustered(5000), _clustered(10, seed=1)
    allowed = np.zeros(5000, dtype=bool)
    allowed[::100] = True
    index, truth = (Index.build(vectors, kind=kind) for kind in ("approximate", "exact"))
    for mine, theirs in zip(
        index.search(queries, 10, allowed=allowed), truth.search(queries, 10, allowed=allowed), strict=True
    ):
        np.testing.assert_array_equal(mine, theirs)


def test_leaving_out_the_nearest_brings_the_next_nearest():
    vectors, queries = _clustered(20_000), _clustered(5, seed=1)
    index, truth = (Index.build(vectors, kind=kind) for kind in ("approximate", "exact"))
    nearest = list(truth.search(queries, 200)[0])
    found, _ = index.search(queries, 10, exclude=nearest)
    right, _ = truth.search(queries, 10, exclude=nearest)
    assert np.mean([np.isin(right[b], found[b]).mean() for b in range(5)]) >= 0.9
    assert not any(np.isin(found[b], nearest[b]).any() for b in range(5))


def test_it_is_searched_while_rows_are_added_and_removed():
    vectors = _clustered(1000)
    index = Index.build(vectors, kind="approximate")
    asked = _clustered(20, seed=2)
    done, wrong = threading.Event(), []

    def search():
        while not done.is_set():
            allowed = np.ones(len(index), dtype=bool)
            try:
                rows, _ = index.search(asked, 5)
            except Exception as error:  # noqa: BLE001 - whatever it is, the thread must hand it on
                wrong.append(error)
                return
            if (rows < 0).any() or len(index) < len(allowed):
                wrong.append(rows)

    thread = threading.Thread(target=search)
    thread.start()
    for start in range(0, 400, 10):
        rows = index.add(_clustered(10, seed=start))
        index.remove(rows[:2])
    done.set()
    thread.join()
    assert wrong == []
    assert len(index) == 1400
    assert index.removed.sum() == 80


def _saved(tmp_path, **settings):
    vectors = _clustered(300)
    index = Index.build(vectors, **settings)
    index.save(tmp_path / "index")
    return vectors, tmp_path / "index"


def test_an_index_of_other_vectors_is_refused(tmp_path):
    vectors, folder = _saved(tmp_path, kind="approximate")
    changed = vectors.copy()
    changed[7, 0] += 1
    for others in (changed, vectors[:-1], np.concatenate([vectors, vectors[:1]])):
        with pytest.raises(RunError, match="other vectors"):
            Index.load(folder, others)


def test_a_damaged_index_is_refused(tmp_path):
    vectors, folder = _saved(tmp_path, kind="approximate")
    graph = folder / "graph.voyager"
    graph.write_bytes(graph.read_bytes()[:-1])
    with pytest.raises(RunError, match=r"graph\.voyager is damaged"):
        Index.load(folder, vectors)
    (folder / "about.json").write_text("[]")
    with pytest.raises(RunError, match="Build it again"):
        Index.load(folder, vectors)
    with pytest.raises(RunError, match=r"no about\.json"):
        Index.load(tmp_path / "elsewhere", vectors)


def test_an_index_of_a_later_format_says_so(tmp_path):
    vectors, folder = _saved(tmp_path)
    about = json.loads((folder / "about.json").read_text())
    (folder / "about.json").write_text(json.dumps({**about, "format": 9}))
    with pytest.raises(RunError, match="format 9"):
        Index.load(folder, vectors)


def test_saving_replaces_what_was_there(tmp_path):
    vectors, folder = _saved(tmp_path, kind="approximate")
    Index.build(vectors, kind="exact").save(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["about.json", "removed.npy"]
    assert [path.name for path in tmp_path.iterdir()] == ["index"]
    assert Index.load(folder, vectors).kind == "exact"


@pytest.mark.parametrize("kind", ["exact", "approximate"])
@pytest.mark.parametrize("n", [0, 1, 3])
def test_a_small_catalogue_is_searched_too(kind, n):
    index = Index.build(np.eye(4)[:n], kind=kind)
    rows, scores = index.search(np.ones((2, 4)), 10)
    assert rows.shape == scores.shape == (2, n)
    assert index.add(np.full((1, 4), 2.0)).tolist() == [n]
    assert index.search(np.ones((1, 4)), 1)[0].tolist() == [[n]]
    assert index.search(np.empty((0, 4)), 1)[0].shape == (0, 1)
