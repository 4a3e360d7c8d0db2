"""Weights of networks: published, from a file, or random, always of a whole network and with a digest."""

from __future__ import annotations

import hashlib
import pickle
import re
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visrec.errors import FeaturesError
from visrec.files import file_digest

if TYPE_CHECKING:
    from torch import nn


def seeded(build: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    """Build a network whose weights are the same each time, leaving torch's own generator as it was."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return build()


def downloaded(build: Callable[[], nn.Module], name: str, where: str) -> nn.Module:
    """Build a network with published weights; both libraries write a download under its name when whole.

    Args:
        build: makes it, downloading the weights if they are not in the library's cache.
        name: of the network.
        where: the address of the weights, or a repository of the Hugging Face hub.

    Raises:
        FeaturesError: they are not in the cache and cannot be downloaded.
    """
    try:
        with redirect_stdout(sys.stderr):  # torch says there that it downloads; stdout stays for results
            return build()
    except Exception as error:
        # Each library, cache and proxy has errors of its own here: the user needs one answer.
        raise _no_download(name, where, error) from error


def check_hub(repository: str, name: str) -> None:
    """Fail at once where the Hugging Face hub is neither reachable nor needed; it retries for a minute.

    Raises:
        FeaturesError: the weights of `name` are not in the local cache and the hub does not answer.
    """
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    from huggingface_hub import constants, try_to_load_from_cache

    if any(isinstance(try_to_load_from_cache(repository, file), str) for file in _HUB_FILES):
        return
    try:
        if constants.HF_HUB_OFFLINE:
            raise OSError("HF_HUB_OFFLINE is set")
        urlopen(Request(constants.ENDPOINT, method="HEAD"), timeout=20).close()
    except HTTPError as error:  # it answers, whatever it says
        error.close()
    except OSError as error:
        raise _no_download(name, repository, error) from error


_HUB_FILES = ("model.safetensors", "pytorch_model.bin", "open_clip_model.safetensors")


def _no_download(name: str, where: str, error: Exception) -> FeaturesError:
    """What to say: which file, where it was looked for, and the two ways out."""
    if where.startswith(("http:", "https:")):
        import torch

        file = where.rpartition("/")[2]
        looked = Path(torch.hub.get_dir()) / "checkpoints" / file
    else:
        from huggingface_hub import constants

        file = _HUB_FILES[0]
        looked = Path(constants.HF_HUB_CACHE) / f"models--{where.replace('/', '--')}"
        where = f"{constants.ENDPOINT}/{where}"
    return FeaturesError(
        f"The weights of {name}, {file}, are not at {looked} and cannot be downloaded from {where} "
        f"({_short(error)}). Either fetch the file on a machine with internet and give it: --weights FILE. "
        f"Or try things out without: --weights random."
    )


def load_weights(net: nn.Module, path: Path) -> None:
    """Load a state dict from a file into a whole network (classifier included); every key must fit.

    Raises:
        FeaturesError: no such file, not a state dict, or one of another network.
    """
    _check_is_file(path)
    try:
        state = _read_state(path)
    except Exception as error:
        raise FeaturesError(
            f"{path}: cannot be read as weights: {_unreadable(path, error)}. Expected a .safetensors file, or a "
            f"state dict saved with torch.save(model.state_dict(), FILE)."
        ) from error
    import torch

    entries = list(state.values()) if isinstance(state, dict) else []
    if not entries or not all(isinstance(one, torch.Tensor) for one in entries):
        found = f"the keys {list(state)[:4]}" if entries else f"a {type(state).__name__}"
        raise FeaturesError(
            f"{path}: holds {found}; expected a state dict: names and tensors. Save that alone: "
            f"torch.save(checkpoint['state_dict'], FILE)."
        )
    kind = type(net).__name__
    # As torchvision reads its own files: auxiliary heads are for training only, and the oldest DenseNet
    # files write norm.1 for norm1.
    if kind in {"GoogLeNet", "Inception3"}:
        state = {
            key: one for key, one in state.items() if not key.startswith(("aux1.", "aux2.", "AuxLogits."))
        }
    if kind == "DenseNet":
        state = {
            re.sub(r"(denselayer\d+\.(?:norm|relu|conv))\.(?=[12]\.)", r"\1", key): one
            for key, one in state.items()
        }
    try:
        missing, unexpected = net.load_state_dict(state, strict=False)
    except RuntimeError as error:
        detail = next((line for line in str(error).splitlines() if "size mismatch" in line), str(error))
        raise FeaturesError(
            f"{path}: does not fit {kind}: {' '.join(detail.split())} Give the weights of this very network."
        ) from error
    for keys, what in ((missing, "lacks"), (unexpected, "has the unknown")):
        if keys:
            more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
            raise FeaturesError(
                f"{path}: does not fit {kind}: it {what} {', '.join(keys[:3])}{more}. It holds {len(state)} tensors; "
                f"expected the {len(net.state_dict())} of this very network, its classifier included."
            )


def weights_file_digest(path: Path) -> str:
    """SHA-256 (hex) of a file of weights.

    Raises:
        FeaturesError: no such file.
    """
    _check_is_file(path)
    return file_digest(path)


def _check_is_file(path: Path) -> None:
    if not path.is_file():
        raise FeaturesError(f"{path}: no such file of weights. Give a file, or 'default', or 'random'.")


def _read_state(path: Path) -> Any:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    import torch

    return torch.load(path, map_location="cpu", weights_only=True)


def state_digest(net: nn.Module) -> str:
    """SHA-256 (hex) of all weights: the same whichever file, or download, they came from."""
    digest = hashlib.sha256()
    for name, tensor in net.state_dict().items():
        array = tensor.detach().cpu().contiguous().numpy()
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _unreadable(path: Path, error: Exception) -> str:
    """Why a file holds no weights, in words; what the readers stumble over says little."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if not head:
        return "it is empty"
    if not _NOT_TEXT.search(head):
        return f"it is text, which begins with {head.decode().split(chr(10))[0].strip()[:40]!r}"
    if isinstance(error, pickle.UnpicklingError):  # torch's own text advises to run the file's code
        return "it holds more than tensors, or is no such file at all"
    return "it is damaged, or no such file at all"


_HEAD = 256  # bytes
_NOT_TEXT = re.compile(rb"[^\t\n\r -~]")


def _short(error: Exception) -> str:
    """The first line of what went wrong, for a message of one line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
