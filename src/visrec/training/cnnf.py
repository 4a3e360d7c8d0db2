"""CNN-F, the network of five convolutions that DVBPR learns from scratch (Chatfield et al. 2014)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d, pad

from visrec.errors import ConfigError

Padding = Literal["same", "valid"]

CHANNELS = (64, 256, 256, 256, 256)
"""Of the five convolutions, as published."""

_KERNELS = (11, 5, 3, 3, 3)
_POOLED = (True, True, False, False, True)  # after which convolutions the map is halved


class Convolution(nn.Conv2d):
    """A convolution whose padding is that of TensorFlow: "same" gives ceil(side / stride), "valid" has none.

    Where the pixels that "same" adds cannot be shared evenly, the larger half comes after the map.
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        kernel: int,
        stride: tuple[int, int] = (1, 1),
        *,
        padding: Padding = "same",
    ) -> None:
        super().__init__(n_in, n_out, kernel, stride)
        self.rule = padding

    def forward(self, x: Tensor) -> Tensor:
        """Maps `(B, n_in, H, W)` to `(B, n_out, H', W')`."""
        if self.rule == "same":
            high, wide = (
                _added(side, self.kernel_size[axis], self.stride[axis])
                for axis, side in enumerate(x.shape[2:])
            )
            x = pad(x, [*wide, *high])  # last axis first
        return super().forward(x)

    def side(self, side: int, axis: int) -> int:
        """The size of what it gives along an axis (0: H, 1: W) of `side` pixels."""
        stride = self.stride[axis]
        return -(-side // stride) if self.rule == "same" else (side - self.kernel_size[axis]) // stride + 1


class Hidden(nn.Linear):
    """A fully connected layer with ReLU and dropout of .5.

    The dropout is its own, so that it comes between the layers in the order of modules, as what is frozen goes by.
    """

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__(n_in, n_out)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        dropped: Tensor = self.dropout(torch.relu(super().forward(x)))
        return dropped


class CNNF(nn.Module):
    """Five convolutions and three fully connected layers: what a picture shows, as K numbers.

    Convolutions 11x11/4, 5x5, 3x3, 3x3, 3x3, each with a ReLU, the map halved by the largest of 2x2 after the first,
    second and fifth; two layers of `dim_fc` with ReLU and dropout of .5; a last layer of K, linear, without dropout.
    So DVBPR has it (Kang et al. 2017); Chatfield et al. (2014, table 1) also normalise responses. Initial weights are
    Xavier's (Glorot & Bengio 2010, uniform), biases 0.

    Attributes:
        convs: the five convolutions.
        fcs: the three fully connected layers, the first two with ReLU and dropout.
    """

    def __init__(
        self,
        side: int,
        dim: int,
        *,
        dim_fc: int = 4096,
        channels: tuple[int, ...] = CHANNELS,
        stride: tuple[int, int] = (4, 4),
        padding: Padding = "same",
        rectified: bool = False,
    ) -> None:
        """Build it, with new weights from torch's generator.

        Args:
            side: of the square pictures, in pixels.
            dim: K.
            dim_fc: of the first two fully connected layers.
            channels: of the five convolutions.
            stride: of the first convolution, (down, across).
            padding: "same" keeps maps at ceil(side / stride), "valid" pads nothing, neither maps nor windows.
            rectified: whether a ReLU follows the last layer too.

        Raises:
            ConfigError: the pictures are too small for it.
        """
        super().__init__()
        self.padding, self.rectified = padding, rectified
        n_in = (3, *channels[:-1])
        strides = (stride, *((1, 1),) * (len(_KERNELS) - 1))
        self.convs = nn.ModuleList(
            Convolution(i, o, kernel, step, padding=padding)
            for i, o, kernel, step in zip(n_in, channels, _KERNELS, strides, strict=True)
        )
        cells = channels[-1] * self._side(side, 0) * self._side(side, 1)
        if cells == 0:
            raise ConfigError(
                f"Pictures of {side} x {side} pixels are too small for this network: its convolutions leave nothing "
                f"of them. Extract larger ones: visrec.extract(catalog, 'pixels', size=224)."
            )
        self.fcs = nn.ModuleList([Hidden(cells, dim_fc), Hidden(dim_fc, dim_fc), nn.Linear(dim_fc, dim)])
        for layer in (*self.convs, *self.fcs):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Pictures `(B, 3, S, S)` to `(B, K)`."""
        for conv, pooled in zip(self.convs, _POOLED, strict=True):
            x = torch.relu(conv(x))
            if pooled:
                # The last, incomplete window is what TensorFlow's "same" keeps and "valid" leaves out.
                x = max_pool2d(x, 2, ceil_mode=self.padding == "same")  # (B, C, H / 2, W / 2)
        x = x.flatten(1)  # (B, C H W)
        for fc in self.fcs:
            x = fc(x)  # (B, dim_fc), at last (B, K)
        return torch.relu(x) if self.rectified else x

    def _side(self, side: int, axis: int) -> int:
        """What is left of the pictures' side before the fully connected layers; 0: nothing."""
        for conv, pooled in zip(self.convs, _POOLED, strict=True):
            assert isinstance(conv, Convolution)
            side = conv.side(side, axis)
            if pooled:
                side = -(-side // 2) if self.padding == "same" else side // 2
            if side < 1:
                return 0
        return side


def _added(side: int, kernel: int, stride: int) -> tuple[int, int]:
    """Pixels that "same" adds before and after an axis of `side` pixels."""
    total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
    return total // 2, total - total // 2
