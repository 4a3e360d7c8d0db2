"""Pretrained networks of torchvision and timm as extractors, all by name: the vector before the classifier."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from threading import Barrier
from typing import TYPE_CHECKING, Any

import numpy as np

from visrec.errors import ConfigError, FeaturesError
from visrec.features.weights import check_hub, downloaded, load_weights, seeded, state_digest
from visrec.registry import names, unknown_name

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor, nn

log = logging.getLogger("visrec")

SOURCES = ("torchvision", "timm")

_CPU_BATCH = (
    4  # pictures a thread: activations that fit the cache: half the time of 32 for light networks (measured)
)
_MAX_ASPECT = 16  # a strip of 1 x 10,000 pixels, its short side enlarged to 256, would take 2 GB


def backbone_names(source: str) -> list[str]:
    """All classification networks of "torchvision" or "timm", by their names there."""
    if source == "torchvision":
        from torchvision import models

        return sorted(models.list_models(module=models))
    import timm

    return [
        name for name in timm.list_models() if not name.endswith("_enc")
    ]  # vision towers, not classifiers


def resolve_backbone(name: str) -> tuple[str, str]:
    """Source and name there of "resnet50", "timm:resnet50", "torchvision:resnet50".

    A bare name means torchvision where it has it, else timm (also with a tag: "resnet50.a1_in1k").

    Raises:
        ConfigError: neither has it; names the near misses.
    """
    source, colon, bare = name.partition(":")
    if not colon:
        source, bare = "", name
    elif source not in SOURCES:
        raise ConfigError(
            f"There is no source '{source}' of extractors in '{name}'; expected timm: or torchvision:."
        )
    if source != "timm" and bare in backbone_names("torchvision"):
        return "torchvision", bare
    if source != "torchvision":
        import timm

        if timm.is_model(bare) and not bare.partition(".")[0].endswith("_enc"):
            return "timm", bare
    if source:
        known = [f"{source}:{one}" for one in backbone_names(source)]
    else:
        both = {*backbone_names("torchvision"), *backbone_names("timm")}
        known = [*names("extractors"), *sorted(both)]
    raise ConfigError(unknown_name("extractor", name, known, "visrec extractors"))


@dataclass(frozen=True)
class _Built:
    """A network with its classifier, and how pictures get into it.

    `shape` turns an RGB picture into one of the network's size; `cut` takes the classifier off, in place, and
    returns the length of the vector.
    """

    net: nn.Module
    weights: str
    shape: Callable[[Image.Image], Image.Image]
    mean: list[float]
    std: list[float]
    transform: str
    cut: Callable[[nn.Module], int]


class Backbone:
    """A network of torchvision or timm without its classifier: an `Extractor`.

    Pictures are resized and cropped as published with the network's default weights, whichever are loaded.
    """

    def __init__(self, name: str, *, weights: str | Path = "default", device: str | None = None) -> None:
        """Build the network and load weights.

        Args:
            name: As `resolve_backbone` takes it.
            weights: "default" (the published ones, downloaded once), "random" (seeded), or a file with a
                state dict: `.safetensors`, or whatever `torch.load(weights_only=True)` reads.
            device: As torch names it; None: "cuda" where there is one, else "cpu".

        Raises:
            ConfigError: no such network.
            FeaturesError: the weights cannot be had, read, or do not fit.
        """
        import torch

        source, bare = resolve_backbone(name)
        self.name = bare if resolve_backbone(bare)[0] == source else f"{source}:{bare}"
        self._source = source
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        build = _build_torchvision if source == "torchvision" else _build_timm
        if str(weights) in {"default", "random"}:
            built = build(bare, str(weights))
            if weights == "random":
                log.warning(
                    "%s has random weights: its features say little. Give weights='default' or a file.",
                    self.name,
                )
        else:
            built = build(bare, "file")
            load_weights(built.net, Path(weights))
        self._weights = {"default": built.weights, "random": "random"}.get(str(weights), Path(weights).name)
        self._weights_digest = state_digest(built.net)
        self._built = built
        self.dim = built.cut(built.net)
        # channels_last: what the batches are in memory anyway, and a fifth to a half faster on CPU (measured).
        self._net = built.net.eval().requires_grad_(False).to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._mean = torch.tensor(built.mean, device=self.device).view(3, 1, 1)
        self._std = torch.tensor(built.std, device=self.device).view(3, 1, 1)
        self._n_threads = torch.get_num_threads()
        self._pool = _single_threaded(self._n_threads) if self.device == "cpu" else None

    def provenance(self) -> dict[str, Any]:
        """What makes the vectors (JSON-able)."""
        import PIL

        # By metadata, and of the one in use: importing timm takes seconds.
        versions = {name: version(name) for name in ("torch", self._source)} | {"pillow": PIL.__version__}
        return {
            "extractor": self.name,
            "source": self._source,
            "weights": self._weights,
            "weights_digest": self._weights_digest,
            "dim": self.dim,
            "transform": self._built.transform,
            "layer": "input of the classifier",
            "device": self.device.partition(":")[0],
            "versions": versions,
        }

    def prepare(self, image: Image.Image) -> np.ndarray:
        """The picture in the network's size `(H, W, 3)` uint8; bytes, since they wait in a queue."""
        return np.array(self._built.shape(_without_strips(image)))

    def encode(self, batch: np.ndarray) -> np.ndarray:
        """`(B, H, W, 3)` uint8 to vectors `(B, F)` float32."""
        import torch

        if self._pool is None:
            vectors = self._forward(batch)
        else:
            step = min(_CPU_BATCH, -(-len(batch) // self._n_threads))
            parts = [batch[start : start + step] for start in range(0, len(batch), step)]
            vectors = torch.cat(list(self._pool.map(self._forward, parts)))  # (B, F)
        if vectors.shape != (len(batch), self.dim):
            raise FeaturesError(
                f"{self.name} gave {tuple(vectors.shape)} for {len(batch)} images; expected "
                f"({len(batch)}, {self.dim}). Choose another extractor: `visrec extractors` lists them all."
            )
        return np.asarray(vectors.float().cpu().numpy())

    def _forward(self, batch: np.ndarray) -> Tensor:
        import torch

        with torch.inference_mode():  # here, since it holds for one thread only
            vectors: Tensor = self._net(self.normalize(batch))
        return vectors

    def normalize(self, batch: np.ndarray) -> Tensor:
        """`(B, H, W, 3)` uint8 to the network's input `(B, 3, H, W)` float32, on its device."""
        import torch

        pixels = torch.from_numpy(batch).to(self.device).permute(0, 3, 1, 2)  # (B, 3, H, W)  channels_last
        return pixels.to(torch.float32).div_(255).sub_(self._mean).div_(self._std)


def _build_torchvision(name: str, weights: str) -> _Built:
    from torch import nn
    from torchvision import models
    from torchvision.transforms import functional

    published = models.get_model_weights(name).DEFAULT
    # googlenet and inception_v3 were trained on another normalization: with `transform_input` they redo
    # ours, with their own weights and any others; their default initialization takes minutes.
    options: dict[str, Any] = {}
    if name in {"googlenet", "inception_v3"}:
        options = {"transform_input": True, "init_weights": False}
    if weights == "default":
        options.pop("init_weights", None)
        net = downloaded(
            lambda: models.get_model(name, weights=published, progress=False, **options), name, published.url
        )
    else:
        net = seeded(lambda: models.get_model(name, weights=None, **options))
    for auxiliary in ("aux1", "aux2", "AuxLogits"):  # heads for training only
        if hasattr(net, auxiliary):
            setattr(net, auxiliary, None)
    preset = published.transforms()

    def shape(image: Image.Image) -> Image.Image:
        resized = functional.resize(
            image, preset.resize_size, interpolation=preset.interpolation, antialias=preset.antialias
        )
        return functional.center_crop(resized, preset.crop_size)

    def cut(net: nn.Module) -> int:
        if name.startswith("squeezenet"):  # its classifier is a convolution over the last feature map
            net.classifier = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(1))
            return 512
        # In all others the last linear layer is the classifier; what goes into it is the vector
        # (alexnet and vgg: the second layer of 4096, after its ReLU).
        last, layer = [
            (path, module) for path, module in net.named_modules() if isinstance(module, nn.Linear)
        ][-1]
        parent, _, child = last.rpartition(".")
        setattr(net.get_submodule(parent), child, nn.Identity())
        return int(layer.in_features)

    transform = (
        f"torchvision {published}: resize {preset.resize_size} {preset.interpolation.value}, "
        f"centre crop {preset.crop_size}, mean {preset.mean}, std {preset.std}"
    )
    return _Built(net, str(published), shape, preset.mean, preset.std, transform, cut)


def _build_timm(name: str, weights: str) -> _Built:
    import timm
    from timm.data import create_transform, resolve_model_data_config  # type: ignore[attr-defined]

    try:
        config = timm.get_pretrained_cfg(name)
    except RuntimeError:  # an unknown tag
        config = None
    if config is None:
        tags = timm.list_pretrained(f"{name.partition('.')[0]}.*")
        raise ConfigError(f"timm has no weights '{name}'. Expected one of: {', '.join(tags)}.")
    where = config.hf_hub_id or config.url
    if weights == "default" and not where:
        raise FeaturesError(
            f"timm publishes no weights for {name}. Choose another extractor (`visrec extractors`), or give a "
            f"file (--weights FILE), or --weights random."
        )
    if weights == "default":
        if config.hf_hub_id:
            check_hub(config.hf_hub_id, name)
        net = downloaded(lambda: timm.create_model(name, pretrained=True), name, f"{where}")
    else:
        net = seeded(lambda: timm.create_model(name, pretrained=False))
    data = resolve_model_data_config(net)  # type: ignore[no-untyped-call]
    # Resize and crop work on the picture, what follows them on a tensor: the batch does that.
    steps = create_transform(**data, is_training=False).transforms
    kinds = [type(step).__name__ for step in steps]
    if kinds[-2:] != ["MaybeToTensor", "Normalize"] or data["input_size"][0] != 3:
        raise FeaturesError(
            f"{name} takes {data['input_size']} through {', '.join(kinds)}: not a network for RGB pictures. "
            f"Choose another extractor: `visrec extractors` lists them all."
        )
    mean, std = list(data["mean"]), list(data["std"])

    def shape(image: Image.Image) -> Image.Image:
        for step in steps[:-2]:
            image = step(image)
        return image

    def cut(net: nn.Module) -> int:
        net.reset_classifier(0)  # type: ignore[operator]
        return int(net.head_hidden_size)  # type: ignore[arg-type]

    keys = ("input_size", "interpolation", "mean", "std", "crop_pct", "crop_mode")
    transform = "timm: " + ", ".join(f"{key} {data[key]}" for key in keys)
    tag = f".{config.tag}" if config.tag and "." not in name else ""
    return _Built(net, f"timm {name}{tag}", shape, mean, std, transform, cut)


def _single_threaded(n: int) -> ThreadPoolExecutor:
    """`n` threads in each of which torch computes with one thread.

    Torch's own threads share each layer and wait for each other after it, spinning: on a machine that does
    anything else besides, or has fewer processors to give than it shows, they took seven times as long
    (measured). Threads that share out the pictures wait once a batch.
    """
    import torch

    def alone() -> None:
        torch.get_num_threads()  # a thread's first look takes over the number of all: it must come before
        torch.set_num_threads(1)

    before = torch.get_num_threads()
    together = Barrier(n + 1)
    pool = ThreadPoolExecutor(n, "visrec-encode", initializer=alone)
    for _ in range(n):
        pool.submit(together.wait)  # each takes a thread of its own
    together.wait()
    torch.set_num_threads(before)  # what threads started by others from now on begin with
    return pool


def _without_strips(image: Image.Image) -> Image.Image:
    """The middle of a picture that is more than 16 times as long as wide; the crop takes it anyway."""
    width, height = image.size
    longest = _MAX_ASPECT * min(width, height)
    if max(width, height) <= longest:
        return image
    wide, high = min(width, longest), min(height, longest)
    left, top = (width - wide) // 2, (height - high) // 2
    return image.crop((left, top, left + wide, top + high))
