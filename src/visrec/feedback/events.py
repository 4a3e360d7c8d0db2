"""What a person did, and what they were shown: the rows of the database as values, checked where they are made."""

from __future__ import annotations

import json
import math
import re
import secrets
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from visrec.errors import FeedbackError

Id = str | int
"""An item or user id as the data set has it: text, or a whole number."""

Kind = Literal["like", "unlike", "hide", "unhide", "click", "view", "dismiss"]
"""What was done. like and unlike, hide and unhide undo each other; the others change nothing."""

KINDS: tuple[Kind, ...] = get_args(Kind)
OPINIONS: tuple[Kind, ...] = ("like", "unlike", "hide", "unhide")
"""The kinds that say what somebody thinks of an item; the last one counts."""

_OPAQUE = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_LONGEST = 512  # characters of an id of the data set, of a name
_LARGEST = 16_384  # bytes of JSON in `extra` and `settings`


def new_id() -> str:
    """An id that nothing else has: a random UUID, as text."""
    return str(uuid.uuid4())


def new_session() -> str:
    """The id of a new session: 128 random bits. Whoever knows it can act as this session, so it is a secret."""
    return secrets.token_urlsafe(16)


def now() -> datetime:
    """This moment, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class Event:
    """One thing that a person did. Frozen; `FeedbackError` says what is wrong with it.

    Attributes:
        session: of which session (`new_session`).
        item: what it was done to, by its id in the data set.
        kind: what was done.
        id: 1 to 64 letters, digits and ._:- which the client may choose. The same id twice is one event.
        time: when, with a time zone; kept in UTC.
        user: the account, by its id in the data set, if there is one.
        recommendation: the id of the shown list that the item was seen in.
        model: the model that the list was of.
        weight: how much, finite; None where nothing was said.
        run: the digest of the run that answered.
        assignment: of the participant, in a study (`Assignment.id`).
        extra: anything else that can be written as JSON.
    """

    session: str
    item: Id
    kind: Kind
    id: str = field(default_factory=new_id)
    time: datetime = field(default_factory=now)
    user: Id | None = None
    recommendation: str | None = None
    model: str | None = None
    weight: float | None = None
    run: str | None = None
    assignment: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_opaque("session", self.session)
        _check_opaque("event id", self.id)
        if self.kind not in KINDS:
            raise FeedbackError(
                f"The event is of the kind {self.kind!r}; expected one of {', '.join(KINDS)}."
            )
        _check_number("weight", self.weight)
        _check_common(self)
        _check_id("item", self.item)
        check_json("extra", self.extra)


@dataclass(frozen=True)
class ShownItem:
    """An item of a shown list, and its score where it has one."""

    item: Id
    score: float | None = None


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A list that a person was shown. Frozen; `FeedbackError` says what is wrong with it.

    Attributes:
        session: whose session.
        items: what was shown, best first.
        id: the recommendation_id that events point to.
        time: when, with a time zone; kept in UTC.
        user: the account, if there is one.
        model: the model that ranked.
        run: the digest of its run.
        assignment: of the participant, in a study (`Assignment.id`).
        settings: how it was asked (k, filters, diversity, …), as JSON.
    """

    session: str
    items: tuple[ShownItem, ...]
    id: str = field(default_factory=new_id)
    time: datetime = field(default_factory=now)
    user: Id | None = None
    model: str | None = None
    run: str | None = None
    assignment: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_opaque("session", self.session)
        _check_opaque("recommendation id", self.id)
        _check_common(self)
        for one in self.items:
            _check_id("item", one.item)
            _check_number(f"score of item {one.item!r}", one.score)
        check_json("settings", self.settings)


@dataclass(frozen=True)
class Opinions:
    """What somebody likes and has hidden, after everything they took back.

    Attributes:
        liked: items, the longest liked first.
        hidden: items, the longest hidden first.
        weights: of the liked items whose like had one.
    """

    liked: tuple[Id, ...] = ()
    hidden: tuple[Id, ...] = ()
    weights: Mapping[Id, float] = field(default_factory=dict)


def opinions(events: Iterable[tuple[Kind, Id, float | None]]) -> Opinions:
    """What remains of events (kind, item, weight), oldest first.

    A like takes back a hide and the reverse; unlike and unhide take back only what they name. To like again what is
    liked moves it to the newest place, with the new weight.
    """
    liked: dict[str, tuple[Id, float | None]] = {}  # ids are compared as they are written
    hidden: dict[str, Id] = {}
    for kind, item, weight in events:
        if kind in ("like", "unlike", "hide"):
            liked.pop(str(item), None)
        if kind in ("hide", "unhide", "like"):
            hidden.pop(str(item), None)
        if kind == "like":
            liked[str(item)] = item, weight
        elif kind == "hide":
            hidden[str(item)] = item
    weights = {item: weight for item, weight in liked.values() if weight is not None}
    return Opinions(tuple(item for item, _ in liked.values()), tuple(hidden.values()), weights)


def _check_common(row: Event | Shown) -> None:
    if row.time.tzinfo is None:
        raise FeedbackError(f"The time {row.time.isoformat()} has no time zone; expected one, such as UTC.")
    try:
        row.time.astimezone(UTC)
    except OverflowError:
        raise FeedbackError(f"The time {row.time.isoformat()} is in no year from 1 to 9999 of UTC.") from None
    if row.user is not None:
        _check_id("user", row.user)
    names = {"model": row.model, "run": row.run}
    if isinstance(row, Event):
        names["recommendation"] = row.recommendation
    for name, value in names.items():
        if value is not None:
            check_text(name, value)


def _check_opaque(name: str, value: object) -> None:
    if not isinstance(value, str) or _OPAQUE.fullmatch(value) is None:
        raise FeedbackError(f"The {name} is {value!r}; expected 1 to 64 letters, digits and ._:-")


def _check_id(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise FeedbackError(f"The {name} id is {value!r}; expected text or a whole number.")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise FeedbackError(f"The {name} id is a number beyond 64 bits; give it as text.")
    if isinstance(value, str):
        check_text(f"{name} id", value)


def _check_number(name: str, value: float | None) -> None:
    try:
        fits = value is None or math.isfinite(value)
    except OverflowError:  # a whole number that no float can hold
        fits = False
    if not fits:
        raise FeedbackError(f"The {name} is {value}; expected a finite number.")


def check_text(name: str, value: object, *, longest: int = _LONGEST) -> None:
    """Refuse what not every database can keep as text: NUL, half a character, too much."""
    if not isinstance(value, str) or not 1 <= len(value) <= longest:
        raise FeedbackError(f"The {name} is not text of 1 to {longest} characters.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise FeedbackError(f"The {name} {value!r} is not valid Unicode.") from None
    if "\0" in value:
        raise FeedbackError(f"The {name} {value!r} holds a NUL character; leave it out.")


def check_json(name: str, value: Mapping[str, Any], *, largest: int = _LARGEST) -> None:
    """Refuse what cannot be kept as JSON: other types, NUL, too much."""
    try:
        text = json.dumps(dict(value), allow_nan=False, ensure_ascii=False)
        size = len(text.encode())
    except (TypeError, ValueError, RecursionError) as error:
        raise FeedbackError(f"The {name} cannot be written as JSON ({error}).") from None
    if size > largest:
        raise FeedbackError(f"The {name} are {size:,} bytes of JSON; expected at most {largest:,}.")
    if "\\u0000" in text:
        raise FeedbackError(f"The {name} hold a NUL character; leave it out.")
