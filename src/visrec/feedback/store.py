"""The store: what people did, kept. A call that writes returns once that is on the disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from visrec.errors import ConflictingEventError, FeedbackError
from visrec.feedback import schema
from visrec.feedback.commits import Commits
from visrec.feedback.connections import connect, database_url, forget_log, speaking, use_wal
from visrec.feedback.events import (
    OPINIONS,
    Event,
    Kind,
    Opinions,
    Shown,
    ShownItem,
    new_session,
    now,
    opinions,
)
from visrec.feedback.migrating import migrate, newest, revision

T = TypeVar("T")
_PAGE = 2000  # rows read at a time, so that no reader holds a transaction open for long


@dataclass(frozen=True)
class Health:
    """What `Store.health` found: which database, the revision of its schema."""

    database: str
    revision: str


class Store:
    """A database of feedback. Threads may share one; so may processes, each with a store of its own.

    An event, a shown list or a session that was acknowledged, by a call that returned, is on the disk: it outlives
    the end of the process at any moment.
    """

    def __init__(self, engine: sa.Engine) -> None:
        """Use `Store.open`."""
        self._engine = engine
        self._commits = Commits(engine)

    @classmethod
    def open(cls, address: str | Path, *, create: bool = True) -> Self:
        """Open a database, and bring it to the schema of this version.

        Args:
            address: a run folder (its `feedback.db`), the path of an SQLite file, or a URL: `sqlite:///PATH`,
                `postgresql://USER@HOST/DATABASE`.
            create: make an SQLite file that is not there; False refuses.

        Raises:
            FeedbackError: it is no such database, or a newer visrec has written it.
            UnavailableError: it cannot be reached.
        """
        url = database_url(address)
        is_file = url.get_backend_name() == "sqlite"
        if is_file and not Path(url.database or "").exists():
            if not create:
                raise FeedbackError(f"{url.database}: there is no such database of feedback.")
            Path(url.database or "").parent.mkdir(parents=True, exist_ok=True)
        engine = connect(url)
        try:
            with speaking(url):
                if is_file:
                    use_wal(engine)
                migrate(engine)
        except BaseException:
            engine.dispose()
            raise
        return cls(engine)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give all connections back."""
        self._engine.dispose()

    @property
    def address(self) -> str:
        """The URL of the database, without its password."""
        return self._engine.url.render_as_string()

    def start_session(self) -> str:
        """A new session; its id is a secret of the visitor's."""
        session = new_session()
        self.write(lambda connection: self.know(connection, session))
        return session

    def has_session(self, session: str) -> bool:
        """Whether there is such a session, not deleted."""
        query = sa.select(sa.literal(1)).where(schema.sessions.c.id == session)
        return self.read(lambda connection: connection.scalar(query)) is not None

    def record_event(self, event: Event) -> bool:
        """Keep an event. Its session is made if it is not there yet.

        Returns:
            True if it is new, False if it was there already: the same id twice is one event, the first.

        Raises:
            ConflictingEventError: its id belongs to another event.
            UnavailableError: it is not kept, or not known to be; the same event may be recorded again.
        """
        row = {
            "id": event.id,
            "time": event.time,
            "session_id": event.session,
            **schema.written("user", event.user),
            **schema.written("item", event.item),
            "kind": event.kind,
            "recommendation_id": event.recommendation,
            "model": event.model,
            "weight": event.weight,
            "run": event.run,
            "assignment_id": event.assignment,
            "extra": dict(event.extra),
        }
        same = ("session_id", "item_id", "kind")
        return self._add(schema.events, row, same)

    def record_shown(self, shown: Shown) -> bool:
        """Keep a list that was shown; everything else as `record_event`."""
        same = ("session_id", "model", "run")
        return self._add(schema.shown, _row_of_shown(shown), same)

    def record_all_shown(self, lists: Sequence[Shown]) -> None:
        """Keep several lists in one transaction, none of which was kept before; much cheaper than one by one.

        Raises:
            UnavailableError: they are not kept, or not known to be.
        """
        rows = [_row_of_shown(one) for one in lists]
        begun = now()
        sessions = [{"id": one, "created": begun} for one in sorted({one.session for one in lists})]

        def add(connection: sa.Connection) -> None:
            for table, new in ((schema.sessions, sessions), (schema.shown, rows)):
                query = self._insert(table).on_conflict_do_nothing(index_elements=["id"])
                connection.execute(query, new)

        if rows:
            self.write(add)

    def has_shown(self, shown: str) -> bool:
        """Whether a list with this id was kept."""
        query = sa.select(sa.literal(1)).where(schema.shown.c.id == shown)
        return self.read(lambda connection: connection.scalar(query)) is not None

    def session_state(self, session: str, *, assignment: int | None = None) -> Opinions:
        """What a session likes and has hidden now; nothing of a session that is not known.

        Args:
            session: its id.
            assignment: only what was said in this part of a study; None: all.
        """
        c = schema.events.c
        query = (
            sa.select(c.kind, c.item_id, c.item_is_integer, c.weight)
            .where(c.session_id == session, c.kind.in_(OPINIONS))
            .order_by(c.seq)
        )
        if assignment is not None:
            query = query.where(c.assignment_id == assignment)
        rows = self.read(lambda connection: connection.execute(query).all())
        return opinions((kind, schema.as_given(item, whole), weight) for kind, item, whole, weight in rows)

    def events(
        self,
        *,
        since: datetime | None = None,
        kinds: Sequence[Kind] | None = None,
        session: str | None = None,
        study: str | None = None,
    ) -> Iterator[Event]:
        """Events in the order in which they came, read a page at a time.

        Args:
            since: only those of this moment and later.
            kinds: only these.
            session: only of this session.
            study: only of participants of this study.
        """
        conditions = _conditions(schema.events, since, session, study)
        if kinds is not None:
            conditions.append(schema.events.c.kind.in_(kinds))
        return (_event(row) for row in self._rows(schema.events, *conditions))

    def newest_events(self, session: str, n: int) -> list[Event]:
        """The newest events of a session, at most n, in the order in which they came."""
        c = schema.events.c
        query = sa.select(schema.events).where(c.session_id == session).order_by(c.seq.desc()).limit(n)
        rows = self.read(lambda connection: connection.execute(query).all())
        return [_event(row) for row in reversed(rows)]

    def shown(
        self, *, since: datetime | None = None, session: str | None = None, study: str | None = None
    ) -> Iterator[Shown]:
        """Shown lists in the order in which they came; arguments as of `events`."""
        conditions = _conditions(schema.shown, since, session, study)
        return (_shown(row) for row in self._rows(schema.shown, *conditions))

    def counts(self) -> dict[str, int]:
        """How many rows there are: sessions, shown lists, events, and events of each kind that occurs."""
        c = schema.events.c

        def count(connection: sa.Connection) -> dict[str, int]:
            kinds = connection.execute(
                sa.select(c.kind, sa.func.count()).group_by(c.kind).order_by(c.kind)
            ).all()
            sessions, shown = (
                connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0
                for table in (schema.sessions, schema.shown)
            )
            found = {str(kind): int(n) for kind, n in kinds}
            return {"sessions": sessions, "shown": shown, "events": sum(found.values()), **found}

        return self.read(count)

    def delete_session(self, session: str) -> bool:
        """Remove a session and everything that was kept of it; False if there is none.

        In an SQLite file the bytes are overwritten.
        """
        query = sa.delete(schema.sessions).where(schema.sessions.c.id == session)
        was_there = self.write(lambda connection: connection.execute(query).rowcount) > 0
        if was_there and self._engine.dialect.name == "sqlite":
            with speaking(self._engine.url):
                forget_log(self._engine)
        return was_there

    def health(self) -> Health:
        """Ask the database; `UnavailableError` where it does not answer."""
        found = self.read(revision)
        return Health(self._engine.dialect.name, found or newest())

    def write(self, work: Callable[[sa.Connection], T]) -> T:
        """Run a piece of work in a transaction, perhaps one that others share, and return once it is committed.

        See `Commits.do`.
        """
        with speaking(self._engine.url):
            return self._commits.do(work)

    def read(self, work: Callable[[sa.Connection], T]) -> T:
        """Run a piece of work that only reads."""
        with speaking(self._engine.url), self._engine.connect() as connection:
            return work(connection)

    def _rows(self, table: sa.Table, *conditions: sa.ColumnElement[bool]) -> Iterator[sa.Row[Any]]:
        last = -1
        while True:
            query = sa.select(table).where(table.c.seq > last, *conditions).order_by(table.c.seq).limit(_PAGE)
            with speaking(self._engine.url), self._engine.connect() as connection:
                rows = connection.execute(query).all()
            yield from rows
            if len(rows) < _PAGE:
                return
            last = rows[-1].seq

    def insert(
        self, connection: sa.Connection, table: sa.Table, row: dict[str, Any], *, by: Sequence[str] = ("id",)
    ) -> bool:
        """Insert a row; False, and nothing done, where one with the same values in the columns `by` is there."""
        query = self._insert(table).on_conflict_do_nothing(index_elements=list(by)).returning(table.c[by[0]])
        return connection.execute(query, row).first() is not None

    def _insert(self, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
        return (sqlite.insert if self._engine.dialect.name == "sqlite" else postgresql.insert)(table)

    def know(self, connection: sa.Connection, session: str) -> None:
        """Make a session, if it is not there."""
        self.insert(connection, schema.sessions, {"id": session, "created": now()})

    def _add(self, table: sa.Table, row: dict[str, Any], same: tuple[str, ...]) -> bool:
        """Keep a row: True if it is new, False if it was there; the same are the columns that tell it from others."""

        def add(connection: sa.Connection) -> bool | None:
            self.know(connection, row["session_id"])
            if self.insert(connection, table, row):
                return True
            found = connection.execute(sa.select(table).where(table.c.id == row["id"])).mappings().one()
            return False if all(found[name] == row[name] for name in same) else None

        is_new = self.write(add)
        if (
            is_new is None
        ):  # said here, since an error within would undo what others write in the same transaction
            raise ConflictingEventError(
                f"The id {row['id']!r} was given before, to something else. Make a new one."
            )
        return is_new


def _row_of_shown(shown: Shown) -> dict[str, Any]:
    return {
        "id": shown.id,
        "time": shown.time,
        "session_id": shown.session,
        **schema.written("user", shown.user),
        "model": shown.model,
        "run": shown.run,
        "assignment_id": shown.assignment,
        "items": [
            {"item": one.item, "rank": rank, "score": one.score}
            for rank, one in enumerate(shown.items, start=1)
        ],
        "settings": dict(shown.settings),
    }


def _conditions(
    table: sa.Table, since: datetime | None, session: str | None, study: str | None
) -> list[sa.ColumnElement[bool]]:
    mine = schema.assignments
    of_study = sa.select(mine.c.id).where(mine.c.study_id == study)
    return [
        *([] if since is None else [table.c.time >= since]),
        *([] if session is None else [table.c.session_id == session]),
        *([] if study is None else [table.c.assignment_id.in_(of_study)]),
    ]


def _event(row: sa.Row[Any]) -> Event:
    return Event(
        session=row.session_id,
        item=schema.as_given(row.item_id, row.item_is_integer),
        kind=row.kind,
        id=row.id,
        time=row.time,
        user=None if row.user_id is None else schema.as_given(row.user_id, row.user_is_integer),
        recommendation=row.recommendation_id,
        model=row.model,
        weight=row.weight,
        run=row.run,
        assignment=row.assignment_id,
        extra=row.extra,
    )


def _shown(row: sa.Row[Any]) -> Shown:
    return Shown(
        session=row.session_id,
        items=tuple(
            # PostgreSQL keeps 1e300 as a whole number.
            ShownItem(one["item"], None if one["score"] is None else float(one["score"]))
            for one in row.items
        ),
        id=row.id,
        time=row.time,
        user=None if row.user_id is None else schema.as_given(row.user_id, row.user_is_integer),
        model=row.model,
        run=row.run,
        assignment=row.assignment_id,
        settings=row.settings,
    )
