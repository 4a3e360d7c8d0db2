"""DVBPR: what a picture shows is learnt from its pixels, together with what users like (Kang et al. 2017)."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from visrec.errors import FeaturesError
from visrec.features.features import Features
from visrec.features.weights import weights_file_digest
from visrec.recommender import Fitting
from visrec.space import Choice, LogRange, Space
from visrec.training.cnnf import CHANNELS
from visrec.training.device import beside
from visrec.training.optimizer import L2
from visrec.training.pairwise import PairwiseRecommender
from visrec.training.pixel_network import CNNFS, DIM_FC, PixelNetwork
from visrec.training.trainer import TrainingConfig
from visrec.training.vectors import Precision

# What the tutorial's code used; a setting given by hand still wins. Its weight decay of 1e-4 stands beside a loss
# summed over batches of 128 triples; beside our mean it is that much smaller.
TUTORIAL = {
    "backbone": "alexnet",
    "dim_gamma": 100,
    "learning_rate": 1e-3,
    "weight_decay": 1e-4 / 128,
    "epochs": 5,
    "reg_W": 0.0,
    "reg_theta": 0.0,
    "reg_gamma": 0.0,
    "negatives": "catalog",
    "plateau_patience": 2,
}

_PIECE = 64  # pictures encoded at once when nothing is learnt
_SAME = 1e-3  # of the size of vectors: what differs by less says nothing

log = logging.getLogger("visrec")


class DVBPRConfig(TrainingConfig):
    """Settings of `DVBPR`."""

    space: ClassVar[Space] = {
        "learning_rate": LogRange(1e-4, 3e-3),
        "reg_W": LogRange(1e-5, 1e-1),
        "reg_theta": LogRange(1e-2, 10.0),
        "dim_gamma": Choice((0, 64)),
        "bias": Choice((False, True)),
    }
    files: ClassVar[tuple[str, ...]] = ("weights",)
    variant: Literal["paper", "tutorial"] = "paper"
    """"paper": theta and the network, L2 on both. "tutorial": gamma too, AlexNet, uniform tables, one decay."""
    backbone: str = "cnn-f"
    """Phi: "cnn-f", "cnn-f-tutorial" (its strides and paddings), or a network by its name in torchvision or timm
    ("alexnet", "resnet18", "timm:convnext_atto")."""
    weights: str = "random"
    """"random": from scratch. "default": as published, downloaded once. Or a file with its state dict."""
    trained: Literal["all", "head"] | Annotated[int, Field(ge=1)] = "all"
    """Which layers learn: "all", "head" (only the last one), or so many of the last ones that have weights. The
    others stay as they are, in eval mode."""
    dim_theta: int = Field(default=100, ge=1)
    """K, the size of theta and of what the network gives."""
    dim_gamma: int = Field(default=0, ge=0)
    """The size of latent factors gamma beside the visual ones; 0: none, as in the paper."""
    bias: bool = False
    """Whether items have a bias beta_i, as in VBPR. The paper has none: a picture must also tell popularity."""
    dim_fc: int = Field(default=DIM_FC, ge=1)
    """Size of the two fully connected layers of CNN-F."""
    channels: tuple[Annotated[int, Field(ge=1)], ...] = Field(default=CHANNELS, min_length=5, max_length=5)
    """Of the five convolutions of CNN-F."""
    precision: Precision = "auto"
    """Of the network's products: "auto" is bfloat16 where the hardware has it. Weights and losses are float32."""
    reg_W: float = Field(default=1e-3, ge=0)
    """lambda of the network's weights, without biases, beside a loss *summed* over the `batch_size` triples."""
    reg_theta: float = Field(default=1.0, ge=0)
    """lambda of theta_u of each triple."""
    reg_gamma: float = Field(default=0.01, ge=0)
    """lambda of gamma of each triple's user and items, and of beta of its items."""
    epochs: int = Field(default=20, ge=0)
    """At most this many passes over the training interactions."""
    batch_size: int = Field(default=128, ge=1)
    """Triples a step."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """Step size. The paper's is 1e-4, which small data need many more epochs for."""

    def __init__(self, **values: Any) -> None:
        if values.get("variant") == "tutorial":
            values = {**TUTORIAL, **values}
        super().__init__(**values)

    @model_validator(mode="after")
    def _no_setting_in_vain(self) -> Self:
        if self.backbone not in CNNFS and (self.dim_fc, self.channels) != (DIM_FC, CHANNELS):
            raise ValueError(
                f"dim_fc and channels are those of CNN-F; {self.backbone} has its own. Leave them out"
            )
        return self


class DVBPR(PairwiseRecommender):
    """x_ui = theta_u . Phi(X_i)   (Kang et al. 2017, eq. 4), with Phi a network that sees the picture X_i.

    The paper minimises, over a batch of B triples, the sum of -ln sigmoid(x_ui - x_uj), reg_theta / 2 |theta_u|² of
    each triple and, once, reg_W / 2 |W|². The trainer takes the mean over triples; so all is divided by B, and the
    penalty is reg_theta / 2 mean |theta_u|² + reg_W / (2 B) |W|² with B = `batch_size`. W are the weights that are
    trained, without biases and normalisations. With `dim_gamma` > 0 there is + gamma_u . gamma_i, as in the tutorial,
    and with `bias` + beta_i: VBPR's terms, of which an item that nobody has taken has none.

    Only the pictures of a batch are read, and each goes through the network once, however many triples it is in.
    An item without a picture has the visual vector 0: no taste speaks for or against it.

    Symbols: theta_u (U, K), Phi (S, S, 3) -> (K), gamma_u (U, D), gamma_i (I, D), beta_i (I, 1) with `bias`.
    """

    Config = DVBPRConfig
    config: DVBPRConfig
    needs = "image"
    learns_on_gpu = True
    new_users = False
    new_items = True
    paper = "Kang et al. 2017"

    by_rows = False
    """At its small steps, moments that wait for a user's next batch would learn theta too slowly."""

    pixels: Features | None = None
    """The pictures `(I, S, S, 3)` uint8, mapped from disk; None in a model that was loaded without them."""

    def build(self, n_users: int, n_items: int) -> None:
        config = self.config
        self.theta_u = nn.Parameter(torch.empty(n_users, config.dim_theta))
        self.gamma_u = nn.Parameter(torch.empty(n_users, config.dim_gamma))
        self.gamma_i = nn.Parameter(torch.empty(n_items, config.dim_gamma))
        self.beta_i = nn.Parameter(torch.empty(n_items, int(config.bias)))
        self.phi = PixelNetwork(
            config.backbone,
            self.content_shape[0],
            config.dim_theta,
            dim_fc=config.dim_fc,
            channels=config.channels,
            trained=config.trained,
            precision=config.precision,
            seed=config.seed,
        )

    @property
    def weights_digest(self) -> str | None:
        weights = self.config.weights
        return None if weights in ("random", "default") else weights_file_digest(Path(weights))

    def initialize(self, generator: torch.Generator) -> None:
        if self.config.weights != "random":
            self.phi.load(self.config.weights)
        nn.init.zeros_(self.beta_i)
        tables = (self.theta_u, self.gamma_u, self.gamma_i)
        if self.config.variant == "tutorial":
            for table in tables:
                nn.init.uniform_(table, generator=generator)
            return
        nn.init.uniform_(self.theta_u, 0, 0.01, generator=generator)
        for gamma in (self.gamma_u, self.gamma_i):
            nn.init.normal_(gamma, std=0.1 / max(1, self.config.dim_gamma) ** 0.5, generator=generator)

    def prepare_content(self, features: Features) -> None:
        self.pixels = features

    def encode_items(self, items: Tensor) -> Tensor:
        if self.pixels is None:
            raise FeaturesError(
                "This DVBPR was loaded without its pictures, which encoding items needs. Use "
                "load_model(path, pixels). Ranking the items that it was trained on works as it is."
            )
        shown = torch.from_numpy(~self.pixels.missing[items.numpy()]).nonzero()[:, 0]  # (m,) places in items
        visual = self.theta_u.new_zeros(len(items), self.config.dim_theta)
        if len(shown):
            size = len(shown) if torch.is_grad_enabled() else _PIECE
            pieces = [self.phi(self._read(piece)) for piece in items[shown].split(size)]
            visual = visual.index_copy(0, beside(shown, visual), torch.cat(pieces))  # (n, K)
        return torch.cat(
            [self.take(self.gamma_i, items), visual, self.take(self.beta_i, items)], dim=1
        )  # (n, D + K + b)

    def encode_users(self, users: Tensor) -> Tensor:
        one = self.theta_u.new_ones(len(users), int(self.config.bias))
        return torch.cat(
            [self.take(self.gamma_u, users), self.take(self.theta_u, users), one], dim=1
        )  # (B, D + K + b)

    def l2(self) -> L2:
        config = self.config
        weights = [name for name, w in self.named_parameters() if name.startswith("phi.") and w.ndim >= 2]
        return L2(
            users={"theta_u": config.reg_theta, "gamma_u": config.reg_gamma},
            items={"gamma_i": config.reg_gamma, "beta_i": config.reg_gamma},
            shared=dict.fromkeys(weights, config.reg_W / config.batch_size),
        )

    def forget(self, users: Tensor, items: Tensor) -> None:
        self.theta_u[users] = 0
        self.gamma_u[users] = 0
        self.gamma_i[items] = 0
        self.beta_i[items] = 0

    def _fit(self, fitting: Fitting) -> None:
        super()._fit(fitting)
        if self._is_blind():
            self.notes += (
                "its network gives every picture the same vector: it sees nothing, and what it recommends comes from "
                "the other terms alone. Take a lower learning_rate.",
            )
            log.warning("%s: %s", type(self).__name__, self.notes[-1])

    def _is_blind(self) -> bool:
        """Whether some pictures, evenly spread over the catalogue, are all the same to the network.

        A step too long can leave its ReLUs at 0 for every picture; no gradient brings them back.
        """
        assert self.pixels is not None
        shown = np.flatnonzero(~self.pixels.missing)
        some = shown[np.linspace(0, len(shown) - 1, min(_PIECE, len(shown))).astype(np.int64)]
        if len(some) < 2 or (self.pixels.values[some] == self.pixels.values[some[:1]]).all():
            return False
        with torch.no_grad():
            visual = self.phi(self._read(torch.from_numpy(some))).double()  # (m, K)
        return bool(visual.std(0).norm() <= _SAME * visual.square().mean(0).sum().sqrt())

    def similarity_vectors(self) -> Tensor:
        return self._fitted(self.Z)[:, : self.config.dim_gamma + self.config.dim_theta]  # all but the bias

    def _read(self, items: Tensor) -> Tensor:
        """Pixels `(n, S, S, 3)` of these items alone, where the network lies."""
        assert self.pixels is not None
        return beside(np.ascontiguousarray(self.pixels.values[items.numpy()]), self.theta_u)
