"""Peak memory of a process. The standard library only: peers' environments have it too."""

from __future__ import annotations

import threading
from pathlib import Path


class Peak:
    """The most memory of its own (not of mapped files) that the process has held since this began."""

    def __init__(self) -> None:
        self.before = self.most = self.now()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    @staticmethod
    def now() -> int:
        """Bytes that it holds."""
        lines = Path("/proc/self/status").read_text().splitlines()
        return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("RssAnon:"))

    def _watch(self) -> None:
        while not self._done.wait(0.01):
            self.most = max(self.most, self.now())

    def mib(self) -> float:
        """MiB above the beginning."""
        return self.whole_mib() - self.before / 2**20

    def whole_mib(self) -> float:
        """MiB in all, with Python and the libraries."""
        self._done.set()
        self._thread.join()
        return max(self.most, self.now()) / 2**20
