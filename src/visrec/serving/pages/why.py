"""Why an item was recommended: the parts of an explanation, ready to be drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from visrec.errors import ConfigError, VisrecError
from visrec.explain import explain
from visrec.explain.explanation import Activation, Attended, Explanation
from visrec.explain.faithfulness import Check
from visrec.serving.engine import Engine, Item, Question
from visrec.serving.measures import begin_measuring, measures_of
from visrec.serving.once import once
from visrec.serving.pages.rendering import picture_size, render
from visrec.serving.service import CurrentEngine

router = APIRouter(include_in_schema=False)

_MOST_LIKED = 500  # of an address
_RANKS = 1000  # places among which an item is looked for
_ATTENDED = 4
_CONTRIBUTING = 5
_DARKEST = 0.82  # opacity of the veil over what does not count

TERMS = {
    "bias": "liked by many",
    "factors": "people of a like taste",
    "visual": "how it looks",
    "visual bias": "looks that many like",
}
"""The summands of a score in words."""

ATTRIBUTES = {
    "brightness": ("brightness", "dark", "bright"),
    "saturation": ("saturation", "grey", "pure colours"),
    "sharpness": ("sharpness", "soft", "sharp"),
    "entropy": ("variety of tones", "plain", "varied"),
    "rgb_contrast": ("contrast", "flat", "strong"),
    "colorfulness": ("colourfulness", "few colours", "many colours"),
    "naturalness": ("naturalness", "unlikely colours", "colours of nature"),
}
"""A measure's name in words, and what its two ends are like."""


@router.get("/why", response_class=HTMLResponse)
def why(
    request: Request,
    engine: CurrentEngine,
    item: str,
    *,
    model: str = "",
    user: str = "",
    liked: Annotated[list[str] | None, Query(max_length=_MOST_LIKED)] = None,
) -> HTMLResponse:
    """Why a model gives an item to a user, or to a visitor by what they liked."""
    name = model or engine.best_model
    if not user and not liked:
        raise ConfigError("For whom? Give a user (user=…), or what a visitor likes (liked=…&liked=…).")
    found = explain(
        engine.model(name),
        user or None,
        item,
        history=liked,
        content=engine.run.content if engine.run.has("vector") or engine.run.has("regions") else None,
        catalog=engine.catalog,
        attributes=measures_of(engine),
    )
    shown = _item(engine, found.item)
    return render(
        request,
        engine,
        "why.html.j2",
        found=found,
        model=name,
        user=user,
        item=shown,
        size=picture_size(shown),
        place=_place(engine, name, user, liked, found),
        nearest=_nearest(engine, found),
        terms=_terms(found),
        attended=_attended(engine, found),
        rest=_rest(found),
        activation=_activation(found),
        attributes=_bars(found),
        measured=measures_of(engine) is not None,
        measuring=begin_measuring(engine),
        contributing=_contributing(engine, found),
        rest_counts=_rest_counts(found),
        checks={one.kind: one for one in _checks(engine).get(name, ())},
    )


# ---- parts, ready to be drawn ------------------------------------------------------------------------


@dataclass(frozen=True)
class Veil:
    """What covers a part of a picture: a box in percent of its width and height, as text, and how dark it is."""

    x: str
    y: str
    width: str
    height: str
    opacity: str

    @classmethod
    def over(cls, box: Sequence[float], counts: float) -> Veil:
        """Over a box (x0, y0, x1, y1) in parts of the picture; `counts` in [0, 1], 1 leaves it uncovered."""
        x0, y0, x1, y1 = (100 * side for side in box)
        return cls(
            f"{x0:.2f}", f"{y0:.2f}", f"{x1 - x0:.2f}", f"{y1 - y0:.2f}", f"{_DARKEST * (1 - counts):.3f}"
        )


@dataclass(frozen=True)
class Looked:
    """A picture and where on it a model looks.

    Attributes:
        item: whose picture it is.
        size: of the picture, in pixels.
        share: of the attention, in percent.
        veils: over what counts less; () where nothing is known of places.
        where: the place that counts most, in words; "" likewise.
    """

    item: Item
    size: tuple[int, int]
    share: float
    veils: tuple[Veil, ...]
    where: str


@dataclass(frozen=True)
class Bar:
    """A measure of the picture beside a taste; numbers are percentiles of the catalogue, 0 … 100.

    Attributes:
        name: of the measure.
        ends: what little and much of it are like.
        item: of the picture; None where it has none.
        mean: of the taste.
        low: where its spread begins.
        high: where it ends.
        words: all of it, said.
    """

    name: str
    ends: tuple[str, str]
    item: float | None
    mean: float
    low: float
    high: float
    words: str


@dataclass(frozen=True)
class Summand:
    """A term of the score as a bar to the left or right of an average item.

    Attributes:
        name: in words.
        above: how much it lifts the item above an average one.
        start: of the bar, in percent of the width.
        width: likewise.
    """

    name: str
    above: float
    start: float
    width: float


def _item(engine: Engine, item: str | int) -> Item:
    return engine.item(engine.catalog.items.index(item))


def _place(
    engine: Engine, model: str, user: str, liked: list[str] | None, found: Explanation
) -> tuple[int, int] | None:
    """The rank of the item in the list of whom it is explained to, and how many items are ranked.

    None where it is far down, or has none.
    """
    index = engine.catalog.items.index(found.item)
    known = Question(
        model,
        _RANKS,
        user or None,
        liked=tuple(one for one in liked or () if one != str(found.item)),
        known="past",
    )
    try:
        ranks = {one.index: one.rank for one in engine.recommend(known)}
    except VisrecError:
        return None
    if index not in ranks:
        return None
    left_out = {*engine.known(known).tolist(), *engine.catalog.items.indices(known.liked).tolist()}
    return ranks[index], len(engine.catalog) - len(left_out)


def _nearest(engine: Engine, found: Explanation) -> list[tuple[Item, float]]:
    """What was liked and is most like it, with the cosine; uploaded pictures have no page, and are left out."""
    if found.nearest is None:
        return []
    return [(_item(engine, one.item_id), one.similarity) for one in found.nearest.items if not one.uploaded]


def _terms(found: Explanation) -> list[Summand]:
    most = max((abs(term.above) for term in found.terms), default=0.0) or 1.0
    made = []
    for term in sorted(found.terms, key=lambda one: -one.above):
        width = 50 * abs(term.above) / most
        start = 50 - width if term.above < 0 else 50.0
        made.append(Summand(TERMS.get(term.name, term.name), term.above, round(start, 2), round(width, 2)))
    return made


def _attended(engine: Engine, found: Explanation) -> list[Looked]:
    """What gets the most attention of the history, with the places on each picture."""
    most = sorted(found.attention, key=lambda one: -one.alpha)[:_ATTENDED]
    return [_looked(engine, one) for one in most]


def _looked(engine: Engine, one: Attended) -> Looked:
    item = _item(engine, one.item_id)
    regions = [
        region for region in one.regions if region.box[2] > region.box[0] and region.box[3] > region.box[1]
    ]
    size = picture_size(item)
    if not regions:
        return Looked(item, size, 100 * one.alpha, (), "")
    boxes = np.array([region.box for region in regions])
    betas = np.array([region.beta for region in regions])
    counts = betas / (betas.max() or 1.0)
    veils = [Veil.over(box, float(part)) for box, part in zip(boxes.tolist(), counts, strict=True)]
    veils += _around(boxes[:, 0].min(), boxes[:, 1].min(), boxes[:, 2].max(), boxes[:, 3].max())
    if betas.max() < 1.2 / len(betas):
        return Looked(item, size, 100 * one.alpha, tuple(veils), "alike everywhere")
    return Looked(item, size, 100 * one.alpha, tuple(veils), f"most {_where(boxes[int(betas.argmax())])}")


def _around(x0: float, y0: float, x1: float, y1: float) -> list[Veil]:
    """Veils over what a model did not see at all of a picture."""
    edges = [(0, 0, 1, y0), (0, y1, 1, 1), (0, y0, x0, y1), (x1, y0, 1, y1)]
    return [Veil.over(box, 0.0) for box in edges if box[2] - box[0] > 1e-6 and box[3] - box[1] > 1e-6]


def _where(box: np.ndarray) -> str:
    """A place on a picture in words."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    across = "left" if x < 0.4 else "right" if x > 0.6 else ""
    down = "upper" if y < 0.4 else "lower" if y > 0.6 else ""
    if not across and not down:
        return "in the middle"
    if not across:
        return "at the top" if down == "upper" else "at the bottom"
    return f"at the {down} {across}" if down else f"on the {across}"


def _rest(found: Explanation) -> tuple[int, float]:
    """How many more of the history there are, and what share of the attention they get together, in percent."""
    shares = sorted((one.alpha for one in found.attention), reverse=True)[_ATTENDED:]
    return len(shares), 100 * sum(shares)


def _activation(found: Explanation) -> dict[str, Any] | None:
    """Veils over the item's picture that leave what speaks for it, and what speaks against it."""
    map_of = found.activation
    if map_of is None or not np.abs(map_of.values).any():
        return None
    return {
        side: (_veils(cells), _where(_cell(map_of, int(cells.argmax()))))
        for side, cells in (("for", map_of.toward), ("against", map_of.against))
        if cells.any()
    }


def _veils(cells: np.ndarray) -> list[Veil]:
    h, w = cells.shape
    most = float(cells.max()) or 1.0
    return [
        Veil.over((x / w, y / h, (x + 1) / w, (y + 1) / h), float(cells[y, x]) / most)
        for y in range(h)
        for x in range(w)
    ]


def _cell(map_of: Activation, at: int) -> np.ndarray:
    h, w = map_of.values.shape
    y, x = divmod(at, w)
    return np.array([x / w, y / h, (x + 1) / w, (y + 1) / h])


def _bars(found: Explanation) -> list[Bar]:
    made = []
    for one in found.attributes:
        name, *ends = ATTRIBUTES.get(one.name, (one.name, "little", "much"))
        usual = f"what they like has {one.low_percentile:.0f} to {one.high_percentile:.0f} %"
        words = (
            f"{name}: what they like lies between {one.low_percentile:.0f} and {one.high_percentile:.0f}"
            if one.percentile is None
            else f"{name}: more than {one.percentile:.0f} % of the catalogue; {usual}"
        )
        made.append(
            Bar(
                name,
                (ends[0], ends[1]),
                None if one.percentile is None else round(one.percentile, 1),
                round(one.mean_percentile, 1),
                round(one.low_percentile, 1),
                round(one.high_percentile, 1),
                words,
            )
        )
    return made


def _contributing(engine: Engine, found: Explanation) -> list[tuple[Item, float]]:
    """What of the history lifts the score the most, then what lowers it the most."""
    if found.contributions is None:
        return []
    ranked = found.contributions.ranked
    least = (
        max((abs(one.value) for one in ranked), default=0.0) / 100
    )  # what is less cannot be told from nothing
    ranked = tuple(one for one in ranked if abs(one.value) > least)
    chosen = [*ranked[:_CONTRIBUTING], *(one for one in ranked[_CONTRIBUTING:][-2:] if one.value < 0)]
    return [(_item(engine, one.item_id), one.value) for one in chosen]


def _rest_counts(found: Explanation) -> bool:
    """Whether a part of the score that can be told from nothing comes from elsewhere than the history."""
    rest = None if found.contributions is None else found.contributions.rest
    return rest is not None and abs(rest) > max(1e-6, abs(found.score) / 100)


@once
def _checks(engine: Engine) -> Mapping[str, Sequence[Check]]:
    """By model, whether each kind of its explanations was found to hold."""
    return engine.run.checks
