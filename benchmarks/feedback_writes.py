"""How many events a second a store keeps, each acknowledged once it is on the disk; with and without shared commits.

    uv run benchmarks/feedback_writes.py [ADDRESS]

ADDRESS is an empty database; left out, an SQLite file in a temporary folder.
"""

from __future__ import annotations

import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import numpy as np

from visrec.feedback import commits
from visrec.feedback.events import Event
from visrec.feedback.store import Store


def measure(store: Store, threads: int, seconds: float = 3.0) -> tuple[float, np.ndarray]:
    """Events a second, and milliseconds of each."""

    def write(thread: int) -> list[float]:
        session, took = f"s{thread}-{time.time_ns()}", []
        until = time.perf_counter() + seconds
        while (start := time.perf_counter()) < until:
            store.record_event(Event(session=session, item=len(took), kind="like"))
            took.append(1e3 * (time.perf_counter() - start))
        return took

    with ThreadPoolExecutor(threads) as pool:
        took = np.concatenate(list(pool.map(write, range(threads))))
    return len(took) / seconds, took


def main() -> None:
    """Print a row for each number of threads."""
    with tempfile.TemporaryDirectory() as folder:
        address = sys.argv[1] if len(sys.argv) > 1 else Path(folder) / "feedback.db"
        with Store.open(address) as store:
            print(store.address)
            print("| threads | commits | events/s | p50 ms | p95 ms | p99 ms |\n|---|---|---|---|---|---|")
            for threads, (name, most) in product((1, 8, 40), (("shared", commits._MOST), ("one each", 1))):
                commits._MOST = most
                rate, took = measure(store, threads)
                low, high, highest = np.percentile(took, [50, 95, 99])
                print(f"| {threads} | {name} | {rate:,.0f} | {low:.1f} | {high:.1f} | {highest:.1f} |")


if __name__ == "__main__":
    main()
