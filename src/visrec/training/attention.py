"""Attention over the regions of pictures, without an array of pairs x regions x k.

The elementwise work is two compiled loops over the pairs of a query and an item, or on a GPU torch's operations; the
products are torch's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from visrec.compiled import compiled, in_parallel
from visrec.training.device import add_rows, beside

_CELLS = 1 << 21  # floats of regions that are looked at together: 8 MiB
_KEPT = 1 << 26  # floats of W x that are kept for the gradient: 256 MiB
_LEAST = 16  # pairs a thread should have: each is R (k + F) products


@dataclass(frozen=True, eq=False)
class HistoryPairs:
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
    def of(
        cls, item: Tensor, n: int, read: Callable[[slice], Tensor], shape: tuple[int, int]
    ) -> HistoryPairs:
        """Of the place `(S,)` of each pair's item among the n distinct ones, each of which has a pair."""
        counts = np.bincount(item.numpy(), minlength=n)
        start = np.concatenate([[0], np.cumsum(counts)])
        return cls(read, shape, start, np.argsort(item.numpy(), kind="stable"))

    def __len__(self) -> int:
        return len(self.order)

    def blocks(self) -> Iterator[slice]:
        """Slices of the distinct items whose regions are looked at together."""
        n, step = len(self.start) - 1, max(1, _CELLS // max(1, self.shape[0] * self.shape[1]))
        return (slice(at, min(at + step, n)) for at in range(0, n, step))


def attend(
    pairs: HistoryPairs, a: Tensor, W: Tensor, w: Tensor, *, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    """beta_sm = softmax_m( w . ReLU(a_s + W x_m) ) over the regions m of the item of pair s, and sum_m beta_sm x_m.

    W x is computed once an item, and kept for the gradient, or computed again where that takes more than 256 MiB. The
    regions are read twice, some at a time. They get no gradient, and beta has none.

    Args:
        pairs: S of them.
        a: `(S, k)`.
        W: `(k, F)`.
        w: `(k,)`.
        dtype: that W x and its gradient are rounded to, and their factors; all else is float32.

    Returns:
        beta `(S, R)` and the weighted sums `(S, F)`.
    """
    given = (a, W, w) if torch.is_grad_enabled() else (a.detach(), W.detach(), w.detach())
    beta, mixed = _Attend.apply(*given, pairs, dtype)
    return beta, mixed


class _Attend(torch.autograd.Function):
    @staticmethod
    def forward(  # noqa: PLR0917  torch gives them in one row
        ctx: Any, a: Tensor, W: Tensor, w: Tensor, pairs: HistoryPairs, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        (R, F), (S, k) = pairs.shape, a.shape
        beta, mixed = a.new_empty(S, R), a.new_empty(S, F)
        keeps = any(ctx.needs_input_grad) and len(pairs.start) * R * k <= _KEPT
        kept: list[Tensor] = []
        for block in pairs.blocks():
            x = pairs.read(block)  # (m, R, F)
            Y = _product(x, W.T, dtype)  # (m, R, k)
            _run(_look, look_by_torch, pairs, block, a, Y, w, x, beta, mixed)
            if keeps:
                kept.append(Y)
        ctx.mark_non_differentiable(beta)
        ctx.save_for_backward(a, W, w, beta)
        ctx.rest = pairs, dtype, kept
        return beta, mixed

    @staticmethod
    def backward(ctx: Any, _: Tensor, of_mixed: Tensor) -> tuple[Tensor | None, ...]:
        a, W, w, beta = ctx.saved_tensors
        (pairs, dtype, kept), ctx.rest = ctx.rest, None
        da, dw, dW = torch.empty_like(a), torch.empty_like(a), torch.zeros_like(W)
        of_mixed = of_mixed.contiguous()
        for number, block in enumerate(pairs.blocks()):
            x = pairs.read(block)
            Y = kept[number] if kept else _product(x, W.T, dtype)
            _run(_look_back, look_back_by_torch, pairs, block, a, Y, w, x, beta, of_mixed, da, dw)
            dW += _product(Y.flatten(0, 1).T, x.flatten(0, 1), dtype)  # Y has become its own gradient
        return da, dW, dw.sum(0), None, None


def _product(A: Tensor, B: Tensor, dtype: torch.dtype) -> Tensor:
    return (A.to(dtype) @ B.to(dtype)).float()


def _run(
    kernel: Any, by_torch: Callable[..., None], pairs: HistoryPairs, block: slice, *tensors: Tensor
) -> None:
    start = pairs.start[block.start : block.stop + 1]
    order = pairs.order[start[0] : start[-1]]
    if not tensors[0].is_cpu:
        item = np.repeat(np.arange(len(start) - 1), np.diff(start))
        by_torch(beside(order, tensors[0]), beside(item, tensors[0]), *(one.detach() for one in tensors))
        return
    arrays = [tensor.detach().numpy() for tensor in tensors]
    in_parallel(kernel, len(order), start - start[0], order, *arrays, least=_LEAST)


# ---- pairs `order` (P,) of the items `item` (P,) of a block, for tensors on a GPU ------------------------


def look_by_torch(  # noqa: PLR0917  as the loop has them
    order: Tensor, item: Tensor, a: Tensor, Y: Tensor, w: Tensor, x: Tensor, beta: Tensor, mixed: Tensor
) -> None:
    """What `attend` gives for these pairs, into `beta` and `mixed`."""
    hidden = (a[order][:, None] + Y[item]).relu()  # (P, R, k)
    share = (hidden @ w).softmax(1)  # (P, R)
    beta.index_copy_(0, order, share)
    mixed.index_copy_(0, order, torch.bmm(share[:, None], x[item])[:, 0])


def look_back_by_torch(  # noqa: PLR0917  as the loop has them
    order: Tensor,
    item: Tensor,
    a: Tensor,
    Y: Tensor,
    w: Tensor,
    x: Tensor,
    beta: Tensor,
    of_mixed: Tensor,
    da: Tensor,
    dw: Tensor,
) -> None:
    """Gradients of a, of w by pair, and of Y in its own place."""
    h, share = a[order][:, None] + Y[item], beta[order]  # (P, R, k), (P, R)
    dz = torch.bmm(x[item], of_mixed[order][:, :, None])[:, :, 0]  # (P, R)
    dz = share * (dz - (share * dz).sum(1, keepdim=True))
    g = dz[:, :, None] * (h > 0)  # (P, R, k)
    da.index_copy_(0, order, g.sum(1) * w)
    dw.index_copy_(0, order, (g * h).sum(1))
    add_rows(Y.zero_(), item, g * w)


# ---- the same compiled, for the CPU ----------------------------------------------------------------------


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
