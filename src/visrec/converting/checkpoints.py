"""Checkpoints of the tutorial's models, and models of ours made of them."""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from visrec import registry
from visrec.converting.layouts import LAYOUTS, Layout
from visrec.data.formats.pickled import STANDS_FOR
from visrec.data.interactions import Interactions
from visrec.errors import DataError
from visrec.features.features import Features
from visrec.training.pairwise import PairwiseRecommender

_STATES = ("model", "state_dict", "model_state_dict")
_ABOUT = ("epoch", "accuracy", "loss")
_AT_MOST = (
    8  # bytes in memory for one in the file: 4 where whole numbers become float32, and some tensors are tied
)
_REFUSED = "No checkpoint of the tutorial is like that. Take another."


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
        DataError: it is damaged, claims more than it holds, or wants something run; the message says what.
    """
    stands = [(found, name) for name, found in STANDS_FOR.items() if name.startswith("numpy.")]
    try:
        _check_archive(path)
        # The arrays of NumPy that ACF's checkpoints hold beside the tensors are read, as all else, without NumPy.
        with torch.serialization.safe_globals([*stands]):
            found = torch.load(path, map_location="cpu", weights_only=True)
        state = _state(path, found)
        about = {key: found[key] for key in _ABOUT if isinstance(found, dict) and _is_number(found.get(key))}
        bad = [name for name, t in state.items() if t.is_floating_point() and not t.isfinite().all()]
    except DataError:
        raise
    except (
        *(pickle.UnpicklingError, EOFError, LookupError, ValueError, TypeError, AttributeError),
        *(RuntimeError, OverflowError, MemoryError, AssertionError, zipfile.BadZipFile),
    ) as error:
        raise DataError(f"{path}: {_reason(error)}") from None
    if bad:
        raise DataError(
            f"{path}: {bad[0]} holds NaN or infinity: the training went wrong. Take another checkpoint."
        )
    return Checkpoint(path, state, about, _layout(state))


def _check_archive(path: Path) -> None:
    """Refuse a file whose parts, unpacked, are far larger than it is, before torch unpacks them."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        claimed = sum(part.file_size for part in archive.infolist())
    _check_size(path, claimed)


def _check_size(path: Path, claimed: int) -> None:
    size = path.stat().st_size
    if claimed > _AT_MOST * size:
        raise DataError(
            f"{path}: claims {claimed:,} bytes of tensors in a file of {size:,} bytes. {_REFUSED}"
        )


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


def _state(path: Path, found: object) -> dict[str, Tensor]:
    """The named tensors as float32, wherever the file has them; none where it has none."""
    if not isinstance(found, dict):
        return {}
    inner = [found[key] for key in _STATES if isinstance(found.get(key), dict)]
    for candidate in [*inner, found]:
        tensors = {n: t for n, t in candidate.items() if isinstance(n, str) and isinstance(t, Tensor)}
        if tensors:
            _check_tensors(path, tensors)
            return {name.removeprefix("module."): t.detach().float() for name, t in tensors.items()}
    return {}


def _check_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Refuse tensors that are larger in memory than in the file: a view may show one number a billion times."""
    for name, t in tensors.items():
        if t.layout != torch.strided or t.device.type != "cpu" or t.is_quantized:
            raise DataError(f"{path}: {name[:80]} is no plain tensor of numbers. {_REFUSED}")
        claimed, held = t.numel() * t.element_size(), t.untyped_storage().nbytes()
        if claimed > held:
            raise DataError(
                f"{path}: {name[:80]} claims {claimed:,} bytes, and the file holds {held:,} of them. {_REFUSED}"
            )
    # The numbers of one tensor may stand for many.
    _check_size(path, sum(t.numel() * torch.float32.itemsize for t in tensors.values()))


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
