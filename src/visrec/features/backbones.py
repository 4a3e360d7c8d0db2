"""Networks of torchvision and timm as extractors, all by name: the vector before the classifier, or any layer."""

from __future__ import annotations

import copy
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from visrec.config import Config
from visrec.errors import ConfigError, FeaturesError
from visrec.features.architectures import build, resolve_backbone
from visrec.features.extractor import Extractor, Pending, versions
from visrec.features.lanes import Lanes, torch_threads
from visrec.features.layers import (
    FORWARD_FEATURES,
    Tap,
    channels_first,
    cosine,
    grid_of,
    has_bfloat16,
    last_map,
    n_prefix_of,
)
from visrec.features.pooling import Pool, pool
from visrec.features.weights import load_weights, state_digest

if TYPE_CHECKING:
    from torch import Tensor, nn

log = logging.getLogger("visrec")

LEAST_COSINE = 0.999
"""Between vectors in bfloat16 and float32 of one picture, below which float32 is used: what is promised."""
LEAST_CENTRED_COSINE = 0.99
"""Likewise, with the mean vector (float32) of the pictures subtracted from both: vectors of different pictures may
have a cosine of .7 or more, so that the first alone says little about which is nearest to which."""
# Pictures a thread: activations that fit its cache are twice as fast for light networks as 32 of them (measured).
# Where the weights of the linear layers are what does not fit (alexnet, vgg), more at a time make better use of them.
_PIECE, _PIECE_BFLOAT16, _PIECE_LINEAR, _PIECE_GPU = 4, 8, 16, 64
_MANY_LINEAR = 20_000_000  # parameters of linear layers


class NetworkOptions(Config):
    """Options of a network."""

    layer: str | None = None
    """The module whose output is taken, by its name in the network (`layer4`); None: the input of the classifier, or
    with `pool` the last feature map."""
    pool: Pool | None = None
    """How a map or tokens become one vector; "regions" keeps them apart. None: "mean", where there is a map."""
    grid: int | None = Field(default=None, ge=1, le=64)
    """With pool = "regions": rows and columns of coarser regions, the means of the map's cells; None: each cell."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """"auto": bfloat16 where the hardware has it and the vectors keep a cosine of .999 to those of float32, and .99
    when their mean is subtracted."""
    input_size: int | None = Field(default=None, ge=8, le=4096)
    """Side of the square picture that the network sees, in pixels; None: as published."""

    @model_validator(mode="after")
    def _no_option_in_vain(self) -> Self:
        if self.grid is not None and self.pool != "regions":
            raise ValueError("grid is of regions alone. Set pool = 'regions', or leave grid out")
        return self


class Backbone(Extractor):
    """A network of torchvision or timm: its vector before the classifier, or what any of its layers gives.

    Pictures are resized and cropped as published with the network's default weights, whichever are loaded.
    """

    Config = NetworkOptions

    def __init__(
        self, name: str, *, weights: str | Path = "default", device: str | None = None, **options: Any
    ) -> None:
        """Build the network and load weights.

        Args:
            name: As `resolve_backbone` takes it.
            weights: "default" (the published ones, downloaded once), "random" (seeded), or a file with a
                state dict: `.safetensors`, or whatever `torch.load(weights_only=True)` reads.
            device: As torch names it; None: "cuda" where there is one, else "cpu".
            options: See `NetworkOptions`.

        Raises:
            ConfigError: no such network, or no such layer.
            FeaturesError: the weights cannot be had, read, or do not fit.
        """
        import torch

        self.options = NetworkOptions(**options)
        source, bare = resolve_backbone(name)
        self.name = bare if resolve_backbone(bare) == (source, bare) else f"{source}:{bare}"
        self._source = source
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        kind = str(weights) if str(weights) in {"default", "random"} else "file"
        made = build(source, bare, kind, input_size=self.options.input_size, called=name)
        if kind == "file":
            load_weights(made.net, Path(weights))
        if kind == "random":
            log.warning(
                "%s has random weights: its features say little. Better ones: default (as published), or a file.",
                name,
            )
        self._weights = {"default": made.weights, "random": "random", "file": Path(weights).name}[kind]
        self._weights_digest = state_digest(made.net)
        self.preparation = self.transform = made.transform
        if self.options.layer is None:
            made.cut(made.net)
        self._n_prefix, self._has_class_token = made.n_prefix, made.has_class_token
        self._is_channels_last = made.channels_last
        self._mean = torch.tensor(made.transform.mean, device=self.device).view(3, 1, 1)
        self._std = torch.tensor(made.transform.std, device=self.device).view(3, 1, 1)
        self._place(made.net)

    def _place(self, net: nn.Module) -> None:
        """Onto the device, up to the layer, in the precision that its hardware and the network allow."""
        import torch

        # channels_last: what the batches are in memory anyway, and a fifth to a half faster on CPU (measured).
        net = net.eval().requires_grad_(False).to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        layer = self.options.layer
        blank = np.zeros((1, *self.transform.crop, 3), dtype=np.uint8)
        try:
            if layer is None and self.options.pool is not None:
                layer = last_map(net, self.normalize(blank))
            self._tap, self._dtype = Tap(net, layer), torch.float32
            output = self._outputs(blank)
        except (RuntimeError, AssertionError, ValueError, TypeError) as error:
            what = str(error).splitlines()[0] if str(error) else type(error).__name__
            high, wide = self.transform.crop
            raise FeaturesError(
                f"{self.name} does not take pictures of {high} x {wide} ({what}). Choose another input_size, or "
                f"another extractor: `visrec extractors` lists them all."
            ) from error
        self._how = self._pooling(output.shape)
        self.shape = self._pooled(output).shape[1:]
        self.grid = None
        if self._how == "regions":
            self.grid = (
                output.shape[2:] if output.ndim == 4 and self.options.grid is None else grid_of(self.shape[0])
            )
        self.layer = f"{layer or 'input of the classifier'}{f', {self._how}' if self._how else ''}"
        if self.options.grid is not None:
            self.layer += f" {self.options.grid} x {self.options.grid}"
        self.precision = "float32"
        wanted = self.options.precision
        if wanted == "bfloat16" or (wanted == "auto" and has_bfloat16(self.device)):
            self._try_bfloat16(required=wanted == "bfloat16")
        self._lanes: Lanes | None = None

    def _try_bfloat16(self, *, required: bool) -> None:
        """Go over to bfloat16, unless vectors of smooth random pictures turn too far and it is not required."""
        import torch

        probe = _smooth_noise(self.transform.crop)
        exact = self._vectors(probe)
        mean = exact.mean(axis=0)
        before = self._tap, self._dtype
        self._tap, self._dtype = copy.deepcopy(self._tap), torch.bfloat16
        self._tap.net.to(torch.bfloat16)
        try:
            found = self._vectors(probe)
            kept, centred = cosine(exact, found), cosine(exact - mean, found - mean)
        except RuntimeError as error:  # an operation that is not written for it
            if required:
                raise FeaturesError(
                    f"{self.name} does not work in bfloat16 ({str(error).splitlines()[0]}). Leave precision out."
                ) from error
            kept = centred = 0.0
        if required or (kept >= LEAST_COSINE and centred >= LEAST_CENTRED_COSINE):
            self.precision = "bfloat16"
        else:
            self._tap, self._dtype = before
            log.info(
                "%s stays in float32: in bfloat16 a vector's cosine to it would be %.4f, less the mean %.4f.",
                self.name,
                kept,
                centred,
            )

    def _pooling(self, shape: tuple[int, ...]) -> Pool | None:
        """How this layer's output `(1, …)` is pooled; `ConfigError` where the pooling asked for makes no sense."""
        asked = self.options.pool
        if len(shape) == 2:
            if asked is not None:
                raise ConfigError(
                    f"{self.name}: its layer gives one vector of {shape[1]} numbers; there is nothing to pool. "
                    f"Leave --pool out, or name a layer that gives a map."
                )
            return None
        if len(shape) not in (3, 4):
            raise FeaturesError(
                f"{self.name}: its layer gives {shape[1:]} a picture; expected a vector, a map (C, H, W) or tokens "
                f"(N, C). Choose another --layer."
            )
        has_token = len(shape) == 3 and self._has_class_token and n_prefix_of(shape[1], self._n_prefix) > 0
        if asked == "cls" and not has_token:
            raise ConfigError(
                f"{self.name}: its layer has no class token. Use --pool mean, max, gem or regions."
            )
        return asked or "mean"

    def _pooled(self, output: np.ndarray) -> np.ndarray:
        """A layer's output, channels first, as vectors `(B, F)` or regions `(B, R, F)`."""
        if self._how is None:
            return output
        n_prefix = n_prefix_of(output.shape[1], self._n_prefix) if output.ndim == 3 else 0
        return pool(output, self._how, n_prefix=n_prefix, grid=self.options.grid)

    def provenance(self) -> dict[str, Any]:
        """What makes the vectors (JSON-able)."""
        # As it was before there were coarser regions, so that older features remain the same.
        exclude = {"precision"} | ({"grid"} if self.options.grid is None else set())
        return {
            "extractor": self.name,
            "source": self._source,
            "weights": self._weights,
            "weights_digest": self._weights_digest,
            "dim": self.dim,
            "transform": str(self.transform),
            "layer": self.layer,
            "options": self.options.model_dump(mode="json", exclude=exclude),
            "precision": self.precision,
            "device": self.device.partition(":")[0],
            "versions": versions("torch", self._source, "pillow"),
        }

    def submit(self, batch: np.ndarray) -> Pending:
        """`(B, H, W, 3)` uint8 to vectors `(B, *shape)` float32, in threads of its own."""
        return self.lanes.submit(self._vectors, batch)

    def encode(self, batch: np.ndarray) -> np.ndarray:
        """`submit`, and wait for it."""
        return self.submit(batch).result()

    @property
    def lanes(self) -> Lanes:
        """Its threads, started when first used."""
        import torch
        from torch import nn

        if self._lanes is None:
            if self.device == "cpu":
                linear = [module for module in self._tap.net.modules() if isinstance(module, nn.Linear)]
                many = sum(module.weight.numel() for module in linear) > _MANY_LINEAR
                size = _PIECE_BFLOAT16 if self.precision == "bfloat16" else _PIECE
                self._lanes = Lanes(torch_threads(torch.get_num_threads()), _PIECE_LINEAR if many else size)
            else:
                self._lanes = Lanes(ThreadPoolExecutor(1, "visrec-encode"), _PIECE_GPU)
        return self._lanes

    @property
    def batch_size(self) -> int:  # type: ignore[override]
        """Pictures that keep all threads busy."""
        import torch

        return max(32, self.lanes.size * (2 * torch.get_num_threads() if self.device == "cpu" else 1))

    def _vectors(self, piece: np.ndarray) -> np.ndarray:
        return np.asarray(self._pooled(self._outputs(piece)), dtype=np.float32)

    def _outputs(self, piece: np.ndarray) -> np.ndarray:
        """What the layer gives for `(B, H, W, 3)` uint8, channels first, float32."""
        import torch

        with torch.inference_mode():  # here, since it holds for one thread only
            output = self._tap(self.normalize(piece).to(self._dtype))
            return np.asarray(channels_first(output, last=self._maps_last()).float().cpu().numpy())

    def _maps_last(self) -> bool:
        """Whether this layer's maps are `(B, H, W, C)`, as far as the network says; not those of its convolutions."""
        from torch import nn

        layer = self._tap.layer
        inner = self._tap.net.get_submodule(layer) if layer not in (None, FORWARD_FEATURES) else None
        return self._is_channels_last and not isinstance(inner, nn.Conv2d | nn.BatchNorm2d)

    def normalize(self, batch: np.ndarray) -> Tensor:
        """`(B, H, W, 3)` uint8 to the network's input `(B, 3, H, W)` float32, on its device."""
        import torch

        pixels = torch.from_numpy(batch)
        if self.device != "cpu":
            pixels = pixels.pin_memory().to(self.device, non_blocking=True)
        pixels = pixels.permute(0, 3, 1, 2)  # (B, 3, H, W)  channels_last
        return pixels.to(torch.float32).div_(255).sub_(self._mean).div_(self._std)


def _smooth_noise(size: tuple[int, int]) -> np.ndarray:
    """Eight pictures `(8, H, W, 3)` uint8, random but smooth, as photographs are; always the same.

    They differ in grain, colour and contrast, so that less their mean something is left of their vectors.
    """
    from PIL import Image

    generator = np.random.default_rng(0)
    pictures = []
    for cells, contrast in zip((2, 3, 5, 8, 13, 20, 35, 60), (60, 90, 40, 120, 60, 90, 40, 120), strict=True):
        colour = generator.uniform(32, 224, 3)
        small = colour + generator.uniform(-contrast, contrast, (cells, cells, 3))
        large = Image.fromarray(small.clip(0, 255).astype(np.uint8)).resize(
            (size[1], size[0]), Image.Resampling.BICUBIC
        )
        pictures.append(np.asarray(large))
    return np.stack(pictures)
