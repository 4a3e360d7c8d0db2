from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn

import visrec
from visrec.explain import explain
from visrec.explain.activation import activation_map
from visrec.explain.deletions import AREA, highest


class Net(nn.Module):
    """A convolution, a ReLU that works in place, and a linear layer that knows places."""

    def __init__(self, *, pooled: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 4, 4, stride=4)
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.AdaptiveAvgPool2d(1) if pooled else nn.Identity()
        self.fc = nn.Linear(4 if pooled else 4 * 16 * 16, 2)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        x = pixels.permute(0, 3, 1, 2).float() / 255 - 0.5
        return self.fc(self.pool(self.relu(self.conv(x))).flatten(1))


class Slow(nn.Identity):
    """Gives the word to other threads."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        time.sleep(0.02)
        return x


@pytest.fixture
def pixels():
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8))


def test_the_map_is_activation_times_gradient_cell_by_cell(pixels):
    net, theta = Net(pooled=False), torch.tensor([1.0, -2.0])
    values, score = activation_map(net, pixels, theta)
    with torch.no_grad():
        x = pixels.permute(0, 3, 1, 2).float() / 255 - 0.5
        A = net.conv(x).relu()[0].numpy()  # (4, 16, 16)
        weights = (theta @ net.fc.weight).reshape(4, 16, 16).numpy()  # dy / dA
        assert score == pytest.approx(float((net(pixels) @ theta)[0]), abs=1e-5)
    expected = np.zeros((16, 16))
    for row in range(16):
        for column in range(16):
            for channel in range(4):
                expected[row, column] += weights[channel, row, column] * A[channel, row, column]
    np.testing.assert_allclose(values, expected / np.abs(expected).max(), atol=1e-5)
    assert np.abs(values).max() == pytest.approx(1)


def test_maps_of_several_threads_are_those_of_one(pixels):
    net, theta = Net(pooled=False), torch.tensor([1.0, -2.0])
    alone, _ = activation_map(net, pixels, theta)
    net.pool = Slow()  # so that all are within at once
    with ThreadPoolExecutor(4) as pool:
        for values, _ in pool.map(lambda _: activation_map(net, pixels, theta), range(8)):
            np.testing.assert_array_equal(values, alone)


def test_cells_and_the_constant_add_up_to_the_score_of_a_network_that_is_linear_after_the_map(pixels):
    net, theta = Net(pooled=False), torch.tensor([1.0, -2.0])
    values, score = activation_map(net, pixels, theta)
    constant = float(theta @ net.fc.bias.detach())
    with torch.no_grad():
        x = pixels.permute(0, 3, 1, 2).float() / 255 - 0.5
        product = (net.conv(x).relu()[0] * (theta @ net.fc.weight).reshape(4, 16, 16)).sum(0)
    assert float(values.sum()) * float(product.abs().max()) + constant == pytest.approx(score, abs=1e-4)


def test_where_the_network_ends_in_a_mean_it_is_grad_cam(pixels):
    """Selvaraju et al. 2017: weights are the gradient's mean over the map; without their ReLU."""
    net, theta = Net(pooled=True), torch.tensor([0.5, 1.0])
    values, _ = activation_map(net, pixels, theta)
    with torch.no_grad():
        x = pixels.permute(0, 3, 1, 2).float() / 255 - 0.5
        A = net.conv(x).relu()[0]  # (4, 16, 16)
    A.requires_grad_()
    y = theta @ net.fc(A.mean((1, 2)))
    (gradient,) = torch.autograd.grad(y, A)
    weights = [float(gradient[channel].mean()) for channel in range(4)]
    expected = sum(weights[channel] * A[channel].detach().numpy() for channel in range(4))
    np.testing.assert_allclose(values, expected / np.abs(expected).max(), atol=1e-5)


def test_the_map_points_at_the_one_place_that_counts():
    """A network that reads the green of one corner alone."""
    net = Net(pooled=False)
    with torch.no_grad():
        net.conv.weight.zero_()
        net.conv.bias.zero_()
        net.conv.weight[0, 1] = 1.0
        net.fc.weight.zero_()
        net.fc.weight.view(2, 4, 16, 16)[0, 0, 12:, 12:] = 1.0
    pixels = torch.full((1, 64, 64, 3), 200, dtype=torch.uint8)
    values, _ = activation_map(net, pixels, torch.tensor([1.0, 0.0]))
    expected = np.zeros((16, 16))
    expected[12:, 12:] = 1
    np.testing.assert_allclose(values, expected, atol=1e-6)
    against, _ = activation_map(net, pixels, torch.tensor([-1.0, 0.0]))
    np.testing.assert_allclose(against, -expected, atol=1e-6)


@pytest.mark.parametrize("backbone", ["cnn-f", "timm:test_resnet"])
def test_networks_of_every_kind_have_a_map(fitted, backbone):
    own = {} if backbone == "cnn-f" else {"dim_fc": 4096, "channels": (64, 256, 256, 256, 256)}
    model = fitted("DVBPR", backbone=backbone, trained="head" if own else "all", epochs=0, **own)
    with torch.no_grad():
        model.theta_u[0] = torch.randn(3, generator=torch.Generator().manual_seed(0))
    found = explain(model, "u00", "i03").activation
    assert found.values.ndim == 2
    assert np.abs(found.values).max() == pytest.approx(1)
    np.testing.assert_array_equal(found.toward - found.against, found.values)
    assert min(found.toward.min(), found.against.min()) == 0
    assert not model.phi.training


def test_an_item_without_a_picture_has_no_map(fitted):
    assert explain(fitted("DVBPR"), "u01", "i04").activation is None


def test_a_model_without_its_pictures_says_what_to_do(fitted, tmp_path):
    fitted("DVBPR").save(tmp_path / "m")
    found = explain(visrec.load_model(tmp_path / "m"), "u00", "i03")
    assert found.activation is None
    assert "load_model(path, pixels)" in found.notes[0]


def test_explaining_changes_nothing_about_the_model(fitted):
    model = fitted("DVBPR")
    model.zero_grad()
    before = model.digest
    explain(model, "u00", "i03")
    assert model.digest == before
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_highest_part_has_its_area_and_lies_where_the_map_is_high():
    values = np.zeros((4, 4), dtype=np.float32)
    values[3, 0] = 1
    mask = highest(values, 40)
    assert mask.sum() == round(AREA * 1600)
    assert mask[30:, :10].all()
