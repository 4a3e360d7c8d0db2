from __future__ import annotations

import numpy as np
import pytest
import torch

from visrec.errors import ConfigError, FeaturesError
from visrec.training.pixel_network import PixelNetwork

SMALL = {"dim_fc": 6, "channels": (3, 4, 4, 4, 5), "precision": "float32"}
TINY = "timm:test_resnet"  # half a million parameters, with batch normalisation


@pytest.fixture
def pixels():
    values = np.random.default_rng(0).integers(0, 256, size=(6, 32, 32, 3), dtype=np.uint8)
    return torch.from_numpy(values)


def _input_of(network, pixels):
    """What the network proper gets to see."""
    seen = []
    network.net.register_forward_pre_hook(lambda module, args: seen.append(args[0].clone()))
    with torch.no_grad():
        network.eval()(pixels)
    return seen[0].numpy()


def test_tutorial_error_12_pixels_come_in_the_papers_scale(pixels):
    found = _input_of(PixelNetwork("cnn-f", 32, 4, **SMALL), pixels)
    for n, row, column, channel in ((0, 0, 0, 0), (5, 31, 2, 1), (3, 7, 30, 2)):
        value = int(pixels[n, row, column, channel])
        assert found[n, channel, row, column] == pytest.approx((value - 127.5) / 127.5, abs=1e-6)


@pytest.mark.parametrize("name", ["resnet18", TINY])
def test_networks_of_the_libraries_get_the_scale_that_they_were_made_for(pixels, name):
    network = PixelNetwork(name, 32, 4, precision="float32")
    found = _input_of(network, pixels)
    mean, std = {
        "resnet18": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        TINY: ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    }[name]
    for channel in range(3):
        expected = (int(pixels[2, 5, 9, channel]) / 255 - mean[channel]) / std[channel]
        assert found[2, channel, 5, 9] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("name", ["cnn-f", TINY])
def test_one_picture_gives_what_it_gives_among_many_in_inference(pixels, name):
    sizes = SMALL if name == "cnn-f" else {"precision": "float32"}
    network = PixelNetwork(name, 32, 4, **sizes).eval()
    with torch.no_grad():
        together = network(pixels)
        single = torch.cat([network(pixels[n : n + 1]) for n in range(6)])
    torch.testing.assert_close(together, single, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["resnet18", TINY])
def test_tutorial_error_13_a_batch_of_one_does_not_crash_where_a_map_has_one_cell(pixels, name):
    network = PixelNetwork(name, 32, 4).train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    z = network(pixels[:1])
    assert z.shape == (1, 4)
    assert z.isfinite().all()
    z.sum().backward()
    after = network.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)  # one picture moves no statistics
    assert all(module.training for module in network.modules())
    network(pixels)
    assert any(not torch.equal(before[key], network.state_dict()[key]) for key in before)


@pytest.mark.parametrize(("trained", "learning"), [("all", 8), ("head", 1), (1, 1), (3, 3), (8, 8)])
def test_so_many_of_the_last_layers_learn(trained, learning):
    network = PixelNetwork("cnn-f", 32, 4, **SMALL, trained=trained)
    layers = [*network.net.convs, *network.net.fcs]
    for place, layer in enumerate(layers):
        expected = place >= len(layers) - learning
        assert layer.weight.requires_grad == layer.bias.requires_grad == expected


def test_more_layers_than_there_are_are_refused():
    with pytest.raises(ConfigError, match="cnn-f has 8 layers"):
        PixelNetwork("cnn-f", 32, 4, **SMALL, trained=9)


def test_frozen_parts_stay_in_eval_mode_and_change_nothing(pixels):
    network = PixelNetwork(TINY, 32, 4, trained="head", precision="float32").train()
    assert network.training
    assert not any(module.training for module in network.net.body.modules())
    before = {key: value.clone() for key, value in network.net.body.state_dict().items()}
    optimizer = torch.optim.Adam(network.parameters(), lr=0.1)
    first = network.net.head.weight.detach().clone()
    network(pixels).square().sum().backward()
    optimizer.step()
    assert all(torch.equal(before[key], value) for key, value in network.net.body.state_dict().items())
    assert not torch.equal(first, network.net.head.weight)


def test_dropout_before_the_first_layer_that_learns_is_off():
    network = PixelNetwork("alexnet", 64, 4, trained="head").train()
    dropouts = [module for module in network.modules() if isinstance(module, torch.nn.Dropout)]
    assert len(dropouts) == 2
    assert not any(module.training for module in dropouts)
    network = PixelNetwork("alexnet", 64, 4).train()
    assert all(module.training for module in network.modules())


@pytest.mark.parametrize(("trained", "on"), [("head", [False, False]), (2, [False, True]), (3, [True, True])])
def test_dropout_of_cnn_f_is_on_after_layers_that_learn_alone(pixels, trained, on):
    network = PixelNetwork("cnn-f", 32, 4, **SMALL, trained=trained).train()
    assert [fc.dropout.training for fc in network.net.fcs[:-1]] == on
    with torch.no_grad():
        assert torch.equal(network(pixels), network(pixels)) == (not any(on))


def test_weights_come_from_a_file_of_the_whole_network(pixels, tmp_path):
    import timm

    published = timm.create_model("test_resnet", pretrained=False).eval()
    torch.save(published.state_dict(), tmp_path / "weights.pt")
    network = PixelNetwork(TINY, 32, 4, precision="float32", seed=3).eval()
    network.load(str(tmp_path / "weights.pt"))
    published.reset_classifier(0)
    x = (pixels.permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.5
    with torch.no_grad():
        expected = network.net.head(published(x))
        torch.testing.assert_close(network(pixels), expected, rtol=1e-4, atol=1e-5)


def test_weights_of_cnn_f_come_from_a_file_too(pixels, tmp_path):
    one, other = (PixelNetwork("cnn-f", 32, 4, **SMALL).eval() for _ in range(2))
    torch.save(one.net.state_dict(), tmp_path / "weights.pt")
    with torch.no_grad():
        assert not torch.equal(one(pixels), other(pixels))
        other.load(str(tmp_path / "weights.pt"))
        assert torch.equal(one(pixels), other(pixels))
    with pytest.raises(ConfigError, match=r"No weights of cnn-f are published.*random"):
        one.load("default")
    with pytest.raises(FeaturesError, match="no such file"):
        one.load(str(tmp_path / "none.pt"))


def test_the_seed_decides_the_weights_of_a_network_of_the_libraries():
    def first(seed):
        return next(PixelNetwork(TINY, 32, 4, seed=seed).parameters())

    assert torch.equal(first(1), first(1))
    assert not torch.equal(first(1), first(2))


def test_pictures_that_a_network_does_not_take_are_refused():
    with pytest.raises(FeaturesError, match=r"alexnet does not take pictures of 16 x 16 .*size=224"):
        PixelNetwork("alexnet", 16, 4)
    with pytest.raises(ConfigError, match="resnet18"):
        PixelNetwork("resnet19", 32, 4)


def test_bfloat16_changes_products_and_neither_weights_nor_output_type(pixels):
    network = PixelNetwork("cnn-f", 32, 4, **{**SMALL, "precision": "bfloat16"}).eval()
    exact = PixelNetwork("cnn-f", 32, 4, **SMALL).eval()
    exact.load_state_dict(network.state_dict())
    with torch.no_grad():
        found, expected = network(pixels), exact(pixels)
    assert found.dtype == torch.float32
    assert all(parameter.dtype == torch.float32 for parameter in network.parameters())
    assert not torch.equal(found, expected)
    assert torch.cosine_similarity(found, expected).min() > 0.99
