"""One commit for all who are waiting: a commit costs a flush of the disk, whatever is in it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

import sqlalchemy as sa
from sqlalchemy import exc

from visrec.errors import UnavailableError
from visrec.feedback.connections import writing

T = TypeVar("T")
_OF_THE_DATABASE = (exc.OperationalError, exc.InterfaceError, exc.TimeoutError)
_CROSSED = (
    "40P01",
    "40001",
    "23503",
)  # of PostgreSQL: another process was in the way, or deleted a session just now
_MOST = 512  # jobs in one transaction, so that none waits for very many


class Commits:
    """Runs pieces of work of many threads in shared transactions.

    Whoever comes first writes for all who are waiting by then; who comes while it writes waits, and the first of
    these is the next to write. So under load one flush of the disk serves dozens, alone nobody waits for company, and
    there is no thread to look after.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._guard = threading.Lock()  # of the two below; held for moments only
        self._waiting: deque[_Job[object]] = deque()
        self._somebody_writes = False

    def do(self, work: Callable[[sa.Connection], T]) -> T:
        """Run `work` in a transaction, and return its result once that is committed.

        Args:
            work: writes by the connection. It may be run twice, its first writes rolled back, or perhaps not where
                the server was lost in the moment of the commit: so it must be a thing that can be done twice.

        Raises:
            Exception: whatever `work` or the commit raised. The work of others does not suffer from it.
        """
        job: _Job[T] = _Job(work)
        with self._guard:
            self._waiting.append(job)  # type: ignore[arg-type]
            job.leads = not self._somebody_writes
            self._somebody_writes = True
        jobs: list[_Job[object]] = []
        try:
            if not job.leads:
                job.wait()
            if not job.done:
                with self._guard:
                    while self._waiting and len(jobs) < _MOST:
                        jobs.append(self._waiting.popleft())
                self._commit(jobs)
        finally:  # also where this thread is interrupted (Ctrl+C): the others go on
            for one in jobs:
                if not one.done:
                    one.fail(UnavailableError("It is not known whether it was kept. Try again."))
            self._leave(job)
        return job.result()

    def _leave(self, job: _Job[T]) -> None:
        """Whoever leads hands that on; whoever gives up waiting is waited for by nobody."""
        with self._guard:
            if job in self._waiting:
                self._waiting.remove(job)  # type: ignore[arg-type]
            if not job.leads:
                return
            self._somebody_writes = bool(self._waiting)
            if self._waiting:
                self._waiting[0].leads = True
                self._waiting[0].wake()

    def _commit(self, jobs: list[_Job[object]], *, again: bool = False) -> None:
        try:
            self._together(jobs)
        except Exception as error:  # noqa: BLE001 - it is raised where the work came from
            lost = getattr(error, "connection_invalidated", False)  # perhaps the server was only started anew
            crossed = getattr(getattr(error, "orig", None), "sqlstate", None) in _CROSSED
            if not again and (lost or (crossed and len(jobs) == 1)):
                self._commit(jobs, again=True)
            elif len(jobs) > 1 and (crossed or not isinstance(error, _OF_THE_DATABASE)):
                for job in jobs:  # alone, so that none suffers from what another does
                    self._commit([job])
            else:
                for job in jobs:
                    job.fail(error)

    def _together(self, jobs: list[_Job[object]]) -> None:
        with writing(self._engine) as connection:
            results = [job.work(connection) for job in jobs]
        for job, result in zip(jobs, results, strict=True):  # only now: the transaction has ended
            job.succeed(result)


class _Job(Generic[T]):
    """A piece of work, and what became of it."""

    def __init__(self, work: Callable[[sa.Connection], T]) -> None:
        self.work = work
        self.done = False
        self.leads = False
        self._signal = threading.Semaphore(0)
        self._results: list[T] = []
        self._error: Exception | None = None

    def wait(self) -> None:
        """Until it is done, or it is this one's turn to write."""
        self._signal.acquire()

    def wake(self) -> None:
        self._signal.release()

    def succeed(self, result: T) -> None:
        self._results.append(result)
        self.done = True
        self.wake()

    def fail(self, error: Exception) -> None:
        self._error = error
        self.done = True
        self.wake()

    def result(self) -> T:
        if self._error is not None:
            raise self._error
        return self._results[0]
