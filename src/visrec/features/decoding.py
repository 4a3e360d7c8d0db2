"""Pictures decoded and prepared ahead of the network, in processes or, where few, in threads; always in order."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from visrec.errors import FeaturesError
from visrec.features.extractor import Preparation
from visrec.features.worker import prepare, read_answer, target_of

_WORTH_PROCESSES = 128
"""Pictures that take about as long to prepare as the processes to start."""
_CHUNK = 4  # pictures given to a process together, so that it needn't wait for the next
_PIPE = (
    1 << 20
)  # bytes: some prepared pictures; the default of 64 KiB wakes both sides several times a picture
_LAST_SECONDS = 5  # that a process may take to end after its last answer; then it is ended


def prepared(
    preparation: Preparation, paths: Sequence[Path], *, n_workers: int, ahead: int
) -> Generator[np.ndarray | str]:
    """Each path's prepared picture, or the reason why there is none, in the order of the paths.

    Args:
        preparation: what is done to each.
        paths: image files.
        n_workers: processes; 0: threads of this process instead.
        ahead: how many pictures may wait to be fetched.
    """
    chunks = (tuple(paths[start : start + _CHUNK]) for start in range(0, len(paths), _CHUNK))
    if n_workers == 0 or len(paths) < _WORTH_PROCESSES or not importable(preparation):
        n_threads = min(os.cpu_count() or 1, 8)
        yield from _ahead(
            lambda chunk: [prepare(preparation, path) for path in chunk], chunks, n_threads, ahead
        )
        return
    crew = _Crew(preparation)
    try:
        yield from _ahead(crew.prepare, chunks, n_workers, ahead, stop=crew.stop)
    finally:
        crew.close()


def importable(preparation: Preparation) -> bool:
    """Whether another process can import the preparation's class: not if it stands in a script, notebook or test.

    Of a combination, that of each part.
    """
    from importlib.metadata import entry_points

    packages = {target.partition(":")[0].partition(".")[0] for target in _targets(target_of(preparation))}
    added = {point.module.partition(".")[0] for point in entry_points(group="visrec.extractors")}
    known = packages <= {"visrec", *added}
    return known and bool(sys.executable) and not getattr(sys, "frozen", False)


def _targets(found: dict[str, Any]) -> Iterator[str]:
    """`module:Class` of what `target_of` described, and of all its parts."""
    yield found["target"]
    if found["target"] == "visrec.features.combination:Preparations":
        for part in found["settings"]["parts"]:
            yield from _targets(part)


def _ahead(
    work: Callable[[tuple[Path, ...]], list[np.ndarray | str]],
    chunks: Iterable[tuple[Path, ...]],
    n_threads: int,
    ahead: int,
    *,
    stop: Callable[[], None] = lambda: None,
) -> Generator[np.ndarray | str]:
    """`work` on each chunk in threads, in order, so far ahead that at most `ahead` pictures wait."""
    waiting: deque[Future[list[np.ndarray | str]]] = deque()
    most = max(1, ahead // _CHUNK)
    pool = ThreadPoolExecutor(n_threads, thread_name_prefix="visrec-images")
    try:
        for chunk in chunks:
            waiting.append(pool.submit(work, chunk))
            if len(waiting) > most:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    finally:
        stop()
        pool.shutdown(cancel_futures=True)


class _Crew:
    """Worker processes, one for each thread that asks; one that dies is replaced.

    They are started as `python -m …` rather than by `multiprocessing`, which would run the caller's script once more
    in each of them: a notebook, or a script without `if __name__ == "__main__"`, may call us too.
    """

    def __init__(self, preparation: Preparation) -> None:
        self._spec = json.dumps(target_of(preparation)).encode() + b"\n"
        self._own = threading.local()
        self._lock = threading.Lock()
        self._workers: list[WorkerProcess] = []
        self._stopped = False

    def stop(self) -> None:
        """End all processes; threads that wait for an answer get none."""
        with self._lock:
            self._stopped = True
            for worker in self._workers:
                worker.kill()

    def close(self) -> None:
        """Give everything back, once no thread asks any more."""
        self.stop()
        for worker in self._workers:
            worker.wait()
            worker.close()

    def prepare(self, chunk: tuple[Path, ...]) -> list[np.ndarray | str]:
        """The answers to some paths, from this thread's process."""
        answers: list[np.ndarray | str] = []
        tried_again: Path | None = None  # a process may have ended for reasons of its own
        while len(answers) < len(chunk):
            worker = self._worker()
            assert worker.stdin is not None
            rest = chunk[len(answers) :]
            try:
                worker.stdin.write(b"".join(json.dumps(os.fspath(path)).encode() + b"\n" for path in rest))
                worker.stdin.flush()
            except BrokenPipeError:
                pass  # it has ended: the next read says so
            for path in rest:
                answer = worker.answer()
                if answer is None:
                    del self._own.worker
                    status, _ = worker.buried()
                    if tried_again is path:
                        answers.append(
                            f"{path}: decoding it ended the process (status {status}), perhaps for want of memory."
                        )
                    tried_again = path
                    break
                answers.append(answer)
        return answers

    def _worker(self) -> WorkerProcess:
        """This thread's process, ready to answer; raises `FeaturesError` where none comes to be."""
        worker: WorkerProcess | None = getattr(self._own, "worker", None)
        if worker is not None:
            return worker
        for _ in range(2):  # it may have been ended from outside
            with self._lock:
                if self._stopped:
                    raise RuntimeError("The decoding has been stopped.")
                worker = self._start()
                self._workers.append(worker)
            # Without the lock, so that it can be stopped meanwhile: its first answer is `worker.READY`.
            if isinstance(worker.answer(), str):
                self._own.worker = worker
                return worker
            status, said = worker.buried()
        raise FeaturesError(
            f"A process that decodes images ended with status {status} before it began. "
            f"`extract(…, n_workers=0)` decodes in threads. It said:\n{said or '(nothing)'}"
        )

    def _start(self) -> WorkerProcess:
        return WorkerProcess(self._spec)


class WorkerProcess(subprocess.Popen[bytes]):
    """A process that answers what it reads on stdin, and a file of its own for what it says on stderr.

    Args:
        spec: what it reads first.
        module: what it runs; its answers are those of `visrec.features.worker`.
    """

    def __init__(self, spec: bytes, *, module: str = "visrec.features.worker") -> None:
        # The same packages as here, however they came to be on the path, and no others: without -P, a random.py in
        # the folder that we happen to run in would stand in for Python's own.
        path = os.pathsep.join(entry for entry in sys.path if isinstance(entry, str))
        self.said_in = tempfile.TemporaryFile()  # noqa: SIM115 - `close` closes it
        super().__init__(
            [sys.executable, "-P", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.said_in,
            env={**os.environ, "PYTHONPATH": path},
        )
        assert self.stdin is not None
        assert self.stdout is not None
        _widen(self.stdout.fileno())
        with suppress(BrokenPipeError):  # it has ended already: who reads its answers is told
            self.stdin.write(spec)
            self.stdin.flush()

    def answer(self) -> np.ndarray | str | None:
        """Its next answer; None where it gives none any more."""
        assert isinstance(self.stdout, io.BufferedReader)
        return read_answer(self.stdout)

    def buried(self) -> tuple[int, str]:
        """The status with which it ended, once it gives no answer, and what it said on stderr."""
        try:
            status = self.wait(_LAST_SECONDS)
        except subprocess.TimeoutExpired:  # it lives, but what it writes are not answers
            self.kill()
            status = self.wait()
        self.said_in.seek(0)
        said = self.said_in.read().decode(errors="replace").strip()
        self.close()
        return status, said

    def close(self) -> None:
        """Close its files."""
        for stream in (self.stdin, self.stdout, self.said_in):
            if stream is not None:
                with suppress(OSError):  # what was still to be written has no reader any more
                    stream.close()


def _widen(pipe: int) -> None:
    """Let a pipe hold some pictures, where the system can."""
    if sys.platform == "linux":
        import fcntl

        with suppress(OSError):  # the system's limit is lower: it works as well with the default
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE)
