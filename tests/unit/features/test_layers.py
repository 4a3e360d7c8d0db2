from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from visrec.errors import ConfigError, FeaturesError
from visrec.features.layers import Tap, channels_first, cosine, grid_of, last_map, n_prefix_of


class Bomb(nn.Module):
    """A layer that must not run."""

    def forward(self, x: Tensor) -> Tensor:
        raise AssertionError("a later layer ran")


class Pair(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x


class Blocks(nn.Module):
    """Convolution, two blocks, pooling, classifier; beside them a layer that is never used."""

    def __init__(self, last: nn.Module | None = None) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.blocks = nn.Sequential(
            nn.Sequential(nn.Conv2d(4, 5, 1), nn.ReLU()), nn.Sequential(nn.Conv2d(5, 6, 1), nn.ReLU())
        )
        self.pair = Pair()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flat = nn.Flatten()
        self.head = last or nn.Linear(6, 2)
        self.auxiliary = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        x, _ = self.pair(self.blocks(self.stem(x)))
        return self.head(self.flat(self.pool(x)))


class Tokens(nn.Module):
    """A class token and the patches of a picture, as a transformer has them."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 4, 4, stride=4)
        self.norm = nn.LayerNorm(4)
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        patches = self.patches(x).flatten(2).transpose(1, 2)  # (B, N, C)
        tokens = self.norm(torch.cat([patches.mean(1, keepdim=True), patches], dim=1))
        return self.head(tokens[:, 0])


class Timm(Blocks):
    def forward_features(self, x: Tensor) -> Tensor:
        return self.blocks(self.stem(x))


PROBE = torch.linspace(-1, 1, 3 * 16 * 16).reshape(1, 3, 16, 16)

Net = Callable[[], nn.Module]


@torch.inference_mode()
def test_a_layer_gives_what_the_network_computes_there():
    net = Blocks()
    expected = net.blocks[0](net.stem(PROBE))
    assert torch.equal(Tap(net, "blocks.0")(PROBE), expected)
    whole = Blocks()
    assert torch.equal(Tap(whole, None)(PROBE), whole(PROBE))
    timm = Timm()
    assert torch.equal(Tap(timm, "forward_features")(PROBE), timm.blocks(timm.stem(PROBE)))


@torch.inference_mode()
def test_later_layers_never_run():
    assert Tap(Blocks(last=Bomb()), "blocks")(PROBE).shape == (1, 6, 8, 8)
    assert Tap(Blocks(last=Bomb()), "flat")(PROBE).shape == (1, 6)
    with pytest.raises(AssertionError, match="a later layer ran"):
        Tap(Blocks(last=Bomb()), None)(PROBE)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (
            "blocks.2",
            r"Blocks has no layer 'blocks\.2'\. Did you mean .*blocks\.\d.* Its layers: stem, blocks, pair",
        ),
        ("forward_features", r"Blocks has no layer 'forward_features'"),
        ("", r"Blocks has no layer ''"),
    ],
)
def test_a_layer_that_is_not_there_is_refused(layer: str, message: str):
    with pytest.raises(ConfigError, match=message):
        Tap(Blocks(), layer)


@torch.inference_mode()
def test_a_layer_that_gives_no_one_tensor_is_refused():
    with pytest.raises(
        FeaturesError, match=r"its layer 'auxiliary' is not used on pictures.*another --layer"
    ):
        Tap(Blocks(), "auxiliary")(PROBE)
    with pytest.raises(
        FeaturesError, match=r"its layer 'pair' gives a tuple, not one tensor.*another --layer"
    ):
        Tap(Blocks(), "pair")(PROBE)


@pytest.mark.parametrize(("net", "layer"), [(Blocks, "blocks"), (Tokens, "norm"), (Timm, "forward_features")])
def test_the_last_map_is_the_last_layer_before_all_is_pooled(net: Net, layer: str):
    made = net()
    assert last_map(made, PROBE) == layer
    with torch.inference_mode():
        # The search leaves nothing behind.
        assert not any(module._forward_hooks for module in made.modules())
        output = Tap(made, layer)(PROBE)
    assert output.shape[1:] == {"norm": (17, 4)}.get(layer, (6, 8, 8))


def test_a_network_without_a_map_says_so():
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 4))
    with pytest.raises(ConfigError, match="has no feature map to pool; leave --pool out, or name a --layer"):
        last_map(net, PROBE)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((2, 7, 7, 96), (2, 96, 7, 7)),  # channels last, as swin and convnext give them
        ((2, 96, 7, 7), (2, 96, 7, 7)),
        ((2, 7, 7, 7), (2, 7, 7, 7)),  # cannot be told: taken for channels first
        ((2, 1, 1, 512), (2, 512, 1, 1)),
        ((2, 512, 1, 1), (2, 512, 1, 1)),
        ((2, 49, 96), (2, 49, 96)),
        ((2, 96), (2, 96)),
    ],
)
def test_maps_are_brought_to_channels_first(shape: tuple[int, ...], expected: tuple[int, ...]):
    given = torch.arange(int(np.prod(shape))).reshape(shape)
    found = channels_first(given)
    assert tuple(found.shape) == expected
    assert torch.equal(found, given if shape == expected else given.permute(0, 3, 1, 2))


def test_a_map_of_as_many_channels_as_rows_is_what_the_network_says():
    given = torch.arange(2 * 7 * 7 * 7).reshape(2, 7, 7, 7)
    assert torch.equal(channels_first(given, last=True), given.permute(0, 3, 1, 2))
    other = torch.zeros(2, 96, 7, 7)
    assert channels_first(other, last=True).shape == (2, 96, 7, 7)  # the shape says otherwise


@pytest.mark.parametrize(
    ("n_tokens", "n_prefix", "expected"),
    [
        (197, 1, 1),  # a class token and 14 x 14
        (196, 1, 0),  # patches alone
        (198, 2, 2),  # and one of a teacher
        (261, 5, 5),  # a class token, four registers, 16 x 16
        (256, 5, 0),
        (49, 0, 0),
        (1, 1, 0),  # the class token alone is no patch
        (2, 1, 1),
    ],
)
def test_tokens_before_those_of_the_patches(n_tokens: int, n_prefix: int, expected: int):
    assert n_prefix_of(n_tokens, n_prefix) == expected


def test_regions_form_a_grid_where_they_are_a_square():
    assert grid_of(49) == (7, 7)
    assert grid_of(1) == (1, 1)
    assert [n for n in range(1, 50) if grid_of(n) is not None] == [1, 4, 9, 16, 25, 36, 49]


def test_cosine_is_the_smallest_of_all_rows():
    a = np.array([[1.0, 0], [1, 1], [0, 2]])
    assert cosine(a, a) == pytest.approx(1)
    assert cosine(a, np.array([[2.0, 0], [1, 0], [0, 1]])) == pytest.approx(0.5**0.5)
    assert cosine(a, np.array([[np.nan, 0], [1, 1], [0, 2]])) == 0
    assert cosine(np.zeros((1, 2)), np.ones((1, 2))) == 0
