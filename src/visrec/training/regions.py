"""Regions of pictures as a model reads them: along the directions in which they are longest, kept while it learns."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from visrec.errors import RunError
from visrec.features.features import Features
from visrec.features.finishing import leading_directions
from visrec.training.device import beside, room

_SAMPLE = 1 << 15  # regions that the directions are found by
_BLOCK = 1 << 20  # numbers read at once: 4 MiB of float32
_IN_MEMORY = 1 << 28  # bytes of reduced regions beyond which they lie in a file


class ItemRegions:
    """The regions of the items as a model reads them: as they are, or by a basis in fewer numbers.

    A region x is read as basis x, rounded to float16 where the features are stored so; numbers that float16 does not
    hold are not rounded. The basis `(C, F)`, orthonormal rows, is the model's and is given at each reading; with
    `(0, F)` regions are read as they are.

    Rows are read where they lie, in memory or on disk, when they are asked for. From the first reading to learn from
    on, the reduced regions of some items are kept until `release`: in memory, or from 256 MiB on in a file that goes
    with them; on a GPU too, if that is where the model learns and there is room.

    Attributes:
        features: `(I, R, F)`, perhaps mapped from disk.
        kept: what is kept now.
    """

    def __init__(
        self, features: Features, items: np.ndarray | None = None, *, folder: Path | None = None
    ) -> None:
        """Set up.

        Args:
            features: of all items.
            items: those to keep while a model learns, by index, each once; None: nothing is kept.
            folder: where the file is made; None: where the system has its temporary ones.
        """
        self.features = features
        self.kept: Kept | None = None
        self._items = None if items is None else torch.from_numpy(items)
        self._folder = folder
        self._at_hand: Kept | None = None

    def directions(self, n: int) -> tuple[Tensor, str]:
        """A basis `(n, F)`, by a sample of the items to keep, and a sentence that says how much it keeps."""
        assert self._items is not None
        basis, share = principal_directions(self.features, self._items, n)
        F = basis.shape[1]
        return (
            basis,
            f"it reads {n} of the {F:,} dimensions of regions, {100 * share:.1f} % of their squared length.",
        )

    def read(self, items: Tensor, basis: Tensor, *, learning: bool = False) -> Tensor:
        """Regions `(n, R, C)` float32 of items by index `(n,)`, where the basis lies; only their rows are read.

        An item's numbers are the same bit for bit whether they were kept or not, and whichever items come with it.

        Args:
            items: by index.
            basis: the same at each reading from the first to learn from until `release`.
            learning: regions are kept from now on.

        Raises:
            RunError: there is no room for the file of those that are kept.
        """
        if len(basis) == 0:
            return beside(self._raw(items), basis)
        rows = self._for_learning(basis) if learning else self.kept
        found = None if rows is None else rows.of(items)
        return beside(self._reduced(items, basis) if found is None else found, basis)

    def reader(self, items: Tensor, basis: Tensor, *, learning: bool = False) -> Callable[[slice], Tensor]:
        """Gives what `read` does for some of these items, by their places."""
        return lambda places: self.read(items[places], basis, learning=learning)

    def release(self) -> None:
        """Let go of what is kept."""
        self.kept = self._at_hand = None

    def _for_learning(self, basis: Tensor) -> Kept | None:
        if self._at_hand is None and self._items is not None:
            self.kept = self._keep(self._items, basis)
            self._at_hand = self.kept.on(basis.device)
        return self._at_hand

    def _keep(self, items: Tensor, basis: Tensor) -> Kept:
        place = torch.full((len(self.features.values),), -1)
        place[items] = torch.arange(len(items))
        try:
            values = self._stored(items, basis, torch.float16 if self._is_half else torch.float32)
        except OverflowError:  # rare enough to begin again
            values = self._stored(items, basis, torch.float32)
        return Kept(torch.from_numpy(values), place)

    def _stored(self, items: Tensor, basis: Tensor, dtype: torch.dtype) -> np.ndarray:
        """Reduced regions of items, in memory or in a file; OverflowError: numbers are too large for the dtype."""
        shape = (len(items), self.features.values.shape[1], len(basis))
        blocks = [*_blocks(len(items), self._cells)]

        def reduced() -> Iterator[np.ndarray]:
            for block in blocks:
                found = self._reduced(items[block], basis)
                narrow = found.to(dtype)
                if bool((narrow.isinf() & found.isfinite()).any()):
                    raise OverflowError
                yield narrow.numpy()

        if np.prod(shape) * dtype.itemsize >= _IN_MEMORY:
            return _in_file(reduced(), shape, torch.empty(0, dtype=dtype).numpy().dtype, self._folder)
        values = torch.empty(shape, dtype=dtype).numpy()
        for block, found in zip(blocks, reduced(), strict=True):
            values[block] = found
        return values

    @property
    def _is_half(self) -> bool:
        return self.features.values.dtype == np.float16

    @property
    def _cells(self) -> int:
        return int(np.prod(self.features.values.shape[1:]))

    def _raw(self, items: Tensor) -> Tensor:
        return torch.from_numpy(self.features.values[items.numpy()]).float()  # (n, R, F)

    def _reduced(self, items: Tensor, basis: Tensor) -> Tensor:
        """Reduced regions `(n, R, C)` float32 on the CPU, rounded."""
        across = basis.cpu().T
        found = torch.empty(len(items), self.features.values.shape[1], len(basis))
        for block in _blocks(len(items), self._cells):
            for x, into in zip(self._raw(items[block]), found[block], strict=True):
                torch.mm(x, across, out=into)  # one item at a time: a product's bits depend on its shape
        if not self._is_half:
            return found
        rounded = found.half().float()
        return torch.where(rounded.isinf(), found, rounded)


@dataclass(frozen=True, eq=False)
class Kept:
    """Reduced regions.

    Attributes:
        values: `(n, R, C)` of some items, float16 or float32.
        place: `(I,)` int64 on the CPU, the row of each item; -1: it is not kept.
    """

    values: Tensor
    place: Tensor

    def of(self, items: Tensor) -> Tensor | None:
        """`(n, R, C)` float32 of items by index, where the values lie; None: not all of them are kept."""
        places = self.place[items]
        if bool((places < 0).any()):
            return None
        return self.values.index_select(0, beside(places, self.values)).float()

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
    R, F = features.values.shape[1:]
    shown = items.numpy()[~features.missing[items.numpy()]]
    evenly = np.linspace(0, len(shown) - 1, min(len(shown), max(1, _SAMPLE // R))).astype(np.int64)
    moment = np.zeros((F, F))
    for block in _blocks(len(evenly), R * F):
        x = features.values[shown[evenly[block]]].reshape(-1, F).astype(np.float32)
        moment += x.T @ x
    length, directions = leading_directions(moment, n)  # (n,), (F, n)
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
