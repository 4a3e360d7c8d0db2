"""The regions of a map: items that lie together, and what most of them are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from visrec.features.projection import Projection

_REGIONS = 12
_PER_REGION = 8  # items on average at least


@dataclass(frozen=True)
class Region:
    """Items that lie together.

    Attributes:
        place: of its middle, as in `Projection.positions`.
        n: how many items it has.
        nearest: the items nearest to its middle, by index.
        name: the most common value of the column, if there is one.
        share: of its items that have this value, 0 to 1.
    """

    place: tuple[float, float]
    n: int
    nearest: tuple[int, ...]
    name: str | None
    share: float


def regions(found: Projection, values: pl.Series | None, *, shown: int = 6) -> list[Region]:
    """At most twelve regions of a map by k-means, the largest first.

    Args:
        found: the map.
        values: `(I,)` text that names them by what is most common; None: they have no names.
        shown: how many items of each are listed.
    """
    labels, middles = clusters(found)
    made = []
    for label, middle in enumerate(middles):
        members = found.there[labels == label]
        away = ((found.positions[members] - middle) ** 2).sum(axis=1)
        nearest = members[np.argsort(away, kind="stable")[:shown]]
        name, share = (None, 0.0) if values is None else _most_common(values.gather(members))
        made.append(
            Region((float(middle[0]), float(middle[1])), len(members), tuple(nearest.tolist()), name, share)
        )
    return sorted(made, key=lambda one: -one.n)


def clusters(found: Projection) -> tuple[np.ndarray, np.ndarray]:
    """The region `(n,)` of each item that has a place, and the regions' middles `(k, 2)`."""
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    places = found.positions[found.there].astype(np.float64)
    k = min(_REGIONS, len(places) // _PER_REGION, len(np.unique(places, axis=0)))
    if k < 2:
        middle = places.mean(axis=0, keepdims=True) if len(places) else places
        return np.zeros(len(places), dtype=np.int64), middle
    with threadpool_limits(limits=1):  # sums in one order: the same regions each time
        means = KMeans(n_clusters=k, n_init=4, random_state=0).fit(places)
    return means.labels_, means.cluster_centers_


def _most_common(values: pl.Series) -> tuple[str | None, float]:
    there = values.drop_nulls()
    if not len(there):
        return None, 0.0
    first = there.value_counts(name="n").sort(["n", values.name], descending=[True, False]).row(0)
    return str(first[0]), first[1] / len(values)
