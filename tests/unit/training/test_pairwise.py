from __future__ import annotations

import numpy as np
import pytest
import torch

from visrec.data.splits import Split
from visrec.errors import UnsupportedError
from visrec.evaluation.protocol import mean_metric
from visrec.features.features import Features
from visrec.models.bpr import BPR
from visrec.models.vbpr import VBPR
from visrec.recommender import Queries

SMALL = {"dim_gamma": 4, "epochs": 6, "batch_size": 8, "learning_rate": 0.1}


@pytest.fixture
def split(interactions):
    """User 5 has no training row, user 4 has all items that anybody has; items 7 and 8 are brand-new."""
    rng = np.random.default_rng(0)
    train = [(u, int(i)) for u in range(4) for i in rng.permutation(7)[:3]]
    train += [(4, i) for i in range(7)]
    taken = {*train}
    valid = [(u, next(i for i in range(7) if (u, i) not in taken)) for u in range(4)] + [(5, 3), (0, 8)]
    parts = [interactions(pairs, 6, 9) for pairs in (train, valid, valid)]
    return Split(*parts)


@pytest.fixture
def features(split):
    return Features.from_array(np.random.default_rng(1).normal(size=(9, 5)), split.train.items.values)


def _models(split, features, **settings):
    yield BPR(**SMALL, **settings).fit(split.train, valid=split.valid)
    yield VBPR(**SMALL, dim_theta=3, **settings).fit(split.train, features, valid=split.valid)


def test_users_and_items_that_training_never_touches_have_no_random_factors(split, features):
    for model in _models(split, features):
        for rows in (model.gamma_u[[4, 5]], model.gamma_i[[7, 8]], model.beta_i[[7, 8]]):
            assert (rows == 0).all()
        assert (model.gamma_u[:4] != 0).all()
        assert (model.gamma_i[:7] != 0).all()


def test_negatives_from_the_whole_catalogue_touch_all_items(split, features):
    for model in _models(split, features, negatives="catalog"):
        assert (model.gamma_i != 0).all()
        assert (model.gamma_u[5] == 0).all()
        assert (model.gamma_u[4] != 0).all()  # items 7 and 8 are negatives for who has all the others


@pytest.mark.parametrize("metric", ["auc", "ndcg@20"])
def test_the_finished_model_validates_as_its_best_epoch_did(split, features, metric):
    for model in _models(split, features, valid_metric=metric):
        best = max(line["valid"] for line in model.training_log)
        assert mean_metric(model, split, metric, part="valid") == pytest.approx(best, abs=1e-12)


def test_tutorial_error_4_validation_ranks_held_out_interactions_and_not_training_positives(split):
    model = BPR(**SMALL, valid_metric="auc").fit(split.train, valid=split.valid)
    owned, held = ({*zip(p.user.tolist(), p.item.tolist(), strict=True)} for p in (split.train, split.valid))
    assert not owned & held
    scores = model.score(model.users.written.to_list())
    aucs = []
    for user in sorted({user for user, _ in held}):
        candidates = [i for i in range(9) if (user, i) not in owned]
        relevant = [i for i in candidates if (user, i) in held]
        pairs = [(i, j) for i in relevant for j in candidates if j not in relevant]
        wins = [
            (scores[user, i] > scores[user, j]) + (scores[user, i] == scores[user, j]) / 2 for i, j in pairs
        ]
        aucs.append(np.mean(wins))
    best = max(line["valid"] for line in model.training_log)
    assert best == pytest.approx(np.mean(aucs), abs=1e-9)
    # The tutorial: its validation triples are training positives beside new negatives: it measures what was learnt.
    theirs = [scores[u, i] > scores[u, j] for u, i in owned for j in range(9) if (u, j) not in owned]
    assert np.mean(theirs) > best + 0.1


def test_an_empty_validation_part_is_none(split):
    empty = split.valid.where(np.zeros(len(split.valid), dtype=bool))
    one, other = BPR(**SMALL).fit(split.train, valid=empty), BPR(**SMALL).fit(split.train)
    assert one.digest == other.digest
    assert "valid" not in one.training_log[0]


def test_a_visitor_has_no_vector(split):
    model = BPR(**SMALL).fit(split.train)
    with pytest.raises(UnsupportedError, match="BPR has no vector for a visitor"):
        model.encode_queries(Queries.of([np.array([0])]))


def test_item_vectors_are_kept_only_where_features_went_into_them(split, features):
    bpr, vbpr = _models(split, features)
    assert "Z" not in bpr.state()
    assert torch.equal(vbpr.state()["Z"], vbpr.Z)


def test_a_fitted_model_is_in_evaluation_mode(split, features):
    assert not any(model.training for model in _models(split, features))
