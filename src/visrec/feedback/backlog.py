"""Shown lists, written soon after they were shown: many in one transaction, by a thread of its own."""

from __future__ import annotations

import logging
import threading

from visrec.errors import FeedbackError
from visrec.feedback.events import Shown
from visrec.feedback.store import Store

_LOG = logging.getLogger("visrec.feedback")
_SECONDS = 0.05  # that the first of several waits for company: at most 20 transactions a second
_MOST = 10_000  # lists that wait, about 30 MB


class Backlog:
    """Lists on their way to the database. Safe in threads.

    A list in a transaction of its own costs as much as ranking it, and a flush of the disk; nobody waits for either.
    So, other than with events, the lists of the last moment are lost where the process is killed, and those shown
    while the database does not answer are not kept.
    """

    def __init__(self, store: Store, *, most: int = _MOST) -> None:
        self._store, self._most = store, most
        self._waiting: list[Shown] = []
        self._changed = threading.Condition()
        self._taken = self._written = 0  # lists, since the beginning
        self._hurry = self._closed = False
        self._thread = threading.Thread(target=self._work, name="visrec-shown", daemon=True)
        self._thread.start()

    def add(self, shown: Shown) -> None:
        """Have a list written. Where too many wait already, it is forgotten, and the log says so."""
        with self._changed:
            is_full = len(self._waiting) >= self._most or self._closed
            if not is_full:
                self._waiting.append(shown)
                self._taken += 1
                if len(self._waiting) == 1:
                    self._changed.notify_all()
        if is_full:
            _LOG.warning("A shown list is not kept: %d wait for the database already.", self._most)

    def flush(self) -> None:
        """Return once every list that was added before is written, or given up."""
        with self._changed:
            goal, self._hurry = self._taken, True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._written >= goal or not self._thread.is_alive())

    def close(self) -> None:
        """Write what waits, and end the thread. What is added afterwards is forgotten."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                self._changed.wait_for(lambda: self._hurry or self._closed, timeout=_SECONDS)
                lists, self._waiting, self._hurry = self._waiting, [], False
            if lists:
                self._write(lists)
            with self._changed:
                self._written += len(lists)
                self._changed.notify_all()
                if self._closed and not self._waiting:
                    return

    def _write(self, lists: list[Shown]) -> None:
        try:
            self._store.record_all_shown(lists)
        except FeedbackError as error:
            _LOG.warning("%d shown lists are not kept: %s", len(lists), error)
        except Exception as error:  # noqa: BLE001 - the thread must live on; its values may be of persons
            _LOG.error("%d shown lists are not kept: %s", len(lists), type(error).__name__)
