"""What the benchmarks share: speed of extraction, tables, facts of the machine, places in the README."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable

HERE = Path(__file__).resolve().parent


class Pace:
    """A `progress` for `visrec.extract` that notes when how many images were done.

    Attributes:
        points: images done, images in all, seconds on a clock of its own.
    """

    def __init__(self) -> None:
        self.points: list[tuple[int, int, float]] = []

    def __call__(self, done: int, total: int, note: str) -> None:
        if "images/s" in note:  # not while files are looked at, nor while an extractor learns
            self.points.append((done, total, time.perf_counter()))

    @property
    def done(self) -> int:
        """Images done; 0 where all was there already."""
        return self.points[-1][0] if self.points else 0

    def steady(self) -> float | None:
        """Images a second between a quarter and three quarters of them; None where too few batches tell.

        Neither the start of processes counts, nor the end, when the network works off what is decoded already.
        """
        inner = [point for point in self.points if point[1] / 4 <= point[0] <= point[1] * 3 / 4]
        if len(inner) < 2:
            return None
        (first, _, start), (last, _, stop) = inner[0], inner[-1]
        return (last - first) / (stop - start)


@dataclass(frozen=True)
class Table:
    """Text in rows and columns; the first column is words, the others figures."""

    header: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)

    def show(self) -> None:
        """To the terminal."""
        table = RichTable()
        for index, name in enumerate(self.header):
            table.add_column(name, justify="right" if index else "left", min_width=0 if index else 20)
        for row in self.rows:
            table.add_row(*row)
        Console(width=None if os.isatty(1) else 160).print(table)

    @property
    def markdown(self) -> str:
        """For the README."""
        rule = ["---", *["---:"] * (len(self.header) - 1)]
        return "\n".join(f"| {' | '.join(row)} |" for row in (self.header, rule, *self.rows))


def at_least_one(text: str) -> int:
    """A number of rounds on the command line."""
    if (n := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{n} is less than 1")
    return n


def spread(values: Sequence[float | None], digits: str = ".2f") -> str:
    """Median (lowest-highest) of those that are known."""
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    middle, low, high = (format(one, digits) for one in (statistics.median(known), min(known), max(known)))
    return f"{middle} ({low}-{high})"


def machine() -> dict[str, Any]:
    """Where figures come from, without a date."""
    import torch

    names = ("visrec", "torch", "torchvision", "numpy", "pillow", "opencv-python-headless")
    return {
        "python": platform.python_version(),
        "packages": {name: version(name) for name in names},
        "cpu": f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def described(about: dict[str, Any]) -> str:
    """`machine()` as a sentence."""
    packages = ", ".join(f"{name} {number}" for name, number in about["packages"].items())
    gpu = f" and {about['gpu']}" if about["gpu"] else ""
    return f"On {about['cores']} cores ({about['cpu']}){gpu}. Python {about['python']}, {packages}."


def publish(name: str, text: str, facts: dict[str, Any] | None = None) -> None:
    """Put a text between its markers in the README, and the facts, if there are any, into results/<name>.json."""
    results, readme = HERE / "results" / f"{name}.json", HERE / "README.md"
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, found, rest = readme.read_text().partition(begin)
    if not found or end not in rest:
        raise SystemExit(f"{readme} has no place for these figures; expected {begin} and {end}.")
    readme.write_text(f"{before}{begin}\n{text}\n{end}{rest.partition(end)[2]}")
    if facts is None:
        return
    results.parent.mkdir(exist_ok=True)
    results.write_text(json.dumps(facts, indent=1) + "\n")
