"""Who waits together is written together; what one does wrong hurts no other."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from visrec.errors import UnavailableError
from visrec.feedback.commits import Commits
from visrec.feedback.connections import connect, database_url, use_wal, writing


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    found = connect(database_url(tmp_path / "x.db"))
    use_wal(found)
    with writing(found) as connection:
        connection.exec_driver_sql("CREATE TABLE numbers (n INTEGER PRIMARY KEY)")
    yield found
    found.dispose()


def _numbers(engine: sa.Engine) -> list[int]:
    with engine.connect() as connection:
        return list(connection.scalars(sa.text("SELECT n FROM numbers ORDER BY n")))


class _Gate:
    """Holds the first piece of work within its transaction, while others come."""

    def __init__(self) -> None:
        self.entered, self.open = threading.Event(), threading.Event()

    def __call__(self, connection: sa.Connection) -> str:
        self.entered.set()
        assert self.open.wait(30)
        return "first"


def _while_others_wait(commits: Commits, pool: ThreadPoolExecutor, works: list) -> list:
    """Futures of the first and of `works`, which came while it wrote and were all waiting when it ended."""
    gate = _Gate()
    futures = [pool.submit(commits.do, gate)]
    assert gate.entered.wait(30)
    for n, work in enumerate(works, start=1):
        futures.append(pool.submit(commits.do, work))
        while len(commits._waiting) < n:
            pass
    gate.open.set()
    return futures


def _add(n: int):
    def work(connection: sa.Connection) -> int:
        connection.exec_driver_sql(f"INSERT INTO numbers VALUES ({n})")
        return n

    return work


def test_all_who_waited_are_in_one_transaction(engine: sa.Engine) -> None:
    begun: list[int] = []
    sa.event.listen(engine, "begin", lambda _: begun.append(1))
    with ThreadPoolExecutor(10) as pool:
        futures = _while_others_wait(Commits(engine), pool, [_add(n) for n in range(8)])
        assert [one.result(30) for one in futures] == ["first", *range(8)]
    assert len(begun) == 2  # that of the first, that of all others
    assert _numbers(engine) == list(range(8))


def test_an_error_in_one_piece_of_work_undoes_only_that(engine: sa.Engine) -> None:
    def wrong(connection: sa.Connection) -> None:
        _add(100)(connection)
        raise KeyError("mine")

    with ThreadPoolExecutor(10) as pool:
        futures = _while_others_wait(Commits(engine), pool, [_add(1), wrong, _add(2)])
        assert futures[1].result(30) == 1
        assert futures[3].result(30) == 2
        with pytest.raises(KeyError, match="mine"):
            futures[2].result(30)
    assert _numbers(engine) == [1, 2]


def test_nothing_is_said_to_be_done_before_the_commit(engine: sa.Engine) -> None:
    seen: list[list[int]] = []
    commits = Commits(engine)
    assert commits.do(_add(1)) == 1
    seen.append(_numbers(engine))  # by another connection
    assert seen == [[1]]


def test_where_the_writing_thread_is_interrupted_the_others_hear_of_it_and_go_on(engine: sa.Engine) -> None:
    def interrupted(connection: sa.Connection) -> None:
        raise KeyboardInterrupt

    commits = Commits(engine)
    with ThreadPoolExecutor(10) as pool:
        futures = _while_others_wait(commits, pool, [interrupted, _add(1)])
        with pytest.raises(UnavailableError, match="not known"):
            futures[2].result(30)
        with pytest.raises((KeyboardInterrupt, UnavailableError)):
            futures[1].result(30)
    assert commits.do(_add(2)) == 2
    assert _numbers(engine) == [2]
