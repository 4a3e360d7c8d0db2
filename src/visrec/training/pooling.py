"""Mean and maximum of the vectors of each history, read where they lie: a copy of all may be 1 GB for one batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from visrec.compiled import compiled, in_parallel

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
        B, d = len(lengths), Z.shape[1]
        ends = lengths.cumsum(0).numpy()
        mean, most, at = torch.zeros(B, d), torch.zeros(B, d), torch.zeros(B, d, dtype=torch.int64)
        made = [one.numpy() for one in (mean, most, at)]
        in_parallel(_pool, B, Z.detach().contiguous().numpy(), rows.numpy(), ends, *made, least=_LEAST)
        ctx.given = len(Z), rows, ends, at
        return mean, most

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        n, rows, ends, at = ctx.given
        of_mean, of_most = (g.contiguous().numpy() for g in gradients)
        dZ = torch.zeros(n, of_mean.shape[1])
        given = (rows.numpy(), ends, at.numpy(), of_mean, of_most, dZ.numpy())
        in_parallel(_unpool, dZ.shape[1], *given, least=_LEAST)
        return dZ, None, None


@compiled
def _pool(start, stop, Z, rows, ends, mean, most, at):  # type: ignore[no-untyped-def]
    d = Z.shape[1]
    for b in range(start, stop):
        first, last = ends[b - 1] if b else 0, ends[b]
        if first == last:
            continue
        m, top, place = mean[b], most[b], at[b]
        for k in range(d):
            top[k] = -np.inf
        for p in range(first, last):
            z = Z[rows[p]]
            for k in range(d):
                m[k] += z[k]
                if z[k] > top[k]:
                    top[k] = z[k]
                    place[k] = rows[p]
        share = np.float32(1) / np.float32(last - first)
        for k in range(d):
            m[k] *= share


@compiled
def _unpool(start, stop, rows, ends, at, of_mean, of_most, dZ):  # type: ignore[no-untyped-def]
    for b in range(len(ends)):  # all histories, some columns: an item may be in many of them
        first, last = ends[b - 1] if b else 0, ends[b]
        if first == last:
            continue
        share = np.float32(1) / np.float32(last - first)
        for p in range(first, last):
            r = rows[p]
            for k in range(start, stop):
                dZ[r, k] += share * of_mean[b, k]
        for k in range(start, stop):
            dZ[at[b, k], k] += of_most[b, k]
