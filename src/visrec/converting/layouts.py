"""The tutorial's models: which tensor of theirs is which of ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from visrec import registry
from visrec.content import Kind


@dataclass(frozen=True)
class Place:
    """Where a tensor of theirs belongs. What two of them have in common is their sum.

    Attributes:
        ours: the name of our parameter.
        rows: whose rows they are, in the order of the tutorial's indices; None: of nobody.
        transposed: ours is the transpose of theirs.
        padding: rows before the first user or item.
        row: ours is this row of theirs alone; None: all of it.
    """

    ours: str
    rows: Literal["user", "item"] | None = None
    transposed: bool = False
    padding: int = 0
    row: int | None = None

    def of(self, theirs: Tensor) -> Tensor:
        """Our tensor, rows still in the order of theirs."""
        value = theirs[self.padding :] if self.row is None else theirs[self.row]
        return value.T if self.transposed else value


@dataclass(frozen=True)
class Layout:
    """The tensors of one of the tutorial's models.

    Attributes:
        model: its name in our registry.
        places: by the name of their tensor.
        settings: our settings that the shapes of their tensors tell.
        n_features: F of the features that it was trained on, from the shapes; 0 for pixels.
        features: the name of their table of features `(I, F)`, where the checkpoint has one.
        unused: names of tensors that never reach their scores.
        tied: pairs of names of tensors that have to be equal; the second is not read.
        finish: what else our model computes once it has its values.
    """

    model: str
    places: Mapping[str, Place]
    settings: Callable[[Mapping[str, Tensor]], dict[str, Any]]
    n_features: Callable[[Mapping[str, Tensor]], int]
    features: str | None = None
    unused: tuple[str, ...] = ()
    tied: tuple[tuple[str, str], ...] = ()
    finish: Callable[[Any], None] | None = None

    @property
    def names(self) -> set[str]:
        """Of all tensors that a checkpoint of this model has, but for the table of features."""
        return {*self.places, *self.unused, *(second for _, second in self.tied)}

    @property
    def needs(self) -> Kind:
        """The kind of content that the model learns from."""
        kind: Kind = registry.resolve("models", self.model).needs
        return kind


def _layers(names: Mapping[str, str]) -> dict[str, Place]:
    """The weight and the bias of each layer: their name of it to ours."""
    parts = ("weight", "bias")
    return {f"{theirs}.{part}": Place(f"{ours}.{part}") for theirs, ours in names.items() for part in parts}


_DVBPR_TABLES = {
    "theta_users.weight": Place("theta_u", "user"),
    "gamma_users.weight": Place("gamma_u", "user"),
    "gamma_items.weight": Place("gamma_i", "item"),
}


def _dvbpr_settings(state: Mapping[str, Tensor]) -> dict[str, Any]:
    return {
        "dim_theta": state["theta_users.weight"].shape[1],
        "dim_gamma": state["gamma_users.weight"].shape[1],
        "precision": "float32",  # so that the scores are theirs on any hardware
    }


LAYOUTS = (
    Layout(
        model="vbpr",
        places={
            "gamma_users.weight": Place("gamma_u", "user"),
            "gamma_items.weight": Place("gamma_i", "item"),
            "theta_users.weight": Place("theta_u", "user"),
            "embedding.weight": Place("E", transposed=True),  # (F, D) there
            "beta_items.weight": Place("beta_i", "item"),
            "visual_bias.weight": Place("beta_prime"),
        },
        settings=lambda state: {
            "dim_gamma": state["gamma_users.weight"].shape[1],
            "dim_theta": state["theta_users.weight"].shape[1],
        },
        n_features=lambda state: state["embedding.weight"].shape[0],
        features="features.weight",
    ),
    Layout(
        model="curatornet",
        places=_layers(
            {
                "selu_common1": "item_tower.0",
                "selu_common2": "item_tower.2",
                "selu_pu1": "query_tower.0",
                "selu_pu2": "query_tower.2",
                "selu_pu3": "query_tower.4",
            }
        ),
        settings=lambda state: {
            "dim": len(state["selu_common2.bias"]),
            "dim_hidden": len(state["selu_pu1.bias"]),
        },
        n_features=lambda state: state["selu_common1.weight"].shape[1],
        features="embedding.weight",
    ),
    Layout(
        model="acf",
        places={
            "user_model.user_embedding.weight": Place("u", "user"),
            "item_model.weight": Place("v", "item", padding=1),
            "user_model.feats.dim_reductor.weight": Place("W_r"),
            "user_model.feats.dim_reductor.bias": Place("b_r"),
            "user_model.feats.w_u.weight": Place("W2u"),
            "user_model.feats.w_u.bias": Place("b2"),
            "user_model.feats.w_x.weight": Place("W2x"),
            "user_model.feats.w_x.bias": Place("b2"),
            "user_model.feats.w.weight": Place("w2", row=0),
            "user_model.w_u.weight": Place("W1u"),
            "user_model.w_u.bias": Place("b_u"),
            "user_model.w_p.weight": Place("W1p"),
            "user_model.w_p.bias": Place("b1"),
            "user_model.w_x.weight": Place("W1x"),
            "user_model.w_x.bias": Place("b1"),
            "user_model.w.weight": Place("w1", row=0),
        },
        settings=lambda state: {"dim_gamma": state["item_model.weight"].shape[1]},
        n_features=lambda state: state["user_model.feats.dim_reductor.weight"].shape[1],
        unused=(  # w_v is declared there and never used; the other two cancel in the softmax
            *("user_model.w_v.weight", "user_model.w_v.bias"),
            *("user_model.feats.w.bias", "user_model.w.bias"),
        ),
        tied=(("item_model.weight", "user_model.profile_embedding.weight"),),
        finish=lambda model: model.remember(),
    ),
    Layout(
        model="dvbpr",
        places={
            **_DVBPR_TABLES,
            **_layers({f"cnn.convs.{n}": f"phi.net.convs.{n}" for n in range(5)}),
            **_layers({f"cnn.fcs.{n}": f"phi.net.fcs.{n}" for n in range(3)}),
        },
        settings=lambda state: {
            "backbone": "cnn-f-tutorial",
            "channels": [len(state[f"cnn.convs.{n}.bias"]) for n in range(5)],
            "dim_fc": len(state["cnn.fcs.0.bias"]),
            **_dvbpr_settings(state),
        },
        n_features=lambda _: 0,
    ),
    Layout(
        model="dvbpr",
        places={
            **_DVBPR_TABLES,
            **_layers({f"cnn.features.{n}": f"phi.net.body.features.{n}" for n in (0, 3, 6, 8, 10)}),
            **_layers({f"cnn.classifier.{n}": f"phi.net.body.classifier.{n}" for n in (1, 4)}),
            **_layers({"cnn.classifier.6": "phi.net.head"}),
        },
        settings=lambda state: {"backbone": "alexnet-tutorial", **_dvbpr_settings(state)},
        n_features=lambda _: 0,
    ),
)
