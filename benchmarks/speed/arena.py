"""Where contenders meet: a process each, in its own environment, in turns (A B A B …), on the same data."""

from __future__ import annotations

import json
import statistics
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from speed.data import Shape
from speed.environments import pythons, variables

BENCHMARKS = Path(__file__).resolve().parents[1]

Facts = dict[str, Any]
"""What one contender answered in one turn."""
Found = dict[str, list[Facts]]
"""By the contender's name, a turn a round."""


@dataclass(frozen=True)
class Contender:
    """Who does what.

    Attributes:
        name: in tables.
        library: whose environment it runs in, see `speed.environments`.
        module: what is run, as `python -m`.
        job: its keywords, beside those that all get.
    """

    name: str
    library: str
    module: str
    job: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Arena:
    """Where contenders run.

    Attributes:
        folder: the data that all read, and what is written on the way; it goes when the benchmark ends.
        shape: of the data.
        rounds: how often each contender takes its turn.
        quick: whether this is to see that all works, in seconds.
        threads: of each contender.
        seed: of the data; that of the contenders is counted up from it, a round each.
    """

    folder: Path
    shape: Shape
    rounds: int
    quick: bool
    threads: int = 2
    seed: int = 0

    @property
    def seconds(self) -> float:
        """For how long work is repeated in one turn."""
        return 0.1 if self.quick else 3.0

    def turn(self, one: Contender, **more: Any) -> Facts:
        """Run one contender once."""
        job = {"folder": str(self.folder), "threads": self.threads, **one.job, **more}
        command = [pythons([one.library])[one.library], "-m", one.module, json.dumps(job)]
        env = variables(self.threads, one.library)
        done = subprocess.run(command, env=env, cwd=BENCHMARKS, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{one.name} ({one.module} {job}) failed:\n{done.stderr[-3000:]}")
        return dict(json.loads(done.stdout.splitlines()[-1]))

    def race(self, contenders: Sequence[Contender]) -> Found:
        """All in turns; each is asked to repeat its work for `seconds`."""
        found: Found = {one.name: [] for one in contenders}
        for number in range(self.rounds):
            for one in contenders:
                facts = self.turn(one, seconds=self.seconds)
                found[one.name].append(facts)
                shown = "  ".join(f"{key} {value:,.4g}" for key, value in facts.items() if _is_number(value))
                print(f"  round {number + 1}  {one.name:38} {shown}", flush=True)
        return found


def ratios(found: Found, own: str, peer: str, key: str) -> list[float]:
    """How many times the peer's figure the own one is, round by round."""
    return [a[key] / b[key] for a, b in zip(found[own], found[peer], strict=True)]


def values(found: Found, name: str, key: str) -> list[float]:
    """A contender's figure, round by round."""
    return [facts[key] for facts in found[name]]


def median_of(measure: Callable[[], float], repeats: int) -> float:
    """The median of what is measured so many times."""
    return statistics.median(measure() for _ in range(repeats))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
