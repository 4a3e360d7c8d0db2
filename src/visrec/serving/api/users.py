"""The people of the data set: /v1/users."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from visrec.serving.api.schemas import Answer, ItemAnswer, Start, item_fields
from visrec.serving.service import CurrentEngine

router = APIRouter(tags=["users"])


class User(Answer):
    """A user of the data set."""

    id: str | int
    """As the data set has it."""


class Users(Answer):
    """A page of the users that were asked for."""

    total: int
    """How many there are."""
    users: list[User]
    """In the order of their ids."""
    next_start: int | None
    """Where the next page begins; null: this is the last one."""


class UserHistory(User):
    """A user and what they took."""

    n_history: int
    """How many items they took before the test part."""
    history: list[ItemAnswer]
    """Of these the newest, newest first."""
    held_out: list[ItemAnswer]
    """What they took next: the test part."""


@router.get("/users", summary="Users of the data set")
def list_users(
    engine: CurrentEngine,
    q: Annotated[str, Query(max_length=200, description="A part of the id.")] = "",
    start: Start = 0,
    n: Annotated[int, Query(ge=1, le=1000, description="How many.")] = 100,
) -> Users:
    """By id."""
    ids = engine.run.split.train.users.values
    if q:
        ids = ids.filter(engine.run.split.train.users.written.str.contains(q, literal=True))
    return Users(
        total=len(ids),
        users=[User(id=one) for one in ids[start : start + n].to_list()],
        next_start=start + n if start + n < len(ids) else None,
    )


@router.get("/users/{user_id:path}", summary="A user and what they took")
def show_user(
    engine: CurrentEngine,
    user_id: str,
    n: Annotated[int, Query(ge=1, le=1000, description="So much of the history.")] = 100,
) -> UserHistory:
    """What they took in the data set. /v1/recommendations?user=… is what they are offered."""
    person = engine.person(user_id)
    return UserHistory(
        id=person.id,
        n_history=len(person.history),
        history=[ItemAnswer(**item_fields(one)) for one in engine.items(person.history[:n])],
        held_out=[ItemAnswer(**item_fields(one)) for one in engine.items(person.took)],
    )
