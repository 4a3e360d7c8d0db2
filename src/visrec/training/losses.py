"""Losses over the score of a positive and the scores of its negatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import softplus

LossName = Literal["bpr", "bce", "hinge", "warp", "softmax"]

_EULER = 0.5772156649015329


def bpr_loss(x_ui: Tensor, x_uj: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean of -ln sigmoid(x_ui - x_uj) over all pairs (Rendle et al. 2009, eq. BPR-OPT), in [0, inf).

    Args:
        x_ui: `(B,)` scores of the positives.
        x_uj: `(B, n)` scores of the n negatives of each.
        weight: `(B,)` of the positives; None means 1.

    Raises:
        ValueError: other shapes, which broadcasting would pair all with all.
    """
    check_shapes(x_ui, x_uj, weight)
    return _mean(
        softplus(x_uj - x_ui[:, None]).mean(1), weight
    )  # -ln sigmoid(x) = ln(1 + exp(-x)), no overflow


def bce_loss(x_ui: Tensor, x_uj: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean of -ln sigmoid(x_ui) - 1/n sum_j ln(1 - sigmoid(x_uj)): each score for itself (He et al. 2017, eq. 7).

    Arguments and errors as `bpr_loss`. The n negatives of a positive count as much as the positive.
    """
    check_shapes(x_ui, x_uj, weight)
    return _mean(softplus(-x_ui) + softplus(x_uj).mean(1), weight)


def hinge_loss(x_ui: Tensor, x_uj: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean of max(0, 1 - x_ui + x_uj) over all pairs. Arguments and errors as `bpr_loss`."""
    check_shapes(x_ui, x_uj, weight)
    return _mean((1 - x_ui[:, None] + x_uj).clamp_min(0).mean(1), weight)


def warp_loss(x_ui: Tensor, x_uj: Tensor, weight: Tensor | None = None, *, n_candidates: int) -> Tensor:
    """Hinge, weighed by where the positive stands: WARP (Weston et al. 2011, eq. 2-4).

    Of the n sampled negatives of a positive, v violate the margin (x_uj > x_ui - 1). Its rank among all candidates is
    then about r = floor(v / n * n_candidates), at least 1 where any violates, and its loss is L(r) = 1 + 1/2 + … +
    1/r times the mean hinge of the violating ones. L has no gradient. The rank is estimated for each positive from
    its own negatives, not from the batch.

    Args:
        x_ui: `(B,)` scores of the positives.
        x_uj: `(B, n)` scores of the n negatives of each.
        weight: `(B,)` of the positives; None means 1.
        n_candidates: items that could have been drawn as negatives.

    Raises:
        ValueError: other shapes.
    """
    check_shapes(x_ui, x_uj, weight)
    hinge = (1 - x_ui[:, None] + x_uj).clamp_min(0)  # (B, n)
    violations = (hinge > 0).sum(1)  # (B,)
    rank = (violations * n_candidates // x_uj.shape[1]).clamp_min(1)  # (B,)
    harmonic = torch.digamma(rank + 1.0) + _EULER  # (B,)  1 + 1/2 + … + 1/rank
    return _mean(harmonic * hinge.sum(1) / violations.clamp_min(1), weight)


def softmax_loss(x_ui: Tensor, x_uj: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean of -ln exp(x_ui) / (exp(x_ui) + sum_j exp(x_uj)): sampled softmax (Jean et al. 2015, without correction).

    Arguments and errors as `bpr_loss`. With negatives drawn uniformly it approaches the full softmax as n grows; with
    those drawn by popularity, scores learn to be relative to it.
    """
    check_shapes(x_ui, x_uj, weight)
    return _mean(torch.cat([x_ui[:, None], x_uj], dim=1).logsumexp(1) - x_ui, weight)


_LOSSES: dict[str, Callable[[Tensor, Tensor, Tensor | None], Tensor]] = {
    "bpr": bpr_loss,
    "bce": bce_loss,
    "hinge": hinge_loss,
    "softmax": softmax_loss,
}


def loss_of(
    name: LossName, x_ui: Tensor, x_uj: Tensor, weight: Tensor | None, *, n_candidates: int
) -> Tensor:
    """The loss of that name."""
    if name == "warp":
        return warp_loss(x_ui, x_uj, weight, n_candidates=n_candidates)
    return _LOSSES[name](x_ui, x_uj, weight)


def check_shapes(x_ui: Tensor, x_uj: Tensor, weight: Tensor | None) -> None:
    """Raise `ValueError` unless the shapes are `(B,)`, `(B, n)` and `(B,)`."""
    B = len(x_ui)
    if x_ui.ndim != 1 or x_uj.ndim != 2 or len(x_uj) != B or (weight is not None and weight.shape != (B,)):
        shapes = [tuple(x_ui.shape), tuple(x_uj.shape), None if weight is None else tuple(weight.shape)]
        raise ValueError(
            f"Expected scores (B,), (B, n) and weights (B,), found {shapes}: broadcasting would pair all."
        )


def _mean(loss: Tensor, weight: Tensor | None) -> Tensor:
    return torch.mean(loss if weight is None else weight * loss)
