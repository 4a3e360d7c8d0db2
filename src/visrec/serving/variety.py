"""Varied pictures of a catalogue: an order in which the first few show all its looks, and the next few again."""

from __future__ import annotations

import numpy as np

from visrec.serving.engine import Engine

LOOKS = 24
"""How many looks a catalogue is taken to have."""

MOST = 4_000
"""Items that are looked at; of more a sample is drawn, since nobody turns so many pages."""


def varied_order(vectors: np.ndarray, *, looks: int = LOOKS, seed: int = 0) -> np.ndarray:
    """Rows in an order in which every few of them show all looks.

    Rows are clustered by k-means of their directions, so that distance is what the cosine says. The most typical row
    of each cluster comes first, then a second one of each, drawn at random, then a third one, until the small
    clusters and at last all are used up.

    Args:
        vectors: `(n, F)`; rows of zeros say nothing, and are a look of their own.
        looks: clusters; fewer where there are fewer different rows.
        seed: the same seed gives the same order.

    Returns:
        `(n,)`, each row once.
    """
    from sklearn.cluster import KMeans

    n = len(vectors)
    rng = np.random.default_rng(seed)
    unit = vectors.astype(np.float32)
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
    k = min(looks, len(np.unique(unit, axis=0)))
    if k < 2:
        return rng.permutation(n)
    found = KMeans(k, n_init=1, random_state=seed).fit(unit)
    nearness = (unit * found.cluster_centers_[found.labels_]).sum(axis=1)  # (n,)
    turn = np.empty(n, dtype=np.int64)  # of a row in its cluster: 0 is the most typical
    for cluster in range(k):
        members = np.flatnonzero(found.labels_ == cluster)
        first = members[np.argmax(nearness[members])]
        turn[first] = 0
        rest = members[members != first]
        turn[rest] = 1 + rng.permutation(len(rest))
    return np.lexsort((found.labels_, turn))


def varied_items(engine: Engine, *, looks: int = LOOKS, seed: int = 0) -> np.ndarray:
    """Indices of at most `MOST` items with a picture, in the order of `varied_order`.

    Vectors are the visual features of the run, or where it has none those by which a model for visitors compares
    items. Where there are no vectors at all, the order is drawn at random.
    """
    there = engine.catalog.pictured
    items = np.flatnonzero(there if there.any() else ~there)
    vectors = None
    if engine.run.has("vector"):
        features = engine.run.features
        seen = items[~features.missing[items]]
        if len(seen):
            items, vectors = seen, features.vectors
    else:
        vectors = _vectors_of_models(engine)
    rng = np.random.default_rng(seed)
    if len(items) > MOST:
        items = np.sort(rng.choice(items, MOST, replace=False))
    if vectors is None:
        return rng.permutation(items)
    return items[varied_order(np.asarray(vectors[items]), looks=looks, seed=seed)]


def _vectors_of_models(engine: Engine) -> np.ndarray | None:
    """`(I, m)`: those of the first model for visitors that compares items by dense vectors, or None."""
    for name in engine.visitor_models:
        found = engine.model(name).similarity_vectors()
        if found is not None and not found.is_sparse:
            return found.numpy()
    return None
