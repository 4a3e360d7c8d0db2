"""Each loss against plain loops over its formula."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from visrec.training.losses import bce_loss, bpr_loss, hinge_loss, loss_of, softmax_loss, warp_loss

POOL = 40
X_UI = [1.2, -0.3, 0.0, 5.0]
X_UJ = [[0.3, 1.1, -2.0], [0.2, 0.9, 0.4], [0.0, 0.0, 0.0], [-1.0, 2.0, 1.5]]
WEIGHT = [1.0, 2.0, 0.5, 3.0]


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def _bpr(i: float, negatives: list[float]) -> float:
    return sum(-math.log(_sigmoid(i - j)) for j in negatives) / len(negatives)


def _bce(i: float, negatives: list[float]) -> float:
    return -math.log(_sigmoid(i)) - sum(math.log(1 - _sigmoid(j)) for j in negatives) / len(negatives)


def _hinge(i: float, negatives: list[float]) -> float:
    return sum(max(0.0, 1 - i + j) for j in negatives) / len(negatives)


def _warp(i: float, negatives: list[float]) -> float:
    violating = [j for j in negatives if j > i - 1]
    if not violating:
        return 0.0
    rank = max(1, math.floor(len(violating) / len(negatives) * POOL))
    return sum(1 / r for r in range(1, rank + 1)) * sum(1 - i + j for j in violating) / len(violating)


def _softmax(i: float, negatives: list[float]) -> float:
    return -math.log(math.exp(i) / (math.exp(i) + sum(math.exp(j) for j in negatives)))


FORMULAS = {"bpr": _bpr, "bce": _bce, "hinge": _hinge, "warp": _warp, "softmax": _softmax}


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("n", [1, 3])
def test_the_loss_is_the_formula_positive_by_positive(name, n):
    negatives = [row[:n] for row in X_UJ]
    expected = [FORMULAS[name](i, row) for i, row in zip(X_UI, negatives, strict=True)]
    x_ui, x_uj = torch.tensor(X_UI), torch.tensor(negatives)
    plain = loss_of(name, x_ui, x_uj, None, n_candidates=POOL)
    assert plain.item() == pytest.approx(np.mean(expected), rel=1e-5)
    weighed = loss_of(name, x_ui, x_uj, torch.tensor(WEIGHT), n_candidates=POOL)
    assert weighed.item() == pytest.approx(np.mean(np.multiply(WEIGHT, expected)), rel=1e-5)


@pytest.mark.parametrize("name", FORMULAS)
def test_a_step_against_the_gradient_brings_the_positive_up_and_the_negatives_down(name):
    x_ui, x_uj = torch.zeros(2, requires_grad=True), torch.zeros(2, 3, requires_grad=True)
    loss_of(name, x_ui, x_uj, None, n_candidates=POOL).backward()
    assert (x_ui.grad < 0).all()
    assert (x_uj.grad > 0).all()


def test_the_gradient_of_bpr_is_sigmoid_of_minus_x():
    x = torch.tensor([-1.5, 0.0, 2.0], dtype=torch.float64, requires_grad=True)
    bpr_loss(x, torch.zeros(3, 1, dtype=torch.float64)).backward()
    assert x.grad.tolist() == pytest.approx([-_sigmoid(-v) / 3 for v in (-1.5, 0.0, 2.0)], rel=1e-12)


def test_tutorial_error_11_bpr_is_the_logarithm_and_not_the_sigmoid():
    x_ui, x_uj = torch.tensor([0.4]), torch.tensor([[1.1]])
    assert bpr_loss(x_ui, x_uj).item() == pytest.approx(-math.log(_sigmoid(0.4 - 1.1)), rel=1e-6)
    assert abs(bpr_loss(x_ui, x_uj).item() - _sigmoid(1.1 - 0.4)) > 0.4  # what the tutorial calls BPR


def test_tutorial_error_11_the_rank_of_warp_is_each_positives_own():
    # The second positive stands below all, which must not weigh on the first: alone it costs the same.
    x_ui, x_uj = torch.tensor([3.0, 0.0]), torch.tensor([[2.5, 0.0], [4.0, 5.0]])
    both = warp_loss(x_ui, x_uj, n_candidates=POOL).item()
    alone = [warp_loss(x_ui[b : b + 1], x_uj[b : b + 1], n_candidates=POOL).item() for b in (0, 1)]
    assert both == pytest.approx(np.mean(alone), rel=1e-6)
    assert alone[0] == pytest.approx(sum(1 / r for r in range(1, POOL // 2 + 1)) * 0.5, rel=1e-5)


@pytest.mark.parametrize("loss", [bpr_loss, bce_loss, softmax_loss, hinge_loss])
def test_far_away_scores_neither_overflow_nor_vanish(loss):
    x_ui = torch.tensor([-1e4, 1e4], requires_grad=True)
    value = loss(x_ui, torch.zeros(2, 1))
    value.backward()
    assert value.item() == pytest.approx(5000, rel=1e-3)
    assert x_ui.grad.tolist() == [-0.5, 0.0]


@pytest.mark.parametrize("name", FORMULAS)
def test_a_broadcast_that_makes_a_b_by_b_loss_is_refused(name):
    # (B,) + (B, 1) is (B, B): found in two VBPR libraries, where each user's score met each item's bias.
    score, bias = torch.zeros(3), torch.zeros(3, 1)
    for x_ui, x_uj, weight in (
        (score + bias, bias, None),
        (score, score, None),
        (score, torch.zeros(2, 1), None),
        (score, bias, bias),
        (score, bias, torch.zeros(2)),
    ):
        with pytest.raises(ValueError, match="broadcasting would pair all"):
            loss_of(name, x_ui, x_uj, weight, n_candidates=POOL)
