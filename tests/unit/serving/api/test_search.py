"""Lists that are found by a graph, as they are in large catalogues."""

from __future__ import annotations

import numpy as np
import pytest

from visrec.errors import UnsupportedError
from visrec.retrieval.recommendation import index_of
from visrec.serving import engine as serving
from visrec.serving.engine import Engine, Picture, Question
from visrec.serving.filters import Filter


@pytest.fixture
def large(folder, engine, monkeypatch):
    """An engine to which 80 items are many."""
    engine.warm()  # to that of the other tests they stay few
    monkeypatch.setattr(serving, "EXACT_UP_TO", 10)
    made = []

    def built(model, **settings):
        made.append(model)
        return index_of(model, kind="approximate", seed=0)

    monkeypatch.setattr(serving, "index_of", built)
    found = Engine.open(folder)
    found.warm()
    return found, made


def test_found_lists_are_those_of_all_scores(large, engine):
    found, _ = large
    assert {name: found.search_of(name)["kind"] for name in found.models} == {
        "random": "approximate",
        "popularity": "approximate",
        "item_knn": "exact",  # whose scores are no inner products of dense vectors
        "ease": "approximate",
        "visrank": "approximate",
        "bpr": "approximate",
    }
    for name in found.models:
        for user in ("u0001", "u/2 ä"):
            question = Question(
                name, user=user, k=10, filters=(Filter.parse("price>=5"),), exclude=("00004",)
            )
            np.testing.assert_array_equal(found.rank(question).items, engine.rank(question).items)


def test_weights_and_pictures_are_searched_or_scored(large, engine):
    found, _ = large
    for weights in ((2.0, 1.0), (1.0, -1.0)):  # with the maximum, the second is no inner product
        question = Question("visrank", liked=("00001", "00002"), weights=weights, k=10)
        np.testing.assert_array_equal(found.rank(question).items, engine.rank(question).items)


@pytest.mark.parametrize("weight", [1.0, -1.0])
def test_pictures_are_searched_or_scored(large, engine, weight):
    found, _ = large
    vector = np.asarray(engine.run.features.values[7], dtype=np.float32)
    question = Question("visrank", liked=("00001",), pictures=(Picture("1", vector, weight),), k=10)
    np.testing.assert_array_equal(found.rank(question).items, engine.rank(question).items)


def test_what_no_item_passes_is_an_empty_list(large, engine):
    question = Question("visrank", liked=("00001",), filters=(Filter.parse("price>9999"),), k=10)
    assert len(engine.rank(question)) == len(large[0].rank(question)) == 0


def test_a_model_without_visitors_says_so(large):
    with pytest.raises(UnsupportedError, match="cannot serve a history"):
        large[0].rank(Question("bpr", liked=("00001",), weights=(2.0,)))


def test_what_tells_nothing_is_refused_as_ever(large):
    with pytest.raises(UnsupportedError, match="knows nothing"):
        large[0].rank(Question("visrank", liked=("00001",), weights=(0.0,)))


def test_a_graph_is_built_once_and_kept_in_the_run(large, folder):
    _, made = large
    n = len(made)
    assert n == 6
    again = Engine.open(folder)
    again.warm()
    assert [type(one).__name__ for one in made[n:]] == ["ItemKNN"]  # which has none to keep
    assert again.search_of("bpr")["recall"].keys() == {10, 100}
