"""Mean and maximum of the vectors of each history, read where they lie: a copy of all may be 1 GB for one batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from visrec.compiled import compiled, in_parallel
from visrec.training.device import add_rows, beside

_LEAST = 16  # histories, or columns, a thread should have


def pooled(Z: Tensor, rows: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and maximum of vectors by column, `(B, d)` each, with gradients; 0 for an empty history.

    Args:
        Z: `(n, d)` float32.
        rows: `(N,)` int64, rows of Z, one history after the other. Of equal maxima the first has the gradient.
        lengths: `(B,)` int64, of each history.
    """
    mean, most = _Pooled.apply(Z, rows, lengths)
    return mean, most


class _Pooled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, Z: Tensor, rows: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        if not Z.is_cpu:
            mean, most, at = pool_by_torch(Z, rows, lengths)
            ctx.given = len(Z), rows, lengths, at
            return mean, most
        B, d = len(lengths), Z.shape[1]
        ends = lengths.cumsum(0).numpy()
        mean, most, at = torch.zeros(B, d), torch.zeros(B, d), torch.zeros(B, d, dtype=torch.int32)
        made = [one.numpy() for one in (mean, most, at)]
        in_parallel(_pool, B, Z.detach().contiguous().numpy(), rows.numpy(), ends, *made, least=_LEAST)
        ctx.given = len(Z), rows, ends, at
        return mean, most

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        if not gradients[0].is_cpu:
            return unpool_by_torch(*ctx.given, *gradients), None, None
        n, rows, ends, at = ctx.given
        of_mean, of_most = (g.contiguous().numpy() for g in gradients)
        dZ = torch.zeros(n, of_mean.shape[1])
        given = (rows.numpy(), ends, at.numpy(), of_mean, of_most, dZ.numpy())
        in_parallel(_unpool, dZ.shape[1], *given, least=_LEAST)
        return dZ, None, None


def pool_by_torch(Z: Tensor, rows: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, maximum and the row of Z that has it, `(B, d)` each, where Z lies; all 0 for an empty history."""
    starts = lengths.cumsum(0) - lengths
    given = (Z.detach(), beside(rows, Z), beside(starts, Z))
    mean, *_ = torch.embedding_bag(*given, mode=1)
    most, _, _, at = torch.embedding_bag(*given, mode=2)
    return mean, most, at.clamp_min(0)


def unpool_by_torch(
    n: int, rows: Tensor, lengths: Tensor, at: Tensor, of_mean: Tensor, of_most: Tensor
) -> Tensor:
    """The gradient of Z `(n, d)` from those of means and maxima `(B, d)`, summed up in one order."""
    owner = torch.repeat_interleave(lengths)  # (N,)
    g = of_mean / beside(lengths.clamp_min(1), of_mean)[:, None]  # (B, d)
    dZ = g.new_zeros(n, g.shape[1])
    add_rows(dZ, rows, g[beside(owner, g)])
    of_most = of_most * beside(lengths > 0, g)[:, None]
    columns = torch.arange(g.shape[1], device=g.device).expand_as(at)
    return dZ.index_put_((at, columns), of_most, accumulate=True)


@compiled
def _pool(start, stop, Z, rows, ends, mean, most, at):  # type: ignore[no-untyped-def]
    """Also where in `rows` each maximum is, `at (B, d)`: int32, as wide as the numbers, so that many go at once."""
    d = Z.shape[1]
    for b in range(start, stop):
        first, last = ends[b - 1] if b else 0, ends[b]
        if first == last:
            continue
        m, top, place = mean[b], most[b], at[b]
        for k in range(d):
            top[k] = -np.inf
        for p in range(first, last):
            z, here = Z[rows[p]], np.int32(p)
            for k in range(d):
                x = z[k]
                m[k] += x
                is_more = x > top[k]
                place[k] = here if is_more else place[k]
                top[k] = x if is_more else top[k]
        share = np.float32(1) / np.float32(last - first)
        for k in range(d):
            m[k] *= share


@compiled
def _unpool(start, stop, rows, ends, at, of_mean, of_most, dZ):  # type: ignore[no-untyped-def]
    none = np.float32(0)
    for b in range(len(ends)):  # all histories, some columns: an item may be in many of them
        first, last = ends[b - 1] if b else 0, ends[b]
        if first == last:
            continue
        share = np.float32(1) / np.float32(last - first)
        g, most, place = of_mean[b, start:stop], of_most[b, start:stop], at[b, start:stop]
        for p in range(first, last):
            row, here = dZ[rows[p], start:stop], np.int32(p)
            for k in range(len(row)):
                row[k] += share * g[k] + (most[k] if place[k] == here else none)
