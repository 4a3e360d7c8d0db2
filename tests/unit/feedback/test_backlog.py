"""Shown lists on their way to the database."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

import pytest

from visrec.errors import UnavailableError
from visrec.feedback.backlog import Backlog
from visrec.feedback.events import Shown, ShownItem
from visrec.feedback.store import Store


def lists(n: int, session: str = "s") -> list[Shown]:
    """Lists of two items, of one session."""
    return [
        Shown(session=session, items=(ShownItem("a", 0.5), ShownItem(7)), id=f"{session}-{i}", model="bpr")
        for i in range(n)
    ]


class Stubborn:
    """A database that does not answer until it is told to, and counts the transactions."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.written: list[int] = []
        self.fails: Callable[[], Exception] | None = None

    def record_all_shown(self, some: Sequence[Shown]) -> None:
        """As a store does."""
        self.answers.wait(10)
        if self.fails is not None:
            raise self.fails()
        self.written.append(len(some))


def test_what_was_added_is_in_the_database_once_it_is_flushed(store: Store) -> None:
    backlog = Backlog(store)
    mine, others = lists(3), lists(2, "t")
    for one in (*mine, *others):
        backlog.add(one)
    backlog.flush()
    assert list(store.shown()) == [*mine, *others]
    assert store.has_session("s")
    assert store.has_session("t")
    backlog.close()


def test_closing_writes_what_waits(store: Store) -> None:
    backlog, shown = Backlog(store), lists(40)
    for one in shown:
        backlog.add(one)
    backlog.close()
    assert list(store.shown()) == shown


def test_lists_that_wait_together_are_written_together() -> None:
    database = Stubborn()
    backlog = Backlog(database)  # type: ignore[arg-type]
    for one in lists(300):
        backlog.add(one)
    database.answers.set()
    backlog.flush()
    assert sum(database.written) == 300
    assert len(database.written) <= 3  # those of before the first transaction, those during it
    backlog.close()


def test_nobody_waits_for_the_database_and_no_more_lists_wait_than_are_allowed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    database = Stubborn()
    backlog = Backlog(database, most=5)  # type: ignore[arg-type]
    with caplog.at_level(logging.WARNING):
        for one in lists(50):
            backlog.add(one)
    assert "not kept" in caplog.text
    database.answers.set()
    backlog.close()
    assert 5 <= sum(database.written) <= 10  # those in the transaction, and as many behind it


@pytest.mark.parametrize("error", [lambda: UnavailableError("It does not answer."), lambda: ValueError("u1")])
def test_a_database_that_fails_costs_the_lists_of_that_moment_alone(
    error: Callable[[], Exception], caplog: pytest.LogCaptureFixture
) -> None:
    database = Stubborn()
    database.answers.set()
    database.fails = error
    backlog = Backlog(database)  # type: ignore[arg-type]
    with caplog.at_level(logging.WARNING):
        backlog.add(lists(1)[0])
        backlog.flush()
    assert "1 shown lists are not kept" in caplog.text
    assert "u1" not in caplog.text
    database.fails = None
    backlog.add(lists(2)[1])
    backlog.flush()
    assert database.written == [1]
    backlog.close()
