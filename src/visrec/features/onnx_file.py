"""An ONNX file: a session of onnxruntime, what it says of its input, and a digest of all its weights."""

from __future__ import annotations

import hashlib
import mmap
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from visrec.errors import FeaturesError

_TYPES: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(uint8)": np.uint8,
}


@dataclass(frozen=True)
class Input:
    """What the file says of its input; None where it leaves something open."""

    name: str
    dtype: type[np.generic]
    batch: int | None
    height: int | None
    width: int | None
    channels_last: bool


def open_session(path: Path) -> tuple[str, Any]:
    """Device, and a session in which each call computes in the thread that makes it."""
    try:
        import onnxruntime
    except ImportError:
        raise FeaturesError(
            f"The extractor onnx:{path} needs onnxruntime: pip install 'visrec[onnx]'"
        ) from None
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    settings.add_session_config_entry("session.inter_op.allow_spinning", "0")
    settings.log_severity_level = 3  # errors
    usable = onnxruntime.get_available_providers()
    wanted = [one for one in ("CUDAExecutionProvider", "CPUExecutionProvider") if one in usable]
    try:
        session = onnxruntime.InferenceSession(os.fspath(path), settings, providers=wanted)
    except Exception as error:  # onnxruntime has a dozen, without a base of their own
        raise FeaturesError(
            f"{path}: cannot be read as ONNX ({short(error)}). Expected a network as torch.onnx.export writes it."
        ) from error
    return ("cuda" if "CUDAExecutionProvider" in session.get_providers() else "cpu"), session


def input_of(path: Path, inputs: Sequence[Any]) -> Input:
    """The one input; `FeaturesError` where it is not for RGB pictures."""
    if len(inputs) != 1:
        raise FeaturesError(
            f"{path}: has {len(inputs)} inputs, {listed(inputs)}; expected one, a picture. Export the network with "
            f"the picture as its only input."
        )
    one = inputs[0]
    fixed = [side if isinstance(side, int) and side > 0 else None for side in one.shape]
    if len(fixed) != 4 or (fixed[1] not in (3, None) and fixed[3] != 3):
        raise FeaturesError(
            f"{path}: its input is {listed(inputs)}; expected a batch of RGB pictures, (B, 3, H, W) or "
            f"(B, H, W, 3). Export the network so."
        )
    if one.type not in _TYPES:
        raise FeaturesError(
            f"{path}: its input '{one.name}' is a {one.type}; expected {', '.join(_TYPES)}. Export the network so."
        )
    last = fixed[1] != 3 and fixed[3] == 3
    high, wide = fixed[1:3] if last else fixed[2:]
    return Input(one.name, _TYPES[one.type], fixed[0], high, wide, last)


def listed(values: Sequence[Any]) -> str:
    """Inputs or outputs with their shapes, for messages."""
    return ", ".join(
        f"{one.name} ({', '.join('?' if side is None else str(side) for side in one.shape)})"
        for one in values
    )


def weights_digest(path: Path) -> str:
    """SHA-256 (hex) of the file; where it keeps weights in files beside it, of all their digests."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    beside = _external(path)
    if not beside:
        return digest
    digests = [digest]
    for one in beside:
        with one.open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def _external(path: Path) -> list[Path]:
    """Files beside it that hold its weights: their names follow the key "location" in the file (`onnx.proto`)."""
    found = set()
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        for match in re.finditer(rb"\n\x08location\x12([\x01-\x7f])", content):
            name = content[match.end() : match.end() + match[1][0]]
            try:
                beside = path.parent / name.decode()
                if beside.is_file():
                    found.add(beside)
            except (UnicodeDecodeError, ValueError, OSError):  # no name: bytes of a weight
                continue
    return sorted(found)


def short(error: Exception) -> str:
    """The first line of what onnxruntime says, for a message of one line."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return re.sub(r"^\[ONNXRuntimeError\] : \d+ : ", "", lines[0])[:200].rstrip(". ")
