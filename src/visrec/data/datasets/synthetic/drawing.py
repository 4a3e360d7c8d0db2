"""Draw all pictures into a folder, in several processes where that pays.

The processes are started as `python -m ...worker` rather than by `multiprocessing`, which would run the
caller's script once more in each of them: a notebook, or a script without `if __name__ == "__main__"`,
may call us too. Threads would hardly be faster than none, as a picture is many small steps.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import IO

from visrec.data.datasets.synthetic.catalogue import Catalogue, draw_item, item_id
from visrec.data.datasets.synthetic.settings import SyntheticConfig

_WORTH_A_PROCESS = 150
"""Pictures that take longer to draw than a process to start."""
_MOST_WORKERS = 8


def draw_catalogue(
    catalogue: Catalogue,
    images: Path,
    *,
    progress: Callable[[int, int], None] | None = None,
    n_workers: int | None = None,
) -> None:
    """Draw every item of the catalogue to `images/<item_id>.jpg`.

    Args:
        catalogue: what to draw.
        images: an existing folder.
        progress: called as `progress(done, total)` after each picture, from the calling thread.
        n_workers: processes; as many as pay if None, 1 for none but this one.

    Raises:
        RuntimeError: a process ended before its work was done.
    """
    n_items = catalogue.config.n_items
    if n_workers is None:
        n_workers = min(os.cpu_count() or 1, n_items // _WORTH_A_PROCESS, _MOST_WORKERS)
    if n_workers <= 1 or not sys.executable or getattr(sys, "frozen", False):
        for index in range(n_items):
            draw_to(images, catalogue, index)
            if progress is not None:
                progress(index + 1, n_items)
        return
    with ExitStack() as stack:
        errors = stack.enter_context(tempfile.TemporaryFile())
        signals: SimpleQueue[bool] = SimpleQueue()  # True: a picture is done; False: a process ended
        workers = []
        for first in range(n_workers):
            worker = _start(images, catalogue.config, (first, n_workers), errors)
            stack.callback(_stop, worker, _listen(worker, signals))
            workers.append(worker)
        done, running = 0, n_workers
        while running:
            if not signals.get():
                running -= 1
                continue
            done += 1
            if progress is not None:
                progress(done, n_items)
        if any(worker.wait() for worker in workers):
            errors.seek(0)
            raise RuntimeError(f"Drawing the pictures failed:\n{errors.read().decode(errors='replace')}")


def draw_to(images: Path, catalogue: Catalogue, index: int) -> None:
    """Draw one item to its file."""
    picture = draw_item(catalogue.item(index), catalogue.config)
    (images / f"{item_id(index)}.jpg").write_bytes(picture)


def _start(
    images: Path, config: SyntheticConfig, share: tuple[int, int], errors: IO[bytes]
) -> subprocess.Popen[bytes]:
    """Start a worker that draws every `share[1]`-th item from `share[0]` on."""
    module = "visrec.data.datasets.synthetic.worker"
    arguments = [str(images), config.model_dump_json(), *map(str, share)]
    # The same packages as here, however they came to be on the path.
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=errors,
        env={**os.environ, "PYTHONPATH": path},
    )


def _listen(worker: subprocess.Popen[bytes], signals: SimpleQueue[bool]) -> Thread:
    """Pass on each byte of a worker's output, which it writes after each picture, and its end."""

    def listen() -> None:
        while worker.stdout is not None and worker.stdout.read(1):
            signals.put(True)
        signals.put(False)

    thread = Thread(target=listen, daemon=True)
    thread.start()
    return thread


def _stop(worker: subprocess.Popen[bytes], listener: Thread) -> None:
    worker.terminate()
    worker.wait()
    listener.join()
    if worker.stdout is not None:
        worker.stdout.close()
