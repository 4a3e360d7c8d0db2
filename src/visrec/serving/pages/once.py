"""What pages need of a run and takes a moment to make: made once an engine, and gone with it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import wraps
from typing import TypeVar
from weakref import WeakKeyDictionary

from visrec.serving.engine import Engine

T = TypeVar("T")


def once(make: Callable[[Engine], T]) -> Callable[[Engine], T]:
    """Make a function of an engine answer from memory. Who asks while it is being made waits for it."""
    made: WeakKeyDictionary[Engine, T] = WeakKeyDictionary()
    lock = threading.Lock()

    @wraps(make)
    def kept(engine: Engine) -> T:
        with lock:
            if engine not in made:
                made[engine] = make(engine)
            return made[engine]

    return kept
