"""From an address to connections that keep what they acknowledge: SQLite files, PostgreSQL servers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event, exc

from visrec.errors import FeedbackError, UnavailableError
from visrec.feedback.addresses import FILE, is_url

_PATIENCE = 30.0  # seconds that one process waits for another's transaction
_EXAMPLES = "a run folder, the path of an SQLite file, or postgresql://USER@HOST/DATABASE"


def database_url(address: str | Path) -> sa.URL:
    """The URL of an address: of a run folder its `feedback.db`, of any other path an SQLite file.

    Raises:
        FeedbackError: it is none, or of a database that is not supported.
    """
    if not is_url(address):
        path = Path(address)
        return sa.URL.create("sqlite", database=str(path / FILE if path.is_dir() else path))
    try:
        url = sa.make_url(str(address))
    except (exc.ArgumentError, ValueError):
        raise FeedbackError(
            f"The address of the database is not a valid URL; expected {_EXAMPLES}."
        ) from None
    name = url.drivername
    if name in ("postgresql", "postgres", "postgresql+psycopg"):
        return url.set(drivername="postgresql+psycopg")
    if name in ("sqlite", "sqlite+pysqlite"):
        if url.database in (None, "", ":memory:"):
            raise FeedbackError(f"{address}: is kept in memory alone and would be lost; give {_EXAMPLES}.")
        return url.set(drivername="sqlite")
    raise FeedbackError(f"{url.render_as_string()}: {name} is not supported; expected {_EXAMPLES}.")


def connect(url: sa.URL) -> sa.Engine:
    """An engine with a pool of connections, which several threads may use."""
    if url.get_backend_name() == "sqlite":
        engine = sa.create_engine(url, connect_args={"timeout": _PATIENCE}, pool_timeout=_PATIENCE)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    try:
        engine = sa.create_engine(
            url,
            pool_size=10,
            pool_timeout=_PATIENCE,
            pool_pre_ping=True,  # the server may have been started anew
            connect_args={"connect_timeout": 10},
        )
    except ModuleNotFoundError:
        raise FeedbackError(
            "PostgreSQL needs the package psycopg, which is not installed: pip install 'visrec[postgres]'"
        ) from None
    event.listen(engine, "connect", _prepare_postgres)
    return engine


@contextmanager
def writing(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A transaction that writes. On SQLite it has the file for itself from its first moment."""
    with engine.connect().execution_options(visrec_writes=True) as connection, connection.begin():
        yield connection


@contextmanager
def speaking(url: sa.URL) -> Iterator[None]:
    """Turn the errors of databases into ours, naming the database without its password.

    Raises:
        UnavailableError: it cannot be reached, is locked or full.
        FeedbackError: it is no database of feedback.
    """
    where = url.database if url.get_backend_name() == "sqlite" else url.render_as_string()
    try:
        yield
    except (exc.OperationalError, exc.InterfaceError, exc.TimeoutError) as error:
        raise UnavailableError(
            f"{where}: the database does not answer ({_reason(error)}). Try again."
        ) from error
    except exc.DatabaseError as error:
        raise FeedbackError(
            f"{where}: cannot be used as a database of feedback ({_reason(error)}). Choose another."
        ) from error


def use_wal(engine: sa.Engine) -> None:
    """Have an SQLite file keep a log of what is written, so that readers and a writer do not wait for each other.

    The file remembers it. SQLite does not wait for others here, so this does.
    """
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            return _pragma(engine, "journal_mode = WAL")
        except exc.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
        time.sleep(0.02)


def forget_log(engine: sa.Engine) -> None:
    """Have an SQLite file take over its log and empty it, so that what was deleted is in neither."""
    _pragma(engine, "wal_checkpoint(TRUNCATE)")


def _pragma(engine: sa.Engine, words: str) -> None:
    """A command to SQLite that must stand outside of a transaction."""
    import sqlite3

    raw = None
    try:
        raw = engine.raw_connection()
        raw.cursor().execute(f"PRAGMA {words}")
    except sqlite3.OperationalError as error:
        raise exc.OperationalError(words, None, error) from error
    except sqlite3.DatabaseError as error:
        raise exc.DatabaseError(words, None, error) from error
    finally:
        if raw is not None:
            raw.close()


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # transactions are opened by `_begin_sqlite`, not by the driver
    cursor = connection.cursor()
    cursor.execute("PRAGMA synchronous = FULL")  # a commit is on the disk before it returns
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute("PRAGMA secure_delete = ON")  # what a visitor has removed is overwritten
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    # A transaction that reads first and writes later would fail where another has written in between.
    writes = connection.get_execution_options().get("visrec_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _prepare_postgres(connection: Any, _record: object) -> None:
    before = connection.autocommit
    connection.autocommit = True
    with connection.cursor() as cursor:
        found = cursor.execute("SHOW synchronous_commit").fetchone()[0]
        if found in ("off", "local"):  # it would acknowledge what it may still lose
            cursor.execute("SET synchronous_commit = on")
    connection.autocommit = before


def _reason(error: exc.SQLAlchemyError) -> str:
    cause = getattr(error, "orig", None) or error
    return " ".join(str(cause).split()).rstrip(".")[:300]
