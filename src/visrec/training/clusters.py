"""Visual clusters: which pictures look alike, so that a sampler can draw from among them or from elsewhere."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from visrec.config import digest_of
from visrec.errors import FeaturesError
from visrec.features.features import Features
from visrec.features.finishing import Finishing, Steps, blocks, present_rows
from visrec.files import replacing

log = logging.getLogger("visrec")

_COMPONENTS = 200  # of the paper's PCA
_WIDEST = 16_384  # columns: their covariance takes 2 GiB
_PER_CLUSTER = 10  # items on average at least; with fewer there is nothing to draw from
_JUDGED = 3000  # items whose silhouette is computed; it compares each with each
_VERSION = 1  # of how clusters are made: raise it and what is cached is made anew


@dataclass(frozen=True, eq=False)
class Clusters:
    """Items by how they look. Frozen.

    Attributes:
        of: `(I,)` int64, the cluster of each item; -1 where it has no image.
        vectors: `(I, K)` float32, what was clustered: z-scored features' principal components; 0 without an image.
        silhouette: of the run that was kept, over at most 3,000 items; 0 where there is one cluster.
    """

    of: np.ndarray
    vectors: np.ndarray
    silhouette: float = 0.0

    def __len__(self) -> int:
        return int(self.of.max(initial=-1)) + 1

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of clusters and vectors."""
        digest = hashlib.sha256(f"{self.of.shape} {self.vectors.shape}".encode())
        digest.update(self.of.astype("<i8").tobytes())
        for block in blocks(len(self.vectors), self.vectors.shape[1]):
            digest.update(np.ascontiguousarray(self.vectors[block], dtype="<f4").data)
        return digest.hexdigest()


def visual_clusters(features: Features, *, k: int = 100, runs: int = 5, seed: int = 0) -> Clusters:
    """The visual clusters of all items with an image (Messina et al. 2020, CuratorNet).

    Columns get mean 0 and variance 1; their 200 largest principal components (fewer where there are fewer columns
    or items) are clustered by k-means; of several runs, that of the best silhouette counts. Features that lie in a
    folder keep their clusters there, in `clusters-<digest>.safetensors`; a file that is damaged or of something else
    is made anew.

    Args:
        features: vectors, or regions, whose mean is taken.
        k: clusters; fewer where there would be less than 10 items a cluster on average.
        runs: of k-means, from different beginnings (20 in the paper).
        seed: the same seed gives the same clusters.

    Raises:
        FeaturesError: these are pixels, or vectors of more than 16,384 columns.
    """
    settings = digest_of(
        {"features": features.digest, "k": k, "runs": runs, "seed": seed, "version": _VERSION}
    )
    file = None if features.folder is None else features.folder / f"clusters-{settings[:16]}.safetensors"
    found = None if file is None else _cached(file, settings, len(features))
    if found is None:
        found = _clustered(features, k, runs, seed)
        if file is not None:
            _keep(file, settings, found)
    return found


def _clustered(features: Features, k: int, runs: int, seed: int) -> Clusters:
    vectors = _components_of(features)  # (I, K)
    there = np.flatnonzero(~features.missing)
    of = np.full(len(features), -1, dtype=np.int64)
    rows = vectors[there]
    # k-means warns where it finds fewer clusters than it was asked for, as it must where pictures are the same.
    k = min(k, len(np.unique(rows, axis=0)), max(1, len(rows) // _PER_CLUSTER))
    if k < 2:
        of[there] = 0
        return Clusters(of, vectors)
    labels, silhouette = _best_run(rows, k, runs, seed)
    of[there] = np.unique(labels, return_inverse=True)[1]  # without a gap, should a cluster have stayed empty
    return Clusters(of, vectors, silhouette)


def _components_of(features: Features) -> np.ndarray:
    """`(I, K)` float32: the principal components of the z-scored vectors."""
    values = features.vectors
    n, F = int((~features.missing).sum()), values.shape[1]
    if F > _WIDEST:
        raise FeaturesError(
            f"Visual clusters need the covariance of all columns: {F:,}, at most {_WIDEST:,} can be held in memory. "
            f"Choose features with fewer, or regions' means."
        )
    most = min(_COMPONENTS, F, n - 1)
    steps = Steps(standardize=True, pca=most if most > 0 else None)
    finishing = Finishing.fit(steps, present_rows(values, features.missing), F)
    vectors = np.zeros((len(features), finishing.dim(F)), dtype=np.float32)
    for block in blocks(len(features), F):
        vectors[block] = finishing.apply(values[block].astype(np.float32))
    vectors[features.missing] = 0
    return vectors


def _best_run(rows: np.ndarray, k: int, runs: int, seed: int) -> tuple[np.ndarray, float]:
    """The labels `(n,)` of the best of several runs of k-means, and their silhouette."""
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    rng = np.random.default_rng(seed)
    judged = rng.permutation(len(rows))[:_JUDGED]  # the same for each run
    best: tuple[np.ndarray, float] | None = None
    with threadpool_limits(
        limits=1
    ):  # the order in which threads add up their sums would decide the last bits
        for _ in range(runs):
            means = KMeans(n_clusters=k, n_init=1, random_state=int(rng.integers(2**31)))
            labels = means.fit(rows).labels_.astype(np.int64)
            silhouette = _silhouette(rows[judged], labels[judged])
            if best is None or silhouette > best[1]:
                best = labels, silhouette
    assert best is not None
    return best


def _silhouette(rows: np.ndarray, labels: np.ndarray) -> float:
    """The mean silhouette (Rousseeuw 1987); -1 where it is not defined: one cluster, or one row each."""
    from sklearn.metrics import silhouette_score

    n = len(np.unique(labels))
    return float(silhouette_score(rows, labels)) if 2 <= n < len(rows) else -1.0


def _keep(file: Path, settings: str, clusters: Clusters) -> None:
    from safetensors.numpy import save_file

    about = {"settings": settings, "digest": clusters.digest, "silhouette": repr(clusters.silhouette)}
    try:
        with replacing(file) as temporary:
            save_file({"of": clusters.of, "vectors": clusters.vectors}, temporary, metadata=about)
    except OSError as error:  # a folder that may only be read: the next training clusters again
        log.info("visual clusters are not kept in %s: %s", file.parent, error)


def _cached(file: Path, settings: str, n_items: int) -> Clusters | None:
    """What `_keep` wrote; None where there is nothing, or not just that."""
    from safetensors import SafetensorError, safe_open

    if not file.is_file():
        return None
    try:
        with safe_open(file, framework="numpy") as tensors:
            about = tensors.metadata() or {}
            found = Clusters(
                tensors.get_tensor("of"), tensors.get_tensor("vectors"), float(about["silhouette"])
            )
        intact = about["settings"] == settings and found.digest == about["digest"]
        return found if intact and len(found.of) == len(found.vectors) == n_items else None
    except (SafetensorError, OSError, KeyError, IndexError, TypeError, ValueError):
        return None
