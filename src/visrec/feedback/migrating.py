"""Bringing a database to the schema of this version, once, however many processes start together."""

from __future__ import annotations

import threading
from pathlib import Path

import sqlalchemy as sa

from visrec.errors import FeedbackError
from visrec.feedback.connections import writing
from visrec.feedback.schema import VERSION_TABLE

_FOLDER = Path(__file__).parent / "migrations"
_LOCK = 7_046_821_993  # of PostgreSQL's advisory locks: any number that nobody else uses
_one_at_a_time = threading.Lock()  # Alembic keeps what it works on in the module `alembic.context`


def migrate(engine: sa.Engine, to: str = "head") -> None:
    """Bring a database to a revision, in one transaction: a process killed within leaves the schema that was there.

    Raises:
        FeedbackError: a newer visrec has written it.
    """
    with engine.connect() as connection:
        found = revision(connection)
    if found == (newest() if to == "head" else to):
        return
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    with _one_at_a_time, writing(engine) as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        _refuse_newer(revision(connection), engine)  # looked up again: another process may have been quicker
        config.attributes["connection"] = connection
        command.upgrade(config, to)


def revision(connection: sa.Connection) -> str | None:
    """The revision of the schema that is there; None where there is none."""
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.scalar(sa.text(f"SELECT version_num FROM {VERSION_TABLE}"))


def revisions() -> list[str]:
    """All revisions that this version knows, the oldest first."""
    return sorted(path.name[:4] for path in (_FOLDER / "versions").glob("[0-9]*.py"))


def newest() -> str:
    """The revision of this version's schema."""
    return revisions()[-1]


def _refuse_newer(found: str | None, engine: sa.Engine) -> None:
    if found is not None and found not in revisions():
        raise FeedbackError(
            f"{engine.url.render_as_string()}: its schema is {found}, of a newer visrec; this one knows "
            f"schemas up to {newest()}. Install the newer visrec (pip install -U visrec), or choose another database."
        )
