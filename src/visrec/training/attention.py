"""Attention over the regions of pictures, without an array of pairs x regions x k.

The elementwise work is two compiled loops over the pairs of a query and an item; the products are torch's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from visrec.compiled import compiled, in_parallel

_CELLS = 1 << 25  # floats of regions that are looked at together: 128 MiB
_LEAST = 16  # pairs a thread should have: each is R (k + F) products


@dataclass(frozen=True, eq=False)
class Pairs:
    """S pairs of a query and an item of its history, n distinct ones in all, and the regions of these.

    Attributes:
        read: gives the regions `(m, R, F)` float32 of some of the distinct items, by their places 0 … n-1.
        shape: (R, F).
        start: `(n + 1,)` int64, where the pairs of each distinct item begin in `order`.
        order: `(S,)` int64, the pairs by item.
    """

    read: Callable[[slice], Tensor]
    shape: tuple[int, int]
    start: np.ndarray
    order: np.ndarray

    @classmethod
    def of(cls, item: Tensor, n: int, read: Callable[[slice], Tensor], shape: tuple[int, int]) -> Pairs:
        """Of the place `(S,)` of each pair's item among the n distinct ones."""
        counts = np.bincount(item.numpy(), minlength=n)
        start = np.concatenate([[0], np.cumsum(counts)])
        return cls(read, shape, start, np.argsort(item.numpy(), kind="stable"))

    def __len__(self) -> int:
        return len(self.order)

    def blocks(self, cells: int) -> Iterator[slice]:
        """Slices of the distinct items, each of which has `cells` floats, as many as fit together."""
        n, step = len(self.start) - 1, max(1, _CELLS // max(1, cells))
        return (slice(at, min(at + step, n)) for at in range(0, n, step))


def attend(pairs: Pairs, a: Tensor, W: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    """beta_sm = softmax_m( w . ReLU(a_s + W x_m) ) over the regions m of the item of pair s, and sum_m beta_sm x_m.

    W x is computed once an item. The regions are read again for the gradient where they do not fit in memory at once;
    they themselves get no gradient, and beta has none.

    Args:
        pairs: S of them.
        a: `(S, k)`.
        W: `(k, F)`.
        w: `(k,)`.

    Returns:
        beta `(S, R)` and the weighted sums `(S, F)`.
    """
    given = (a, W, w) if torch.is_grad_enabled() else (a.detach(), W.detach(), w.detach())
    beta, mixed = _Attend.apply(*given, pairs)
    return beta, mixed


class _Attend(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, W: Tensor, w: Tensor, pairs: Pairs) -> tuple[Tensor, Tensor]:
        R, F = pairs.shape
        S, k = a.shape
        beta, mixed = a.new_empty(S, R), a.new_empty(S, F)
        learns = any(ctx.needs_input_grad)
        blocks = list(pairs.blocks(R * (F + k)))
        kept = None
        for block in blocks:
            x = pairs.read(block)  # (m, R, F)
            Y = x @ W.T  # (m, R, k)
            _run(_look, pairs, block, a, Y, w, x, beta, mixed)
            if learns and len(blocks) == 1:
                kept = x, Y
        ctx.mark_non_differentiable(beta)
        if learns:
            ctx.save_for_backward(a, W, w, beta)
            ctx.rest = pairs, blocks, kept
        return beta, mixed

    @staticmethod
    def backward(ctx: Any, _: Tensor, of_mixed: Tensor) -> tuple[Tensor | None, ...]:
        a, W, w, beta = ctx.saved_tensors
        (pairs, blocks, kept), ctx.rest = ctx.rest, None
        da, dw, dW = torch.empty_like(a), torch.empty_like(a), torch.zeros_like(W)
        of_mixed = of_mixed.contiguous()
        for block in blocks:
            if kept is None:
                x = pairs.read(block)
                Y = x @ W.T
            else:
                x, Y = kept
            _run(_look_back, pairs, block, a, Y, w, x, beta, of_mixed, da, dw)
            dW.addmm_(Y.flatten(0, 1).T, x.flatten(0, 1))  # Y has become its own gradient
        return da, dW, dw.sum(0), None


def _run(kernel: Any, pairs: Pairs, block: slice, *tensors: Tensor) -> None:
    start = pairs.start[block.start : block.stop + 1]
    order = pairs.order[start[0] : start[-1]]
    arrays = [tensor.detach().numpy() for tensor in tensors]
    in_parallel(kernel, len(order), start - start[0], order, *arrays, least=_LEAST)


@compiled
def _look(begin, end, start, order, a, Y, w, x, beta, mixed):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    """The pairs of the items whose first pair is one of begin … end-1."""
    R, k, F = Y.shape[1], Y.shape[2], x.shape[2]
    zero = np.float32(0)
    for i in range(np.searchsorted(start, begin), np.searchsorted(start, end)):
        for place in range(start[i], start[i + 1]):
            s = order[place]
            top = np.float32(-np.inf)
            for m in range(R):
                z = zero
                for j in range(k):
                    h = a[s, j] + Y[i, m, j]
                    z += w[j] * (h if h > zero else zero)
                beta[s, m] = z
                top = max(top, z)
            total = zero
            for m in range(R):
                beta[s, m] = np.exp(beta[s, m] - top)
                total += beta[s, m]
            mixed[s] = zero
            for m in range(R):
                beta[s, m] /= total
                for f in range(F):
                    mixed[s, f] += beta[s, m] * x[i, m, f]


@compiled
def _look_back(begin, end, start, order, a, Y, w, x, beta, of_mixed, da, dw):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    """Gradients of a, of w by pair, and of Y in its own place."""
    R, k, F = Y.shape[1], Y.shape[2], x.shape[2]
    zero = np.float32(0)
    dz = np.empty(R, dtype=np.float32)
    dY = np.empty((R, k), dtype=np.float32)
    for i in range(np.searchsorted(start, begin), np.searchsorted(start, end)):
        dY[:] = zero
        for place in range(start[i], start[i + 1]):
            s = order[place]
            mean = zero
            for m in range(R):
                d = zero
                for f in range(F):
                    d += of_mixed[s, f] * x[i, m, f]
                dz[m] = d
                mean += beta[s, m] * d
            da[s] = zero
            dw[s] = zero
            for m in range(R):
                d = beta[s, m] * (dz[m] - mean)
                for j in range(k):
                    h = a[s, j] + Y[i, m, j]
                    g = d if h > zero else zero
                    dY[m, j] += g
                    da[s, j] += g
                    dw[s, j] += g * h
            for j in range(k):
                da[s, j] *= w[j]
        for m in range(R):
            for j in range(k):
                Y[i, m, j] = dY[m, j] * w[j]
