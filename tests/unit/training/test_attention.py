from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from visrec.training import attention
from visrec.training.attention import HistoryPairs, attend, look_back_by_torch, look_by_torch

R, F, K = 3, 4, 5
ITEM = [2, 0, 1, 2, 0, 2, 3]  # of each pair; the third of the four items has three pairs


@pytest.fixture
def given():
    """(regions of four items, a, W, w) in float64."""
    rng = np.random.default_rng(1)
    shapes = (4, R, F), (len(ITEM), K), (K, F), (K,)
    return [rng.normal(size=shape) for shape in shapes]


def _pairs(x: np.ndarray) -> HistoryPairs:
    regions = torch.from_numpy(x).float()
    return HistoryPairs.of(torch.tensor(ITEM), len(x), lambda some: regions[some], x.shape[1:])


def _tensors(given, **kwargs) -> list[torch.Tensor]:
    return [torch.from_numpy(one).float().requires_grad_() for one in given[1:]]


def _by_loops(x, a, W, w):
    """(beta, mixed), pair by pair and region by region."""
    betas, mixed = [], []
    for s, item in enumerate(ITEM):
        z = [w @ np.maximum(a[s] + W @ row, 0) for row in x[item]]
        exps = [math.exp(one - max(z)) for one in z]
        betas.append([one / sum(exps) for one in exps])
        mixed.append(sum(b * row for b, row in zip(betas[-1], x[item], strict=True)))
    return np.array(betas), np.array(mixed)


def test_attention_is_the_formula(given):
    beta, mixed = attend(_pairs(given[0]), *_tensors(given))
    expected = _by_loops(*given)
    np.testing.assert_allclose(beta, expected[0], rtol=1e-5)
    np.testing.assert_allclose(mixed.detach(), expected[1], rtol=1e-4, atol=1e-6)


def test_gradients_are_those_of_the_formula_by_small_differences(given):
    weigh = np.random.default_rng(2).normal(size=(len(ITEM), F))
    tensors = _tensors(given)
    _, mixed = attend(_pairs(given[0]), *tensors)
    (mixed * torch.from_numpy(weigh)).sum().backward()
    for place, tensor in enumerate(tensors, 1):
        expected = np.empty(given[place].shape)
        for index in np.ndindex(*expected.shape):
            both = []
            for step in (1e-6, -1e-6):
                moved = [one.copy() for one in given]
                moved[place][index] += step
                both.append((_by_loops(*moved)[1] * weigh).sum())
            expected[index] = (both[0] - both[1]) / 2e-6
        np.testing.assert_allclose(tensor.grad, expected, rtol=1e-3, atol=1e-5)


def _all(given, **kwargs) -> list[torch.Tensor]:
    tensors = _tensors(given)
    beta, mixed = attend(_pairs(given[0]), *tensors, **kwargs)
    mixed.square().sum().backward()
    return [beta, mixed.detach(), *(tensor.grad for tensor in tensors)]


def test_in_torchs_operations_it_is_the_same(given):
    tensors = _tensors(given)
    expected = attend(_pairs(given[0]), *tensors)
    of_mixed = torch.from_numpy(np.random.default_rng(2).normal(size=(len(ITEM), F))).float()
    gradients = torch.autograd.grad(expected[1], tensors, of_mixed)
    a, W, w = (one.detach() for one in tensors)
    x, order = torch.from_numpy(given[0]).float(), torch.tensor([1, 4, 2, 0, 3, 5, 6])
    item, Y = torch.tensor(ITEM)[order], x @ W.T
    beta, mixed, da, dw = (torch.empty(len(ITEM), n) for n in (R, F, K, K))
    look_by_torch(order, item, a, Y, w, x, beta, mixed)
    look_back_by_torch(order, item, a, Y, w, x, beta, of_mixed, da, dw)
    dW = Y.flatten(0, 1).T @ x.flatten(0, 1)
    for found, wanted in zip((beta, mixed, da, dW, dw.sum(0)), (*expected, *gradients), strict=True):
        torch.testing.assert_close(found, wanted.detach(), rtol=1e-4, atol=1e-5)


def test_blocks_and_threads_of_any_size_give_the_same(given, monkeypatch):
    expected = _all(given)
    for cells, kept in ((1, 1 << 26), (2 * R * F, 0), (1 << 21, 0)):
        monkeypatch.setattr(attention, "_CELLS", cells)
        monkeypatch.setattr(attention, "_KEPT", kept)
        torch.testing.assert_close(_all(given), expected)
    monkeypatch.setattr(attention, "_LEAST", 1)
    found = []
    for threads in (1, 3):
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            found.append(_all(given))
        finally:
            torch.set_num_threads(before)
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


def test_bfloat16_differs_by_its_rounding_alone(given):
    exact, rounded = _all(given), _all(given, dtype=torch.bfloat16)
    for one, other in zip(exact, rounded, strict=True):
        assert other.dtype == torch.float32
        difference = (one - other).norm() / one.norm()
        assert 0 < difference < 0.03


def test_nothing_is_attended_to_where_there_are_no_pairs():
    pairs = HistoryPairs.of(torch.zeros(0, dtype=torch.int64), 0, lambda _: torch.zeros(0, R, F), (R, F))
    W, w = torch.ones(K, F, requires_grad=True), torch.ones(K, requires_grad=True)
    beta, mixed = attend(pairs, torch.zeros(0, K), W, w)
    assert (beta.shape, mixed.shape) == ((0, R), (0, F))
    mixed.sum().backward()
    assert (W.grad == 0).all()
    assert (w.grad == 0).all()
