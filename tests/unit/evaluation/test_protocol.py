from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
import torch

from visrec import config
from visrec.content import Content
from visrec.data.splits import Split
from visrec.errors import ConfigError, DataError, NotFittedError
from visrec.evaluation.metrics import compute, metric_names
from visrec.evaluation.protocol import evaluate, held_out_ranks, mean_metric, targets_of, top_items
from visrec.evaluation.tasks import Protocol
from visrec.features.features import Features
from visrec.models.popularity import Popularity
from visrec.recommender import Recommender


class GivenConfig(config.Config):
    """Settings of `Given`: none."""


class Given(Recommender):
    """Scores given as a matrix (U, I)."""

    Config = GivenConfig
    new_users = False
    new_items = True
    paper = "a test"

    def __init__(self, scores: np.ndarray) -> None:
        super().__init__()
        self.scores = torch.from_numpy(np.asarray(scores, dtype=np.float32))

    def _fit(self, fitting):
        pass

    def encode_items(self, items):
        return self.scores.T[items]  # (n, U)

    def encode_queries(self, queries):
        return torch.eye(len(self.scores))[queries.user]  # (B, U)

    def state(self):
        return {}

    def restore(self, state):
        pass


TRAIN = [(0, 0), (0, 1), (1, 0), (2, 2), (2, 3), (3, 4)]
VALID = [(0, 2), (2, 0)]
TEST = [(0, 5), (0, 7), (1, 3), (2, 6)]
"""4 users, 8 items. User 3 has nothing held out. Items 5, 6 and 7 are brand-new."""


@pytest.fixture
def split(interactions):
    return Split(*(interactions(pairs, 4, 8) for pairs in (TRAIN, VALID, TEST)))


@pytest.fixture
def model(split):
    return Given(np.random.default_rng(0).random((4, 8))).fit(split.train)


def _by_loops(scores, seen, held, only=None) -> dict[int, tuple[list[int], int]]:
    """For each user with held-out items: their ranks and the number of candidates."""
    result = {}
    for u in range(len(scores)):
        mine = [i for user, i in held if user == u and (only is None or i in only)]
        candidates = [i for i in range(scores.shape[1]) if (u, i) not in seen and (only is None or i in only)]
        if mine:
            order = sorted(candidates, key=lambda i: -scores[u, i])
            result[u] = sorted(order.index(i) + 1 for i in mine), len(candidates)
    return result


def _found(model, split, part, **kwargs) -> dict[int, tuple[list[int], int]]:
    users, ranks = held_out_ranks(model, split, part, **kwargs)
    return {
        int(u): (sorted(ranks.rank[ranks.owner == row].tolist()), int(ranks.n_candidates[row]))
        for row, u in enumerate(users)
    }


# ---- who is ranked among what --------------------------------------------------------------------------


def test_held_out_items_are_ranked_among_all_that_was_not_seen(model, split):
    scores = model.scores.numpy()
    assert _found(model, split, "test") == _by_loops(scores, TRAIN + VALID, TEST)
    assert _found(model, split, "valid") == _by_loops(scores, TRAIN, VALID)


def test_what_is_seen_before_the_test_includes_the_validation_part(interactions):
    # The best scores are those of the training and the validation item: neither stands in the way.
    split = Split(*(interactions([(0, i)], 1, 4) for i in (0, 1, 2)))
    model = Given(np.array([[9, 8, 7, 6]])).fit(split.train)
    assert _found(model, split, "test") == {0: ([1], 2)}
    assert _found(model, split, "valid") == {0: ([1], 3)}  # the test is not known yet: item 2 is a candidate


def test_tutorial_error_1_everything_seen_is_masked_and_not_only_the_newest_ten(interactions):
    # 15 seen items with the best scores; only the newest 10 masked, 5 of them would outrank the held-out one.
    split = Split(
        interactions([(0, i) for i in range(15)], 1, 20),
        interactions([], 1, 20),
        interactions([(0, 15)], 1, 20),
    )
    model = Given(-np.arange(20.0)[None]).fit(split.train)
    assert _found(model, split, "test") == {0: ([1], 5)}
    report = evaluate(model, split)
    assert (report["auc"], report["rr"], report["ndcg@20"]) == (1, 1, 1)
    assert report.per_user["n_history"].to_list() == [15]
    theirs = evaluate(model, split, protocol="tutorial")
    assert theirs["rr"] == 1 / 6
    assert theirs.per_user["n_candidates"].to_list() == [10]


def test_tutorial_error_6_several_held_out_items_of_a_user_stay_what_they_are(interactions):
    # Items 5 and 7 must not become item 12.
    split = Split(
        interactions([(0, 0)], 1, 15), interactions([], 1, 15), interactions([(0, 5), (0, 7)], 1, 15)
    )
    model = Given(-np.arange(15.0)[None]).fit(split.train)
    assert _found(model, split, "test") == {0: ([5, 7], 14)}
    theirs = _found(model, split, "test", protocol=Protocol(name="tutorial"))
    assert theirs == {0: ([12], 14)}


def test_tutorial_error_8_auc_is_by_the_number_of_candidates(interactions):
    split = Split(
        interactions([(0, i) for i in range(8)], 1, 10),
        interactions([], 1, 10),
        interactions([(0, 9)], 1, 10),
    )
    model = Given(-np.arange(10.0)[None]).fit(split.train)  # the other candidate is above the held-out item
    report = evaluate(model, split)
    assert report.per_user["n_candidates"].to_list() == [2]
    assert report["auc"] == 0
    # The tutorial: rank 2 of a catalogue of 10 is above 8 of 9 others, eight of which were removed, being seen.
    assert evaluate(model, split, protocol="tutorial")["auc"] == pytest.approx(8 / 9)


def test_users_without_held_out_items_are_not_counted(model, split):
    report = evaluate(model, split)
    assert report.per_user["user_id"].to_list() == ["u00", "u01", "u02"]
    assert report["rr"] == pytest.approx(report.per_user["rr"].mean())
    assert report.protocol["n_users"] == 3


def test_an_item_held_out_twice_is_one_item(interactions):
    split = Split(
        interactions([(0, 0)], 1, 6), interactions([], 1, 6), interactions([(0, 2), (0, 3), (0, 2)], 1, 6)
    )
    model = Given(-np.arange(6.0)[None]).fit(split.train)
    assert _found(model, split, "test") == {0: ([2, 3], 5)}
    report = evaluate(model, split, cutoffs=(2,))
    assert (report["precision@2"], report["recall@2"]) == (0.5, 0.5)
    assert report.per_user["n_relevant"].to_list() == [2]


def test_tutorial_error_13_a_user_without_training_rows_is_ranked_too(interactions):
    split = Split(interactions([(0, 0)], 2, 4), interactions([], 2, 4), interactions([(1, 0)], 2, 4))
    assert _found(Popularity().fit(split.train), split, "test") == {1: ([1], 4)}


def test_blocks_of_users_change_nothing(interactions, monkeypatch):
    rng = np.random.default_rng(0)
    taken = [(u, int(i)) for u in range(30) for i in rng.permutation(12)[:6]]
    parts = [taken[0::3], taken[1::3], taken[2::3]]
    split = Split(*(interactions(pairs, 30, 12) for pairs in parts))
    model = Given(rng.integers(0, 3, size=(30, 12))).fit(split.train)  # with ties
    whole = evaluate(model, split).per_user
    monkeypatch.setattr("visrec.recommender._FEWEST", 1)
    monkeypatch.setattr(Recommender, "block_cells", 7 * 30)
    assert evaluate(model, split).per_user.equals(whole)


# ---- chance --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("last", [True, False])
def test_a_constant_scorer_has_no_advantage_at_any_cutoff(interactions, last):
    # The held-out item is the last, or the first, of all candidates by its index: with ties left to the order
    # of the items, it would always be last or first.
    n_users, n_items = 3000, 60
    held = [(u, n_items - 1 if last else 0) for u in range(n_users)]
    split = Split(
        interactions([(u, 30) for u in range(n_users)], n_users, n_items),
        interactions([], n_users, n_items),
        interactions(held, n_users, n_items),
    )
    report = evaluate(Given(np.zeros((n_users, n_items))).fit(split.train), split, cutoffs=(1, 5, 20))
    assert (report.per_user["auc"] == 0.5).all()
    for k in (1, 5, 20):
        chance = k / 59
        assert report[f"recall@{k}"] == pytest.approx(chance, abs=4 * (chance / n_users) ** 0.5)


# ---- brand-new items -----------------------------------------------------------------------------------


def test_new_items_are_ranked_among_new_items_for_the_users_who_took_some(model, split):
    new = {5, 6, 7}
    expected = _by_loops(model.scores.numpy(), TRAIN + VALID, TEST, only=new)
    assert set(expected) == {0, 2}
    mask = np.isin(np.arange(8), list(new))
    assert _found(model, split, "test", candidates=mask) == expected
    _, ranks = held_out_ranks(model, split, "test", candidates=mask)
    report = evaluate(model, split)
    assert list(report.new_items) == list(report.metrics)
    for name, estimate in report.new_items.items():
        assert estimate.mean == pytest.approx(compute(name, ranks).mean())


def test_without_new_items_there_is_no_slice_of_them(interactions):
    split = Split(
        interactions([(0, 0), (1, 1)], 2, 2), interactions([], 2, 2), interactions([(0, 1), (1, 0)], 2, 2)
    )
    assert evaluate(Popularity().fit(split.train), split).new_items == {}


# ---- the report ----------------------------------------------------------------------------------------


def test_the_report_has_one_row_a_user_and_a_column_a_metric(model, split):
    report = evaluate(model, split, cutoffs=(2, 5))
    names = metric_names((2, 5))
    shown = [f"{name}@{k}" for k in (2, 5) for name in ("novelty", "popularity_bias")]
    facts = ["user_id", "n_history", "n_relevant", "n_candidates"]
    assert report.per_user.columns == [*facts, *names, *shown]
    assert report.per_user.select(facts).rows() == [("u00", 2, 2, 5), ("u01", 1, 1, 7), ("u02", 2, 1, 5)]
    assert list(report.metrics) == names
    for name in names:
        estimate = report.estimate(name)
        assert report[name] == estimate.mean == pytest.approx(report.per_user[name].mean())
        assert estimate.low <= estimate.mean <= estimate.high
    assert report.model == "Given"
    assert not report.per_user.select(pl.any_horizontal(pl.col(names).is_nan())).to_series().any()
    assert list(report.beyond) == shown
    assert list(report.system) == ["coverage@2", "gini@2", "coverage@5", "gini@5"]
    assert report["novelty@2"] == pytest.approx(report.per_user["novelty@2"].mean())
    assert report["coverage@5"] == report.system["coverage@5"]


def test_the_report_goes_into_json(model, split):
    report = evaluate(model, split, cutoffs=(2,))
    told = json.loads(json.dumps(report.as_dict(), allow_nan=False))
    assert told["n_users"] == 3
    assert told["metrics"]["auc"] == {
        "mean": report["auc"],
        "low": report.estimate("auc").low,
        "high": report.estimate("auc").high,
    }
    json.dumps(report.protocol)


def test_the_same_seed_gives_the_same_report(model, split):
    one, other = (evaluate(model, split, seed=3) for _ in range(2))
    assert one.as_dict() == other.as_dict()


def test_one_metric_alone_is_that_of_the_report(model, split):
    assert mean_metric(model, split, "ndcg@20", part="test") == evaluate(model, split)["ndcg@20"]
    assert mean_metric(model, split, "auc", part="valid") == evaluate(model, split, part="valid")["auc"]


# ---- what cannot be evaluated --------------------------------------------------------------------------


def test_a_metric_that_was_not_computed_is_named(model, split):
    report = evaluate(model, split)
    with pytest.raises(ConfigError, match=r"no 'ndcg@7'\. It has auc, rr"):
        report["ndcg@7"]
    with pytest.raises(
        ConfigError, match=r"no 'creators@20' \(the items' table names no artist or creator\)"
    ):
        report["creators@20"]


def test_a_stored_report_is_current_only_for_the_same_question_and_the_same_features(model, split):
    features = Features.from_array(np.random.default_rng(0).normal(size=(8, 3)), split.train.items.values)
    report = evaluate(model, split, cutoffs=(2,), content=features)
    seen = Content.of(features)
    assert report.is_current([2], Protocol(), seen)
    assert not report.is_current([3], Protocol(), seen)
    assert not report.is_current([2], Protocol(users=3), seen)
    assert not report.is_current([2], Protocol(), Content())
    assert not report.is_current(
        [2], Protocol(), Content.of(Features.from_array(features.values + 1, features.items.values))
    )


def test_lists_are_those_of_the_protocol(model, split):
    users = np.array([2, 0])  # in any order
    sampled = Protocol(name="sampled", negatives=1)
    for protocol, extra in ((None, None), (sampled, 1)):
        lists = top_items(model, split, users, 8, protocol=protocol, seed=5)
        report = evaluate(model, split, protocol=protocol or "full", seed=5).per_user
        expected = [report["n_candidates"][row] for row in users.tolist()]
        assert [len(one) for one in lists] == expected
        assert extra is None or expected == [2, 3]
    assert {6} < set(top_items(model, split, users, 8, protocol=sampled)[0])  # the held-out item of user 2


@pytest.mark.parametrize("cutoffs", [(), (0,), (5, -1)])
def test_impossible_cutoffs_are_refused(model, split, cutoffs):
    with pytest.raises(ConfigError, match="whole numbers above 0"):
        evaluate(model, split, cutoffs=cutoffs)


def test_only_the_held_out_parts_can_be_ranked(model, split):
    with pytest.raises(ConfigError, match="expected 'test' or 'valid'"):
        evaluate(model, split, part="train")


@pytest.mark.parametrize(("n_users", "n_items"), [(5, 8), (4, 9)])
def test_a_model_fitted_on_other_ids_is_refused(split, interactions, n_users, n_items):
    other = Popularity().fit(interactions(TRAIN, n_users, n_items))
    with pytest.raises(DataError, match=r"fit it on split\.train"):
        evaluate(other, split)


def test_a_model_that_was_never_fitted_is_refused(split):
    with pytest.raises(NotFittedError):
        evaluate(Popularity(), split)


def test_nothing_held_out_is_said(model, split, interactions):
    empty = Split(split.train, interactions([], 4, 8), split.test)
    with pytest.raises(DataError, match="No user has held-out items in the part 'valid'"):
        evaluate(model, empty, part="valid")


def test_a_test_item_that_was_in_training_is_refused(model, split, interactions):
    leaking = Split(split.train, split.valid, interactions([(0, 1), (0, 5)], 4, 8))
    with pytest.raises(DataError, match="taken before"):
        evaluate(model, leaking)


# ---- too few users -------------------------------------------------------------------------------------


def _cautions(interactions, n_users: int, n_on_new_items: int) -> list[str]:
    """Each user took item 0 and holds out item 1, or the brand-new item 2; user 0 took item 1 in training."""
    held = [(u, 2 if u < n_on_new_items else 1) for u in range(1, n_users + 1)]
    train = [(u, 0) for u in range(n_users + 1)] + [(0, 1)]
    split = Split(*(interactions(pairs, n_users + 1, 3) for pairs in (train, [], held)))
    return evaluate(Popularity().fit(split.train), split).protocol["cautions"]


def test_a_report_on_few_users_says_that_it_says_little(interactions):
    (said,) = _cautions(interactions, 29, 0)
    assert said.startswith("Only 29 users are evaluated: that is too few")
    assert "understates" in said
    assert _cautions(interactions, 30, 0) == []


def test_few_users_who_took_new_items_are_told_where_there_are_enough_users_in_all(interactions):
    (said,) = _cautions(interactions, 40, 4)  # users 1 to 3
    assert said.startswith("Only 3 users took brand-new items")
    assert _cautions(interactions, 40, 31) == []


def test_brand_new_items_are_asked_about_of_the_users_that_were_drawn(model, split):
    """Users 0 and 2 took brand-new items, user 1 none; of the three one is drawn."""
    for seed in range(8):
        report = evaluate(model, split, cutoffs=(2,), protocol=Protocol(users=1), seed=seed)
        (drawn,) = report.per_user["user_id"].to_list()
        user = split.train.users.indices([drawn])[0]
        users, ranks = held_out_ranks(model, split, "test", candidates=split.train.item_counts() == 0)
        assert users.tolist() == [0, 2]
        if user == 1:
            assert report.new_items == {}
        else:
            expected = compute("auc", ranks)[users.tolist().index(user)]
            assert report.new_items["auc"].mean == pytest.approx(expected)


def test_a_report_is_not_current_once_the_items_table_has_changed(model, split):
    table = pl.DataFrame({"item_id": split.train.items.values, "artist": list("aabbccdd")})
    content = Content(metadata=table)
    report = evaluate(model, split, cutoffs=(2,), content=content)
    assert report.is_current([2], content=content)
    renamed = table.with_columns(title=pl.lit("new"))
    assert report.is_current([2], content=Content(metadata=renamed))  # titles are only shown
    assert not report.is_current([2], content=Content(metadata=table.drop("artist")))
    assert not report.is_current([2])


def test_targets_are_those_that_the_protocol_judged(split):
    users = np.array([0, 2])
    assert [targets_of(split, users).of(row).tolist() for row in (0, 1)] == [[5, 7], [6]]
    merged = targets_of(split, np.array([1]), protocol=Protocol(name="tutorial"))
    assert merged.of(0).tolist() == [3]
