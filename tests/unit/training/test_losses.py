from __future__ import annotations

import math

import pytest
import torch

from visrec.training.losses import bpr_loss


def test_the_loss_is_the_mean_of_minus_log_sigmoid():
    x = torch.tensor([-1.5, 0.0, 0.3, 4.0])
    expected = sum(-math.log(1 / (1 + math.exp(-v))) for v in x.tolist()) / 4
    assert bpr_loss(x).item() == pytest.approx(expected, rel=1e-6)


def test_each_triple_has_its_weight():
    x, weight = torch.tensor([-1.0, 2.0]), torch.tensor([3.0, 0.5])
    expected = (3 * math.log(1 + math.exp(1)) + 0.5 * math.log(1 + math.exp(-2))) / 2
    assert bpr_loss(x, weight).item() == pytest.approx(expected, rel=1e-6)
    assert bpr_loss(x, torch.ones(2)) == bpr_loss(x)


def test_the_gradient_is_sigmoid_of_minus_x():
    x = torch.tensor([-1.5, 0.0, 2.0], dtype=torch.float64, requires_grad=True)
    bpr_loss(x).backward()
    expected = [-1 / (1 + math.exp(v)) / 3 for v in x.tolist()]
    assert x.grad.tolist() == pytest.approx(expected, rel=1e-12)


def test_far_away_scores_neither_overflow_nor_vanish():
    x = torch.tensor([-1e4, 1e4], requires_grad=True)
    loss = bpr_loss(x)
    loss.backward()
    assert loss.item() == pytest.approx(5000)
    assert x.grad.tolist() == [-0.5, 0.0]


def test_a_broadcast_that_makes_a_b_by_b_loss_is_refused():
    # (B,) + (B, 1) is (B, B): found in two VBPR libraries, where each user's score met each item's bias.
    score, bias = torch.zeros(3), torch.zeros(3, 1)
    with pytest.raises(ValueError, match=r"\(3, 3\)"):
        bpr_loss(score + bias)
    with pytest.raises(ValueError, match=r"\(3,\) and \(3, 1\)"):
        bpr_loss(score, bias)
    with pytest.raises(ValueError, match=r"\(3,\) and \(2,\)"):
        bpr_loss(score, torch.zeros(2))
