"""Lists for somebody: /v1/recommendations."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Body, Query
from pydantic import Field, Strict, StrictBool

from visrec.errors import UnsupportedError
from visrec.feedback.events import new_id
from visrec.serving.api.schemas import Answer, Asked, IdText, ItemId, K, RankedItem, Text, ranked_fields
from visrec.serving.engine import Engine, Known, Picture, Question, Ranked
from visrec.serving.filters import Filter
from visrec.serving.paging import Asked as Kept
from visrec.serving.paging import depth
from visrec.serving.service import MOST_LIKED, CurrentEngine, CurrentService, Service, with_opinions
from visrec.serving.visits import CurrentSession

router = APIRouter(tags=["recommendations"])

Diversity = Annotated[
    float,
    Field(
        ge=0,
        le=1,
        description="0: by score alone. Above: the best 200 are put into an order in which each item is unlike those "
        "before it (maximal marginal relevance); at 1 only that counts.",
    ),
]
FilterText = Annotated[Text, Field(min_length=1, max_length=300)]
Filters = Annotated[
    list[FilterText],
    Field(
        max_length=20,
        description="Conditions on the items' table, all of which hold: a column, one of = != < <= > >=, a value. "
        "/v1/items says which columns there are.",
        examples=[["style=mosaic", "year>=1990"]],
    ),
]
ModelName = Annotated[Text, Field(min_length=1, max_length=200)]
Exclude = Annotated[list[ItemId], Field(max_length=1000, description="Items that must not be in the list.")]


Weight = Annotated[float, Field(ge=-100, le=100)]
StrictWeight = Annotated[Weight, Strict()]


class KeptPicture(Asked):
    """A picture that was kept."""

    name: str = Field(pattern=r"^[0-9a-f]{64}$")
    """What POST /v1/pictures answered."""
    weight: StrictWeight = 1.0
    """How much it is liked; below 0: less of this."""


class Liked(Asked):
    """An item of a history."""

    item: ItemId
    """Its id."""
    weight: StrictWeight = 1.0
    """How much it is liked; below 0: less of this; 0: it does not count, and is left out of the list."""


class NewQuestion(Asked):
    """For whom to rank, and what may stand in the list."""

    user: ItemId | None = None
    """A user of the data set; without one, a visitor."""
    model: ModelName | None = None
    """A name from /v1/models. Without one: the best of those that can answer."""
    k: Annotated[K, Strict()] = 20
    history: list[Liked | ItemId] = Field(default=[], max_length=MOST_LIKED)
    """What the person likes, oldest first, beside what the model knows of the user and what the session likes: item
    ids, or items with weights. Never in the list."""
    pictures: list[KeptPicture] = Field(default=[], max_length=8)
    """Pictures that were kept; to ask with others, POST /v1/recommendations/pictures."""
    exclude: Exclude = Field(default=[])
    filters: Filters = Field(default=[])
    diversity: Annotated[Diversity, Strict()] = 0.0
    known: Known = "all"
    """What of a user's own items is left out: all that the data set knows, the past (what the models were tested
    on may then come), or none."""
    reasons: StrictBool = False
    """Say of each item why it is there."""


class Reason(Answer):
    """A liked item beside a recommended one."""

    item: str | int
    """The id of the liked item, or of an uploaded picture its number: "1", of those that were kept "kept 1"."""
    similarity: float
    """Cosine, in [-1, 1]."""
    uploaded: bool
    """Whether it is an uploaded picture."""


class Reasons(Answer):
    """Why an item is in a list. /why is the page with all of it."""

    because: str
    """One sentence."""
    nearest: list[Reason]
    """Of what was liked, what is most like it."""


class Recommended(RankedItem):
    """An item of a list."""

    reasons: Reasons | None = None
    """On request; null on the pages of a list whose run was replaced."""


class Recommendations(Answer):
    """A list for somebody, or a page of it."""

    recommendation_id: str
    """Of this page; events name it."""
    model: str
    """That ranked."""
    run: str
    """The digest of the run that ranked."""
    user: str | int | None
    """For whom; null: a visitor."""
    items: list[Recommended]
    """Best first."""
    next_cursor: str | None
    """For the next page: `GET /v1/recommendations?cursor=…`. Null: this is the last one."""


QUESTIONS = {
    "a visitor": {"value": {"history": ["00042", {"item": "00007", "weight": -1}], "k": 10}},
    "a user": {
        "value": {
            "user": "p0001",
            "model": "visrank",
            "filters": ["style!=mosaic"],
            "diversity": 0.3,
            "reasons": True,
        }
    },
}


@router.get("/recommendations", summary="The best items for a user, or for a session")
def recommend(
    service: CurrentService,
    engine: CurrentEngine,
    session: CurrentSession,
    user: Annotated[IdText | None, Query(description="A user of the data set.")] = None,
    model: Annotated[ModelName | None, Query(description="A name from /v1/models.")] = None,
    k: Annotated[K, Query()] = 20,
    item: Annotated[
        list[IdText],
        Query(max_length=100, description="What a visitor likes, oldest first; repeat it for several."),
    ] = [],  # noqa: B006 - FastAPI copies it
    exclude: Annotated[Exclude, Query()] = [],  # noqa: B006
    filters: Annotated[Filters, Query(alias="filter")] = [],  # noqa: B006
    diversity: Annotated[Diversity, Query()] = 0.0,
    known: Annotated[Known, Query(description="What of a user's own items is left out.")] = "all",
    reasons: Annotated[bool, Query(description="Say of each item why it is there.")] = False,
    cursor: Annotated[
        str | None,
        Query(
            max_length=200,
            description="`next_cursor` of an answer. It holds its whole question as it was asked, so that everything "
            "else but `k` and `reasons` is left as it was then.",
        ),
    ] = None,
) -> Recommendations:
    """A list, best first. With a cursor, the next page of one.

    Without a user, what the session likes counts, and `item`. No page of one question repeats an item of another, and
    together they are the one list that was ranked when it was asked, whatever was liked or loaded in between.
    """
    if cursor is not None:
        key, asked, start = service.lists.at(cursor)
        return _page(service, engine, key=key, asked=asked, start=start, k=k, reasons=reasons)
    given = NewQuestion(
        user=user,
        model=model,
        k=k,
        history=list(item),
        exclude=exclude,
        filters=filters,
        diversity=diversity,
        known=known,
    )
    return answer(service, engine, session, given, reasons=reasons)


@router.post("/recommendations", summary="The best items for a history")
def recommend_for_history(
    service: CurrentService,
    engine: CurrentEngine,
    session: CurrentSession,
    given: Annotated[NewQuestion, Body(openapi_examples=QUESTIONS)],
) -> Recommendations:
    """A list for whoever likes these items, with weights or without. Of the history, its size alone is kept."""
    return answer(service, engine, session, given, reasons=given.reasons)


def answer(
    service: Service,
    engine: Engine,
    session: str | None,
    given: NewQuestion,
    *,
    reasons: bool,
    pictures: tuple[Picture, ...] = (),
) -> Recommendations:
    """Rank, keep the whole list for its pages, and answer with the first."""
    opinions = service.opinions(session, engine)
    pictures = (*_kept(service, engine, given.pictures), *pictures)
    question = _question(given, pictures)
    if given.model is None:
        question = replace(question, model=engine.model_for(question, known=bool(opinions.liked)))
    kind = engine.kind_of(question.model)
    if (given.history or pictures) and kind.personal and kind.query == "user":
        raise UnsupportedError(
            f"{question.model} knows its users by its training alone; a history changes nothing. Leave it out, or "
            f"choose one of {', '.join(n for n in engine.models if engine.kind_of(n).query in ('history', 'both'))}."
        )
    question = with_opinions(question, opinions, weighs=kind.weighs)
    with service.metrics.recommending(question.model):
        ranking = engine.rank(replace(question, k=depth(given.k)))
    ids = tuple(engine.shelf.ids[index] for index in ranking.items.tolist())
    asked = Kept(question, ranking, ids, engine.digest, session)
    key = service.lists.keep(asked) if len(ranking) > given.k else b""
    return _page(service, engine, key=key, asked=asked, start=0, k=given.k, reasons=reasons)


def _kept(service: Service, engine: Engine, pictures: list[KeptPicture]) -> tuple[Picture, ...]:
    from PIL import Image

    images = [Image.fromarray(service.kept.open(one.name)) for one in pictures]
    vectors = engine.encode(images) if images else ()
    pairs = enumerate(zip(pictures, vectors, strict=True), start=1)
    return tuple(Picture(f"kept {n}", vector, one.weight) for n, (one, vector) in pairs)


def _question(given: NewQuestion, pictures: tuple[Picture, ...]) -> Question:
    """As the engine takes it. Of a name that is not given, the model is ""."""
    liked = [one if isinstance(one, Liked) else Liked(item=one) for one in given.history]
    weights = tuple(one.weight for one in liked)
    return Question(
        model=given.model or "",
        k=given.k,
        user=given.user,
        liked=tuple(one.item for one in liked),
        weights=None if all(weight == 1 for weight in weights) else weights,
        pictures=pictures,
        exclude=tuple(given.exclude),
        filters=tuple(Filter.parse(one) for one in given.filters),
        diversity=given.diversity,
        known=given.known,
    )


def _page(
    service: Service,
    engine: Engine,
    *,
    key: bytes,
    asked: Kept,
    start: int,
    k: int,
    reasons: bool,
) -> Recommendations:
    """The places of a list from `start` on, as the items are now."""
    shown = new_id()
    stop = min(start + k, len(asked.ranking))
    ranked = asked.ranking.page(start, stop)
    if engine.digest != asked.run:
        ranked = _as_now(ranked, asked, engine)
    items = engine.items(one.index for one in ranked)
    # Of a run that is gone, nobody can say why: its models and perhaps what was liked are gone too.
    told = reasons and engine.digest == asked.run
    why = _reasons(engine, asked.question, ranked) if told else [None] * len(ranked)
    service.record_shown(
        shown,
        list(zip(items, ranked, strict=True)),
        asked.question,
        asked.run,
        asked.session,
    )
    return Recommendations(
        recommendation_id=shown,
        model=asked.question.model,
        run=asked.run,
        user=asked.question.user,
        items=[
            Recommended(**ranked_fields(item, one), reasons=its)
            for item, one, its in zip(items, ranked, why, strict=True)
        ],
        next_cursor=service.lists.cursor(key, stop) if stop < len(asked.ranking) else None,
    )


def _as_now(ranked: list[Ranked], asked: Kept, engine: Engine) -> list[Ranked]:
    """Items of another run by their indices in this one; those that have gone are left out."""
    items = engine.catalog.items
    ids = [asked.ids[one.rank - 1] for one in ranked]
    return [
        replace(one, index=items.index(item)) for one, item in zip(ranked, ids, strict=True) if item in items
    ]


def _reasons(engine: Engine, question: Question, ranked: list[Ranked]) -> list[Reasons]:
    found = engine.reasons(question, [one.index for one in ranked])
    return [
        Reasons(
            because=one.because,
            nearest=[
                Reason(item=near.item_id, similarity=near.similarity, uploaded=near.uploaded)
                for near in (one.nearest.items if one.nearest else ())
            ],
        )
        for one in found
    ]
