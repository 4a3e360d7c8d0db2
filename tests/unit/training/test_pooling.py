from __future__ import annotations

import pytest
import torch

from visrec.training.pooling import pool_by_torch, pooled, unpool_by_torch

pytestmark = pytest.mark.usefixtures("parts")


def test_means_maxima_and_gradients_are_those_of_each_history_by_itself():
    generator = torch.Generator().manual_seed(0)
    Z = torch.randn(6, 40, generator=generator, requires_grad=True)
    histories = [[1, 4, 1], [], [5], [0, 1, 2, 3]]
    rows = torch.tensor([row for history in histories for row in history])
    found = pooled(Z, rows, torch.tensor([len(history) for history in histories]))
    weights = torch.randn(2, 4, 40, generator=generator)
    lengths = torch.tensor([len(history) for history in histories])
    *by_torch, at = pool_by_torch(Z, rows, lengths)
    for one, wanted in zip(by_torch, found, strict=True):
        torch.testing.assert_close(one, wanted.detach())
    (gradient,) = torch.autograd.grad(found, Z, tuple(weights))
    torch.testing.assert_close(unpool_by_torch(6, rows, lengths, at, *weights), gradient)
    copy = Z.detach().clone().requires_grad_()
    total = torch.zeros(())
    for b, history in enumerate(histories):
        if not history:
            assert (found[0][b] == 0).all()
            assert (found[1][b] == 0).all()
            continue
        mean, most = copy[history].mean(0), copy[history].max(0).values
        torch.testing.assert_close(found[0][b], mean)
        torch.testing.assert_close(found[1][b], most)
        total = total + (weights[0, b] * mean).sum() + (weights[1, b] * most).sum()
    total.backward()
    torch.testing.assert_close(gradient, copy.grad)


def test_of_equal_maxima_the_first_has_the_gradient():
    Z = torch.tensor([[1.0], [1.0]], requires_grad=True)
    _, most = pooled(Z, torch.tensor([1, 0]), torch.tensor([2]))
    (gradient,) = torch.autograd.grad(most.sum(), Z)
    assert gradient.tolist() == [[0.0], [1.0]]
    assert pool_by_torch(Z, torch.tensor([1, 0]), torch.tensor([2]))[2].tolist() == [[1]]
