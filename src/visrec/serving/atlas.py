"""The maps of an engine's catalogue, made when they are first needed; t-SNE by a process of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from functools import cached_property
from typing import Any, TypeVar, cast

import numpy as np

from visrec.errors import ConfigError
from visrec.features.features import Features
from visrec.features.projection import METHODS, Method, Projection, kept, project
from visrec.serving.colouring import Colouring, colouring, telling_columns, texts
from visrec.serving.engine import Engine
from visrec.serving.errand import Errand
from visrec.serving.once import once
from visrec.serving.regions import Region, clusters, regions

NOWHERE = 0xFFFF
"""Both coordinates of an item without a picture, in `Atlas.packed`."""

_AT_ONCE = 1000  # items: t-SNE of so many takes seconds
_MOST = 60_000  # items: t-SNE of more takes long enough to be asked for, by `visrec map`

T = TypeVar("T")


@once
def atlas_of(engine: Engine) -> Atlas:
    """The atlas of an engine: the same one however often it is asked for, gone when the engine is."""
    return Atlas(engine)


class Atlas:
    """The maps of one engine, and what stands beside them. Safe in threads."""

    def __init__(self, engine: Engine) -> None:
        self._catalog, self._run = engine.catalog, engine.run
        self._lock = threading.RLock()
        self._known: dict[Hashable, Any] = {}
        self._maker = Errand("map", str(self._run.path))

    @cached_property
    def features(self) -> Features | None:
        """What is mapped: the run's vectors, else its regions; None: it has neither."""
        has_any = self._run.has("vector") or self._run.has("regions")
        return self._run.mapped if has_any else None

    def map(self, method: Method) -> Projection:
        """A map by its method.

        Raises:
            ConfigError: the run has no features.
        """
        features = self.features
        if features is None:
            raise ConfigError(
                "This run has no features to draw a map of: none of its models looks at pictures."
            )
        return self._once(("map", method), lambda: project(features, method))

    @property
    def ready(self) -> tuple[Method, ...]:
        """The methods whose maps are there, or need but a moment."""
        features = self.features
        if features is None:
            return ()
        small = len(self._catalog) <= _AT_ONCE
        return tuple(
            method
            for method in METHODS
            if small
            or method == "pca"
            or ("map", method) in self._known
            or kept(features, method) is not None
        )

    def begin(self) -> bool:
        """See to it that t-SNE is made where it takes minutes, not hours.

        Returns:
            Whether it is under way.
        """
        if self.features is None or "tsne" in self.ready or len(self._catalog) > _MOST:
            return False
        return self._maker.begin()

    def packed(self, method: Method) -> bytes:
        """Places for the browser: x and y of each item in index order, uint16, little-endian, y downwards.

        0 … 65534 is the side of the unit square; `NOWHERE` in both is an item without a place.
        """
        found = self.map(method)
        grid = np.full((len(self._catalog), 2), NOWHERE, dtype="<u2")
        scaled = np.rint(found.positions[found.there].astype(np.float64) * (NOWHERE - 1))
        grid[found.there] = np.stack([scaled[:, 0], NOWHERE - 1 - scaled[:, 1]], axis=1)
        return grid.tobytes()

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The columns of the metadata that items can be coloured by."""
        return telling_columns(self._catalog.metadata)

    def default_column(self, method: Method) -> str | None:
        """The column to begin with: the one that says most about where items lie on a map; None: there is none."""
        return self._once(("default", method), lambda: self._most_telling(method))

    def _most_telling(self, method: Method) -> str | None:
        from sklearn.metrics import adjusted_mutual_info_score

        found = self.map(method)
        labels, _ = clusters(found)

        def telling(column: str) -> float:
            return float(adjusted_mutual_info_score(labels, self.colouring(column).of[found.there]))

        return max(self.columns, key=telling, default=None)

    def colouring(self, column: str) -> Colouring:
        """The classes of a column.

        Raises:
            ConfigError: it is none of `columns`.
        """
        if column not in self.columns:
            raise ConfigError(
                f"There is no column '{column}' to colour by. There is {', '.join(self.columns) or 'none'}."
            )
        return self._once(("colouring", column), lambda: colouring(self._catalog.metadata, column))

    def regions(self, method: Method, column: str | None) -> list[Region]:
        """The regions of a map, the largest first, named by a column."""
        values = None if column is None else texts(self._catalog.metadata[column])
        return self._once(("regions", method, column), lambda: regions(self.map(method), values))

    def _once(self, key: Hashable, make: Callable[[], T]) -> T:
        with self._lock:
            if key not in self._known:
                self._known[key] = make()
            return cast("T", self._known[key])
