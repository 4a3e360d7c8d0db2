"""The comparison of a run: the people behind its numbers, derived again from its data."""

from __future__ import annotations

import numpy as np
import pytest

from visrec.data.datasets.synthetic import SyntheticConfig, write_synthetic
from visrec.errors import ConfigError
from visrec.experiment import Experiment
from visrec.explain.explanation import Contribution, Contributions, Explanation, Nearest, Neighbour
from visrec.runs import run
from visrec.serving.because import _because, because_of
from visrec.serving.comparing import Comparison, comparison_of
from visrec.serving.engine import Engine, Picture, Question
from visrec.serving.pages.try_it import default_model, offer
from visrec.serving.taste import Taste
from visrec.serving.variety import varied_items


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """Of a run of four models on 60 pictures and 40 people."""
    folder = tmp_path_factory.mktemp("served")
    write_synthetic(folder / "data", SyntheticConfig(n_items=60, n_users=40, image_size=48), n_workers=1)
    models = {name: {} for name in ("random", "popularity", "item_knn", "visrank")}
    settings = {
        "data": {"path": str(folder / "data")},
        "features": {"extractor": "color"},
        "models": models,
        "evaluation": {"slices": ["history", "popularity", "style"]},
    }
    return Engine.open(run(Experiment(**settings), folder / "run").path)


@pytest.fixture(scope="module")
def comparison(engine: Engine) -> Comparison:
    return comparison_of(engine)


def test_a_run_has_one_comparison(engine: Engine, comparison: Comparison):
    assert comparison_of(engine) is comparison


def test_a_slice_has_the_people_that_its_mean_is_of(comparison: Comparison):
    seen = 0
    for slicing in comparison.slicings:
        for piece in slicing.slices:
            members = comparison.members(f"{slicing.name}:{piece.label}")
            assert len(members) == piece.n_users
            for model, means in piece.models.items():
                found = comparison.gaps("ndcg@20", model, piece=f"{slicing.name}:{piece.label}")
                assert found.mean == pytest.approx(means["ndcg@20"].mean)
                seen += 1
    assert seen > 8


def test_a_difference_in_the_contest_is_the_mean_of_its_people(comparison: Comparison):
    found = comparison.contest("ndcg@20", "popularity")
    for entry in found.of("ndcg@20"):
        if entry.paired is not None:
            people = comparison.gaps("ndcg@20", entry.model, "popularity")
            assert people.mean == pytest.approx(entry.paired.difference.mean)
            assert people.n_more / len(people) == pytest.approx(entry.paired.better)
            assert people.n_less / len(people) == pytest.approx(entry.paired.worse)


def test_people_come_with_the_lists_that_were_judged(engine: Engine, comparison: Comparison):
    """recall@20 of the lists that are shown is the one of the report."""
    per_user = engine.reports["visrank"].per_user
    users = per_user["user_id"].to_list()[:12]
    for person, recall in zip(comparison.people(users, ["visrank"], 20), per_user["recall@20"], strict=False):
        hits = set(person.lists["visrank"]) & set(person.took)
        assert len(hits) / len(person.took) == pytest.approx(recall)
        assert set(person.took) == set(engine.person(person.user_id).took)


def test_what_is_not_there_is_named(comparison: Comparison):
    with pytest.raises(ConfigError, match="no slice 'history:x'"):
        comparison.gaps("auc", "visrank", piece="history:x")
    with pytest.raises(ConfigError, match=r"no report of a model 'vbpr'\. There are random"):
        comparison.gaps("auc", "visrank", "vbpr")


def test_the_wall_has_each_picture_once(engine: Engine):
    order = varied_items(engine)
    assert len(order) == len(set(order.tolist())) == sum(path is not None for path in engine.catalog.paths)


def cosine(engine: Engine, one: int, other: np.ndarray) -> float:
    vector = np.asarray(engine.run.features.values[one], dtype=np.float64)
    return float(vector @ other / np.linalg.norm(vector) / np.linalg.norm(other))


def test_by_looks_an_item_is_there_for_the_liked_one_most_like_it(engine: Engine):
    liked = engine.shelf.ids[3], engine.shelf.ids[17]
    question = Question("visrank", k=10, liked=liked)
    ranked = engine.recommend(question)
    for one, why in zip(ranked, because_of(engine, question, [one.index for one in ranked]), strict=True):
        likeness = {place: cosine(engine, one.index, engine.run.features.values[place]) for place in (3, 17)}
        assert why.how == "looks"
        assert why.item.index == max(likeness, key=likeness.get)
        assert why.similarity == pytest.approx(max(likeness.values()), abs=1e-5)


def test_by_company_an_item_is_there_for_the_liked_one_that_scores_it_most(engine: Engine):
    counts = engine.run.split.train.item_counts()
    liked = [engine.shelf.ids[row] for row in np.argsort(-counts)[:3]]
    question = Question("item_knn", k=5, liked=tuple(liked))
    ranked = engine.recommend(question)
    for one, why in zip(ranked, because_of(engine, question, [one.index for one in ranked]), strict=True):
        alone = {}
        for item in liked:
            all_of_one = engine.rank(Question("item_knn", k=len(engine.catalog), liked=(item,)))
            alone[item] = dict(zip(all_of_one.items.tolist(), all_of_one.scores.tolist(), strict=True))[
                one.index
            ]
        if max(alone.values()) > 0:
            assert why.how == "company"
            assert alone[why.item.id] == pytest.approx(max(alone.values()))


@pytest.mark.parametrize("similarity", [-0.18, 0.004, 0.6])
@pytest.mark.parametrize(
    ("sees", "value", "how"), [(True, 0.2, "looks"), (False, 0.2, "company"), (True, -0.2, None)]
)
def test_a_likeness_that_would_contradict_the_reason_is_not_given(
    engine: Engine, similarity: float, sees: bool, value: float, how: str | None
):
    """The one liked item decides where its part is above 0; else only likeness can be the reason."""
    liked = engine.shelf.ids[3]
    why = Explanation(
        "Model",
        None,
        engine.shelf.ids[17],
        1.0,
        (liked,),
        "",
        nearest=Nearest((Neighbour(liked, similarity),), "features", "color", True),
        contributions=Contributions((Contribution(liked, value),), "left out", None),
    )
    found = _because(engine, why, sees=sees)
    if how is None and similarity < 0.005:
        assert found is None
        return
    assert found is not None
    assert (found.how, found.item.index) == (how or "looks", 3)
    assert found.similarity == (similarity if sees and similarity > 0.005 else None)


def test_what_there_should_be_less_of_is_nothing_to_be_there_for(engine: Engine):
    one, other = engine.shelf.ids[3], engine.shelf.ids[17]
    question = Question("visrank", k=5, liked=(one, other), weights=(1.0, -0.5))
    ranked = engine.recommend(question)
    assert {why.item.id for why in because_of(engine, question, [r.index for r in ranked])} == {one}


def test_a_photo_can_be_what_an_item_is_there_for(engine: Engine):
    """A photo that is the very picture of an item brings that item first, because of the photo."""
    vector = np.asarray(engine.run.features.values[9])
    question = Question("visrank", k=3, pictures=(Picture("your photo", vector),))
    (first, *_), (why, *_) = (
        engine.recommend(question),
        because_of(engine, question, [engine.recommend(question)[0].index]),
    )
    assert first.index == 9
    assert (why.item, why.picture, why.similarity) == (None, "your photo", pytest.approx(1, abs=1e-5))


def test_the_model_to_begin_with_looks_at_pictures(engine: Engine):
    assert engine.visitor_models == ["item_knn", "visrank"]
    assert default_model(engine) == "visrank"


def test_an_address_from_elsewhere_is_answered_as_far_as_it_can_be(engine: Engine):
    known = engine.shelf.ids[3]
    found = offer(engine, Taste(like=(known, "nowhere"), hide=("gone",), model="bpr"), [])
    assert found.taste == Taste(like=(known,))
    assert found.model == "visrank"
    assert len(found.tiles) == 15
    assert "2 chosen pictures are not in this catalogue." in found.notes
    assert any("No model 'bpr'" in note for note in found.notes)


def test_what_was_hidden_liked_or_unwanted_is_not_in_the_list(engine: Engine):
    first = offer(engine, Taste(like=(engine.shelf.ids[3],)), [])
    hidden, unwanted = (tile.item.id for tile in first.tiles[:2])
    found = offer(engine, Taste(like=(engine.shelf.ids[3],), hide=(hidden,), less=(unwanted,)), [])
    assert {hidden, unwanted, engine.shelf.ids[3]} & {tile.item.id for tile in found.tiles} == set()
    assert found.problem == ""
