"""The catalogue: /v1/items."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, Query

from visrec.serving.api.recommendations import Filters
from visrec.serving.api.schemas import Answer, ItemAnswer, ItemDetails, Start, item_fields
from visrec.serving.filters import Filter
from visrec.serving.service import CurrentEngine
from visrec.serving.shelf import LONGEST_SEARCH

router = APIRouter(tags=["items"])


class Column(Answer):
    """A column of the items' table."""

    name: str
    """For filters."""
    holds: Literal["number", "text"]
    """Numbers can be compared by < <= > >= too."""


class Items(Answer):
    """A page of the items that were asked for."""

    total: int
    """How many there are."""
    items: list[ItemAnswer]
    """In the order of their ids."""
    next_start: int | None
    """Where the next page begins; null: this is the last one."""
    columns: list[Column]
    """What can be filtered by."""


class OneItem(ItemDetails):
    """An item."""

    n_users: int
    """How many users of the data set took it."""


@router.get("/items", summary="Items by words and by metadata")
def list_items(
    engine: CurrentEngine,
    q: Annotated[
        str,
        Query(
            max_length=LONGEST_SEARCH,
            description="Words, all of which stand somewhere in what is known of an item.",
        ),
    ] = "",
    filters: Annotated[Filters, Query(alias="filter")] = [],  # noqa: B006 - FastAPI copies it
    start: Start = 0,
    n: Annotated[int, Query(ge=1, le=200, description="How many.")] = 50,
) -> Items:
    """Without words and filters: all of them."""
    filtering = engine.shelf.filtering
    passed = engine.shelf.search(q)
    mask = filtering.mask([Filter.parse(one) for one in filters])
    found = np.flatnonzero(passed if mask is None else passed & mask)
    return Items(
        total=len(found),
        items=[ItemAnswer(**item_fields(one)) for one in engine.items(found[start : start + n])],
        next_start=start + n if start + n < len(found) else None,
        columns=[Column(name=name, holds=holds) for name, holds in filtering.columns.items()],
    )


@router.get("/items/{item_id:path}", summary="An item")
def show_item(engine: CurrentEngine, item_id: str) -> OneItem:
    """All that the data set says of it."""
    index = engine.catalog.items.index(item_id)
    item = engine.item(index)
    return OneItem(**item_fields(item), metadata=item.metadata, n_users=engine.likers(index, 0)[1])
