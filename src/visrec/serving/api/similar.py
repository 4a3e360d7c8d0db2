"""Items like one: /v1/similar."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from visrec.serving.api.schemas import Answer, K, RankedItem, ranked_fields
from visrec.serving.engine import Engine, Ranked
from visrec.serving.service import CurrentEngine

router = APIRouter(tags=["similar"])

By = Annotated[
    str | None,
    Query(
        max_length=200,
        description="Who compares: a model, or the extractor of the visual features; /v1/models lists both. Without "
        "it: the visual features, or where the run has none its best model.",
    ),
]


class Similar(Answer):
    """Items like one."""

    by: str
    """Who compared."""
    run: str
    """The digest of the run that answered."""
    items: list[RankedItem]
    """The most like first; the score is a cosine, in [-1, 1]."""


@router.get("/similar", summary="The items most like one")
def similar(
    engine: CurrentEngine,
    item: Annotated[
        str, Query(min_length=1, max_length=512, description="The id of an item.", examples=["00042"])
    ],
    by: By = None,
    k: Annotated[K, Query()] = 10,
) -> Similar:
    """By what a model holds of the items, or by what an extractor sees in their pictures, itself left out."""
    who = by or engine.extractor or engine.best_model
    found = engine.similar(engine.catalog.items.index(item), k, by=who)
    return similar_answer(engine, who, found)


def similar_answer(engine: Engine, by: str, found: list[Ranked]) -> Similar:
    """The answer of ranked items."""
    items = engine.items(one.index for one in found)
    return Similar(
        by=by,
        run=engine.digest,
        items=[RankedItem(**ranked_fields(item, one)) for item, one in zip(items, found, strict=True)],
    )
