"""The graph, and the three steps that make inner products searchable."""

from __future__ import annotations

import numpy as np

from visrec.retrieval.graph import Graph
from visrec.retrieval.index import Index
from visrec.retrieval.vectors import hashes


def _share(found: np.ndarray, right: np.ndarray) -> float:
    return float(np.mean([np.isin(b, a).mean() for a, b in zip(found, right, strict=True)]))


def test_many_items_of_one_vector_hide_no_other(monkeypatch):
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(4000, 12)).astype(np.float32)
    vectors[rng.permutation(4000)[:3000]] = 0  # as those of items that nobody took
    queries = rng.normal(size=(50, 12))
    truth = Index.build(vectors, kind="exact").search(queries, 10)[0]
    assert _share(_near(vectors, queries), truth) >= 0.9
    monkeypatch.setattr("visrec.retrieval.graph.hashes", lambda rows: np.arange(len(rows), dtype=np.uint64))
    assert (
        _share(_near(vectors, queries), truth) < 0.9
    )  # what it is good for: with each row on its own, they do


def _near(vectors: np.ndarray, queries: np.ndarray) -> list[np.ndarray]:
    graph = Graph.build(vectors, "inner", seed=0, threads=1, queries=None)
    return [graph.near(query.astype(np.float32), 128) for query in queries]


def test_rows_of_one_vector_are_found_as_an_exact_search_finds_them():
    """Of more equals than there are places, the same ones; also those that came later."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(3000, 8)).astype(np.float32)
    vectors[100:160] = vectors[0] * 5
    asked = vectors[:1]
    index, truth = (Index.build(vectors, kind=kind) for kind in ("approximate", "exact"))
    for one in (index, truth):
        one.add(np.repeat(vectors[:1] * 5, 10, axis=0))
        one.remove(np.arange(100, 110))
    for k in (5, 45):
        np.testing.assert_array_equal(index.search(asked, k)[0], truth.search(asked, k)[0])
    np.testing.assert_array_equal(
        np.sort(index.search(asked, 60)[0][0]), [*range(110, 160), *range(3000, 3010)]
    )


def test_queries_tell_which_differences_matter():
    """Items differ most in numbers that no query looks at; the graph that knows the queries needs less effort."""
    rng = np.random.default_rng(0)
    seen = np.arange(40) < 8
    vectors = (rng.normal(size=(4000, 40)) * np.where(seen, 0.3, 1.0)).astype(np.float32)
    queries = (rng.normal(size=(1000, 40)) * np.where(seen, 1.0, 0.01)).astype(np.float32)
    truth = Index.build(vectors, kind="exact").search(queries[:50], 10)[0]
    found = {}
    for told in (True, False):
        sample = queries[50:] if told else None
        graph = Graph.build(vectors, "inner", seed=0, threads=1, queries=sample)
        found[told] = _share([graph.near(query, 64) for query in queries[:50]], truth)
    assert found[True] >= 0.95
    assert found[False] < 0.6


def test_equal_vectors_have_equal_hashes_and_others_have_others():
    vectors = np.random.default_rng(0).integers(-2, 3, size=(5000, 4)).astype(np.float32)
    vectors[vectors == 0] *= np.random.default_rng(1).choice(
        [-1, 1], size=int((vectors == 0).sum())
    )  # -0.0 too
    assert len(np.unique(hashes(vectors))) == len({tuple((row + 0).tolist()) for row in vectors})
