"""Every database of an older version is brought to this one, with what is in it; that of a newer one is left."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from visrec.errors import FeedbackError
from visrec.feedback.connections import connect, database_url, use_wal
from visrec.feedback.migrating import migrate, newest, revision, revisions
from visrec.feedback.schema import VERSION_TABLE, metadata
from visrec.feedback.store import Store


def _engine(address: str) -> sa.Engine:
    engine = connect(database_url(address))
    if engine.dialect.name == "sqlite":
        use_wal(engine)
    return engine


def _differences(engine: sa.Engine) -> list[object]:
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"version_table": VERSION_TABLE, "compare_type": True}
        )
        return list(compare_metadata(context, metadata))


def test_migrations_lead_to_the_tables_of_the_code(address: str) -> None:
    engine = _engine(address)
    migrate(engine)
    assert _differences(engine) == []
    engine.dispose()


def test_a_table_that_no_migration_makes_would_be_found(address: str) -> None:
    engine = _engine(address)
    migrate(engine, revisions()[0])  # so the check above can fail
    assert _differences(engine) != []
    engine.dispose()


@pytest.mark.parametrize("older", revisions()[:-1])
def test_an_older_database_is_brought_up_with_what_is_in_it(address: str, older: str) -> None:
    engine = _engine(address)
    migrate(engine, older)
    with engine.begin() as connection:
        connection.execute(
            sa.text("INSERT INTO visrec_sessions (id, created) VALUES ('s', '2024-01-01 00:00:00.000000')")
        )
        connection.execute(
            sa.text(
                "INSERT INTO visrec_events (id, time, session_id, item_id, item_is_integer, kind, extra) "
                "VALUES ('e', '2024-01-02 03:04:05.000000', 's', '7', true, 'like', '{}')"
            )
        )
    engine.dispose()
    with Store.open(address) as store:
        assert store.health().revision == newest()
        (event,) = store.events()
        assert (event.id, event.session, event.item, event.kind, event.assignment) == (
            "e",
            "s",
            7,
            "like",
            None,
        )
        assert store.session_state("s").liked == (7,)
    engine = _engine(address)
    assert _differences(engine) == []
    engine.dispose()


def test_a_database_of_a_newer_version_is_refused_and_left(address: str) -> None:
    Store.open(address).close()
    engine = _engine(address)
    with engine.begin() as connection:
        connection.execute(sa.text(f"UPDATE {VERSION_TABLE} SET version_num = '9001'"))
    with pytest.raises(
        FeedbackError, match=r"its schema is 9001, of a newer visrec; .*pip install -U visrec"
    ):
        Store.open(address)
    with engine.connect() as connection:
        assert revision(connection) == "9001"
    engine.dispose()


def test_threads_that_open_an_empty_database_at_once_all_succeed(address: str) -> None:
    with ThreadPoolExecutor(6) as pool:
        stores = list(pool.map(lambda _: Store.open(address), range(6)))
    assert {one.health().revision for one in stores} == {newest()}
    for one in stores:
        one.close()


def test_processes_that_open_an_empty_database_at_once_all_succeed(address: str) -> None:
    code = "import sys; from visrec.feedback.store import Store; print(Store.open(sys.argv[1]).health().revision)"
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, address], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    for process in started:
        out, err = process.communicate(timeout=120)
        assert (process.returncode, out.strip()) == (0, newest()), err


def test_a_migration_that_fails_leaves_what_was_there(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from alembic import op

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the power went")

    engine = _engine(address)
    migrate(engine, "0001")
    monkeypatch.setattr(op, "create_table", broken)  # in the middle of 0002, after it has added columns
    with pytest.raises(RuntimeError, match="the power went"):
        migrate(engine)
    monkeypatch.undo()
    with engine.connect() as connection:
        assert revision(connection) == "0001"
        columns = {one["name"] for one in sa.inspect(connection).get_columns("visrec_events")}
    assert "assignment_id" not in columns
    migrate(engine)
    assert _differences(engine) == []
    engine.dispose()
