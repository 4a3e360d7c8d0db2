"""Scores to metrics, the whole way, against libraries that have nothing of ours: ranx, and scikit-learn for AUC."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from visrec.evaluation.metrics import AT_K, UNCUT, Ranks, compute
from visrec.ranking import ranks_of, top_k

CUTOFFS = (1, 2, 5, 20, 80)
IN_RANX = {
    "ndcg": "ndcg",
    "recall": "recall",
    "precision": "precision",
    "f1": "f1",
    "hit": "hit_rate",
    "map": "map",
    "rr": "mrr",
}


@pytest.fixture(scope="module")
def ranx():
    """The library; uncompiled, which takes seconds and not minutes for a few users."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        patch.setattr("numba.config.DISABLE_JIT", True)  # the variable of the environment is read but once
        warnings.simplefilter("ignore")
        return pytest.importorskip("ranx")


class Case:
    """40 users, 60 items: few distinct scores or many, up to half of the items no candidates, 1 to 9 relevant."""

    def __init__(self, seed: int, levels: int) -> None:
        rng = np.random.default_rng(seed)
        self.users = rng.integers(0, 10**6, 40)
        scores = rng.integers(0, levels, (40, 60)).astype(np.float32)
        scores[rng.random(scores.shape) < rng.choice([0, 0.1, 0.5], (40, 1))] = -np.inf
        scores[:, 0] = 0  # somebody's candidates are few, never none
        self.scores = scores
        self.relevant = []
        for line in scores:
            open_ = np.flatnonzero(line > -np.inf)
            n = min(int(rng.integers(1, 10)), len(open_))
            self.relevant.append(np.sort(rng.permutation(open_)[:n]))
        rows = np.repeat(np.arange(40), [len(one) for one in self.relevant])
        rank, mid, _ = ranks_of(torch.from_numpy(scores), rows, np.concatenate(self.relevant), self.users)
        sizes = np.array([len(one) for one in self.relevant])
        self.ranks = Ranks(rows, rank, sizes, (scores > -np.inf).sum(1), mid)

    def lists(self) -> list[list[int]]:
        found, _ = top_k(torch.from_numpy(self.scores), 60, self.users)
        return [row[row >= 0].tolist() for row in found]


@pytest.fixture(scope="module", params=[(0, 2), (1, 7), (2, 10**6)], ids=lambda one: f"{one[1]} levels")
def case(request):
    return Case(*request.param)


def test_the_cases_have_all_that_is_hard(case):
    ranks = case.ranks
    assert (ranks.hits(5) == 0).any()
    assert (ranks.n_relevant > 1).any()
    assert ranks.n_candidates.max() < 80
    assert (ranks.rank != ranks.mid).any() == (len(np.unique(case.scores)) < 100)


@pytest.mark.filterwarnings("ignore")
def test_every_shared_metric_is_that_of_ranx_on_the_very_lists(case, ranx):
    assert set(IN_RANX) == set(AT_K)
    relevant = {
        f"q{user:02d}": {f"d{item}": 1 for item in items.tolist()} for user, items in enumerate(case.relevant)
    }
    lists = {
        f"q{user:02d}": {f"d{item}": 1 / place for place, item in enumerate(items, start=1)}
        for user, items in enumerate(case.lists())
    }
    names = {f"{ours}@{k}": f"{theirs}@{k}" for k in CUTOFFS for ours, theirs in IN_RANX.items()}
    names["rr"] = "mrr"
    theirs = ranx.evaluate(ranx.Qrels(relevant), ranx.Run(lists), list(names.values()), return_mean=False)
    for ours, name in names.items():
        np.testing.assert_allclose(compute(ours, case.ranks), theirs[name], rtol=0, atol=1e-9, err_msg=ours)


def test_auc_is_that_of_scikit_learn_on_the_very_scores(case):
    assert set(UNCUT) == {"auc", "rr"}
    expected = []
    for line, relevant in zip(case.scores, case.relevant, strict=True):
        open_ = np.flatnonzero(line > -np.inf)
        truth = np.isin(open_, relevant)
        expected.append(0.5 if truth.all() else roc_auc_score(truth, line[open_]))
    np.testing.assert_allclose(compute("auc", case.ranks), expected, rtol=0, atol=1e-9)
