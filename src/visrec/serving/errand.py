"""Work of minutes that answers need not wait for: a `visrec` command in a process of its own, with low priority."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import weakref

_NICE = 10


class Errand:
    """A `visrec` command that is run once, beside the service, and ended with it. Safe in threads."""

    def __init__(self, *words: str) -> None:
        """Take the words behind `visrec`."""
        self._words = words
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def begin(self) -> bool:
        """See to it that it was begun. Returns whether it is under way."""
        with self._lock:
            if self._process is None:
                nowhere = subprocess.DEVNULL
                command = [sys.executable, "-P", "-m", "visrec.cli", *self._words]
                self._process = subprocess.Popen(command, stdin=nowhere, stdout=nowhere, stderr=nowhere)
                weakref.finalize(self, _end, self._process)
                if hasattr(os, "setpriority"):
                    os.setpriority(os.PRIO_PROCESS, self._process.pid, _NICE)
            return self._process.poll() is None


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait()
