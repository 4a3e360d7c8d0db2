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
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np

from visrec.features.extractor import Preparation
from visrec.features.worker import prepare, read_answer, target_of

_WORTH_PROCESSES = 128
"""Pictures that take about as long to prepare as the processes to start."""
_CHUNK = 4  # pictures given to a process together, so that it needn't wait for the next
_PIPE = (
    1 << 20
)  # bytes: some prepared pictures; the default of 64 KiB wakes both sides several times a picture


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
    chunks = [tuple(paths[start : start + _CHUNK]) for start in range(0, len(paths), _CHUNK)]
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
    """Whether another process can import the preparation's class: not if it stands in a script, notebook or test."""
    from importlib.metadata import entry_points

    package = type(preparation).__module__.partition(".")[0]
    added = {point.module.partition(".")[0] for point in entry_points(group="visrec.extractors")}
    known = package == "visrec" or package in added
    return known and bool(sys.executable) and not getattr(sys, "frozen", False)


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
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - `close` closes it
        self._lock = threading.Lock()
        self._workers: list[subprocess.Popen[bytes]] = []
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
            _close(worker)
        self._errors.close()

    def prepare(self, chunk: tuple[Path, ...]) -> list[np.ndarray | str]:
        """The answers to some paths, from this thread's process."""
        answers: list[np.ndarray | str] = []
        tried_again: Path | None = None  # a process may have ended for reasons of its own
        while len(answers) < len(chunk):
            worker = self._worker()
            assert worker.stdin is not None
            assert isinstance(worker.stdout, io.BufferedReader)
            rest = chunk[len(answers) :]
            try:
                worker.stdin.write(b"".join(json.dumps(os.fspath(path)).encode() + b"\n" for path in rest))
                worker.stdin.flush()
            except BrokenPipeError:
                pass  # it has ended: the next read says so
            for path in rest:
                answer = read_answer(worker.stdout)
                if answer is None:
                    why = self._buried(worker, path)
                    if tried_again is path:
                        answers.append(why)
                    tried_again = path
                    break
                answers.append(answer)
                self._own.has_answered = True
        return answers

    def _buried(self, worker: subprocess.Popen[bytes], path: Path) -> str:
        """What to say of the picture at which a process ended; raises where it never worked at all."""
        status = worker.wait()
        if not getattr(self._own, "has_answered", False) and not self._stopped:
            self._errors.seek(0)
            text = self._errors.read().decode(errors="replace").strip()
            if text:
                raise RuntimeError(f"A process that decodes images ended with status {status}:\n{text}")
        del self._own.worker
        _close(worker)
        return f"{path}: decoding it ended the process (status {status}), perhaps for want of memory."

    def _worker(self) -> subprocess.Popen[bytes]:
        worker: subprocess.Popen[bytes] | None = getattr(self._own, "worker", None)
        if worker is None:
            with self._lock:
                if self._stopped:
                    raise RuntimeError("The decoding has been stopped.")
                worker = self._own.worker = self._start()
                self._workers.append(worker)
        return worker

    def _start(self) -> subprocess.Popen[bytes]:
        # The same packages as here, however they came to be on the path, and no others: without -P, a random.py in
        # the folder that we happen to run in would stand in for Python's own.
        path = os.pathsep.join(entry for entry in sys.path if isinstance(entry, str))
        worker = subprocess.Popen(
            [sys.executable, "-P", "-m", "visrec.features.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, "PYTHONPATH": path},
        )
        assert worker.stdin is not None
        assert worker.stdout is not None
        _widen(worker.stdout.fileno())
        with suppress(BrokenPipeError):  # it has ended already: who reads its answers is told
            worker.stdin.write(self._spec)
            worker.stdin.flush()
        return worker


def _close(worker: subprocess.Popen[bytes]) -> None:
    for stream in (worker.stdin, worker.stdout):
        if stream is not None:
            with suppress(OSError):  # what was still to be written has no reader any more
                stream.close()


def _widen(pipe: int) -> None:
    """Let a pipe hold some pictures, where the system can."""
    if sys.platform == "linux":
        import fcntl

        with suppress(OSError):  # the system's limit is lower: it works as well with the default
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE)
