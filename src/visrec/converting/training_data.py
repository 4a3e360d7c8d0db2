"""Which features and interactions a checkpoint was trained on, as far as the files tell."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from visrec.converting.checkpoints import Checkpoint
from visrec.data.dataset import Dataset
from visrec.data.interactions import Interactions
from visrec.data.splits import TEST
from visrec.errors import DataError
from visrec.features.extraction import extract
from visrec.features.features import Features

SIDE = 224
"""Pixels a side of the pictures that the tutorial's DVBPR sees."""


def fitting_features(
    checkpoint: Checkpoint, features: dict[str, tuple[list[str], Features]]
) -> tuple[str, Features]:
    """The features that a checkpoint was trained on: by its own copy of them, or by their shape."""
    layout, table = checkpoint.layout, checkpoint.table
    assert layout is not None
    kind, F = layout.needs, layout.n_features(checkpoint.state)
    fitting = {
        name: one for name, (_, one) in features.items() if one.kind == kind and one.values.shape[-1] == F
    }
    ids = next(iter(features.values()))[0]
    if table is not None and len(table) != len(ids):
        raise DataError(
            f"{checkpoint.path}: {layout.features} has {len(table):,} rows, but the features are of "
            f"{len(ids):,} items. Bring the file of features that it was trained on."
        )
    if table is not None:
        equal = {name: one for name, one in fitting.items() if _same(one, ids, table.numpy())}
        if not equal and fitting:
            raise DataError(
                f"{checkpoint.path}: was trained on other features than those in {', '.join(fitting)}: "
                f"{layout.features} differs from them. Bring the .npy file that it was trained on."
            )
        fitting = equal
    if not fitting:
        have = ", ".join(f"{name} ({one.kind}, {one.dim})" for name, (_, one) in features.items())
        raise DataError(
            f"{checkpoint.path}: was trained on features ({kind}) of length {F}; found: {have}. Bring the "
            f".npy file that it was trained on."
        )
    if len(fitting) > 1 and table is None:
        raise DataError(
            f"{checkpoint.path}: may have been trained on any of {', '.join(fitting)}. Leave in only the "
            f"one that it was."
        )
    return next(iter(fitting.items()))


def pixels(checkpoint: Checkpoint, data: Dataset, out: Path) -> Features:
    """The pictures as a network sees them, extracted once.

    Raises:
        DataError: there are no pictures.
    """
    if (out / "meta.json").is_file():
        return Features.load(out, verify=False)
    if not data.catalog.pictured.any():
        raise DataError(
            f"{checkpoint.path}: was trained on the pictures, and there are none. Put the folder of images, "
            f"<item_id>.jpg, beside it."
        )
    return extract(data.catalog, "pixels", size=SIDE, out=out)


def train_part(data: Dataset) -> Interactions:
    """What a checkpoint was trained on: all but the held-out rows, or all but each user's newest basket."""
    interactions = data.interactions
    if interactions.evaluation is not None and (interactions.evaluation == TEST).any():
        return interactions.where(interactions.evaluation != TEST)
    newest = np.full(interactions.n_users, -np.inf)
    oldest = np.full(interactions.n_users, np.inf)
    np.maximum.at(newest, interactions.user, interactions.timestamp)
    np.minimum.at(oldest, interactions.user, interactions.timestamp)
    last = interactions.timestamp == newest[interactions.user]
    return interactions.where(~last | (newest == oldest)[interactions.user])


def _same(features: Features, ids: Sequence[str], table: np.ndarray) -> bool:
    """Whether the features of `ids` are the rows of a table."""
    rows = features.items.indices(ids)
    return all(np.array_equal(features.values[row], line) for row, line in zip(rows, table, strict=True))
