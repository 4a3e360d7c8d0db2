"""For whom to rank, and what may stand in the list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from visrec.serving.filters import Filter

Known = Literal["all", "past", "none"]
"""What of a user's own items is left out of lists: all that the data set knows, what lies before the test part (as in
the evaluation), or nothing."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture that is no item, as a vector of the run's visual features.

    Attributes:
        name: what it is called in reasons.
        vector: `(F,)`, finished as the features are.
        weight: how much it is liked; below 0: less of this.
    """

    name: str
    vector: np.ndarray
    weight: float = 1.0


@dataclass(frozen=True, eq=False)
class Question:
    """For whom to rank, and what may stand in the list.

    Attributes:
        model: a name from `Engine.models`.
        k: list length.
        user: a user id; None: a visitor.
        liked: item ids that the person has an opinion of beside what the model knows, oldest first. They are never in
            the list. Of one that comes twice the last counts.
        weights: of `liked`, one each; below 0: less of this, 0: it does not count. None: all 1.
        pictures: liked (or disliked) pictures that are no items.
        exclude: item ids that must not be in the list.
        filters: all of them hold for every item of the list.
        diversity: 0 … 1, see `visrec.serving.diversity`.
        known: see `Known`.
    """

    model: str
    k: int = 20
    user: str | int | None = None
    liked: tuple[str | int, ...] = ()
    weights: tuple[float, ...] | None = None
    pictures: tuple[Picture, ...] = ()
    exclude: tuple[str | int, ...] = ()
    filters: tuple[Filter, ...] = ()
    diversity: float = 0.0
    known: Known = "all"
