"""Regions of pictures in fewer numbers: along the directions in which they are longest, kept for training."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from visrec.errors import RunError
from visrec.features.features import Features
from visrec.training.device import beside, room

_SAMPLE = 1 << 15  # regions that the directions are found by
_BLOCK = 1 << 20  # numbers read at once: 4 MiB of float32
_IN_MEMORY = 1 << 28  # bytes of reduced regions beyond which they lie in a file


@dataclass(frozen=True, eq=False)
class Regions:
    """What a model reads of the regions of items.

    Attributes:
        features: `(I, R, F)`, perhaps mapped from disk.
        basis: `(C, F)` orthonormal rows; a region x is read as basis x. `(0, F)`: as it is.
        kept: reduced regions of some items, which need not be computed again.
    """

    features: Features
    basis: Tensor
    kept: Kept | None = None

    def of(self, items: Tensor) -> Tensor:
        """Regions `(n, R, C)` float32 of items by index `(n,)`, where they are kept; only their rows are read.

        An item's numbers are the same bit for bit whether they were kept or not, and whichever items come with it.
        """
        if len(self.basis) == 0:
            return self._raw(items)
        places = None if self.kept is None else self.kept.place[items]
        if self.kept is not None and places is not None and bool((places >= 0).all()):
            return self.kept.values.index_select(0, beside(places, self.kept.values)).float()
        return self._reduced(items).float()

    def keep(self, items: Tensor, *, folder: Path | None = None) -> Regions:
        """With the reduced regions of these items kept: in memory, or from 256 MiB on in a file that goes with them.

        Args:
            items: by index, each once.
            folder: where the file is made; None: where the system has its temporary ones.

        Raises:
            RunError: there is no room for the file.
        """
        dtype = np.dtype(np.float16 if self._stored == torch.float16 else np.float32)
        shape = (len(items), self.features.values.shape[1], len(self.basis))
        blocks = [*_blocks(len(items), self._cells)]
        reduced = (self._reduced(items[block]).numpy() for block in blocks)
        if np.prod(shape) * dtype.itemsize < _IN_MEMORY:
            values = np.empty(shape, dtype)
            for block, found in zip(blocks, reduced, strict=True):
                values[block] = found
        else:
            values = _in_file(reduced, shape, dtype, folder)
        place = torch.full((len(self.features.values),), -1)
        place[items] = torch.arange(len(items))
        return replace(self, kept=Kept(torch.from_numpy(values), place))

    @property
    def _stored(self) -> torch.dtype:
        """What reduced regions are rounded to: as wide as the features are stored."""
        return torch.float16 if self.features.values.dtype == np.float16 else torch.float32

    @property
    def _cells(self) -> int:
        return int(np.prod(self.features.values.shape[1:]))

    def _raw(self, items: Tensor) -> Tensor:
        return torch.from_numpy(self.features.values[items.numpy()]).float()  # (n, R, F)

    def _reduced(self, items: Tensor) -> Tensor:
        """Reduced regions `(n, R, C)`, rounded."""
        basis = self.basis.T.cpu()
        found = torch.empty(len(items), self.features.values.shape[1], len(self.basis))
        for block in _blocks(len(items), self._cells):
            for x, into in zip(self._raw(items[block]), found[block], strict=True):
                torch.mm(x, basis, out=into)  # one item at a time: a product's bits depend on its shape
        return found.to(self._stored)


@dataclass(frozen=True, eq=False)
class Kept:
    """Reduced regions.

    Attributes:
        values: `(n, R, C)` of some items, float16 or float32.
        place: `(I,)` int64 on the CPU, the row of each item; -1: it is not kept.
    """

    values: Tensor
    place: Tensor

    def on(self, device: torch.device) -> Kept:
        """With the values on a GPU, if that is the device and has room for them."""
        fits = device.type != "cpu" and self.values.nbytes <= room(device)
        return replace(self, values=self.values.to(device)) if fits else self


def principal_directions(features: Features, items: Tensor, n: int) -> tuple[Tensor, float]:
    """The n orthonormal directions that keep most of the squared length of regions, by a sample of them.

    The principal components of data that are not centred: what is kept of W x is W' (basis x) with W' = W basis',
    without a constant.

    Args:
        features: `(I, R, F)`.
        items: to sample from, by index; those without an image are left out.
        n: at most F.

    Returns:
        `(n, F)` by falling share, and the share of the sample's squared length that they keep, in [0, 1].
    """
    from scipy.linalg import eigh

    R, F = features.values.shape[1:]
    shown = items.numpy()[~features.missing[items.numpy()]]
    evenly = np.linspace(0, len(shown) - 1, min(len(shown), max(1, _SAMPLE // R))).astype(np.int64)
    moment = np.zeros((F, F))
    for block in _blocks(len(evenly), R * F):
        x = features.values[shown[evenly[block]]].reshape(-1, F).astype(np.float32)
        moment += x.T @ x
    length, directions = eigh(moment, subset_by_index=[F - n, F - 1])  # (n,), (F, n), ascending
    directions = directions[:, ::-1]
    # A direction's sign is arbitrary; this choice makes it the same each time.
    directions = directions * np.sign(directions[np.abs(directions).argmax(axis=0), np.arange(n)])
    whole = moment.trace()
    share = float(length.clip(0).sum() / whole) if whole > 0 else 1.0
    return torch.from_numpy(directions.T.astype(np.float32, order="C")), min(share, 1.0)


def _in_file(
    blocks: Iterator[np.ndarray], shape: tuple[int, ...], dtype: np.dtype, folder: Path | None
) -> np.ndarray:
    """An array mapped from a file that is gone when nothing maps it any more."""
    try:
        with tempfile.TemporaryFile(dir=folder, prefix="visrec-") as file:
            for (
                block
            ) in blocks:  # written, not mapped: a full disk is an error then, not the end of the process
                file.write(block.data)
            file.flush()
            return np.memmap(file, dtype, "r+", shape=shape)
    except OSError as error:
        size = np.prod(shape) * dtype.itemsize / 2**30
        raise RunError(
            f"{folder or tempfile.gettempdir()}: cannot hold the reduced regions, {size:.1f} GiB "
            f"({error.strerror or error}). Make room, or set fewer components."
        ) from error


def _blocks(n: int, cells: int) -> Iterator[slice]:
    """Slices of 0 … n-1 whose rows of `cells` numbers are read together."""
    step = max(1, _BLOCK // max(1, cells))
    return (slice(start, min(start + step, n)) for start in range(0, n, step))
