"""Why each item of a visitor's list is in it: one liked picture, and how it led there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from visrec.explain import Explanation, explain
from visrec.explain.sentence import LEAST_LIKE
from visrec.serving.engine import Engine, Item, Question


@dataclass(frozen=True)
class Because:
    """What an item of a list is there for.

    Attributes:
        how: "looks": the model goes by looks. "company": those who liked the one liked the other too. "beside": the
            liked picture looks like it, but that is not what the model goes by.
        item: the liked item; None where it is an uploaded picture.
        picture: the name of the uploaded picture; empty where it is an item.
        similarity: the cosine of the two pictures; None where the model does not go by looks and this liked one is
            what decided, where they were not compared, and where they have nothing in common: there, a number would
            contradict the reason.
    """

    how: Literal["looks", "company", "beside"]
    item: Item | None = None
    picture: str = ""
    similarity: float | None = None


def because_of(engine: Engine, question: Question, items: Sequence[int]) -> list[Because | None]:
    """For each item the liked one that it is there for; None where nothing that was liked can be said to lead there.

    That is the one with the largest part in the score, as far as it is above 0. Where that cannot be said, as photos
    take part too or no liked item has such a part, it is the one that looks most like the item, if any looks like it.

    Args:
        engine: of the run.
        question: what was asked, of a visitor.
        items: indices, of its list.
    """
    weights = question.weights or (1.0,) * len(question.liked)
    liked = [item for item, weight in zip(question.liked, weights, strict=True) if weight > 0]
    pictures = {one.name: one.vector for one in question.pictures if one.weight > 0}
    if not liked and not pictures:
        return [None] * len(items)
    content = engine.run.content
    compares = content.vector is not None or content.regions is not None
    model = engine.model(question.model)
    return [
        _because(
            engine,
            explain(
                model,
                None,
                engine.shelf.ids[index],
                history=liked,
                content=content,
                catalog=engine.catalog,
                pictures=(pictures or None) if compares else None,
                n_nearest=len(liked) + len(pictures),
                parts=("nearest",) if pictures else ("nearest", "contributions"),
            ),
            sees=model.needs != "none",
        )
        for index in items
    ]


def _because(engine: Engine, why: Explanation, *, sees: bool) -> Because | None:
    near = [one for one in why.nearest.items if one.similarity >= LEAST_LIKE] if why.nearest else []
    likeness = {str(one.item_id): one.similarity for one in near if not one.uploaded}
    ranked = why.contributions.ranked if why.contributions else ()
    if ranked and ranked[0].value > 0:
        first = ranked[0].item_id
        if not sees:
            return Because("company", _item(engine, first))
        return Because("looks", _item(engine, first), "", likeness.get(str(first)))
    if not near:
        return None
    how: Literal["looks", "beside"] = "looks" if sees else "beside"
    if near[0].uploaded:
        return Because(how, None, str(near[0].item_id), near[0].similarity)
    return Because(how, _item(engine, near[0].item_id), "", near[0].similarity)


def _item(engine: Engine, item: str | int) -> Item:
    return engine.item(engine.catalog.items.index(item))
