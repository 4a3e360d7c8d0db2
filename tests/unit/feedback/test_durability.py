"""What was acknowledged is there, whatever is killed: the process that writes, or the server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from visrec.errors import UnavailableError
from visrec.feedback.events import Event
from visrec.feedback.store import Store

# Eight threads write as quickly as they can; an id is said once its call has returned.
_WRITER = """
import os, sys, threading
from visrec.errors import UnavailableError
from visrec.feedback.events import Event
from visrec.feedback.store import Store

address, session = sys.argv[1:]
store = Store.open(address)

def write(thread):
    n = 0
    while True:
        event = Event(session=f"{session}-{thread}", item=n, kind="like", id=f"{session}-{thread}-{n}")
        try:
            store.record_event(event)
        except UnavailableError:
            continue  # the same event again
        os.write(1, f"{event.id}\\n".encode())
        n += 1

for thread in range(8):
    threading.Thread(target=write, args=(thread,)).start()
"""


class _Writer:
    """A process that writes, and has begun to."""

    def __init__(self, address: str, session: str) -> None:
        words = [sys.executable, "-c", _WRITER, address, session]
        self._process = subprocess.Popen(words, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        self._said = self._process.stdout
        self._first = self._said.readline()

    def kill(self) -> set[str]:
        """kill -9; the ids that were acknowledged."""
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait()
        with self._said:
            text = (self._first + self._said.read()).decode()
        return set(text.rpartition("\n")[0].splitlines())  # a last line without an end was cut off


def _kill_the_writer(address: str, tries: range) -> int:
    """How many events were acknowledged, all of which are there."""
    total = 0
    for n in tries:
        writer = _Writer(address, f"t{n}")
        time.sleep(0.05 + 0.02 * n)  # another moment each time
        acknowledged = writer.kill()
        with Store.open(address) as store:
            kept = [event.id for event in store.events() if event.id.startswith(f"t{n}-")]
        assert len(kept) == len(set(kept))
        assert acknowledged <= set(kept)
        assert len(set(kept) - acknowledged) <= 8  # at most what each thread was at
        total += len(acknowledged)
    return total


def test_a_killed_writer_loses_nothing_that_it_acknowledged(address: str) -> None:
    assert _kill_the_writer(address, range(1)) > 0


@pytest.mark.slow
def test_writers_killed_twenty_times_lose_nothing_that_they_acknowledged(address: str) -> None:
    assert _kill_the_writer(address, range(20)) > 200


@pytest.mark.slow
def test_a_killed_server_loses_nothing_and_writers_go_on(postgres: Any) -> None:
    address = postgres.database("killed")
    writer = _Writer(address, "t")
    for _ in range(3):
        time.sleep(0.5)
        postgres.kill()
        time.sleep(0.1)
        postgres.start()
    with Store.open(address) as store:
        before = store.counts()["events"]
        until = time.monotonic() + 60
        while store.counts()["events"] < before + 20:  # it writes again, without a word from us
            assert time.monotonic() < until
            time.sleep(0.1)
    acknowledged = writer.kill()
    with Store.open(address) as store:
        kept = [event.id for event in store.events()]
    assert len(kept) == len(set(kept))
    assert acknowledged <= set(kept)


def test_a_server_that_is_gone_is_said_at_once_and_used_again_when_it_is_back(postgres: Any) -> None:
    with Store.open(postgres.database("gone")) as store:
        store.record_event(Event(session="s", item="a", kind="like", id="e1"))
        postgres.kill()
        with pytest.raises(UnavailableError, match="does not answer"):
            store.record_event(Event(session="s", item="b", kind="like", id="e2"))
        with pytest.raises(UnavailableError, match="does not answer"):
            store.health()
        postgres.start()
        assert store.record_event(Event(session="s", item="b", kind="like", id="e2"))
        assert store.session_state("s").liked == ("a", "b")


def test_a_server_that_was_started_anew_is_not_noticed(postgres: Any) -> None:
    with Store.open(postgres.database("anew")) as store:
        store.record_event(Event(session="s", item="a", kind="like"))
        postgres.kill()
        postgres.start()
        assert store.record_event(Event(session="s", item="b", kind="like"))
        assert store.session_state("s").liked == ("a", "b")


def test_a_file_that_is_locked_for_too_long_is_said_and_nothing_is_kept(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sqlite3

    monkeypatch.setattr("visrec.feedback.connections._PATIENCE", 0.2)
    with Store.open(tmp_path / "feedback.db") as store:
        other = sqlite3.connect(tmp_path / "feedback.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        event = Event(session="s", item="a", kind="like")
        with pytest.raises(UnavailableError, match="locked"):
            store.record_event(event)
        assert store.session_state("s").liked == ()  # readers do not wait
        other.execute("ROLLBACK")
        other.close()
        assert store.record_event(event)
