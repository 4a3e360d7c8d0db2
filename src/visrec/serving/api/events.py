"""What people do: /v1/events, /v1/session."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Request, Response, status
from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field

from visrec.feedback.events import Event, Kind, Opinions, new_id, now
from visrec.serving.api.recommendations import StrictWeight
from visrec.serving.api.schemas import Answer, Asked, ItemId, Text
from visrec.serving.problems import ProblemError
from visrec.serving.service import CurrentEngine, CurrentService, Service, ids_of
from visrec.serving.visits import CurrentSession, begun, end

router = APIRouter(tags=["events"])
_MOST = 100
_LONGEST = 64
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
_AHEAD = timedelta(days=1)  # that the clock of a client may be


def _written(value: object) -> object:
    """A time as it is written, with its zone; a number says neither its zone nor its unit."""
    if not isinstance(value, str | datetime):
        raise ValueError("expected a time as text, such as 2026-01-31T12:00:00Z")
    return value


def _possible(time: datetime) -> datetime:
    """Neither before there were computers to send it, nor in the future, which would be the newest of all."""
    if not _EARLIEST <= time <= now() + _AHEAD:
        raise ValueError("expected a time from 1970 until now")
    return time


class NewEvent(Asked):
    """Something that a person did."""

    kind: Kind
    """like and unlike, hide and unhide undo each other; the others change nothing."""
    item: ItemId
    """To which item."""
    id: str = Field(default_factory=new_id, pattern=r"^[A-Za-z0-9._:-]{1,64}$")
    """Chosen by the client, so that the event may be sent again: the same id twice is one event."""
    recommendation_id: str | None = Field(default=None, pattern=r"^[A-Za-z0-9._:-]{1,64}$")
    """Of the list that the item was seen in."""
    model: Annotated[Text, Field(min_length=1, max_length=_LONGEST)] | None = None
    """That made the list."""
    user: ItemId | None = None
    """The account, if there is one; it need not be one of the data set."""
    weight: StrictWeight | None = None
    """Of a like: how much."""
    time: Annotated[AwareDatetime, BeforeValidator(_written), AfterValidator(_possible)] | None = None
    """When, with a time zone, from 1970 until now. Without it: now."""


class Recorded(Answer):
    """An event that is kept: it is on the disk."""

    id: str
    """Of the event."""
    is_new: bool
    """False: it was there already."""
    recommendation_known: bool | None
    """Whether the list that it names was shown by this service. Events of unknown lists are kept all the same."""


class SessionAnswer(Answer):
    """What a session thinks of items, after everything it took back."""

    liked: list[str | int]
    """The longest liked first."""
    hidden: list[str | int]
    """In no list of this session."""


class RecordedEvents(SessionAnswer):
    """Events that are kept, and what the session thinks then."""

    events: list[Recorded]
    """In the order in which they were sent."""


class PastEvent(Answer):
    """An event of this session."""

    id: str
    """Of the event."""
    kind: Kind
    """What was done."""
    item: str | int
    """To which item."""
    time: datetime
    """When."""
    user: str | int | None
    """The account."""
    recommendation_id: str | None
    """Of the list that the item was seen in."""
    model: str | None
    """That made the list."""
    weight: float | None
    """How much."""


class PastEvents(Answer):
    """Events of this session."""

    events: list[PastEvent]
    """In the order in which they came."""


EVENTS = {
    "a like": {"value": {"kind": "like", "item": "00042"}},
    "a click in a list": {
        "value": {
            "kind": "click",
            "item": "00042",
            "recommendation_id": "5f0c6c1a-9be2-47f0-8a55-0a3c1f6f2f10",
        }
    },
    "several": {"value": [{"kind": "like", "item": "00042", "weight": 2}, {"kind": "hide", "item": "00007"}]},
}


@router.post("/events", status_code=status.HTTP_201_CREATED, summary="Say what a person did")
def record_events(
    request: Request,
    service: CurrentService,
    engine: CurrentEngine,
    session: CurrentSession,
    given: Annotated[
        NewEvent | Annotated[list[NewEvent], Field(min_length=1, max_length=_MOST)],
        Body(openapi_examples=EVENTS),
    ],
) -> RecordedEvents:
    """Keep one event, or several. What is answered is on the disk.

    A like counts at once in the lists of the same session, for models that look at a history; what is hidden is in no
    list of the session. Without a session, one begins: its cookie is set. If an item is unknown, nothing is kept.
    """
    _check_writable(service)
    asked = given if isinstance(given, list) else [given]
    items = ids_of(engine, [one.item for one in asked])
    whose = begun(request, session)
    recorded = []
    for one, item in zip(asked, items, strict=True):
        event = Event(
            session=whose,
            item=item,
            kind=one.kind,
            id=one.id,
            time=one.time or now(),
            user=one.user,
            recommendation=one.recommendation_id,
            model=one.model,
            weight=one.weight,
            run=engine.digest,
        )
        known = None if one.recommendation_id is None else service.has_shown(one.recommendation_id)
        recorded.append(Recorded(id=one.id, is_new=service.record(event), recommendation_known=known))
    return RecordedEvents(events=recorded, **_state(service.opinions(whose, engine)))


@router.get("/events", summary="What this session did")
def list_events(
    service: CurrentService,
    session: CurrentSession,
    n: Annotated[int, Query(ge=1, le=1000, description="The newest so many.")] = 100,
) -> PastEvents:
    """The newest events of the session of this request, and of no other."""
    found = [] if session is None or service.store is None else service.store.newest_events(session, n)
    return PastEvents(
        events=[
            PastEvent(
                id=one.id,
                kind=one.kind,
                item=one.item,
                time=one.time,
                user=one.user,
                recommendation_id=one.recommendation,
                model=one.model,
                weight=one.weight,
            )
            for one in found
        ]
    )


@router.get("/session", summary="What this session likes and has hidden")
def show_session(service: CurrentService, engine: CurrentEngine, session: CurrentSession) -> SessionAnswer:
    """Of the items of this run. Empty where there is no session yet."""
    return SessionAnswer(**_state(service.opinions(session, engine)))


@router.delete("/session", status_code=status.HTTP_204_NO_CONTENT, summary="Forget this session")
def forget_session(
    request: Request, response: Response, service: CurrentService, session: CurrentSession
) -> None:
    """Delete all that is kept of this session: its events, the lists that it was shown, its cookie."""
    _check_writable(service)
    if session is not None and service.store is not None:
        service.forget(session)
    end(request, response)


def _check_writable(service: Service) -> None:
    if not service.writable:
        raise ProblemError(403, "This service is read-only: it keeps no events.", kind="read-only")


def _state(found: Opinions) -> dict[str, Any]:
    return {"liked": list(found.liked), "hidden": list(found.hidden)}
