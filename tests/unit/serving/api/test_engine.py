from __future__ import annotations

import shutil

import numpy as np
import polars as pl
import pytest

from visrec.data.catalog import Catalog
from visrec.data.ids import IdMap
from visrec.errors import ConfigError, RunError, UnknownIdError, UnsupportedError
from visrec.explain.reasons import explain
from visrec.neighbours import similar_items
from visrec.recommender import load_model
from visrec.serving.engine import Engine, Picture, Question
from visrec.serving.filters import Filter
from visrec.serving.shelf import Shelf

from .conftest import MODELS


def ids(engine, question):
    return [engine.shelf.ids[one.index] for one in engine.recommend(question)]


@pytest.mark.parametrize("name", MODELS)
def test_a_users_list_is_that_of_the_model(engine, name):
    model = load_model(engine.run.folder_of(name), engine.run.content)
    for user in engine.run.split.train.users.values[:5].to_list():
        found = engine.recommend(Question(name, user=user, k=80, known="none"))
        expected = model.recommend([user], 80, exclude_seen=False)
        assert [engine.shelf.ids[one.index] for one in found] == expected["item_id"].to_list()
        assert [one.score for one in found] == expected["score"].to_list()  # bit for bit
        assert [one.rank for one in found] == list(range(1, 81))


def test_a_visitors_list_is_that_of_the_model(engine):
    history = engine.shelf.ids[3:6]
    model = load_model(engine.run.folder_of("visrank"), engine.run.content)
    expected = model.recommend_for_history(history, 10)["item_id"].to_list()
    assert ids(engine, Question("visrank", liked=tuple(history), k=10)) == expected


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("diversity", [0.0, 0.6])
def test_what_is_left_out_is_in_no_list(engine, name, diversity):
    everything = engine.shelf.ids
    user = engine.run.split.train.users.values[1]
    person = engine.person(user)
    left_out = set(everything[:20])
    found = ids(
        engine,
        Question(
            name,
            user=user,
            liked=tuple(everything[20:23]),
            exclude=tuple(everything[:20]),
            filters=(Filter.parse("price>=5"),),
            diversity=diversity,
            k=100,
        ),
    )
    own = {everything[i] for i in (*person.history, *person.took)}
    priced = {everything[n] for n in range(len(everything)) if engine.item(n).metadata.get("price")}
    assert set(found) == priced - left_out - own - set(everything[20:23])
    assert len(found) == len(set(found))


def test_known_says_which_of_a_users_own_items_may_come(engine):
    user = next(
        u
        for u in engine.run.split.train.users.values.to_list()
        if engine.person(u).took and engine.person(u).history
    )
    person = engine.person(user)
    past, took = ({engine.shelf.ids[i] for i in part} for part in (person.history, person.took))
    found = {
        known: set(ids(engine, Question("bpr", user=user, k=80, known=known)))
        for known in ("all", "past", "none")
    }
    assert not found["all"] & (past | took)
    assert took <= found["past"]
    assert not found["past"] & past
    assert found["none"] == set(engine.shelf.ids)


def test_diversity_of_0_changes_nothing_and_more_of_it_makes_lists_less_alike(engine):
    liked = tuple(engine.shelf.ids[:2])
    rows = {
        d: [one.index for one in engine.recommend(Question("visrank", liked=liked, k=10, diversity=d))]
        for d in (0.0, 0.5, 1.0)
    }
    assert rows[0.0] == [one.index for one in engine.recommend(Question("visrank", liked=liked, k=10))]

    def alike(of):
        return engine.likeness(np.array(of), "visrank")[np.triu_indices(10, 1)].mean()

    assert alike(rows[1.0]) < alike(rows[0.5]) < alike(rows[0.0])


def test_a_longer_list_begins_as_the_shorter_one(engine):
    for diversity in (0.0, 0.4):
        asked = Question("visrank", liked=("00001", "00002"), diversity=diversity, k=60)
        long = ids(engine, asked)
        assert (
            ids(engine, Question("visrank", liked=("00001", "00002"), diversity=diversity, k=7)) == long[:7]
        )


def test_the_last_opinion_of_an_item_counts(engine):
    twice = Question("item_knn", liked=("00001", "00002", "00001"), weights=(1.0, 1.0, -1.0), k=20)
    once = Question("item_knn", liked=("00002", "00001"), weights=(1.0, -1.0), k=20)
    assert ids(engine, twice) == ids(engine, once)


def test_items_like_one_are_those_of_the_features(engine):
    for index in (0, 7, 40):
        expected = similar_items(engine.run.features, [engine.shelf.ids[index]], 10)
        found = engine.similar(index, 10)
        assert [engine.shelf.ids[one.index] for one in found] == expected["item_id"].to_list()
        np.testing.assert_allclose([one.score for one in found], expected["score"].to_numpy(), rtol=1e-5)


def test_a_picture_of_an_item_finds_that_item(engine):
    shown = engine.catalog.open("00007")
    vector = engine.encode([shown])[0]
    assert engine.shelf.ids[engine.similar_to_picture(vector, 3)[0].index] == "00007"
    found = engine.recommend(Question("visrank", pictures=(Picture("1", vector),), k=3))
    assert engine.shelf.ids[found[0].index] == "00007"


def test_reasons_name_what_was_liked_and_not_what_was_disliked(engine):
    question = Question("visrank", liked=("00001", "00002"), weights=(1.0, -1.0), k=5)
    found = engine.recommend(question)
    for one in engine.reasons(question, [one.index for one in found]):
        assert [near.item_id for near in one.nearest.items] == ["00001"]
        assert one.because


# ---- which model ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["bpr", "visrank", "item_knn"])
def test_reasons_are_those_of_the_whole_explanation(engine, name):
    user = engine.run.split.train.users.values[0]
    question = Question(name, 3, user=user)
    items = [one.index for one in engine.recommend(question)]
    for item, reason in zip(items, engine.reasons(question, items), strict=True):
        whole = explain(
            engine.model(name),
            user,
            engine.shelf.ids[item],
            content=engine.run.content,
            catalog=engine.catalog,
        )
        assert reason.because == whole.because


def test_without_a_name_the_best_that_can_answers(engine):
    best = max(
        (n for n in MODELS if n not in ("random", "popularity")), key=lambda n: engine.reports[n]["ndcg@5"]
    )
    assert engine.model_for(Question("", user="u0001")) == best
    assert engine.kind_of(engine.model_for(Question("", liked=("00001",)))).new_users
    assert not engine.kind_of(engine.model_for(Question(""))).personal
    picture = Picture("1", np.ones(3))
    assert engine.model_for(Question("", pictures=(picture,))) == "visrank"
    assert engine.model_for(Question("", liked=("00001",), weights=(-1.0,))) != "bpr"


def test_the_preferred_model_answers_where_it_can(trained):
    engine = Engine.open(trained, preferred="bpr")
    assert engine.best_model == engine.model_for(Question("", user="u0001")) == "bpr"
    assert engine.model_for(Question("", liked=("00001",))) != "bpr"
    with pytest.raises(ConfigError, match="no model 'vbpr'"):
        Engine.open(trained, preferred="vbpr")


# ---- what is refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("question", "error", "words"),
    [
        (Question("nobody", user="u0001"), ConfigError, "no model 'nobody'"),
        (Question("visrank"), ConfigError, "Nothing is known"),
        (Question("visrank", user="u9999"), UnknownIdError, "Unknown user"),
        (Question("visrank", liked=("i",)), UnknownIdError, "Unknown item"),
        (Question("visrank", user="u0001", exclude=("i",)), UnknownIdError, "Unknown item"),
        (Question("bpr", liked=("00001",)), UnsupportedError, "cannot serve a history"),
        (Question("bpr", user="u0001", liked=("00001",), weights=(2.0,)), UnsupportedError, "weigh"),
        (Question("visrank", liked=("00001",), weights=(1.0, 2.0)), ConfigError, "weights for"),
        (Question("visrank", liked=("00001",), weights=(0.0,)), UnsupportedError, "knows nothing"),
    ],
)
def test_what_cannot_be_answered_says_why(engine, question, error, words):
    with pytest.raises(error, match=words):
        engine.rank(question)


def test_a_folder_without_a_trained_model_is_no_service(tmp_path, trained):
    shutil.copy(trained / "experiment.toml", tmp_path)
    with pytest.raises(RunError, match="no model is trained"):
        Engine.open(tmp_path)


# ---- the shelf -------------------------------------------------------------------------------------------


def test_an_item_shows_what_the_table_says(engine):
    row = engine.catalog.metadata.row(4, named=True)
    item = engine.item(4)
    assert (item.id, item.title, item.creator) == (row["item_id"], row["title"], row["artist"])
    assert item.metadata["price"] == "9"
    assert "price" not in engine.item(5).metadata
    assert "title" not in item.metadata


def test_words_are_searched_in_all_that_is_known(engine):
    table = engine.catalog.metadata
    title, artist = table["title"][7], table["artist"][7]
    found = np.flatnonzero(engine.shelf.search(f"{title.split()[0].upper()} {artist}"))
    assert 7 in found
    text = table.select(pl.concat_str(pl.all().cast(pl.String), separator=" ", ignore_nulls=True))["item_id"]
    for index in found:
        assert artist in text[int(index)]
    assert engine.shelf.search("").all()
    assert not engine.shelf.search("[no such words").any()


def test_an_item_shows_nothing_that_cannot_be_written_down():
    table = pl.DataFrame(
        {"item_id": ["a", "b"], "bytes": [b"\xff", b"x"], "price": [float("nan"), 2.0], "tags": [["x"], []]}
    )
    shelf = Shelf(Catalog(IdMap(["a", "b"], kind="item"), (None, None), table))
    assert shelf.item(0).metadata == {"tags": ["x"]}
    assert shelf.item(1).metadata == {"price": 2.0, "tags": []}
    assert shelf.search("b").tolist() == [False, True]
