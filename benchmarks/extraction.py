"""How fast visrec turns images into features, beside the plain way and beside what the machine can do at most.

    uv run python benchmarks/extraction.py IMAGES              the race; --networks, --images, --rounds
    uv run python benchmarks/extraction.py IMAGES --memory     peak memory of 2,000 and of 20,000 images
    uv run python benchmarks/extraction.py IMAGES --kills 20   killed at random moments: are the bytes the same?
    … --write                                                  also puts the figures into benchmarks/README.md

IMAGES is a folder of JPEGs. Networks are torchvision's, with random weights: speed does not depend on them.

The race, in turns, each contestant in a fresh process, on the same images; building the network counts for none:

- naive: the tutorial's way, see `naive`.
- visrec: `visrec.extract` into a temporary folder, with precision "auto" (the default) and "float32".
- network: the ceiling of the network alone, on pictures prepared before, all its threads busy.
- decoding: the ceiling of the processes that decode and prepare, answers thrown away.

Of each there is the speed of the whole call (with reading the files' digests, starting processes, writing the
result) and the steady one, between a quarter and three quarters of the images. Where both need the same processors
(no GPU), no way of sharing them is faster than the shared ceiling, 1 / (1 / network + 1 / decoding).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import numpy as np
import polars as pl
from common import Pace, Table, described, machine, publish, spread

import visrec
from visrec.data.ids import IdMap
from visrec.data.images import content_digest

NETWORKS = "resnet50,alexnet,squeezenet1_0"
PRECISIONS = ("auto", "float32")
NAIVE_BATCH = 8  # the tutorial's
WAITING = 4  # batches given to the network at a time, as the engine does
MEMORY = {"squeezenet1_0": {"weights": "random"}, "color": {}}  # extractors whose memory is looked at
FEW, MANY = 2_000, 20_000

Answer = TypeVar("Answer")


def fresh(function: Callable[..., Answer], *given: Any) -> Answer:
    """A function's answer from a new process, in which nothing was imported or set before."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *given).result()


def chosen(folder: Path, n: int) -> list[Path]:
    """`n` JPEGs of different contents from all over a folder; all there are, if fewer."""
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    random.Random(0).shuffle(files)
    found: dict[str, Path] = {}
    for path in files:
        found.setdefault(content_digest(path), path)
        if len(found) == n:
            break
    if not found:
        raise SystemExit(f"{folder} holds no JPEGs.")
    return list(found.values())


def catalog_of(files: Sequence[Path]) -> visrec.Catalog:
    """A catalogue of image files, numbered."""
    items = IdMap(range(len(files)), kind="item")
    return visrec.Catalog(items, tuple(files), pl.DataFrame({"item_id": items.values}))


# ---- the race --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Speed:
    """Images a second.

    Attributes:
        whole: of the whole call.
        steady: see `Pace.steady`; that of the whole call where there are too few batches to tell.
        precision: of the network, if there is one.
        device: of the network, if there is one.
    """

    whole: float
    steady: float
    precision: str = ""
    device: str = "cpu"


class Clock(Pace):
    """A `Pace` that starts now."""

    def __init__(self) -> None:
        super().__init__()
        self._start = time.perf_counter()

    def speed(self, n: int, precision: str = "", device: str = "cpu") -> Speed:
        """Of `n` images, done now."""
        whole = n / (time.perf_counter() - self._start)
        return Speed(whole, self.steady() or whole, precision, device)

    def tick(self, done: int, total: int) -> None:
        """So many are done."""
        self(done, total, "images/s")


def naive(network: str, files: list[Path]) -> Speed:
    """The tutorial's way: one process, Pillow and torchvision's transform, small batches, vectors in a list."""
    import torch
    from PIL import Image
    from torchvision import models

    from visrec.features.architectures import build

    made = build("torchvision", network, "random")
    made.cut(made.net)  # its vector before the classifier, as visrec's
    device = "cuda" if torch.cuda.is_available() else "cpu"
    net = made.net.eval().to(device)
    transform = models.get_model_weights(network).DEFAULT.transforms()
    vectors: list[np.ndarray] = []
    clock = Clock()
    for start in range(0, len(files), NAIVE_BATCH):
        names = files[start : start + NAIVE_BATCH]
        batch = torch.stack([transform(Image.open(name).convert("RGB")) for name in names])
        with torch.no_grad():
            vectors.extend(net(batch.to(device)).cpu().numpy())
        clock.tick(len(vectors), len(files))
    return clock.speed(len(files), "float32", device)


def whole(network: str, files: list[Path], precision: str) -> Speed:
    """`visrec.extract` into a temporary folder."""
    from visrec.features.backbones import Backbone

    made = Backbone(network, weights="random", precision=precision)
    catalog = catalog_of(files)
    with tempfile.TemporaryDirectory() as folder:
        clock = Clock()
        visrec.extract(catalog, made, out=Path(folder) / "features", progress=clock)
        return clock.speed(len(files), made.precision, made.device)


def network_alone(network: str, files: list[Path], precision: str) -> Speed:
    """`Backbone.submit` on batches in memory, some always waiting; as many pictures as there are files."""
    from visrec.features.backbones import Backbone
    from visrec.features.decoding import prepared

    made = Backbone(network, weights="random", precision=precision)
    few = files[: WAITING * made.batch_size]
    pictures = [
        one for one in prepared(made.preparation, few, n_workers=0, ahead=64) if not isinstance(one, str)
    ]
    batches = [
        np.stack([pictures[(start + index) % len(pictures)] for index in range(made.batch_size)])
        for start in range(0, len(pictures), made.batch_size)
    ]
    total = -(-len(files) // made.batch_size) * made.batch_size
    waiting: deque[Future[np.ndarray]] = deque()
    done, clock = 0, Clock()
    for number in range(total // made.batch_size + WAITING):
        if number * made.batch_size < total:
            waiting.append(made.submit(batches[number % len(batches)]))
        if number >= WAITING or number * made.batch_size >= total:
            if not waiting:
                break
            done += len(waiting.popleft().result())
            clock.tick(done, total)
    return clock.speed(total, made.precision, made.device)


def decoding_alone(network: str, files: list[Path]) -> Speed:
    """The processes that decode and prepare, as many as `visrec.extract` starts."""
    from visrec.features.backbones import Backbone
    from visrec.features.decoding import prepared

    made = Backbone(network, weights="random", precision="float32")
    workers, size = min(os.cpu_count() or 1, 8), made.batch_size
    clock = Clock()
    stream = prepared(made.preparation, files, n_workers=workers, ahead=3 * size)
    for done, _ in enumerate(stream, start=1):
        clock.tick(done, len(files))
    return clock.speed(len(files))
