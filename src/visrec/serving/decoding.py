"""Pictures from strangers, decoded in processes of their own: so many at once, so long each, and no more."""

from __future__ import annotations

import asyncio
import json
import struct
import threading
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from visrec.features.decoding import WorkerProcess
from visrec.serving.decoder import NAME
from visrec.serving.problems import ProblemError
from visrec.serving.settings import ServiceSettings

MODULE = "visrec.serving.decoder"

_STATUSES = {"empty": 422, "other-type": 415, "damaged": 422, "oversized": 413}
_START_SECONDS = 60  # that a process may take to begin: the machine may be busy


class Decoders:
    """Worker processes, started with the first picture. One that takes too long or dies is replaced.

    Threads wait for them, so that it serves event loops and other threads alike.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings = settings
        spec = {"max_pixels": settings.max_upload_pixels, "side": settings.upload_side}
        self._spec = json.dumps(spec).encode() + b"\n"
        self._places = threading.BoundedSemaphore(settings.decoding_workers + settings.decoding_waiting)
        self._pool = ThreadPoolExecutor(settings.decoding_workers, thread_name_prefix="visrec-uploads")
        self._own = threading.local()
        self._lock = threading.Lock()
        self._workers: set[WorkerProcess] = set()
        self._closed = False

    async def decode(self, data: bytes) -> np.ndarray:
        """The picture in the bytes of a file: `(H, W, 3)` uint8, upright, its longer side at most `upload_side`.

        Raises:
            ProblemError: 415, 413 or 422 for what is no picture that we take; 503 where too many wait already.
        """
        return await asyncio.wrap_future(self._begin(data))

    def close(self) -> None:
        """End all processes."""
        with self._lock:
            self._closed = True
            for worker in self._workers:
                worker.kill()
        self._pool.shutdown(cancel_futures=True)
        for worker in self._workers:
            worker.wait()
            worker.close()
        self._workers.clear()

    def _begin(self, data: bytes) -> Future[np.ndarray]:
        if not self._places.acquire(blocking=False):
            raise busy()
        try:
            future = self._pool.submit(self._decode, data)
        except RuntimeError:  # closed
            self._places.release()
            raise busy() from None
        future.add_done_callback(lambda _: self._places.release())
        return future

    def _decode(self, data: bytes) -> np.ndarray:
        worker = self._worker()
        alarm = _Alarm(worker, self._settings.decoding_seconds)
        answer = None
        try:
            assert worker.stdin is not None
            with alarm:
                worker.stdin.write(struct.pack("<I", len(data)))
                worker.stdin.write(data)
                worker.stdin.flush()
                answer = worker.answer()
        except (BrokenPipeError, ValueError):  # it has ended; or what it writes is no answer
            pass
        if answer is None or alarm.rang:
            self._bury(worker)
        if isinstance(answer, np.ndarray):
            return answer
        if answer is not None:
            found = json.loads(answer)
            raise ProblemError(_STATUSES.get(found["kind"], 422), found["message"], kind=found["kind"])
        if self._closed:
            raise busy()
        if alarm.rang:
            detail = f"{NAME}: takes more than {self._settings.decoding_seconds:g} s to decode. Save it anew."
            raise ProblemError(422, detail, kind="too-slow-to-decode")
        raise ProblemError(422, f"{NAME}: cannot be decoded.", kind="damaged")

    def _worker(self) -> WorkerProcess:
        """This thread's process, ready for a picture."""
        worker: WorkerProcess | None = getattr(self._own, "worker", None)
        if worker is not None:
            if worker.poll() is None:
                return worker
            self._bury(worker)
        with self._lock:
            if self._closed:
                raise busy()
            worker = WorkerProcess(self._spec, module=MODULE)
            self._workers.add(worker)
        self._own.worker = worker
        with _Alarm(worker, _START_SECONDS):
            ready = worker.answer()
        if ready is None:
            self._bury(worker)
            raise busy()
        return worker

    def _bury(self, worker: WorkerProcess) -> None:
        worker.kill()
        worker.buried()
        with self._lock:
            self._workers.discard(worker)
        if getattr(self._own, "worker", None) is worker:
            del self._own.worker


class _Alarm:
    """Ends a process after some seconds, unless the block ends before."""

    def __init__(self, worker: WorkerProcess, seconds: float) -> None:
        self._worker = worker
        self._timer = threading.Timer(seconds, self._ring)
        self._timer.daemon = True
        self.rang = False

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        self._timer.join()  # it may be ringing just now

    def _ring(self) -> None:
        self.rang = True
        self._worker.kill()


def busy() -> ProblemError:
    """Too many pictures at once."""
    return ProblemError(
        503, "Too many pictures are being looked at. Try again.", kind="busy", headers={"Retry-After": "2"}
    )
