"""The tables. Their names begin with `visrec_`, so that they can live in a database that a shop has already.

A change here needs a revision in `migrations/versions`; a test holds both to each other.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from visrec.feedback.events import Id

VERSION_TABLE = "visrec_schema"
"""Holds the revision of the schema."""


class Moment(TypeDecorator[datetime]):
    """A time in UTC, to the microsecond. SQLite knows no time zones: there it is written without."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """As the database takes it."""
        if value is None:
            return None
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """With the time zone UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


Number = sa.BigInteger().with_variant(sa.Integer, "sqlite")  # SQLite counts up only what is called INTEGER
Json = sa.JSON().with_variant(postgresql.JSONB, "postgresql")

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _session(*, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(
        "session_id",
        sa.Text,
        sa.ForeignKey("visrec_sessions.id", ondelete="CASCADE"),
        nullable=nullable,
    )


sessions = sa.Table(
    "visrec_sessions",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("created", Moment, nullable=False),
)

events = sa.Table(
    "visrec_events",
    metadata,
    sa.Column("seq", Number, primary_key=True, autoincrement=True),  # the order in which they came
    sa.Column("id", sa.Text, nullable=False, unique=True),
    sa.Column("time", Moment, nullable=False),
    _session(),
    sa.Column("user_id", sa.Text),
    sa.Column("user_is_integer", sa.Boolean),
    sa.Column("item_id", sa.Text, nullable=False),
    sa.Column("item_is_integer", sa.Boolean, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("recommendation_id", sa.Text),
    sa.Column("model", sa.Text),
    sa.Column("weight", sa.Double),
    sa.Column("run", sa.Text),
    sa.Column("extra", Json, nullable=False),
    sa.Index(None, "session_id", "seq"),
    sa.Index(None, "time"),
    sqlite_autoincrement=True,  # a number is never given twice, not even after the newest row was deleted
)

shown = sa.Table(
    "visrec_shown",
    metadata,
    sa.Column("seq", Number, primary_key=True, autoincrement=True),
    sa.Column("id", sa.Text, nullable=False, unique=True),
    sa.Column("time", Moment, nullable=False),
    _session(),
    sa.Column("user_id", sa.Text),
    sa.Column("user_is_integer", sa.Boolean),
    sa.Column("model", sa.Text),
    sa.Column("run", sa.Text),
    sa.Column("items", Json, nullable=False),  # [{"item": id, "rank": 1, "score": 0.5}, …]
    sa.Column("settings", Json, nullable=False),
    sa.Index(None, "session_id", "seq"),
    sa.Index(None, "time"),
    sqlite_autoincrement=True,
)


def written(name: str, value: Id | None) -> dict[str, Any]:
    """An id as its two columns: the text, and whether it is a whole number."""
    if value is None:
        return {f"{name}_id": None, f"{name}_is_integer": None}
    return {f"{name}_id": str(value), f"{name}_is_integer": isinstance(value, int)}


def as_given(text: str, is_integer: bool) -> Id:
    """The reverse of `written`."""
    return int(text) if is_integer else text
