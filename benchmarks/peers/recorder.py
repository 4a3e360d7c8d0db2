"""What every contestant of learning shares: the training clock, the budget, and factors written out to be judged.

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
        budget: training seconds after which `lap` stops the training.
        moments: training seconds at which factors are exported, at the end of the lap that passes them.
        dense: at the end of the first so many laps they are exported whatever the time.
    """

    out: Path
    budget: float
    moments: list[float]
    dense: int
    seconds: float = 0.0
    triples: int = 0
    laps: int = 0
    points: list[dict[str, Any]] = field(default_factory=list)
    _since: float = 0.0

    def start(self) -> None:
        """Training begins, with all that the library does in its `fit`."""
        self._since = time.perf_counter()

    def lap(self, triples: int, vectors: Callable[[], Vectors]) -> None:
        """A lap of so many triples, an epoch or a batch, is over; `vectors` exports factors, if they are wanted."""
        self.seconds += time.perf_counter() - self._since
        self.triples += triples
        self.laps += 1
        spent = self.seconds >= self.budget and self.laps >= self.dense
        passed = [moment for moment in self.moments if moment <= self.seconds]
        if passed or spent or self.laps <= max(1, self.dense):
            self.moments = self.moments[len(passed) :]
            self._export(*vectors())
        if spent:
            raise BudgetSpentError
        self._since = time.perf_counter()

    def _export(self, Q: np.ndarray, Z: np.ndarray) -> None:
        n = len(self.points)
        for name, array in (("Q", Q), ("Z", Z)):
            np.save(self.out / f"{name}{n}.npy", np.ascontiguousarray(array, dtype=np.float32))
        self.points.append({"seconds": self.seconds, "triples": self.triples, "laps": self.laps})

    def finish(self, *packages: str) -> None:
        """Write down the points and the versions of the packages at work."""
        versions = {name: version(name) for name in ("numpy", *packages)}
        (self.out / "points.json").write_text(json.dumps({"points": self.points, "versions": versions}))
        print("{}")  # a contender's answer


@dataclass(frozen=True)
class Job:
    """What one contestant is to do in one process; the parent writes it as JSON.

    Attributes:
        folder: with `train.npz` (user, item, timestamp) and `features.npy`.
        model: "vbpr" or "bpr".
        settings: in the library's own names.
        seed: of the contestant.
        threads: how many it may use.
        recorder: settings of the `Recorder`.
    """

    folder: Path
    model: str
    settings: dict[str, Any]
    seed: int
    threads: int
    n_users: int
    n_items: int
    recorder: Recorder

    @classmethod
    def read(cls) -> Job:
        """The job that the command line holds."""
        about = json.loads(sys.argv[1])
        about["folder"] = Path(about["folder"])
        about["recorder"] = Recorder(**{**about["recorder"], "out": Path(about["recorder"]["out"])})
        return cls(**about)

    def train(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """user, item, timestamp `(N,)` of the training interactions."""
        with np.load(self.folder / "train.npz") as arrays:
            return arrays["user"], arrays["item"], arrays["timestamp"]

    def features(self) -> np.ndarray:
        """The item features as the extractor gave them, `(I, F)` float32."""
        return np.load(self.folder / "features.npy")
