from __future__ import annotations

import numpy as np
import pytest
import torch

from visrec.features.features import Features
from visrec.training import vectors as module
from visrec.training.vectors import ItemVectors

MISSING = np.array([False, False, True, False, False, False])


@pytest.fixture
def features():
    values = np.random.default_rng(0).normal(1, 2, size=(6, 4)).astype(np.float32)
    return Features.from_array(values, range(6), missing=MISSING)


def _expected(features, shift, scale, fill):
    rows = (features.values - shift) * scale
    rows[MISSING] = fill
    return torch.from_numpy(rows.astype(np.float32))


def test_rows_are_shifted_scaled_and_filled(features):
    shift, scale, fill = np.arange(4.0), np.array([1, 0.5, 0, 2]), np.array([9.0, 8, 7, 6])
    vectors = ItemVectors(features, shift=shift, scale=scale, fill=fill)
    expected = _expected(features, shift, scale, fill)
    torch.testing.assert_close(vectors[torch.tensor([5, 2, 0])], expected[[5, 2, 0]])
    torch.testing.assert_close(vectors[:], expected)
    torch.testing.assert_close(vectors[3], expected[3])
    torch.testing.assert_close(vectors.mean(), expected.mean(0))
    assert len(vectors) == 6


@pytest.mark.parametrize("items", [[0, 1, 2, 3, 4, 5], [1, 4]])  # nearly all of them, and few
@pytest.mark.parametrize("held", [1 << 31, 0])  # in memory, and read for each batch
@pytest.mark.parametrize(("precision", "within"), [("float32", 1e-6), ("bfloat16", 2e-2)])
def test_products_and_their_gradients_are_those_of_all_rows(
    features, items, held, precision, within, monkeypatch
):
    monkeypatch.setattr(module, "room", lambda device: held)
    vectors = ItemVectors(features, scale=0.5, precision=precision)
    f = vectors[:][items]
    for _ in range(2):  # the second time with buffers that hold something
        W = torch.randn(3, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
        product = vectors.product(torch.tensor(items), W, learning=True)
        g = torch.randn(len(items), 3, generator=torch.Generator().manual_seed(1))
        (gradient,) = torch.autograd.grad(product, W, g)
        torch.testing.assert_close(product.detach(), f @ W.detach().T, rtol=within, atol=3 * within)
        torch.testing.assert_close(gradient, g.T @ f, rtol=within, atol=3 * within)


def test_what_is_not_learnt_is_exact(features):
    vectors = ItemVectors(features, precision="bfloat16")
    W, items = torch.randn(3, 4, generator=torch.Generator().manual_seed(0)), torch.arange(6)
    exact = vectors[:] @ W.T
    assert torch.equal(vectors.product(items, W), exact)
    assert not torch.equal(vectors.product(items, W, learning=True), exact)
    assert torch.equal(vectors.product(items, W), exact)  # as validation asks, between two epochs
    vectors.release()
    assert torch.equal(vectors.product(items, W), exact)
