"""What an explanation consists of. All of it is data, in ids of items, and `as_dict` writes it as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

ItemId = str | int


@dataclass(frozen=True)
class Neighbour:
    """A liked picture beside the item.

    Attributes:
        item_id: of a liked item, or the name that an uploaded picture was given.
        similarity: cosine of the two vectors, in [-1, 1].
        uploaded: whether it is an uploaded picture.
    """

    item_id: ItemId
    similarity: float
    uploaded: bool = False


@dataclass(frozen=True)
class Nearest:
    """Of what was liked, what is most like the item.

    Attributes:
        items: the nearest first.
        by: whether "features" were compared, or what the "model" itself holds of items.
        source: the features' extractor, or the model's class.
        looks: whether what is compared is what pictures show; else it is who liked them.
    """

    items: tuple[Neighbour, ...]
    by: Literal["features", "model"]
    source: str
    looks: bool


@dataclass(frozen=True)
class Contribution:
    """What one item of the history does to the score; below 0 it speaks against the recommendation."""

    item_id: ItemId
    value: float


@dataclass(frozen=True)
class Contributions:
    """What each item of the history does to the score.

    Attributes:
        items: in the order of the history, oldest first; only those that the model looks at.
        how: "exact": values and `rest` add up to the score. "left out": a value is the score minus that without the
            item, and they need not add up to anything.
        rest: the part of the score that does not come from the history; None where that cannot be said.
    """

    items: tuple[Contribution, ...]
    how: Literal["exact", "left out"]
    rest: float | None

    @property
    def ranked(self) -> tuple[Contribution, ...]:
        """The largest first."""
        return tuple(sorted(self.items, key=lambda one: -one.value))


@dataclass(frozen=True)
class Term:
    """A summand of the score.

    Attributes:
        name: "bias", "factors", "visual" or "visual bias".
        value: the terms of an explanation add up to the score.
        average: what it is for the same user over all items. Only `value - average` decides about ranks.
    """

    name: str
    value: float
    average: float

    @property
    def above(self) -> float:
        """How much it speaks for this item beside an average one."""
        return self.value - self.average


@dataclass(frozen=True)
class Region:
    """A region of a picture: its box (x0, y0, x1, y1) in parts of width and height, and its share of attention."""

    box: tuple[float, float, float, float]
    beta: float


@dataclass(frozen=True)
class Attended:
    """An item of the history that is looked at.

    Attributes:
        item_id: of the item.
        alpha: its share of the attention; those of a history sum to 1.
        regions: the betas sum to 1. Empty where the item has no picture, and for items that get little attention.
    """

    item_id: ItemId
    alpha: float
    regions: tuple[Region, ...] = ()


@dataclass(frozen=True, eq=False)
class Activation:
    """Where on the item's picture the visual score comes from.

    Attributes:
        values: `(h, w)` float32 in [-1, 1], cells row by row over the whole picture: above 0 what speaks for the
            item, below 0 against it. The largest magnitude is 1, or all are 0.
        score: theta_u . Phi(X_i), what the map is of.
    """

    values: np.ndarray
    score: float

    @property
    def toward(self) -> np.ndarray:
        """`(h, w)` in [0, 1]: what speaks for the item."""
        return np.maximum(self.values, 0)

    @property
    def against(self) -> np.ndarray:
        """`(h, w)` in [0, 1]: what speaks against it."""
        return np.maximum(-self.values, 0)


@dataclass(frozen=True)
class Attribute:
    """A measure of the item's picture beside the person's taste.

    Percentiles are those of the catalogue, in 0 … 100: the share of its pictures that have less, ties half.

    Attributes:
        name: such as "brightness"; `visrec.features.handcrafted.attractiveness` says what each measures.
        value: of the item, in the measure's own unit; None where it has no picture.
        percentile: of the item; None likewise.
        mean: over the history's pictures.
        std: their standard deviation.
        mean_percentile: of `mean`.
        low_percentile: of `mean - std`.
        high_percentile: of `mean + std`.
    """

    name: str
    value: float | None
    percentile: float | None
    mean: float
    std: float
    mean_percentile: float
    low_percentile: float
    high_percentile: float

    @property
    def fits(self) -> bool:
        """Whether the item lies within a standard deviation of what the person liked."""
        return self.value is not None and abs(self.value - self.mean) <= self.std


@dataclass(frozen=True, eq=False)
class Explanation:
    """Why a model gives an item to somebody. A part that the model does not have is None or empty.

    Attributes:
        model: the model's class.
        user: None for a visitor.
        item: what is explained.
        score: of the item for the user.
        history: what was liked, oldest first.
        because: one sentence for a page.
        nearest: of what was liked, what is most like the item.
        contributions: what each item of the history does to the score.
        terms: the summands of the score, where it is a sum that people can read.
        attention: what is looked at of the history, oldest first.
        activation: where on the picture the visual score comes from.
        attributes: the picture's measures beside the person's taste.
        notes: what could not be explained, and what to do about it.
    """

    model: str
    user: ItemId | None
    item: ItemId
    score: float
    history: tuple[ItemId, ...]
    because: str
    nearest: Nearest | None = None
    contributions: Contributions | None = None
    terms: tuple[Term, ...] = ()
    attention: tuple[Attended, ...] = ()
    activation: Activation | None = None
    attributes: tuple[Attribute, ...] = ()
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """All of it in what JSON knows."""
        nearest, contributions, activation = self.nearest, self.contributions, self.activation
        return {
            "model": self.model,
            "user": self.user,
            "item": self.item,
            "score": self.score,
            "history": list(self.history),
            "because": self.because,
            "nearest": None
            if nearest is None
            else {
                "by": nearest.by,
                "source": nearest.source,
                "looks": nearest.looks,
                "items": [dict(vars(one)) for one in nearest.items],
            },
            "contributions": None
            if contributions is None
            else {
                "how": contributions.how,
                "rest": contributions.rest,
                "items": [dict(vars(one)) for one in contributions.items],
            },
            "terms": [dict(vars(one)) for one in self.terms],
            "attention": [
                {
                    "item_id": one.item_id,
                    "alpha": one.alpha,
                    "regions": [{"box": list(region.box), "beta": region.beta} for region in one.regions],
                }
                for one in self.attention
            ],
            "activation": None
            if activation is None
            else {
                "score": activation.score,
                "toward": _rounded(activation.toward),
                "against": _rounded(activation.against),
            },
            "attributes": [{**vars(one), "fits": one.fits} for one in self.attributes],
            "notes": list(self.notes),
        }


def _rounded(values: np.ndarray) -> list[list[float]]:
    return [[round(float(value), 4) for value in row] for row in values]
