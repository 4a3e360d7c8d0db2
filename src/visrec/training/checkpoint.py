"""The state of a training run in one file, replaced atomically after each epoch. No pickle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import Tensor

from visrec.config import digest_of
from visrec.files import replacing
from visrec.recommender import state_digest


def save_checkpoint(path: Path, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
    """Write named tensors and JSON-able facts."""
    from safetensors.torch import save_file

    with replacing(path) as temporary:
        contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        text = json.dumps(facts)
        metadata = {"facts": text, "digest": digest_of([text, state_digest(contiguous)])}
        save_file(contiguous, temporary, metadata=metadata)


def load_checkpoint(path: Path, fingerprint: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """What `save_checkpoint` wrote; None if there is none, it is damaged, or of another training run."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            text, digest = file.metadata()["facts"], file.metadata()["digest"]
            facts: dict[str, Any] = json.loads(text)
            if facts.get("fingerprint") != fingerprint:
                return None
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return (tensors, facts) if digest_of([text, state_digest(tensors)]) == digest else None
    except (SafetensorError, KeyError, TypeError, ValueError):
        return None
