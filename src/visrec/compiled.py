"""Loops over arrays that are compiled when they are first called, and their work shared among threads.

For what neither NumPy nor torch does without a temporary array for each step: sampling, scores of pairs, ranks.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cache, update_wrapper
from itertools import pairwise
from threading import Lock
from types import FunctionType
from typing import Any

_LEAST = 256  # rows a thread should have to be worth waking


class Compiled:
    """A function in the part of Python that numba compiles; it releases the interpreter while it runs.

    Sums may be taken in another order than written, by the vector instructions of the machine; the same machine gives
    the same bits. Division by zero gives what NumPy gives. It may call others that are compiled, of its own module.
    numba is imported at the first call, and what it compiled is kept on disk for the next process, if it can be.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        update_wrapper(self, function)
        self.function = function
        self._made: Callable[..., Any] | None = None
        self._lock = Lock()

    def __call__(self, *args: Any) -> Any:
        try:
            return (self._made or self._make())(*args)
        except OSError:  # of the disk, full for one: no loop has begun yet
            return self._make(keep=False)(*args)

    def _make(self, *, keep: bool = True) -> Callable[..., Any]:
        from numba import njit

        with self._lock:
            if self._made is None or not keep:
                options: dict[str, Any] = {
                    "nogil": True,
                    "error_model": "numpy",  # else each division is checked, and none is vectorised
                    "fastmath": {"reassoc", "contract", "nsz", "arcp"},  # NaN and infinity keep their meaning
                }
                function = self._with_those_called(keep=keep)
                try:
                    self._made = njit(cache=keep, **options)(function)
                except RuntimeError:  # nowhere to keep it
                    self._made = njit(**options)(function)
        return self._made

    def _with_those_called(self, *, keep: bool) -> Callable[..., Any]:
        """The function, knowing what it calls by what numba made of it."""
        own: Any = self.function
        known = own.__globals__
        called = {
            name: known[name] for name in own.__code__.co_names if isinstance(known.get(name), Compiled)
        }
        if not called:
            return self.function
        names = {**known, **{name: one._make(keep=keep) for name, one in called.items()}}
        return update_wrapper(FunctionType(own.__code__, names, own.__name__, own.__defaults__), own)


def compiled(function: Callable[..., Any]) -> Compiled:
    """Compile a function at its first call; see `Compiled`."""
    return Compiled(function)


def in_parallel(kernel: Compiled, n: int, *args: Any, least: int = _LEAST) -> None:
    """Run `kernel(start, stop, *args)` over parts of 0 … n, one a thread, and wait for all.

    What a part writes must be its own. As many threads as torch has, if it is there. An error in one part is raised
    once none runs any more.

    Args:
        kernel: its result is left.
        n: rows in all.
        args: the same for all parts.
        least: rows below which a thread is not worth waking.
    """
    parts = n_parts(n, least)
    cuts = [n * part // parts for part in range(parts + 1)]
    waiting: list[Future[Any]] = []
    try:
        waiting += (_pool().submit(kernel, *ends, *args) for ends in pairwise(cuts[1:]))
        kernel(cuts[0], cuts[1], *args)
    finally:  # the arrays must not go, or get another use, before those who write into them
        try:
            wait(waiting)
        finally:  # also where Ctrl-C ended that
            wait(waiting)
    for one in waiting:
        one.result()


def n_parts(n: int, least: int) -> int:
    """Of how many parts n rows are, of at least so many each."""
    return max(1, min(n_threads(), n // least))


def n_threads() -> int:
    """How many threads there are to work with: torch's number, or that of the processors."""
    torch = sys.modules.get("torch")
    return int(torch.get_num_threads()) if torch is not None else (os.cpu_count() or 1)


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(thread_name_prefix="visrec")


if hasattr(os, "register_at_fork"):  # a child has none of its parent's threads
    os.register_at_fork(after_in_child=_pool.cache_clear)
