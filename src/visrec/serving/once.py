"""What is made of a run and takes a moment: made once an engine, and gone with it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import wraps
from typing import TypeVar

from visrec.serving.engine import Engine

T = TypeVar("T")


def once(make: Callable[[Engine], T]) -> Callable[[Engine], T]:
    """Make a function of an engine answer from memory. Who asks while it is being made waits for it.

    The engine itself keeps what was made, so that it may hold on to the engine and is gone with it nevertheless.
    """
    lock = threading.Lock()

    @wraps(make)
    def kept(engine: Engine) -> T:
        with lock:
            if make not in engine.made:
                engine.made[make] = make(engine)
            found: T = engine.made[make]
            return found

    return kept
