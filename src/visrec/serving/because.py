"""Why each item of a visitor's list is in it: one liked picture, and how it led there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from visrec.explain import explain
from visrec.serving.engine import Engine, Item, Question


@dataclass(frozen=True)
class Because:
    """What an item of a list is there for.

    Attributes:
        how: "looks": a liked picture looks like it, and the model goes by looks. "company": those who liked that one
            liked this one too. "beside": a liked picture looks like it, but that is not what the model goes by.
        item: the liked item; None where it is an uploaded picture.
        picture: the name of the uploaded picture; empty where it is an item.
        similarity: the cosine of the two pictures; None where they were not compared.
    """

    how: Literal["looks", "company", "beside"]
    item: Item | None = None
    picture: str = ""
    similarity: float | None = None


def because_of(engine: Engine, question: Question, items: Sequence[int]) -> list[Because | None]:
    """For each item the liked one that it is there for; None where nothing that was liked can be said to lead there.

    Args:
        engine: of the run.
        question: what was asked, of a visitor.
        items: indices, of its list.
    """
    model = engine.model(question.model)
    weights = question.weights or (1.0,) * len(question.liked)
    liked = [item for item, weight in zip(question.liked, weights, strict=True) if weight > 0]
    pictures = {one.name: one.vector for one in question.pictures if one.weight > 0}
    if not liked and not pictures:
        return [None] * len(items)
    sees = model.needs != "none"
    content = engine.run.content
    compares = content.vector is not None or content.regions is not None
    parts = ("nearest",) if sees else ("nearest", "contributions")
    found: list[Because | None] = []
    for index in items:
        why = explain(
            model,
            None,
            engine.shelf.ids[index],
            history=liked,
            content=content,
            catalog=engine.catalog,
            pictures=(pictures or None) if compares else None,
            n_nearest=1,
            parts=parts,
        )
        ranked = why.contributions.ranked if why.contributions else ()
        if ranked and ranked[0].value > 0:
            found.append(Because("company", _item(engine, ranked[0].item_id)))
        elif why.nearest and why.nearest.items:
            near = why.nearest.items[0]
            how: Literal["looks", "beside"] = "looks" if sees or why.nearest.by == "model" else "beside"
            item = None if near.uploaded else _item(engine, near.item_id)
            picture = str(near.item_id) if near.uploaded else ""
            found.append(Because(how, item, picture, near.similarity))
        else:
            found.append(None)
    return found


def _item(engine: Engine, item: str | int) -> Item:
    return engine.item(engine.catalog.items.index(item))
