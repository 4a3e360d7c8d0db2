"""Measures of pictures that people can read, of an item beside the taste of a person."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from visrec.data.catalog import Catalog
from visrec.errors import FeaturesError
from visrec.explain.explanation import Attribute
from visrec.explain.question import Question
from visrec.features.extraction import extract
from visrec.features.features import META, Features
from visrec.progress import Progress

FOLDER = "attributes"
"""Where a run folder keeps them."""


def attribute_table(
    catalog: Catalog,
    folder: str | Path | None = None,
    *,
    n_workers: int | None = None,
    progress: Progress | None = None,
) -> Features:
    """The measures of "attractiveness" of all pictures of a catalogue, each column in its own unit.

    Args:
        catalog: the items.
        folder: where they are kept, or will be (`<run>/attributes`): what is there for the same items is read and
            nothing else done. An interrupted extraction goes on. None: they are computed and not kept.
        n_workers: processes that decode; see `visrec.extract`.
        progress: called with (images done, images to do, note).

    Raises:
        FeaturesError: no picture can be used, or the folder holds something else.
    """
    if folder is not None and (Path(folder) / META).is_file():
        there = Features.load(folder)
        if there.items == catalog.items and there.provenance.get("columns"):
            return there
    return extract(
        catalog,
        "attractiveness",
        standardize=False,
        out=folder,
        n_workers=n_workers,
        progress=progress,
    )


def attributes(question: Question, table: Features) -> tuple[Attribute, ...]:
    """The item's measures beside those of the history; () where no item of the history has a picture.

    Args:
        question: its history is the person's taste.
        table: features whose columns have names, of the model's items.

    Raises:
        FeaturesError: the columns have no names.
    """
    columns = table.provenance.get("columns")
    if not columns or table.kind != "vector":
        raise FeaturesError(
            f"Attributes need features whose columns have names; these are of "
            f"{table.provenance.get('extractor', 'own values')}. Make them: attribute_table(catalog, folder)."
        )
    raw = table.values if table.raw is None else table.raw
    liked = question.history[~table.missing[question.history]]
    if len(liked) == 0:
        return ()
    all_values = np.asarray(raw)[~table.missing].astype(np.float64)  # (n, A)
    taste = np.asarray(raw[liked], dtype=np.float64)  # (h, A)
    own = None if table.missing[question.item] else np.asarray(raw[question.item], dtype=np.float64)
    found = []
    for place, name in enumerate(columns):
        column = all_values[:, place]
        value = None if own is None else float(own[place])
        mean, std = float(taste[:, place].mean()), float(taste[:, place].std())
        found.append(
            Attribute(
                name=str(name),
                value=value,
                percentile=None if value is None else percentile(column, value),
                mean=mean,
                std=std,
                mean_percentile=percentile(column, mean),
                low_percentile=percentile(column, mean - std),
                high_percentile=percentile(column, mean + std),
            )
        )
    return tuple(found)


def telling(found: Sequence[Attribute]) -> Attribute | None:
    """Of the measures in which the item fits the person's taste the one that sets this taste apart the most.

    Its mean over the history is the farthest from the middle of the catalogue. None where the item fits in nothing.
    """
    fitting = [one for one in found if one.fits]
    return max(fitting, key=lambda one: abs(one.mean_percentile - 50), default=None)


def percentile(column: np.ndarray, value: float) -> float:
    """The share of `column (n,)` below a value, ties half, in 0 … 100."""
    return 100 * float((column < value).mean() + (column == value).mean() / 2)
