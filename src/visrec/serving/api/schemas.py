"""What several routes take and give."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictInt, StrictStr

from visrec.serving.engine import Item, Ranked
from visrec.serving.thumbnails import thumbnail_url


def _storable(text: str) -> str:
    """Refuse what neither UTF-8 nor a database can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("not valid Unicode") from None
    if "\0" in text:
        raise ValueError("holds a NUL character")
    return text


Text = Annotated[StrictStr, AfterValidator(_storable)]
IdText = Annotated[Text, Field(min_length=1, max_length=512)]
ItemId = IdText | Annotated[StrictInt, Field(ge=-(2**63), lt=2**63)]
"""An id as the data set has it. "12" and 12 are one id, "012" is another."""

MAX_K = 100
K = Annotated[int, Field(ge=1, le=MAX_K, description="How many items.")]


Start = Annotated[int, Query(ge=0, le=2**31, description="The place of the first one; 0 is the beginning.")]


class Asked(BaseModel):
    """Base of what a client sends: unknown fields are a mistake."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


class Answer(BaseModel):
    """Base of what is answered."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class ItemAnswer(Answer):
    """An item."""

    id: str | int
    """As the data set has it."""
    title: str
    """Or the id, where there is none."""
    creator: str | None
    """Who made it, if the data set says so."""
    category: str | None
    """What it is, if the data set says so."""
    picture: str | None
    """Where its picture is: WebP, 320 pixels on the longer side; also 160, 640 and 1280. Null: there is none."""


class RankedItem(ItemAnswer):
    """An item of a list."""

    rank: int = Field(ge=1)
    """Its place; 1 is the best."""
    score: float
    """As the model gives it; only scores of one list can be compared."""


class ItemDetails(ItemAnswer):
    """An item with all that the data set says of it."""

    metadata: dict[str, Any]
    """The other columns of the items' table, as far as they are not empty."""


def picture_url(item: Item, width: int = 320) -> str | None:
    """Where the picture of an item is; None where it has none."""
    return thumbnail_url(item.id, width) if item.has_image else None


def item_fields(item: Item) -> dict[str, Any]:
    """The fields of an `ItemAnswer`."""
    return {
        "id": item.id,
        "title": item.title,
        "creator": item.creator,
        "category": item.category,
        "picture": picture_url(item),
    }


def ranked_fields(item: Item, ranked: Ranked) -> dict[str, Any]:
    """The fields of a `RankedItem`."""
    return {**item_fields(item), "rank": ranked.rank, "score": ranked.score}
