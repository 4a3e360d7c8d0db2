"""What a layer of a network gives: reached by name, brought to one layout."""

from __future__ import annotations

import difflib
from math import isqrt
from typing import TYPE_CHECKING

import numpy as np

from visrec.errors import ConfigError, FeaturesError

if TYPE_CHECKING:
    from torch import Tensor, nn

FORWARD_FEATURES = "forward_features"
"""The name of timm's own method for the last feature map, where that is not a module."""


class _Reached(Exception):  # noqa: N818 - no error
    """Carries a layer's output out of a network whose later layers need not run; safe in threads."""

    def __init__(self, output: object) -> None:
        self.output = output


class Tap:
    """A network up to one of its layers.

    Attributes:
        layer: the layer's name; None: the network's own output.
    """

    def __init__(self, net: nn.Module, layer: str | None) -> None:
        """Raises `ConfigError` where the network has no such layer; names the near misses."""
        self.net, self.layer = net, layer
        if layer is None or (layer == FORWARD_FEATURES and hasattr(net, FORWARD_FEATURES)):
            return
        modules = dict(net.named_modules())
        if layer not in modules or not layer:
            near = difflib.get_close_matches(layer, modules, n=3)
            hint = f" Did you mean {' or '.join(near)}?" if near else ""
            top = ", ".join(name for name, _ in net.named_children())
            raise ConfigError(
                f"{type(net).__name__} has no layer '{layer}'.{hint} Its layers: {top}, and those within them, such "
                f"as {[name for name in modules if '.' in name][-1] if len(modules) > 2 else top}."
            )
        modules[layer].register_forward_hook(_reach)

    def __call__(self, x: Tensor) -> Tensor:
        """The layer's output, as it lays it out."""
        import torch

        try:
            output = self.net.forward_features(x) if self.layer == FORWARD_FEATURES else self.net(x)  # type: ignore[operator]
        except _Reached as reached:
            output = reached.output
        else:
            if self.layer not in (None, FORWARD_FEATURES):
                raise FeaturesError(
                    f"{type(self.net).__name__}: its layer '{self.layer}' is not used on pictures. Choose another "
                    f"--layer."
                )
        if not isinstance(output, torch.Tensor):
            raise FeaturesError(
                f"{type(self.net).__name__}: its layer '{self.layer}' gives a {type(output).__name__}, not one "
                f"tensor. Choose another --layer."
            )
        return output


def _reach(module: nn.Module, inputs: object, output: object) -> None:  # noqa: ARG001
    raise _Reached(output)


def last_map(net: nn.Module, probe: Tensor) -> str:
    """The layer that gives the last feature map (or tokens) of a network without its classifier.

    Args:
        net: in eval mode.
        probe: a batch of one `(1, 3, H, W)`.

    Raises:
        ConfigError: it has none.
    """
    import torch
    from torch import nn

    if hasattr(net, FORWARD_FEATURES):
        return FORWARD_FEATURES
    no_maps = nn.AdaptiveAvgPool2d, nn.AvgPool2d, nn.Dropout, nn.Flatten
    found: list[str] = []
    hooks = []
    for name, module in net.named_modules():

        def note(module: nn.Module, inputs: object, output: object, name: str = name) -> None:  # noqa: ARG001
            several = isinstance(output, torch.Tensor) and (
                (output.ndim == 4 and output.shape[2] > 1) or (output.ndim == 3 and output.shape[1] > 1)
            )
            if several and name and not isinstance(module, no_maps):
                found.append(name)

        hooks.append(module.register_forward_hook(note))
    with torch.inference_mode():
        net(probe)
    for hook in hooks:
        hook.remove()
    if not found:
        raise ConfigError(
            f"{type(net).__name__} has no feature map to pool; leave --pool out, or name a --layer."
        )
    return found[-1]


def channels_first(output: Tensor, *, last: bool = False) -> Tensor:
    """Maps `(B, H, W, C)` as `(B, C, H, W)`; all else as it is.

    Told apart by shape: pictures are square, and so are maps of them. Where C = H = W, `last` says what they are.
    """
    if (
        output.ndim == 4
        and output.shape[1] == output.shape[2]
        and (output.shape[2] != output.shape[3] or last)
    ):
        return output.permute(0, 3, 1, 2)
    return output


def n_prefix_of(n_tokens: int, n_prefix: int) -> int:
    """How many of a layer's tokens come before those of the patches: those of the network, or none.

    Patches form a square: 197 tokens are a class token and 14 x 14 patches, 196 are patches alone.
    """
    without = n_tokens - n_prefix
    if n_prefix and without > 0 and isqrt(without) ** 2 == without:
        return n_prefix
    return 0


def grid_of(n_regions: int) -> tuple[int, int] | None:
    """Rows and columns of regions that form a square; None where they do not."""
    side = isqrt(n_regions)
    return (side, side) if side * side == n_regions else None


def has_bfloat16(device: str) -> bool:
    """Whether the hardware multiplies bfloat16 natively (emulated, it would be slower than float32)."""
    import torch

    if device != "cpu":
        return device.startswith("cuda") and torch.cuda.is_bf16_supported(including_emulation=False)
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, check, bool)()) for check in checks)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """The smallest cosine between rows of two batches `(B, …)`; 0 where a row is not finite."""
    a, b = (one.reshape(len(one), -1).astype(np.float64) for one in (a, b))
    length = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosines = np.einsum("bf,bf->b", a, b) / np.maximum(length, 1e-30)
    return float(np.nan_to_num(cosines, nan=0.0).min())
