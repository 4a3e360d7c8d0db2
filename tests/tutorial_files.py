"""Writes the files of the ACM IUI 2021 tutorial, in its formats, for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch


def write_embedding(path: Path, names: Sequence[str], rows: Sequence[np.ndarray]) -> Path:
    """`[[filename, vector], …]`, a pickled array of objects."""
    table = np.empty((len(names), 2), dtype=object)
    for n, (name, row) in enumerate(zip(names, rows, strict=True)):
        table[n, 0], table[n, 1] = name, row
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        np.save(file, table, allow_pickle=True)
    return path


def write_csv(path: Path, columns: str, rows: Sequence[Sequence[object]]) -> Path:
    """A table, cells as Python shows them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [columns, *(",".join("" if cell is None else str(cell) for cell in row) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def parameters(reference: Mapping[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """The tensors `param/…` of a file of reference numbers."""
    found = {name: value for name, value in reference.items() if name.startswith("param/")}
    return {name.removeprefix("param/"): torch.from_numpy(value) for name, value in found.items()}


def write_checkpoint(path: Path, state: Mapping[str, torch.Tensor], **about: Any) -> Path:
    """As the tutorial's trainer writes it: the tensors under "model", other things beside."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"model": dict(state), "epoch": 3, "accuracy": 0.9, "loss": 0.1, **about}, path)
    return path
