from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from visrec.training.optimizer import L2, Optimizer, RowGradients, move_by_torch
from visrec.training.pairs import Touched
from visrec.training.trainer import TrainingConfig

NOTHING = Touched(*[(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32))] * 3)

pytestmark = pytest.mark.usefixtures("parts")


class Model(nn.Module):
    """A table of six items, one of four users, and a weight that belongs to none."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.items = nn.Parameter(torch.randn(6, 3, generator=generator))
        self.users = nn.Parameter(torch.randn(4, 2, generator=generator))
        self.W = nn.Parameter(torch.randn(2, 2, generator=generator))


def _take(model, rows, seed):
    """The rows of `items` as looked up, and a gradient for them."""
    index = torch.tensor(rows)
    g = torch.randn(len(rows), 3, generator=torch.Generator().manual_seed(seed))
    return RowGradients(model.items, index, g)


def _theirs(kind, model, **settings):
    cls = {
        "sgd": torch.optim.SGD,
        "adagrad": torch.optim.Adagrad,
        "adam": torch.optim.Adam,
        "adamw": torch.optim.AdamW,
    }
    return cls[kind](model.parameters(), **settings)


@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("kind", ["sgd", "adagrad", "adam", "adamw"])
def test_rows_in_every_batch_go_the_way_that_torch_has_them_go(kind, decay):
    model = Model()
    reference = copy.deepcopy(model)
    config = TrainingConfig(optimizer=kind, learning_rate=0.1, weight_decay=decay)
    ours = Optimizer(model, config, L2(items={"items": 0.0}))
    theirs = _theirs(kind, reference, lr=0.1, weight_decay=decay)
    for step in range(4):
        taken = _take(model, [0, 1, 2, 3, 4, 5], step)
        W = torch.randn(2, 2, generator=torch.Generator().manual_seed(50 + step))
        reference.items.grad, reference.W.grad = taken.g.clone(), W.clone()
        reference.users.grad = torch.zeros(4, 2)
        theirs.step()
        if decay:  # every row at every step: the table is moved whole
            ours.step([], [taken.g, None, W], NOTHING)
        else:
            ours.step([taken], [None, W], NOTHING)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter, reference.get_parameter(name), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["sgd", "adagrad", "adam"])
def test_rows_of_no_batch_stay_where_they_are(kind):
    model = Model()
    before = model.items.detach().clone()
    optimizer = Optimizer(model, TrainingConfig(optimizer=kind), L2(items={"items": 0.5}))
    for step in range(3):
        optimizer.step([_take(model, [1, 4], step)], [None, None], NOTHING)
    assert (model.items != before).any(1).tolist() == [False, True, False, False, True, False]


def test_adam_by_rows_is_torchs_sparse_adam():
    model = Model()
    table = nn.Parameter(model.items.detach().clone())
    theirs = torch.optim.SparseAdam([table], lr=0.1)
    ours = Optimizer(model, TrainingConfig(learning_rate=0.1), L2(items={"items": 0.0}))
    for step, rows in enumerate(([0, 2], [2, 5], [0, 1, 2])):
        taken = _take(model, rows, step)
        table.grad = torch.sparse_coo_tensor(
            torch.tensor([rows]), taken.g, (6, 3), is_coalesced=True, check_invariants=False
        )
        theirs.step()
        ours.step([taken], [None, None], NOTHING)
    torch.testing.assert_close(model.items, table, rtol=1e-5, atol=1e-6)


def test_rows_that_are_looked_up_twice_get_the_sum_of_their_gradients_and_of_their_terms():
    model = Model()
    before = model.items.detach().clone()
    l2 = L2(items={"items": 0.5}, history={"items": 2.0}, shared={"W": 3.0})
    W = model.W.detach().clone()
    optimizer = Optimizer(model, TrainingConfig(optimizer="sgd", learning_rate=0.1), l2)
    first, second = _take(model, [0, 3], 0), _take(model, [3, 5], 1)
    times = np.array([0.25, 0.75], dtype=np.float32)
    touched = Touched(NOTHING.users, (np.array([0, 3]), times), (np.array([3, 4]), times))
    optimizer.step([first, second], [None, None], touched)
    gradient = torch.zeros(6, 3)
    gradient[[0, 3]] += first.g
    gradient[[3, 5]] += second.g
    gradient[0] += 0.5 * 0.25 * before[0]
    gradient[3] += (0.5 * 0.75 + 2 * 0.25) * before[3]
    gradient[4] += 2 * 0.75 * before[4]
    torch.testing.assert_close(model.items.detach(), before - 0.1 * gradient)
    torch.testing.assert_close(model.W.detach(), W - 0.1 * 3 * W)


def test_a_row_that_is_looked_up_twice_at_once_moves_once():
    model = Model()
    before = model.items.detach().clone()
    optimizer = Optimizer(
        model, TrainingConfig(optimizer="adagrad", learning_rate=0.1), L2(items={"items": 0.0})
    )
    taken = _take(model, [4, 1, 4], 0)
    optimizer.step([taken], [None, None], NOTHING)
    g = taken.g
    both = g[0] + g[2]
    torch.testing.assert_close(before[4] - model.items.detach()[4], 0.1 * both / both.abs())
    torch.testing.assert_close(before[1] - model.items.detach()[1], 0.1 * g[1] / g[1].abs())


@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("kind", ["sgd", "adagrad", "adam", "adamw"])
def test_in_torchs_operations_rows_go_the_same_way(kind, decay):
    model = Model()
    config = TrainingConfig(optimizer=kind, learning_rate=0.1, weight_decay=decay)
    optimizer = Optimizer(model, config, L2())
    tables = [one.detach().clone() for one in (model.items, *optimizer._states["items"])]
    for step, rows in enumerate(([0, 2], [2, 5], [0, 1, 2])):
        taken = _take(model, rows, step)
        pull = np.linspace(0.5, 1, len(rows), dtype=np.float32)
        optimizer._steps = step + 1
        optimizer._move("items", taken.index.numpy(), taken.g, pull)
        move_by_torch(kind, taken.index.numpy(), taken.g, pull, tables, optimizer._rates)
    for ours, theirs in zip(tables, (model.items.detach(), *optimizer._states["items"]), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_gradient_that_is_a_part_of_wider_rows_is_read_as_what_it_is():
    model = Model()
    before = model.items.detach().clone()
    optimizer = Optimizer(model, TrainingConfig(optimizer="sgd", learning_rate=1.0), L2(items={"items": 0.0}))
    wide = torch.arange(14.0).view(2, 7)
    taken = RowGradients(model.items, torch.tensor([1, 4]), wide[:, 2:5])
    optimizer.step([taken], [None, None], NOTHING)
    torch.testing.assert_close(before[[1, 4]] - model.items.detach()[[1, 4]], wide[:, 2:5])


def test_with_weight_decay_every_row_moves():
    model = Model()
    before = model.items.detach().clone()
    optimizer = Optimizer(model, TrainingConfig(weight_decay=0.1), L2(items={"items": 0.0}))
    assert not optimizer.tables
    optimizer.step([], [None, None, None], NOTHING)
    assert (model.items != before).all()


def test_parameters_of_any_shape_move_as_torch_has_them_move():
    model = nn.Sequential(nn.Conv2d(3, 4, 2), nn.LayerNorm(5))
    reference = copy.deepcopy(model)
    ours, theirs = (
        Optimizer(model, TrainingConfig(learning_rate=0.1), L2()),
        _theirs("adam", reference, lr=0.1),
    )
    for step in range(2):
        generator = torch.Generator().manual_seed(step)
        found = [torch.randn(p.shape, generator=generator) for p in model.parameters()]
        found[0] = (
            found[0].permute(1, 2, 3, 0).contiguous().permute(3, 0, 1, 2)
        )  # as convolutions may give it
        for parameter, g in zip(reference.parameters(), found, strict=True):
            parameter.grad = g.clone()
        theirs.step()
        ours.step([], found, NOTHING)
    for one, other in zip(model.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["sgd", "adagrad", "adam"])
def test_it_goes_on_from_its_state_as_if_it_had_never_stopped(kind):
    def steps(model, optimizer, numbers):
        for number in numbers:
            W = torch.randn(2, 2, generator=torch.Generator().manual_seed(number))
            optimizer.step([_take(model, [number % 6, 5 - number % 2], number)], [None, W], NOTHING)

    config, l2 = TrainingConfig(optimizer=kind), L2(items={"items": 0.0})
    whole, half = Model(), Model()
    steps(whole, Optimizer(whole, config, l2), [0, 1, 2, 4])
    first = Optimizer(half, config, l2)
    steps(half, first, [0, 1])
    state = {name: one.clone() for name, one in first.state().items()}
    second = Optimizer(half, config, l2)
    second.restore(state)
    steps(half, second, [2, 4])
    for name, parameter in whole.named_parameters():
        assert torch.equal(parameter, half.get_parameter(name)), name


def test_the_learning_rate_is_that_of_tables_and_of_the_rest():
    model = Model()
    optimizer = Optimizer(model, TrainingConfig(optimizer="sgd", learning_rate=1.0), L2(items={"items": 0.0}))
    optimizer.learning_rate = 0.5
    before = copy.deepcopy(model)
    taken, W = _take(model, [2], 0), torch.ones(2, 2)
    optimizer.step([taken], [None, W], NOTHING)
    torch.testing.assert_close(model.W, before.W - 0.5)
    torch.testing.assert_close(model.items[2], before.items[2] - 0.5 * taken.g[0])
    assert optimizer.learning_rate == 0.5
