"""What making features costs: pictures a second, measured while they are made, kept in a file of its own."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visrec.features.extraction import RATE
from visrec.features.features import Features
from visrec.files import read_json, write_json
from visrec.progress import Progress
from visrec.runs import EXTRACTING
from visrec.stages import Stage

LEAST = 200
"""Of fewer pictures no pace is kept: those decoded ahead, before the first was told, would make it too good."""

UNKNOWN = (
    f"No images/s: fewer than {LEAST} pictures were timed (not the first batch, nor what was there already)."
)
"""Why `pace_of` gives None."""


def timed(stage: Stage, extractor: str, folder: Path, costs: Path) -> Stage:
    """A stage that also measures; where features are made, the pace is written as soon as they are there.

    Args:
        stage: opens progress displays.
        extractor: its name.
        folder: where the features will be.
        costs: the file of the costs of several extractors.
    """

    def opened(title: str) -> AbstractContextManager[Progress | None]:
        if title.startswith(EXTRACTING):
            return _measured(stage, title, extractor, folder, costs)
        return stage(title)

    return opened


def pace_of(features: Features, extractor: str, costs: Path) -> float | None:
    """Pictures a second when these very features were made; None where nobody saw it."""
    cost = _read(costs).get(extractor, {})
    return cost["images_per_second"] if cost.get("features") == features.digest else None


@dataclass
class Clock:
    """How many pictures were done in which time, from the first to the last that is told.

    What comes before the first, such as loading the network, is thus left out.
    """

    start: float | None = None
    first: int = 0
    last: int = 0
    seconds: float = 0

    def tell(self, done: int, now: float) -> None:
        """So many are done, at a time in seconds."""
        if self.start is None:
            self.start, self.first = now, done
        self.last, self.seconds = done, now - self.start

    @property
    def images(self) -> int:
        """Pictures done in `seconds`."""
        return self.last - self.first

    @property
    def pace(self) -> float | None:
        """Pictures a second; None where too little was seen."""
        return self.images / self.seconds if self.images >= LEAST and self.seconds > 0 else None


@contextmanager
def _measured(stage: Stage, title: str, extractor: str, folder: Path, costs: Path) -> Iterator[Progress]:
    clock = Clock()
    with stage(title) as progress:

        def tell(done: int, total: int, note: str) -> None:
            if RATE in note:  # not while files are looked at, or a codebook is learnt
                clock.tell(done, time.perf_counter())
            if progress is not None:
                progress(done, total, note)

        yield tell
    if clock.pace is not None:
        cost = {
            "features": Features.load(folder, verify=False).digest,  # so that it is never shown beside others
            "images": clock.images,
            "seconds": round(clock.seconds, 3),
            "images_per_second": round(clock.pace, 3),
            "machine": {"cpu": platform.machine(), "processors": os.cpu_count()},
        }
        write_json(costs, {**_read(costs), extractor: cost})


def _read(costs: Path) -> dict[str, Any]:
    try:
        return dict(read_json(costs))
    except (OSError, ValueError):  # a cost that is not known is not shown
        return {}
