"""Search keeps its promises for any vectors, filters and ways of searching."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visrec.ranking import tie_order
from visrec.retrieval.index import Index

KINDS = ("exact", "approximate")


def _world(seed: int, n: int, d: int, *, coarse: bool) -> tuple[np.random.Generator, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    if coarse:  # few different vectors, some of them zeros: many ties
        return rng, *(rng.integers(-1, 2, size=(m, d)).astype(np.float32) for m in (n, 4))
    return rng, *(rng.normal(size=(m, d)).astype(np.float32) for m in (n, 4))


def _best(vectors, query, k, metric, closed):
    """By loops: the score in float64, rounded once; ties by the hash of a visitor."""
    if metric == "cosine":
        vectors, query = (
            (one / np.maximum(np.linalg.norm(one.astype(float), axis=1, keepdims=True), 1e-12)).astype(
                np.float32
            )
            for one in (vectors, query[None])
        )
        query = query[0]
    open_ = [i for i in range(len(vectors)) if i not in closed]
    score = {i: float(np.float32((vectors[i].astype(np.float64) * query).sum())) for i in open_}
    order = sorted(open_, key=lambda i: (-score[i], int(tie_order(-1, np.array([i]))[0])))[:k]
    return order, [score[i] for i in order]


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 60),
    d=st.integers(1, 4),
    k=st.integers(1, 70),
    metric=st.sampled_from(["inner", "cosine"]),
    coarse=st.booleans(),
)
def test_exact_search_equals_loops(seed, n, d, k, metric, coarse):
    rng, vectors, queries = _world(seed, n, d, coarse=coarse)
    allowed = rng.random(n) < rng.random()
    exclude = [np.flatnonzero(rng.random(n) < rng.random()) for _ in queries]
    rows, scores = Index.build(vectors, metric).search(queries, k, exclude=exclude, allowed=allowed)
    assert rows.shape == (4, min(k, n))
    for b, query in enumerate(queries):
        closed = {*np.flatnonzero(~allowed).tolist(), *exclude[b].tolist()}
        best, score = _best(vectors, query, k, metric, closed)
        np.testing.assert_allclose(scores[b, : len(best)], score, rtol=1e-5, atol=1e-6)
        assert (rows[b, len(best) :] == -1).all()
        if metric == "inner":  # a cosine may differ from that of the loops in its last bit
            assert rows[b, : len(best)].tolist() == best


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 300),
    d=st.integers(1, 6),
    k=st.integers(1, 30),
    kind=st.sampled_from(KINDS),
    metric=st.sampled_from(["inner", "cosine"]),
    coarse=st.booleans(),
)
def test_filters_hold_and_k_are_found_wherever_k_are_left(seed, n, d, k, kind, metric, coarse):
    rng, vectors, queries = _world(seed, n, d, coarse=coarse)
    index = Index.build(vectors, metric, kind=kind)
    index.add(rng.normal(size=(5, d)) * 3)
    index.remove(np.flatnonzero(rng.random(n) < rng.random() / 2))
    allowed = rng.random(n + 5) < rng.random()
    exclude = [np.flatnonzero(rng.random(n + 5) < rng.random()) for _ in queries]
    rows, scores = index.search(queries, k, exclude=exclude, allowed=allowed)
    again, _ = index.search(queries, k, exclude=exclude, allowed=allowed)
    np.testing.assert_array_equal(rows, again)
    for b in range(len(queries)):
        left = set(np.flatnonzero(allowed & ~index.removed).tolist()) - set(exclude[b].tolist())
        found = rows[b][rows[b] >= 0].tolist()
        assert set(found) <= left
        assert len(set(found)) == len(found) == min(k, len(left))
        assert (np.diff(scores[b, : len(found)]) <= 0).all()
        unit = queries[b] / max(np.linalg.norm(queries[b]), 1e-12) if metric == "cosine" else queries[b]
        np.testing.assert_allclose(scores[b, : len(found)], index.vectors[found] @ unit, rtol=1e-5, atol=1e-5)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6), kind=st.sampled_from(KINDS), metric=st.sampled_from(["inner", "cosine"]))
def test_what_is_saved_answers_as_before(tmp_path_factory, seed, kind, metric):
    rng, vectors, queries = _world(seed, 250, 5, coarse=False)
    index = Index.build(vectors, metric, kind=kind)
    more = rng.normal(size=(20, 5)).astype(np.float32)
    index.add(more)
    index.remove(rng.permutation(270)[:30])
    folder = tmp_path_factory.mktemp("index") / "one"
    index.save(folder)
    again = Index.load(folder, np.concatenate([vectors, more]))
    assert (again.kind, again.recall, again.effort) == (index.kind, index.recall, index.effort)
    for mine, theirs in zip(index.search(queries, 20), again.search(queries, 20), strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("scale", [0.5, 1.0, 40.0])
def test_the_longest_of_the_new_rows_is_found_however_long(scale):
    _, vectors, queries = _world(0, 2000, 8, coarse=False)
    index = Index.build(vectors, kind="approximate")
    new = queries * scale * np.linalg.norm(vectors, axis=1).max()
    rows = index.add(new)
    np.testing.assert_array_equal(index.search(queries, 1)[0][:, 0], rows)
