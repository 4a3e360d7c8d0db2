"""One visit to all hosts: which addresses are left to ask, asked by threads, and what came of it."""

from __future__ import annotations

import queue
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import polars as pl

from visrec.data.downloads.failures import Refused, failures_table, read_failures, write_failures
from visrec.data.downloads.shelf import Shelf

if TYPE_CHECKING:
    from visrec.data.downloads.visitor import Visitor

_HOSTS_AT_ONCE = 16
_DECODED_AT_ONCE = 2  # a large picture takes half a gigabyte
_SAVED_EVERY = 30.0  # seconds: what a killed process forgets of failures


class Stopped(Exception):  # noqa: N818 - no error: how a thread ends whose caller was interrupted
    """The caller was interrupted."""


@dataclass(frozen=True)
class _Task:
    item: str
    urls: tuple[str, ...]


@dataclass(frozen=True)
class _Outcome:
    """Of a task: the size of the picture or None, and what each address that gave none said."""

    item: str
    n_bytes: int | None
    failed: dict[str, tuple[str, str, str]]


class Visit:
    """One call of `fetch_images`.

    Attributes:
        n_there: items that had a picture before.
        n_without_address: items with neither a picture nor an address.
        n_not_asked: items whose addresses all failed for good in an earlier time.
        n_fetched: items that got a picture.
        n_bytes: their size.
    """

    def __init__(
        self, folder: Path, addresses: dict[str, tuple[str, ...]], visitor: Visitor, *, retry_failed: bool
    ) -> None:
        self._folder, self._visitor = folder, visitor
        self._shelf = Shelf(folder, addresses)
        self._stop = threading.Event()
        self._decoding = threading.Semaphore(_DECODED_AT_ONCE)
        self.n_there = self.n_without_address = self.n_not_asked = self.n_fetched = self.n_bytes = 0
        self._failed: dict[str, dict[str, tuple[str, str, str]]] = defaultdict(dict)
        for item, url, reason, kind, when in read_failures(folder).iter_rows():
            if item not in self._shelf and url in addresses.get(item, ()):
                self._failed[item][url] = (reason, kind, when)
        self._tasks = self._left(addresses, retry_failed=retry_failed)

    def run(self, progress: Callable[[int, int, str], None]) -> None:
        """Fetch all that is left, hosts side by side."""
        hosts: queue.SimpleQueue[list[_Task]] = queue.SimpleQueue()
        done: queue.SimpleQueue[_Outcome | BaseException] = queue.SimpleQueue()
        by_host = _by_host(self._tasks)
        for tasks in by_host:
            hosts.put(tasks)
        # Daemons, since nobody shall wait for a slow host after Ctrl-C; what they write appears whole or not at all.
        for number in range(min(_HOSTS_AT_ONCE, len(by_host))):
            name = f"visrec-fetch-{number}"
            threading.Thread(target=self._work, args=(hosts, done), name=name, daemon=True).start()
        now = self._visitor.clock.now
        saved = now()
        for count in range(1, len(self._tasks) + 1):
            self._note(_next(done))
            said = f"{self.n_fetched:,} fetched, {count - self.n_fetched:,} failed"
            progress(count, len(self._tasks), said)
            if now() - saved > _SAVED_EVERY:
                write_failures(self._folder, self.failures())
                saved = now()

    def end(self) -> None:
        """Stop asking; keep the failures and, where it is needed, the listing of pictures."""
        self._stop.set()
        write_failures(self._folder, self.failures())
        self._shelf.write_listing()

    def failures(self) -> pl.DataFrame:
        """All addresses that failed, of items without a picture."""
        return failures_table(
            [(item, url, *said) for item, by_url in self._failed.items() for url, said in by_url.items()]
        )

    def _left(self, addresses: dict[str, tuple[str, ...]], *, retry_failed: bool) -> list[_Task]:
        tasks: list[_Task] = []
        for item, urls in addresses.items():
            before = self._failed.get(item, {})
            left = [url for url in urls if retry_failed or url not in before or before[url][1] != "lasting"]
            if item in self._shelf:
                self.n_there += 1
            elif not urls:
                self.n_without_address += 1
            elif not left:
                self.n_not_asked += 1
            else:
                tasks.append(_Task(item, tuple(left)))
        # What failed the last time comes last: a host that is given up after it has been asked for the others first.
        return sorted(tasks, key=lambda task: task.item in self._failed)

    def _note(self, outcome: _Outcome | BaseException) -> None:
        if isinstance(outcome, BaseException):
            raise outcome
        if outcome.n_bytes is None:
            self._failed[outcome.item].update(outcome.failed)
        else:
            self._failed.pop(outcome.item, None)
            self.n_fetched += 1
            self.n_bytes += outcome.n_bytes

    def _work(
        self, hosts: queue.SimpleQueue[list[_Task]], done: queue.SimpleQueue[_Outcome | BaseException]
    ) -> None:
        """What each thread does: all tasks of one host, then of the next."""
        try:
            while True:
                for task in hosts.get_nowait():
                    done.put(self._fetch(task))
        except (queue.Empty, Stopped):
            return
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits
            done.put(error)

    def _fetch(self, task: _Task) -> _Outcome:
        """The first address that gives a picture."""
        failed: dict[str, tuple[str, str, str]] = {}
        for url in task.urls:
            try:
                data = self._visitor.get(url)
                with self._decoding:
                    self._go_on()
                    self._shelf.keep(task.item, data)
                return _Outcome(task.item, len(data), failed)
            except Refused as refused:
                self._go_on()
                when = self._visitor.clock.today().isoformat(timespec="seconds")
                failed[url] = (refused.reason, "lasting" if refused.lasting else "for now", when)
        return _Outcome(task.item, None, failed)

    def _go_on(self) -> None:
        if self._stop.is_set():
            raise Stopped


def _next(done: queue.SimpleQueue[_Outcome | BaseException]) -> _Outcome | BaseException:
    while True:
        try:
            return done.get(timeout=1.0)  # some systems hear Ctrl-C only between waits
        except queue.Empty:
            continue


def _by_host(tasks: list[_Task]) -> list[list[_Task]]:
    """Tasks of one host together, the host with most of them first, since it takes longest."""
    found: dict[str, list[_Task]] = defaultdict(list)
    for task in tasks:
        try:
            host = urlsplit(task.urls[0]).hostname or ""
        except ValueError:
            host = ""
        found[host].append(task)
    return sorted(found.values(), key=len, reverse=True)
