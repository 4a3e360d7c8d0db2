"""Where on a picture the visual score of DVBPR comes from: a class-activation map."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from visrec.errors import FeaturesError
from visrec.explain.explanation import Activation
from visrec.explain.question import Question
from visrec.models.dvbpr import DVBPR

_WATCHING = threading.Lock()  # hooks stand in the network itself, where those of two threads would meet
_LEAST_SIDE = 16  # cells: each of a coarser map sees too much of a small picture to say where


def activation(question: Question) -> Activation | None:
    """The map of theta_u . Phi(X_i) on the item's picture; None for other models and where there is no picture.

    Raises:
        FeaturesError: the model was loaded without its pictures.
    """
    model = question.model
    if not isinstance(model, DVBPR) or question.user is None:
        return None
    pixels = pixels_of(model, np.array([question.item]))
    if pixels is None:
        return None
    theta_u = model.theta_u[question.user].detach()
    values, score = activation_map(model.phi, pixels, theta_u)
    return Activation(values, score)


def pixels_of(model: DVBPR, items: np.ndarray) -> Tensor | None:
    """Pictures `(n, S, S, 3)` uint8 of some items; None where one of them has none.

    Raises:
        FeaturesError: the model was loaded without its pictures.
    """
    if model.pixels is None:
        raise FeaturesError(
            "This DVBPR was loaded without its pictures, which the map needs. Use load_model(path, pixels)."
        )
    if model.pixels.missing[items].any():
        return None
    return torch.from_numpy(np.ascontiguousarray(model.pixels.values[items]))


def activation_map(phi: nn.Module, pixels: Tensor, theta_u: Tensor) -> tuple[np.ndarray, float]:
    """HiResCAM (Draelos & Carin 2020, eq. 6) of y = theta_u . phi(pixels), signed.

    With A_c the channels of a convolutional map, L = sum_c (dy / dA_c) A_c, cell by cell. Grad-CAM (Selvaraju et
    al. 2017, eq. 1 and 2) takes the mean of the gradient over the map instead, which is the same where the network
    ends in a mean over the map; where layers that know places follow, as in CNN-F, it can point at cells that the
    score does not use.

    Both papers take the last map. Of a picture of 64 pixels that of CNN-F has 4 x 4 cells, each of which sees nearly
    all of the picture: covering what it points at changes the score no more than covering anything else. Hence the
    last map of at least 16 x 16 cells, or the finest there is (docs/explanations.md has the figures).

    Args:
        phi: a network of pixels; in eval mode.
        pixels: `(1, S, S, 3)` uint8.
        theta_u: `(K,)`.

    Returns:
        `(h, w)` float32 divided by the largest magnitude, and y.
    """
    with _WATCHING:
        return _activation_map(phi, pixels, theta_u)


def _activation_map(phi: nn.Module, pixels: Tensor, theta_u: Tensor) -> tuple[np.ndarray, float]:
    layer, channels_last = _last_map(phi, pixels)
    kept: list[Tensor] = []

    def begin_anew(_module: nn.Module, _given: tuple[Tensor, ...], found: Tensor) -> Tensor:
        kept.append(found.detach().requires_grad_())
        return kept[-1].clone()  # a ReLU behind it may work in place

    handle = layer.register_forward_hook(begin_anew)
    try:
        with torch.enable_grad():
            y = (phi(pixels) @ theta_u)[0]
    finally:
        handle.remove()
    (gradient,) = torch.autograd.grad(y, kept[-1])
    product = (gradient.float() * kept[-1].detach().float())[0]  # (C, h, w)
    values = product.sum(2 if channels_last else 0).numpy()  # (h, w)
    largest = float(np.abs(values).max())
    return (values / largest if largest > 0 else values).astype(np.float32), float(y.detach())


def _last_map(phi: nn.Module, pixels: Tensor) -> tuple[nn.Module, bool]:
    """The module that gives the last map of at least `_LEAST_SIDE` cells a side (or the finest there is).

    With it comes whether its channels come last.
    """
    found: list[tuple[int, nn.Module, bool]] = []

    def watch(module: nn.Module) -> Callable[..., None]:
        def note(_module: nn.Module, _given: tuple[Tensor, ...], out: object) -> None:
            if isinstance(out, Tensor) and out.ndim == 4:
                channels_last = out.shape[2] != out.shape[3] and out.shape[1] == out.shape[2]
                side = min(out.shape[1:3] if channels_last else out.shape[2:])
                found.append((int(side), module, channels_last))

        return note

    modules = [module for module in phi.modules() if module is not phi]
    handles = [module.register_forward_hook(watch(module)) for module in modules]
    try:
        with torch.no_grad():
            phi(pixels)
    finally:
        for handle in handles:
            handle.remove()
    if not found:
        raise FeaturesError(
            "This network makes no map of a picture that could show where its score comes from."
        )
    enough = min(_LEAST_SIDE, max(side for side, _, _ in found))
    _, module, channels_last = next(one for one in reversed(found) if one[0] >= enough)
    return module, channels_last
