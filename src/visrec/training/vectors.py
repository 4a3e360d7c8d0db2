"""What a model reads of its items' features: rows, scaled when they are read, and products of them."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from visrec.features.features import Features
from visrec.features.finishing import blocks
from visrec.features.layers import has_bfloat16
from visrec.training.device import beside, room
from visrec.training.pairs import Buffers

Precision = Literal["auto", "float32", "bfloat16"]


def is_bfloat16(precision: Precision, device: str = "cpu") -> bool:
    """Whether products are taken in bfloat16: where it is asked for, or "auto" and the processor or GPU has it."""
    return precision == "bfloat16" or (precision == "auto" and has_bfloat16(device))


class ItemVectors:
    """The features of the items as a model reads them: `(f - shift) * scale`, and `fill` where there is no picture.

    Nothing is copied: rows are read where they lie, in memory or on disk, when they are asked for. While a model
    learns, `product` holds a copy in the precision of its products where the model lies, or reads the rows of each
    batch if there is no room for it.
    """

    def __init__(
        self,
        features: Features,
        *,
        shift: np.ndarray | None = None,
        scale: np.ndarray | float = 1.0,
        fill: np.ndarray | float = 0.0,
        precision: Precision = "auto",
    ) -> None:
        """Set up.

        Args:
            features: one vector an item.
            shift: `(F,)` subtracted from each; None: nothing.
            scale: what each is multiplied by then, a number or `(F,)`.
            fill: what items without a picture have, a number or `(F,)`, already scaled.
            precision: of `product` while the model learns.
        """
        self.values, self.missing = features.values, features.missing
        self._shift, self._scale, self._fill = shift, scale, fill
        self._precision: Precision = precision
        self.dtype = torch.float32
        self._learns = False
        self._held: Tensor | None = None
        self._buffers = Buffers()

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, items: Tensor | slice | int) -> Tensor:
        """Rows of items by index, float32: `(n, F)`, of one item `(F,)`."""
        if isinstance(items, slice):
            return torch.from_numpy(self._read(np.arange(*items.indices(len(self)))))
        index = np.asarray(items)
        found = torch.from_numpy(self._read(np.atleast_1d(index)))
        return found if index.ndim else found[0]

    def mean(self) -> Tensor:
        """`(F,)` float32: the mean of all rows."""
        total = np.zeros(self.values.shape[1])
        for block in blocks(len(self), self.values.shape[1]):
            total += self._read(np.arange(block.start, block.stop)).sum(axis=0, dtype=np.float64)
        return torch.from_numpy((total / max(1, len(self))).astype(np.float32))

    def product(self, items: Tensor, W: Tensor, *, learning: bool = False) -> Tensor:
        """`f W'` `(n, k)` float32 of items by index `(n,)`, with a gradient for W `(k, F)`.

        Args:
            items: distinct ones while learning.
            W: float32.
            learning: products may be taken in the reduced precision, and are rounded to it, until `release`.
        """
        if learning and not self._learns:
            self._start(W.device)
        if not learning:
            return beside(self[items], W) @ W.T
        product: Tensor = _Product.apply(W, self, items)
        return product

    def release(self) -> None:
        """Let go of what was held for learning."""
        self._held, self._buffers, self._learns = None, Buffers(), False

    def gathered(self, items: Tensor, W: Tensor) -> tuple[Tensor, Tensor | None]:
        """Rows in the precision of the products, and which of them are the items; None: they are, in their order.

        All rows are taken as they lie where that costs less than to bring those of the items together first: a
        product of n rows with W `(k, F)` is k multiplications for each of its numbers, which must be moved else.
        """
        n, F = len(items), self.values.shape[1]
        if self._held is None:
            rows = torch.from_numpy(self._read(items.numpy()))
            return beside(rows.to(self.dtype), W), None
        items = beside(items, W)
        if n * (1 + _MOVING / len(W)) >= len(self):
            return self._held, items
        out = self._buffers.of("rows", (n, F), self.dtype) if W.is_cpu else None
        return torch.index_select(self._held, 0, items, out=out), None

    def _start(self, device: torch.device) -> None:
        """Get ready for learning: in what precision, and from a copy if there is room."""
        self._learns = True
        self.dtype = torch.bfloat16 if is_bfloat16(self._precision, device.type) else torch.float32
        if len(self) * self.values.shape[1] * self.dtype.itemsize <= room(device):
            self._held = torch.empty(self.values.shape, dtype=self.dtype, device=device)
            for block in blocks(len(self), self.values.shape[1]):
                self._held[block] = torch.from_numpy(self._read(np.arange(block.start, block.stop)))

    def _read(self, items: np.ndarray) -> np.ndarray:
        """Rows `(n, F)` float32, a copy."""
        rows = self.values[items].astype(np.float32)
        if self._shift is not None:
            rows -= self._shift.astype(np.float32)
        rows *= np.asarray(self._scale, dtype=np.float32)
        rows[self.missing[items]] = self._fill
        return rows


_MOVING = 10  # what moving a number costs, in multiplications: measured with 2,048 of them in a row


class _Product(torch.autograd.Function):
    """f W' with a gradient for W alone, both rounded to the precision of the vectors, as their factors are."""

    @staticmethod
    def forward(ctx: Any, W: Tensor, vectors: ItemVectors, items: Tensor) -> Tensor:
        f, place = vectors.gathered(items, W)  # (m, F)
        ctx.f, ctx.place = f, place
        found = (f @ W.to(f.dtype).T).float()  # (m, k)
        return found if place is None else found.index_select(0, place)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (g,), f = gradients, ctx.f  # (n, k)
        if ctx.place is not None:
            g = g.new_zeros(len(f), g.shape[1]).index_copy_(0, ctx.place, g)
        return (g.to(f.dtype).T @ f).float(), None, None
