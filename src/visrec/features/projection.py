"""A map of the catalogue: each item's features as a place in a plane, where what looks alike lies together."""

from __future__ import annotations

import hashlib
import logging
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from visrec.config import digest_of
from visrec.errors import ConfigError, FeaturesError
from visrec.features.features import Features
from visrec.features.finishing import Finishing, Steps, blocks, present_rows
from visrec.files import exclusive, replacing

log = logging.getLogger("visrec")

Method = Literal["pca", "tsne"]
"""pca: the two directions of largest variance, at once and the same for ever. tsne: neighbourhoods kept as well as a
plane can, minutes for tens of thousands of items."""
METHODS: tuple[Method, ...] = get_args(Method)

_COMPONENTS = 50  # that t-SNE looks at, as in van der Maaten & Hinton 2008 (30) and Kobak & Berens 2019 (50)
_WIDEST = 16_384  # columns: their covariance takes 2 GiB
_FEWEST = 10  # items with a picture; below, t-SNE has no neighbourhoods to keep
_VERSION = 1  # of how maps are made: raise it and what is kept is made anew


@dataclass(frozen=True, eq=False)
class Projection:
    """Places of all items in a plane. Frozen.

    Attributes:
        method: how they were found.
        positions: `(I, 2)` float32 in the unit square, both axes in one scale, the y axis upwards; NaN where an item
            has no picture.
    """

    method: Method
    positions: np.ndarray

    @cached_property
    def there(self) -> np.ndarray:
        """The items `(n,)` int64 that have a place."""
        return np.flatnonzero(np.isfinite(self.positions[:, 0]))

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of method and places."""
        digest = hashlib.sha256(f"{self.method} {self.positions.shape}".encode())
        digest.update(np.ascontiguousarray(self.positions, dtype="<f4").data)
        return digest.hexdigest()


def project(features: Features, method: Method = "pca", *, seed: int = 0) -> Projection:
    """The map of some features. Made once: features that lie in a folder keep it there.

    The file is `projection-<method>.safetensors`. It names the features that it was made of, so that one of other
    features, or a damaged one, is made anew. The same features and seed give the same map bit for bit on one machine.

    Args:
        features: vectors, or regions, whose mean is taken.
        method: "pca" (Pearson 1901), or "tsne" (van der Maaten & Hinton 2008, approximated as by Barnes and Hut),
            begun at the principal components, as Kobak & Berens (2019) advise, so that far apart means something.
        seed: of t-SNE.

    Raises:
        FeaturesError: these are pixels, or vectors of more than 16,384 columns.
    """
    found = kept(features, method, seed=seed)
    if found is not None:
        return found
    if features.folder is None:
        return _made(features, method, seed)
    file = _file(features.folder, method)
    while True:
        try:
            with exclusive(file):
                # Whoever held it before may have made just this.
                found = kept(features, method, seed=seed) or _made(features, method, seed)
                _keep(file, _settings(features, method, seed), found)
                return found
        except BlockingIOError:  # another process makes it
            time.sleep(0.2)
        except OSError as error:  # a folder that may only be read: the next one makes it again
            log.info("the map is not kept in %s: %s", features.folder, error)
            return found or _made(features, method, seed)


def named(method: str) -> Method:
    """A method by its name; `ConfigError` if there is none."""
    for one in METHODS:
        if one == method:
            return one
    raise ConfigError(f"There is no map of the kind '{method}'. There is {', '.join(METHODS)}.")


def kept(features: Features, method: Method, *, seed: int = 0) -> Projection | None:
    """The map that `project` has kept of just these features; None where there is none."""
    from safetensors import SafetensorError, safe_open

    if features.folder is None or not (file := _file(features.folder, method)).is_file():
        return None
    try:
        with safe_open(file, framework="numpy") as tensors:
            about = tensors.metadata() or {}
            found = Projection(method, tensors.get_tensor("positions"))
        intact = about["settings"] == _settings(features, method, seed) and found.digest == about["digest"]
        return found if intact and found.positions.shape == (len(features), 2) else None
    except (SafetensorError, OSError, KeyError, TypeError, ValueError):
        return None


def _file(folder: Path, method: Method) -> Path:
    return folder / f"projection-{method}.safetensors"


def _settings(features: Features, method: Method, seed: int) -> str:
    return digest_of({"features": features.digest, "method": method, "seed": seed, "version": _VERSION})


def _keep(file: Path, settings: str, found: Projection) -> None:
    from safetensors.numpy import save_file

    with replacing(file) as temporary:
        about = {"settings": settings, "digest": found.digest}
        save_file({"positions": found.positions}, temporary, metadata=about)


def _made(features: Features, method: Method, seed: int) -> Projection:
    there = np.flatnonzero(~features.missing)
    enough = method == "tsne" and len(there) >= _FEWEST
    components = _components(features, _COMPONENTS if enough else 2)[there]  # (n, K)
    places = _tsne(components, seed) if enough else components[:, :2]
    positions = np.full((len(features), 2), np.nan, dtype=np.float32)
    positions[there] = _in_unit_square(places)
    return Projection(method, positions)


def _components(features: Features, most: int) -> np.ndarray:
    """`(I, K)` float32, K at least 2: the first principal components of the vectors; 0 where there is none."""
    values = features.vectors
    n, F = int((~features.missing).sum()), values.shape[1]
    if F > _WIDEST:
        raise FeaturesError(
            f"A map needs the covariance of all columns: {F:,}, at most {_WIDEST:,} can be held in memory. Choose "
            f"features with fewer, or regions' means."
        )
    k = min(most, F, n - 1)
    found = np.zeros((len(features), max(k, 2)), dtype=np.float32)
    if k < 1:
        return found
    finishing = Finishing.fit(Steps(standardize=False, pca=k), present_rows(values, features.missing), F)
    for block in blocks(len(features), F):
        found[block, :k] = finishing.apply(values[block].astype(np.float32))
    found[features.missing] = 0
    return found


def _tsne(components: np.ndarray, seed: int) -> np.ndarray:
    """t-SNE `(n, 2)` of principal components `(n, K)`."""
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    spread = float(components[:, 0].std())
    if spread == 0:  # all pictures are the same
        return components[:, :2]
    begin = np.ascontiguousarray(components[:, :2] / spread * 1e-4, dtype=np.float32)
    perplexity = min(30.0, (len(components) - 1) / 3)
    with threadpool_limits(limits=1):  # the order in which threads add up would decide the last bits
        tsne = TSNE(init=begin, perplexity=perplexity, learning_rate="auto", random_state=seed)
        return np.asarray(tsne.fit_transform(components), dtype=np.float32)


def _in_unit_square(places: np.ndarray) -> np.ndarray:
    """Places `(n, 2)` moved and scaled, by one factor, into [0, 1] x [0, 1], in its middle."""
    if not len(places):
        return places
    low, high = places.min(axis=0), places.max(axis=0)
    size = float((high - low).max())
    if size == 0:
        return np.full_like(places, 0.5)
    return np.clip((places - (low + high) / 2) / size + 0.5, 0, 1).astype(np.float32)
