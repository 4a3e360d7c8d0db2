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
_DEADLOCKS = ("40P01", "40001")  # of PostgreSQL
_MOST = 512  # jobs in one transaction, so that none waits for very many


class Commits:
    """Runs pieces of work of many threads in shared transactions.

    Whoever comes first writes for all who have come by then; the others wait, and find their work done. So under
    load one flush of the disk serves dozens, alone nobody waits for company, and there is no thread to look after.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._waiting: deque[_Job[object]] = deque()
        self._turn = threading.Lock()

    def do(self, work: Callable[[sa.Connection], T]) -> T:
        """Run `work` in a transaction, and return its result once that is committed.

        Args:
            work: writes by the connection. It may be run twice, its first writes rolled back, or perhaps not where
                the server was lost in the moment of the commit: so it must be a thing that can be done twice.

        Raises:
            Exception: whatever `work` or the commit raised. The work of others does not suffer from it.
        """
        job: _Job[T] = _Job(work)
        self._waiting.append(job)  # type: ignore[arg-type]
        while not job.done:
            with self._turn:
                if not job.done:
                    self._commit([self._waiting.popleft() for _ in range(min(_MOST, len(self._waiting)))])
        return job.result()

    def _commit(self, jobs: list[_Job[object]], *, again: bool = False) -> None:
        try:
            self._together(jobs)
        except Exception as error:  # noqa: BLE001 - it is raised where the work came from
            passing = _is_passing(error) and not again
            if passing or (len(jobs) > 1 and not isinstance(error, _OF_THE_DATABASE)):
                for job in jobs:  # alone, so that none suffers from what another does
                    self._commit([job], again=passing)
            else:
                for job in jobs:
                    job.fail(error)
        finally:
            for job in jobs:
                if not job.done:  # this thread is interrupted (Ctrl+C), the others go on
                    job.fail(UnavailableError("It is not known whether it was kept. Try again."))

    def _together(self, jobs: list[_Job[object]]) -> None:
        with writing(self._engine) as connection:
            results = [job.work(connection) for job in jobs]
        for job, result in zip(jobs, results, strict=True):  # only now: the transaction has ended
            job.succeed(result)


def _is_passing(error: Exception) -> bool:
    """Whether to try at once again may help: the server was started anew, or two processes waited for each other."""
    state = getattr(getattr(error, "orig", None), "sqlstate", None)
    return getattr(error, "connection_invalidated", False) or state in _DEADLOCKS


class _Job(Generic[T]):
    """A piece of work, and what became of it."""

    def __init__(self, work: Callable[[sa.Connection], T]) -> None:
        self.work = work
        self.done = False
        self._results: list[T] = []
        self._error: Exception | None = None

    def succeed(self, result: T) -> None:
        self._results.append(result)
        self.done = True

    def fail(self, error: Exception) -> None:
        self._error = error
        self.done = True

    def result(self) -> T:
        if self._error is not None:
            raise self._error
        return self._results[0]
