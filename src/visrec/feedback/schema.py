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


def _of(name: str) -> sa.Column[Any]:
    """A column that names the row of another table which this one goes with: `_of("session")`."""
    plural = {"session": "sessions", "study": "studies"}[name]
    key = sa.ForeignKey(f"visrec_{plural}.id", ondelete="CASCADE")
    return sa.Column(f"{name}_id", sa.Text, key, nullable=False)


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
    _of("session"),
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
    sa.Column("assignment_id", sa.BigInteger, index=True),
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
    _of("session"),
    sa.Column("user_id", sa.Text),
    sa.Column("user_is_integer", sa.Boolean),
    sa.Column("model", sa.Text),
    sa.Column("run", sa.Text),
    sa.Column("items", Json, nullable=False),  # [{"item": id, "rank": 1, "score": 0.5}, …]
    sa.Column("settings", Json, nullable=False),
    sa.Column("assignment_id", sa.BigInteger, index=True),
    sa.Index(None, "session_id", "seq"),
    sa.Index(None, "time"),
    sqlite_autoincrement=True,
)

studies = sa.Table(
    "visrec_studies",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("created", Moment, nullable=False),
    sa.Column("seed", sa.BigInteger, nullable=False),
    sa.Column("consent_version", sa.Text, nullable=False),
    sa.Column("consent_text", sa.Text, nullable=False),
    sa.Column("assigned", sa.BigInteger, nullable=False),  # how many ever were; withdrawals do not lower it
)

conditions = sa.Table(
    "visrec_conditions",
    metadata,
    sa.Column("study_id", sa.Text, sa.ForeignKey("visrec_studies.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("place", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("explanation", sa.Boolean, nullable=False),
    sa.UniqueConstraint("study_id", "name"),
)

consents = sa.Table(
    "visrec_consents",
    metadata,
    sa.Column("study_id", sa.Text, sa.ForeignKey("visrec_studies.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("participant", sa.Text, primary_key=True),
    _of("session"),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("time", Moment, nullable=False),
    sa.UniqueConstraint("study_id", "session_id"),
)

assignments = sa.Table(
    "visrec_assignments",
    metadata,
    sa.Column("id", Number, primary_key=True, autoincrement=True),
    _of("study"),
    sa.Column("participant", sa.Text, nullable=False),
    _of("session"),
    sa.Column("place", sa.BigInteger, nullable=False),  # the how-manieth of the study, from 0
    sa.Column("condition", sa.Text, nullable=False),
    sa.Column("time", Moment, nullable=False),
    sa.UniqueConstraint("study_id", "participant"),
    sa.UniqueConstraint("study_id", "place"),
    sqlite_autoincrement=True,
)

answers = sa.Table(
    "visrec_answers",
    metadata,
    sa.Column(
        "assignment_id",
        Number,
        sa.ForeignKey("visrec_assignments.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    sa.Column("time", Moment, nullable=False),
    sa.Column("answers", Json, nullable=False),  # {"question": answer, …}
)


def written(name: str, value: Id | None) -> dict[str, Any]:
    """An id as its two columns: the text, and whether it is a whole number."""
    if value is None:
        return {f"{name}_id": None, f"{name}_is_integer": None}
    return {f"{name}_id": str(value), f"{name}_is_integer": isinstance(value, int)}


def as_given(text: str, is_integer: bool) -> Id:
    """The reverse of `written`."""
    return int(text) if is_integer else text
