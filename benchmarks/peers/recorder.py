"""What every contestant shares: the training clock, the budget, and factors written out to be judged.

Runs in any of the environments: NumPy and the standard library only.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

Vectors = tuple[np.ndarray, np.ndarray]
"""Query vectors `(U, d)` and item vectors `(I, d)`: the score is their dot product."""


class BudgetSpentError(Exception):
    """Thrown out of a library's training loop when the training seconds are used up."""


@dataclass
class Recorder:
    """Counts training time alone: the clock stands still while factors are exported.

    Attributes:
        out: where `points.json` and the factors go.
        budget: training seconds after which `epoch_done` stops the training.
        moments: training seconds at which factors are exported, at the end of the epoch that passes them.
        clock: "wall", or "cpu" for a machine that others use too (then with one thread).
    """

    out: Path
    budget: float
    moments: list[float]
    clock: str
    seconds: float = 0.0
    triples: int = 0
    epochs: int = 0
    points: list[dict[str, Any]] = field(default_factory=list)
    _since: float = 0.0

    def _now(self) -> float:
        return time.process_time() if self.clock == "cpu" else time.perf_counter()

    def start(self) -> None:
        """Training begins, with all that the library does in its `fit`."""
        self._since = self._now()

    def epoch_done(self, triples: int, vectors: Callable[[], Vectors]) -> None:
        """An epoch over `triples` triples is over; `vectors` exports the factors, if they are wanted now."""
        self.seconds += self._now() - self._since
        self.triples += triples
        self.epochs += 1
        spent = self.seconds >= self.budget
        passed = [moment for moment in self.moments if moment <= self.seconds]
        if passed or spent or not self.points:
            self.moments = self.moments[len(passed) :]
            self._export(*vectors())
        if spent:
            raise BudgetSpentError
        self._since = self._now()

    def _export(self, Q: np.ndarray, Z: np.ndarray) -> None:
        n = len(self.points)
        for name, array in (("Q", Q), ("Z", Z)):
            np.save(self.out / f"{name}{n}.npy", np.ascontiguousarray(array, dtype=np.float32))
        self.points.append({"seconds": self.seconds, "triples": self.triples, "epochs": self.epochs})

    def finish(self, *packages: str) -> None:
        """Write down the points and the versions of the packages at work."""
        versions = {name: version(name) for name in ("numpy", *packages)}
        (self.out / "points.json").write_text(json.dumps({"points": self.points, "versions": versions}))


@dataclass(frozen=True)
class Job:
    """What one contestant is to do in one process; the parent writes it as JSON.

    Attributes:
        data: the folder with `train.npz` (user, item, timestamp) and `features.npy`.
        model: "vbpr" or "bpr".
        settings: in the library's own names.
        seed: of the contestant.
        threads: how many it may use.
        recorder: settings of the `Recorder`.
    """

    data: Path
    model: str
    settings: dict[str, Any]
    seed: int
    threads: int
    n_users: int
    n_items: int
    recorder: Recorder

    @classmethod
    def read(cls) -> Job:
        """The job that the command line names."""
        about = json.loads(Path(sys.argv[1]).read_text())
        about["data"] = Path(about["data"])
        about["recorder"] = Recorder(**{**about["recorder"], "out": Path(about["recorder"]["out"])})
        return cls(**about)

    def train(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """user, item, timestamp `(N,)` of the training interactions."""
        with np.load(self.data / "train.npz") as arrays:
            return arrays["user"], arrays["item"], arrays["timestamp"]

    def features(self) -> np.ndarray:
        """The item features as the extractor gave them, `(I, F)` float32."""
        return np.load(self.data / "features.npy")
