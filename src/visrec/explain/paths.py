"""From one picture to another in small steps, each to one of the pictures that look most like it."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from visrec.errors import ConfigError, UnsupportedError
from visrec.explain.explanation import ItemId
from visrec.features.features import Features
from visrec.neighbours import nearest

_K = (6, 12, 24, 48, 96, 192, 384, 768)
_AT_ONCE = 48  # neighbours that are looked up at least, so that a larger k need not ask again
_CELLS = 1 << 23  # similarities that are computed at once


@dataclass(frozen=True)
class Path:
    """A chain of pictures.

    Attributes:
        items: ids, from the one asked for to the other, both included.
        similarities: cosine of each item and the next, one fewer than items.
        k: of how many nearest neighbours each step is one.
    """

    items: tuple[ItemId, ...]
    similarities: tuple[float, ...]
    k: int


@dataclass
class _Circle:
    """What can be reached from one end: how each item was come to, by how many steps, at which cost."""

    steps: dict[int, int]
    cost: dict[int, float]
    before: dict[int, int]
    edge: list[int]

    @classmethod
    def around(cls, item: int) -> _Circle:
        return cls({item: 0}, {item: 0.0}, {}, [item])


@dataclass(frozen=True, eq=False)
class Paths:
    """Paths between the items of some features. Safe in threads.

    Circles grow around both ends, a step at a time: from every item to its k nearest neighbours (by the cosine of
    their vectors; of regions, of their means), until they meet. So a step towards the middle leads to one of the k
    nearest of the item it comes from, and past the middle the same holds backwards. Of all meeting points the path
    takes one for which the longer half is the shortest, then the whole is, then the steps are the smallest, by the
    sum of 1 - cosine. Where the circles never meet, k is doubled.

    Only the neighbours of items that a circle reaches are looked up, in blocks, and kept for the next path: there is
    never a table of all items by all items.

    Attributes:
        features: of all items.
        most: items whose neighbours may be looked up for one path, before it is given up.
    """

    features: Features
    most: int = 20_000
    _kept: dict[int, tuple[np.ndarray, np.ndarray, int]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def between(self, start: ItemId, end: ItemId) -> Path | None:
        """The path between two items; None where even among the 768 nearest there is none, or too far to look.

        Raises:
            DataError: there is no such item.
            UnsupportedError: an item has no features.
            ConfigError: `most` is below 1.
        """
        if self.most < 1:
            raise ConfigError(f"most is {self.most!r}; expected a whole number, at least 1.")
        rows = self.features.items.indices([start, end])
        for row in rows[self.features.missing[rows]]:
            item = self.features.items.take(np.array([row]))[0]
            reason = self.features.failures.filter(pl.col("item_id") == item)["reason"][0]
            raise UnsupportedError(f"Item '{item}' has no features to compare it by: {reason}")
        first, last = rows.tolist()
        with self._lock:  # one at a time: it computes in threads of its own
            for k in _K:
                found = self._between(first, last, k)
                if found is not None:
                    return self._path(found, k)
        return None

    def _between(self, first: int, last: int, k: int) -> list[int] | None:
        """Rows of the path by k neighbours; None if the circles do not meet."""
        circles = _Circle.around(first), _Circle.around(last)
        looked = 0
        while True:
            met = circles[0].steps.keys() & circles[1].steps.keys()
            if met:
                return _through(circles, met)
            looked += sum(len(circle.edge) for circle in circles)
            if looked > self.most or not any(circle.edge for circle in circles):
                return None
            self._look_up((row for circle in circles for row in circle.edge), k)
            for circle in circles:
                self._grow(circle, k)

    def _grow(self, circle: _Circle, k: int) -> None:
        """One step further in all directions."""
        step = circle.steps[circle.edge[0]] + 1 if circle.edge else 0
        reached: list[int] = []
        for row in circle.edge:
            others, cosines, _ = self._kept[row]
            for other, cosine in zip(others[:k].tolist(), cosines[:k].tolist(), strict=True):
                cost = circle.cost[row] + 1 - cosine
                known = circle.steps.get(other)
                if known is None:
                    circle.steps[other] = step
                    reached.append(other)
                elif known < step or circle.cost[other] <= cost:
                    continue
                circle.cost[other], circle.before[other] = cost, row
        circle.edge = reached

    def _look_up(self, rows: Iterable[int], k: int) -> None:
        """Keep the neighbours of some rows, k of each at least."""
        n = min(max(k, _AT_ONCE), len(self.features))
        wanted = [row for row in dict.fromkeys(rows) if row not in self._kept or self._kept[row][2] < k]
        block = max(1, _CELLS // len(self.features))
        for start in range(0, len(wanted), block):
            asked = np.array(wanted[start : start + block], dtype=np.int64)
            found, cosines = nearest(self.features, self.features.values[asked], n, exclude=asked)
            for row, others, values in zip(asked.tolist(), found, cosines, strict=True):
                there = others >= 0
                self._kept[row] = (
                    others[there].astype(np.int32),
                    values[there].astype(np.float32),
                    max(k, _AT_ONCE),
                )

    def _path(self, rows: list[int], k: int) -> Path:
        vectors = self.features.values[np.array(rows)].astype(np.float64)
        if vectors.ndim == 3:
            vectors = vectors.mean(axis=1)
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        cosines = (vectors[1:] * vectors[:-1]).sum(axis=1)
        return Path(
            tuple(self.features.items.take(np.array(rows)).to_list()),
            tuple(float(one) for one in cosines),
            k,
        )


def _through(circles: tuple[_Circle, _Circle], met: Iterable[int]) -> list[int]:
    """The rows of the best path over any item that both circles have."""
    one, other = circles

    def worth(row: int) -> tuple[int, int, float, int]:
        steps = one.steps[row], other.steps[row]
        return max(steps), sum(steps), one.cost[row] + other.cost[row], row

    middle = min(met, key=worth)
    return [*reversed(_back(one, middle)), middle, *_back(other, middle)]


def _back(circle: _Circle, row: int) -> list[int]:
    """The rows from one, itself left out, to the centre of its circle."""
    rows = []
    while row in circle.before:
        row = circle.before[row]
        rows.append(row)
    return rows
