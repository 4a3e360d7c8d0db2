"""A network that is learnt with a model: from a batch of pixels to K numbers each."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from visrec.errors import ConfigError, FeaturesError
from visrec.features.architectures import build, resolve_backbone
from visrec.features.weights import load_weights
from visrec.training.cnnf import CHANNELS, CNNF
from visrec.training.vectors import Precision, is_bfloat16

Trained = Literal["all", "head"] | int

DIM_FC = 4096

CNNFS: dict[str, Callable[..., CNNF]] = {
    "cnn-f": CNNF,
    "cnn-f-tutorial": lambda *args, **sizes: CNNF(
        *args, **sizes, stride=(1, 4), padding="valid", rectified=True
    ),
}
"""The variants of CNN-F by name; every other name is one of torchvision or timm."""

# Mean and deviation of pixels in 0 … 1, where they are not those of published weights.
_SCALES = {"cnn-f": (0.5, 0.5), "cnn-f-tutorial": (0.0, 1.0), "alexnet-tutorial": (0.0, 1.0)}
_ARCHITECTURES = {"alexnet-tutorial": "alexnet"}  # as the tutorial's checkpoints have it: pixels as they are


class PixelNetwork(nn.Module):
    """CNN-F, or a network of torchvision or timm whose classifier is a new linear layer of K.

    Parts that are not trained stay in eval mode and have no gradient, whatever mode the whole is in.

    Attributes:
        net: the network with its last layer.
        precision: of its products; weights and sums are float32.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        backbone: str,
        side: int,
        dim: int,
        *,
        dim_fc: int = DIM_FC,
        channels: tuple[int, ...] = CHANNELS,
        trained: Trained = "all",
        precision: Precision = "auto",
        seed: int = 0,
    ) -> None:
        """Build it with random weights.

        Args:
            backbone: a name of `CNNFS`, or as `resolve_backbone` takes it.
            side: S, of the square pictures, in pixels.
            dim: K.
            dim_fc: of the fully connected layers of CNN-F.
            channels: of the convolutions of CNN-F.
            trained: "all", "head" (the last layer), or so many of the last layers that have weights;
                normalisations belong to the layer before them.
            precision: "auto" is bfloat16 where the hardware has it.
            seed: of the weights of a network of torchvision or timm; all else comes from torch's generator.

        Raises:
            ConfigError: there is no such network, it does not take pictures of this size, or has fewer layers.
        """
        super().__init__()
        self.backbone, self.side = backbone, side
        if backbone in CNNFS:
            self.net: nn.Module = CNNFS[backbone](side, dim, dim_fc=dim_fc, channels=channels)
        else:
            architecture = resolve_backbone(_ARCHITECTURES.get(backbone, backbone))
            made = build(*architecture, "random", input_size=side, seed=seed)
            made.cut(made.net)
            mean, std = made.transform.mean, made.transform.std
            head = nn.Linear(_width(made.net, side, backbone), dim)
            nn.init.xavier_uniform_(head.weight)
            nn.init.zeros_(head.bias)
            parts = OrderedDict(body=made.net, flat=nn.Flatten(1), head=head)
            self.net = nn.Sequential(parts)
        if backbone in _SCALES:
            mean, std = ((value,) * 3 for value in _SCALES[backbone])
        for name, value in {"mean": mean, "std": std}.items():
            self.register_buffer(name, 255 * torch.tensor(value).view(3, 1, 1), persistent=False)
        self.precision: Precision = precision
        self._frozen = _freeze_all_but(self.net, trained, backbone)

    def load(self, weights: str) -> None:
        """Take weights: "default" downloads those that are published, all else is a file with a state dict.

        The file holds the whole network, with the classifier that it was trained with; for CNN-F that is its last
        layer of K.

        Raises:
            ConfigError: none are published.
            FeaturesError: they cannot be downloaded or read, or do not fit.
        """
        if self.backbone in CNNFS:
            if weights == "default":
                raise ConfigError(
                    f"No weights of {self.backbone} are published: weights='random' learns it from scratch. Or give "
                    f"a file, or another backbone: alexnet, resnet18 …"
                )
            load_weights(self.net, Path(weights))
            return
        kind = "default" if weights == "default" else "file"
        architecture = resolve_backbone(_ARCHITECTURES.get(self.backbone, self.backbone))
        made = build(*architecture, kind, input_size=self.side, called=self.backbone)
        if kind == "file":
            load_weights(made.net, Path(weights))
        made.cut(made.net)
        self.net.get_submodule("body").load_state_dict(made.net.state_dict())

    def train(self, mode: bool = True) -> PixelNetwork:
        super().train(mode)
        for module in self._frozen:
            module.training = False
        return self

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels `(n, S, S, 3)` uint8 to `(n, K)` float32."""
        # Pixels come channels last, which a GPU's convolutions like best.
        order = torch.contiguous_format if pixels.is_cpu else torch.channels_last
        x = pixels.permute(0, 3, 1, 2).to(torch.float32, memory_format=order)  # (n, 3, S, S)
        x = x.sub_(self.mean).div_(self.std)
        with (
            _running_statistics(self if len(x) == 1 else None),
            torch.autocast(
                x.device.type, dtype=torch.bfloat16, enabled=is_bfloat16(self.precision, x.device.type)
            ),
        ):
            z = self.net(x)  # (n, K)
        return z.to(torch.float32)


def _width(body: nn.Module, side: int, name: str) -> int:
    """F, the length of the vector that a network without classifier gives of pictures of this size."""
    body.eval()
    try:
        with torch.no_grad():
            return int(body(torch.zeros(1, 3, side, side)).flatten(1).shape[1])
    except (RuntimeError, AssertionError, ValueError, TypeError) as error:
        what = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise FeaturesError(
            f"{name} does not take pictures of {side} x {side} ({what}). Extract them in another size: "
            f"visrec.extract(catalog, 'pixels', size=224). Or choose another backbone."
        ) from error


def _freeze_all_but(net: nn.Module, trained: Trained, name: str) -> list[nn.Module]:
    """Freeze what comes before the last `trained` layers; the modules that are frozen as a whole."""
    modules = list(net.modules())
    if trained == "all":
        return []
    layers = [
        place
        for place, module in enumerate(modules)
        if any(parameter.ndim >= 2 for parameter in module.parameters(recurse=False))
    ]
    count = 1 if trained == "head" else trained
    if count > len(layers):
        raise ConfigError(
            f"trained is {trained}, but {name} has {len(layers)} layers. Say 'all' to train all."
        )
    first = layers[-count]
    for module in modules[:first]:
        for parameter in module.parameters(recurse=False):
            parameter.requires_grad_(False)
    kept = set(modules[first:])
    return [module for module in modules if kept.isdisjoint(module.modules())]


@contextmanager
def _running_statistics(net: nn.Module | None) -> Iterator[None]:
    """Batch normalisation by the running statistics: a single picture may have no spread of its own."""
    modules = (
        [] if net is None else [one for one in net.modules() if isinstance(one, _BatchNorm) and one.training]
    )
    for module in modules:
        module.training = False
    try:
        yield
    finally:
        for module in modules:
            module.training = True
