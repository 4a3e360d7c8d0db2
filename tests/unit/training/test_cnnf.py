from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from visrec.errors import ConfigError
from visrec.training.cnnf import CNNF, Convolution

SMALL = {"dim_fc": 6, "channels": (3, 4, 4, 4, 5)}


def _pad_of_tensorflow(side: int, kernel: int, stride: int) -> tuple[int, int, int]:
    """Output size, and pixels added before and after, counted one by one."""
    places = len(range(0, side, stride))
    reach = (places - 1) * stride + kernel
    added = 0
    while side + added < reach:
        added += 1
    return places, added // 2, added - added // 2


@pytest.mark.parametrize("side", [8, 9, 10, 11, 15, 16, 28, 64, 97])
@pytest.mark.parametrize(("kernel", "stride"), [(11, 4), (5, 1), (3, 1), (4, 3)])
def test_same_padding_gives_the_sizes_of_tensorflow(side, kernel, stride):
    conv = Convolution(1, 1, kernel, (stride, stride))
    expected, _, _ = _pad_of_tensorflow(side, kernel, stride)
    assert conv(torch.zeros(1, 1, side, side)).shape == (1, 1, expected, expected)
    assert conv.side(side, 0) == conv.side(side, 1) == expected


@pytest.mark.parametrize("side", [9, 10, 11, 12])
def test_where_same_padding_is_uneven_more_comes_after(side):
    kernel, stride = 11, 4
    conv = Convolution(1, 1, kernel, (stride, stride))
    x = np.random.default_rng(0).normal(size=(side, side)).astype(np.float32)
    w = conv.weight.detach().numpy()[0, 0]
    places, before, _ = _pad_of_tensorflow(side, kernel, stride)
    expected = np.full((places, places), conv.bias.item())
    for r in range(places):
        for c in range(places):
            for i in range(kernel):
                for j in range(kernel):
                    y, z = r * stride + i - before, c * stride + j - before
                    if 0 <= y < side and 0 <= z < side:
                        expected[r, c] += w[i, j] * x[y, z]
    found = conv(torch.from_numpy(x)[None, None])[0, 0].detach().numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("side", [8, 16, 33, 64, 96, 224])
def test_every_layer_has_the_size_that_tensorflow_gives_it(side):
    net = CNNF(side, 7, **SMALL).eval()
    sizes = []
    for conv in net.convs:
        conv.register_forward_hook(lambda module, args, output: sizes.append(output.shape[2:]))
    assert net(torch.zeros(2, 3, side, side)).shape == (2, 7)
    expected, now = [], side
    for kernel, stride, halved in ((11, 4, True), (5, 1, True), (3, 1, False), (3, 1, False), (3, 1, True)):
        now, _, _ = _pad_of_tensorflow(now, kernel, stride)
        expected.append((now, now))
        if halved:
            now, _, _ = _pad_of_tensorflow(now, 2, 2)
    assert sizes == expected
    assert net.fcs[0].in_features == SMALL["channels"][-1] * now * now


def test_the_published_sizes_are_the_default():
    net = CNNF(64, 100)
    shapes = [tuple(conv.weight.shape) for conv in net.convs]
    expected = [(64, 3, 11, 11), (256, 64, 5, 5), *[(256, 256, 3, 3)] * 3]
    assert shapes == expected
    assert net.convs[0].stride == (4, 4)
    assert [tuple(fc.weight.shape) for fc in net.fcs] == [(4096, 256 * 4), (4096, 4096), (100, 4096)]


def test_valid_padding_leaves_incomplete_windows_out():
    net = CNNF(224, 7, **SMALL, stride=(1, 4), padding="valid").eval()
    high, wide = 224, 224
    for kernel, (down, across), halved in (
        (11, (1, 4), True),
        (5, (1, 1), True),
        (3, (1, 1), False),
        (3, (1, 1), False),
        (3, (1, 1), True),
    ):
        high = len(range(0, high - kernel + 1, down))
        wide = len(range(0, wide - kernel + 1, across))
        if halved:
            high, wide = high // 2, wide // 2
    assert (high, wide) == (22, 2)
    assert net.fcs[0].in_features == 5 * high * wide
    assert net(torch.zeros(1, 3, 224, 224)).shape == (1, 7)


def test_tutorial_error_12_there_is_no_dropout_on_the_output():
    net = CNNF(16, 50, **SMALL).train()
    with torch.no_grad():
        net.fcs[-1].weight.zero_()
        net.fcs[-1].bias.fill_(3.0)
    assert (net(torch.randn(20, 3, 16, 16)) == 3).all()


def test_both_hidden_layers_drop_half_in_training_and_nothing_in_inference():
    net = CNNF(16, 5, dim_fc=400, channels=(3, 4, 4, 4, 5))
    seen = []
    for fc in net.fcs[:-1]:
        fc.dropout.register_forward_hook(lambda module, args, output: seen.append((args[0], output)))
    with torch.no_grad():
        for fc in net.fcs[:-1]:
            fc.bias.fill_(100.0)  # all is above 0 before the dropout
            fc.weight.zero_()
        net.train()(torch.zeros(4, 3, 16, 16))
        assert len(seen) == 2
        for before, after in seen:
            assert (before > 0).all()
            assert (after == 0).float().mean().item() == pytest.approx(0.5, abs=0.06)
        seen.clear()
        net.eval()(torch.zeros(4, 3, 16, 16))
        assert all(torch.equal(*pair) for pair in seen)


def test_parameters_are_named_by_layer_and_dropout_has_none():
    names = [
        f"{part}.{n}.{kind}"
        for part, count in (("convs", 5), ("fcs", 3))
        for n in range(count)
        for kind in ("weight", "bias")
    ]
    assert list(CNNF(16, 5, **SMALL).state_dict()) == names


def test_the_last_layer_is_linear_unless_asked_otherwise():
    pictures = torch.randn(30, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    linear = CNNF(16, 9, **SMALL).eval()
    rectified = CNNF(16, 9, **SMALL, rectified=True).eval()
    rectified.load_state_dict(linear.state_dict())
    with torch.no_grad():
        plain = linear(pictures)
        assert (plain < 0).any()
        assert torch.equal(rectified(pictures), plain.clamp_min(0))


def test_initial_weights_are_xaviers_and_biases_zero():
    net = CNNF(16, 9, dim_fc=50)
    for layer in (*net.convs, *net.fcs):
        area = math.prod(layer.weight.shape[2:])
        bound = math.sqrt(6 / (area * (layer.weight.shape[0] + layer.weight.shape[1])))
        assert layer.weight.abs().max() <= bound
        assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1)
        assert (layer.bias == 0).all()


def test_pictures_that_are_too_small_are_refused():
    with pytest.raises(ConfigError, match=r"16 x 16 pixels are too small.*size=224"):
        CNNF(16, 9, **SMALL, padding="valid")
