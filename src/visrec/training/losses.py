"""Losses over score differences."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus


def bpr_loss(x_uij: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean of -ln sigmoid(x_uij) over a batch (Rendle et al. 2009, eq. BPR-OPT), in [0, inf).

    Args:
        x_uij: `(B,)` score of the positive minus score of the negative.
        weight: `(B,)` of the triples; None means 1.
    """
    if x_uij.ndim != 1 or (weight is not None and weight.shape != x_uij.shape):
        shapes = f"{tuple(x_uij.shape)} and {None if weight is None else tuple(weight.shape)}"
        raise ValueError(
            f"bpr_loss takes two vectors of one length, not {shapes}: broadcasting would pair all."
        )
    loss = softplus(-x_uij)  # (B,)  -ln sigmoid(x) = ln(1 + exp(-x)), without overflow
    return torch.mean(loss if weight is None else weight * loss)
