"""What a contender does in a process of its own: it reads a job, repeats its work, and answers in JSON.

Runs in any of the environments: the standard library only.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any


def take_turn(one: Callable[..., dict[str, Any]]) -> None:
    """Call a contender with the job of the command line as keywords, and print what it answers."""
    print(json.dumps(one(**json.loads(sys.argv[1]))))


def repeated(work: Callable[[], float], seconds: float) -> float:
    """How much a second: `work` says how much it did, and is repeated until the seconds are over; at least once."""
    done, start, now = 0.0, time.perf_counter(), 0.0
    while now < seconds:
        done += work()
        now = time.perf_counter() - start
    return done / now
