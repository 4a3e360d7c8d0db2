"""Checkpoints of the tutorial's models: which tensor of theirs is which of ours, and models made of them."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from visrec import registry
from visrec.content import Kind
from visrec.data.formats.pickled import STANDS_FOR
from visrec.data.interactions import Interactions
from visrec.errors import DataError
from visrec.features.features import Features
from visrec.training.pairwise import PairwiseRecommender

_STATES = ("model", "state_dict", "model_state_dict")
_ABOUT = ("epoch", "accuracy", "loss")


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
                "selu_common2": "item_tower.1",
                "selu_pu1": "query_tower.0",
                "selu_pu2": "query_tower.1",
                "selu_pu3": "query_tower.2",
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


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What a checkpoint file holds.

    Attributes:
        path: the file.
        state: the tensors by name.
        about: epoch, accuracy and loss where it has them.
        layout: of the model that it is of; None: of none that we know.
    """

    path: Path
    state: dict[str, Tensor]
    about: dict[str, float]
    layout: Layout | None

    @property
    def table(self) -> Tensor | None:
        """The features `(I, F)` that it carries with it, if it does."""
        name = None if self.layout is None else self.layout.features
        return None if name is None else self.state.get(name)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint with torch's reader of tensors alone: no code in the file runs.

    Raises:
        DataError: it is damaged, or wants something run; the message says what.
    """
    stands = [(found, name) for name, found in STANDS_FOR.items() if name.startswith("numpy.")]
    try:
        # The arrays of NumPy that ACF's checkpoints hold beside the tensors are read, as all else, without NumPy.
        with torch.serialization.safe_globals([*stands]):
            found = torch.load(path, map_location="cpu", weights_only=True)
    except (
        *(pickle.UnpicklingError, EOFError, LookupError, ValueError, TypeError, AttributeError),
        *(RuntimeError, OverflowError, MemoryError, AssertionError),
    ) as error:
        raise DataError(f"{path}: {_reason(error)}") from None
    state = _state(found)
    about = {key: found[key] for key in _ABOUT if isinstance(found, dict) and _is_number(found.get(key))}
    bad = [name for name, t in state.items() if t.is_floating_point() and not t.isfinite().all()]
    if bad:
        raise DataError(
            f"{path}: {bad[0]} holds NaN or infinity: the training went wrong. Take another checkpoint."
        )
    return Checkpoint(path, state, about, _layout(state))


def _reason(error: BaseException) -> str:
    text = " ".join(str(error).split())
    named = re.search(r"GLOBAL ([\w.]+)", text)
    if named:
        return (
            f"wants to run {named[1]}, which no tensors need. Nothing was run. Do not open it with "
            f"torch.load(weights_only=False) either, unless you trust whoever made it."
        )
    return f"is not a checkpoint that torch can read without running code in it ({text[-200:]})."


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and bool(np.isfinite(value))


def _state(found: object) -> dict[str, Tensor]:
    """The named tensors, wherever the file has them; none where it has none."""
    if not isinstance(found, dict):
        return {}
    inner = [found[key] for key in _STATES if isinstance(found.get(key), dict)]
    for candidate in [*inner, found]:
        tensors = {str(name): t for name, t in candidate.items() if isinstance(t, Tensor)}
        if tensors:
            return {name.removeprefix("module."): t.detach().float() for name, t in tensors.items()}
    return {}


def _layout(state: Mapping[str, Tensor]) -> Layout | None:
    for layout in LAYOUTS:
        if state.keys() - {layout.features} == layout.names:
            return layout
    return None


def model_of(
    checkpoint: Checkpoint,
    train: Interactions,
    content: Features,
    *,
    users: Sequence[str],
    items: Sequence[str],
) -> PairwiseRecommender:
    """Our model with the checkpoint's values: its scores are the tutorial's.

    Args:
        checkpoint: of a known layout.
        train: what it was trained on, as far as that is known: the histories.
        content: the features that it was trained on.
        users: user ids in the order of the checkpoint's rows.
        items: item ids in the order of the checkpoint's rows.

    Raises:
        DataError: the checkpoint is of other users, items or features.
    """
    layout, state = checkpoint.layout, checkpoint.state
    assert layout is not None
    rows = {"user": train.users.indices(users), "item": train.items.indices(items)}
    for name, place in layout.places.items():
        if place.rows is not None and len(state[name]) - place.padding != len(rows[place.rows]):
            raise DataError(
                f"{checkpoint.path}: {name} has {len(state[name]) - place.padding:,} rows, one for each "
                f"{place.rows}, but the data have {len(rows[place.rows]):,} {place.rows}s. Bring the interactions "
                f"and the features that it was trained on."
            )
    for first, second in layout.tied:
        if not torch.equal(state[first], state[second]):
            raise DataError(
                f"{checkpoint.path}: {first} and {second} differ. The tutorial has one table for both, and so has "
                f"the variant 'tutorial' here; this checkpoint cannot be converted."
            )
    cls: type[PairwiseRecommender] = registry.resolve("models", layout.model)
    settings = {"variant": "tutorial", "epochs": 0, **layout.settings(state)}
    model = cls(**settings).fit(train, content)
    parameters: dict[str, Tensor] = {}
    for name, place in layout.places.items():
        value, target = place.of(state[name]), model.get_parameter(place.ours)
        if value.shape != target.shape:
            raise DataError(
                f"{checkpoint.path}: {name} has the shape {tuple(state[name].shape)}, which does not fit the "
                f"other tensors; expected {tuple(target.shape)} for {place.ours}."
            )
        if place.rows is not None:
            value = torch.empty_like(value).index_copy(0, torch.from_numpy(rows[place.rows]), value)
        parameters[place.ours] = parameters[place.ours] + value if place.ours in parameters else value
    with torch.no_grad():
        for name, value in parameters.items():
            model.get_parameter(name).copy_(value)
        if layout.finish is not None:
            layout.finish(model)
    model.refresh()
    return model


def content_kind(layout: Layout) -> Kind:
    """The kind of content that a layout's model learns from."""
    kind: Kind = registry.resolve("models", layout.model).needs
    return kind
