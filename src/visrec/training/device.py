"""Where a model lies while it learns: on the CPU or on a GPU, and how its data get there.

Indices, and features that a GPU has no room for, stay in the memory of the CPU, where they are found and counted;
what is computed with goes to where the parameters lie. Of each loop that is compiled for the CPU there is a second
form beside it in torch's operations, `…_by_torch`: what calls the loop takes the one or the other by where its
tensors lie, so that no model need ask.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from visrec.errors import ConfigError

DeviceName = Literal["auto", "cpu", "cuda"]

_CPU = torch.device("cpu")
_ROOM = 1 << 31  # bytes of a copy of features in the memory of the CPU
_SHARE = 0.5  # of the memory that is free on a GPU: activations need some too


def device_to_learn_on(wanted: DeviceName, *, can: bool, name: str) -> torch.device:
    """Where a model learns.

    Args:
        wanted: the setting.
        can: whether the model is made for a GPU.
        name: the model's, for messages.

    Raises:
        ConfigError: "cuda" is wanted, and the model cannot, or torch sees no GPU.
    """
    if wanted == "cuda" and not can:
        raise ConfigError(
            f"device is 'cuda', but {name} learns on the CPU alone. Set device='auto' or 'cpu'."
        )
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            f"device is 'cuda', but torch {torch.__version__} sees no GPU here. Set device='auto' or 'cpu', or "
            f"install a torch that fits the GPU's driver: https://pytorch.org/get-started/locally"
        )
    if wanted == "cpu" or not can or not torch.cuda.is_available():
        return _CPU
    return torch.device("cuda", torch.cuda.current_device())


def beside(values: np.ndarray | Tensor, tensor: Tensor) -> Tensor:
    """Values as a tensor where another one lies: what lies there already, as all does on the CPU, is not copied.

    To a GPU they go by way of pinned memory, so that nobody waits until they are there.
    """
    found = torch.from_numpy(values) if isinstance(values, np.ndarray) else values
    if tensor.is_cpu or not found.is_cpu:
        return found
    return found.pin_memory().to(tensor.device, non_blocking=True)


def add_rows(into: Tensor, at: np.ndarray | Tensor, rows: Tensor) -> None:
    """Add rows `(N, d)` to those of another tensor by their places `(N,)`; each sum is taken in one order.

    On a GPU `index_add_` has none, while `index_put_` sorts the places first.
    """
    places = beside(at, into)
    if into.is_cpu:
        into.index_add_(0, places, rows)
    else:
        into.index_put_((places,), rows, accumulate=True)


def room(device: torch.device) -> int:
    """Bytes that a copy of features may take there while a model learns."""
    return _ROOM if device.type == "cpu" else int(_SHARE * torch.cuda.mem_get_info(device)[0])


@contextmanager
def seeded(seed: int, device: torch.device = _CPU) -> Iterator[None]:
    """torch's global generators, of the CPU and of a device, start from a seed; after it they go on as before."""
    on_gpu = device.type != "cpu"
    with torch.random.fork_rng(devices=[device] if on_gpu else []):
        torch.default_generator.manual_seed(seed)
        if on_gpu:
            torch.cuda.manual_seed(seed)
        yield


@contextmanager
def exact_products(device: torch.device) -> Iterator[None]:
    """On a GPU, convolutions are in float32 and repeat bit for bit, and products of bfloat16 are summed in float32.

    All three are settings of the process, which has its own back afterwards.
    """
    if device.type == "cpu":
        yield
        return
    matmul = torch.backends.cuda.matmul
    before = matmul.allow_bf16_reduced_precision_reduction
    matmul.allow_bf16_reduced_precision_reduction = False
    try:
        with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
            yield
    finally:
        matmul.allow_bf16_reduced_precision_reduction = before
