"""Threads that each compute a whole piece of a batch, and pieces of one fixed size.

Libraries' own threads share each layer and wait for each other after it, spinning: on a machine that does anything
else besides (decoding, say), or has fewer processors to give than it shows, they took seven times as long (measured).
Threads that share out the pictures wait once a batch. And since every piece has the same size, filled up with zeros,
the same arithmetic is done to a picture whichever others come with it: its vector is the same bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np

from visrec.features.extractor import Pending


class Joined:
    """The answers to all pieces of a batch, one after the other, as one."""

    def __init__(self, parts: Sequence[Pending], n: int) -> None:
        self._parts, self._n = parts, n

    def result(self) -> np.ndarray:
        """`(n, …)`: without what filled up the last piece."""
        return np.concatenate([part.result() for part in self._parts])[: self._n]

    def cancel(self) -> None:
        """Compute no piece that has not been begun."""
        for part in self._parts:
            part.cancel()


class Lanes:
    """`n` threads that take pieces of `size` pictures."""

    def __init__(self, pool: ThreadPoolExecutor, size: int) -> None:
        self._pool, self.size = pool, size

    def submit(self, function: Callable[[np.ndarray], np.ndarray], batch: np.ndarray) -> Pending:
        """`function` on each piece `(size, …)` of a batch `(B, …)`."""
        parts = []
        for start in range(0, len(batch), self.size):
            piece = np.ascontiguousarray(batch[start : start + self.size])
            if len(piece) < self.size:
                rest = np.zeros((self.size - len(piece), *batch.shape[1:]), dtype=batch.dtype)
                piece = np.concatenate([piece, rest])
            parts.append(self._pool.submit(function, piece))
        return Joined(parts, len(batch))


def torch_threads(n: int) -> ThreadPoolExecutor:
    """`n` threads in each of which torch computes with one thread."""
    import torch

    def alone() -> None:
        torch.get_num_threads()  # a thread's first look takes over the number of all: it must come before
        torch.set_num_threads(1)

    before = torch.get_num_threads()
    together = Barrier(n + 1)
    pool = ThreadPoolExecutor(n, "visrec-encode", initializer=alone)
    for _ in range(n):
        pool.submit(together.wait)  # each takes a thread of its own
    together.wait()
    torch.set_num_threads(before)  # what threads started by others from now on begin with
    return pool
