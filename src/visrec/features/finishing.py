"""What is done to raw features of a whole catalogue, and then alike to those of new images.

Always in this order: standardise, principal components (whitened or not), length 1. All passes go through blocks of
rows, so that memory does not grow with the number of items.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from pydantic import Field, model_validator

from visrec.config import Config
from visrec.errors import FeaturesError

_BLOCK = 1 << 19  # numbers looked at together: 2 MiB of float32, and some times that while they are worked on

Rows = Callable[[], Iterator[np.ndarray]]
"""Each call begins a pass over all vectors, as blocks `(n, F)`."""


class Steps(Config):
    """Which steps are taken."""

    standardize: bool = True
    """Give each column mean 0 and variance 1: cosines of raw, all-positive features are nearly alike."""
    pca: int | None = Field(default=None, ge=1)
    """Keep this many principal components (Pearson 1901; Hotelling 1933); None: all columns as they are."""
    whiten: bool = False
    """Give each principal component variance 1 (Jégou & Chum 2012); needs `pca`."""
    l2: bool = False
    """Give each vector length 1, so that dot products are cosines."""

    @model_validator(mode="after")
    def _whitening_needs_components(self) -> Self:
        if self.whiten and self.pca is None:
            raise ValueError("whiten needs pca: give the number of components, such as pca = 128")
        return self

    def names(self) -> list[str]:
        """The steps as the provenance lists them, in the order in which they are taken."""
        pca = f"pca {self.pca}{' whitened' if self.whiten else ''}"
        taken = (
            ("standardize", self.standardize),
            (pca, self.pca is not None),
            ("l2", self.l2),
        )
        return [name for name, is_taken in taken if is_taken]


@dataclass(frozen=True, eq=False)
class Finishing:
    """Fitted steps. `apply` treats any vectors as those that it was fitted on.

    Attributes:
        mean: `(F,)` float64, subtracted; None: nothing is standardised.
        std: `(F,)` float64, divided by; 0 for a constant column, which becomes 0.
        center: `(F,)` float64, subtracted before `components`.
        components: `(K, F)` float32, principal directions times their scale; None: no PCA.
        l2: whether vectors get length 1 (those of length 0 stay).
    """

    mean: np.ndarray | None = None
    std: np.ndarray | None = None
    center: np.ndarray | None = None
    components: np.ndarray | None = None
    l2: bool = False

    @classmethod
    def fit(cls, steps: Steps, rows: Rows, dim: int) -> Finishing:
        """Fit the steps on all vectors, of length `dim`; there may be none.

        Raises:
            FeaturesError: more components are asked for than the vectors can have.
        """
        mean = std = center = components = None
        if steps.standardize:
            mean, std = _moments(rows, dim)
        if steps.pca is not None:
            before = cls(mean, std)
            center, components = _components(lambda: map(before.apply, rows()), dim, steps.pca, steps.whiten)
        return cls(mean, std, center, components, steps.l2)

    @property
    def changes(self) -> bool:
        """Whether `apply` does anything."""
        return self.mean is not None or self.components is not None or self.l2

    def dim(self, raw: int) -> int:
        """Length of a finished vector of a raw one of length `raw`."""
        return raw if self.components is None else len(self.components)

    def apply(self, vectors: np.ndarray) -> np.ndarray:
        """Raw vectors `(…, F)` to finished ones `(…, K)`, float32."""
        if self.mean is not None and self.std is not None:
            scale = np.divide(1.0, self.std, out=np.zeros_like(self.std), where=self.std > 0)
            vectors = ((vectors - self.mean) * scale).astype(np.float32)
        if self.center is not None and self.components is not None:
            vectors = (vectors - self.center).astype(np.float32) @ self.components.T
        vectors = np.asarray(vectors, dtype=np.float32)
        if self.l2:
            length = np.linalg.norm(vectors, axis=-1, keepdims=True)
            vectors = np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)
        return vectors

    def state(self) -> dict[str, np.ndarray]:
        """All arrays by name, to be kept in a file."""
        arrays = {
            "mean": self.mean,
            "std": self.std,
            "center": self.center,
            "components": self.components,
            "l2": np.ones(1, dtype=np.uint8) if self.l2 else None,
        }
        return {name: array for name, array in arrays.items() if array is not None}

    @classmethod
    def restore(cls, state: Mapping[str, np.ndarray]) -> Finishing:
        """What `state` gave."""
        arrays = {name: state.get(name) for name in ("mean", "std", "center", "components")}
        return cls(**arrays, l2="l2" in state)


def blocks(n: int, width: int) -> Iterator[slice]:
    """Slices of 0 … n-1 whose rows of `width` numbers fit in memory together."""
    step = max(1, _BLOCK // max(1, width))
    return (slice(start, min(start + step, n)) for start in range(0, n, step))


def present_rows(values: np.ndarray, missing: np.ndarray) -> Rows:
    """The vectors of `values (I, F)` or `(I, R, F)` that are not `missing (I,)`, regions one after the other."""

    def rows() -> Iterator[np.ndarray]:
        for block in blocks(len(values), int(np.prod(values.shape[1:]))):
            there = values[block][~missing[block]]
            if len(there):
                yield there.reshape(-1, values.shape[-1]).astype(np.float32, copy=False)

    return rows


def leading_directions(moment: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """The n largest eigenvalues `(n,)` of a symmetric `(F, F)`, falling, and their orthonormal vectors `(F, n)`."""
    from scipy.linalg import eigh

    F = len(moment)
    sizes, directions = eigh(moment, subset_by_index=[F - n, F - 1])  # ascending
    sizes, directions = sizes[::-1], directions[:, ::-1]
    # A direction's sign is arbitrary; this choice makes it the same each time.
    return sizes, directions * np.sign(directions[np.abs(directions).argmax(axis=0), np.arange(n)])


def _moments(rows: Rows, dim: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and (population) standard deviation `(F,)` of each column, in two passes: exact for large means."""
    n, total = 0, np.zeros(dim)
    low, high = np.full(dim, np.inf), np.full(dim, -np.inf)
    for block in rows():
        n += len(block)
        total += block.sum(axis=0, dtype=np.float64)
        low, high = np.minimum(low, block.min(axis=0)), np.maximum(high, block.max(axis=0))
    mean = total / max(n, 1)
    square = np.zeros_like(mean)
    for block in rows():
        square += ((block.astype(np.float64) - mean) ** 2).sum(axis=0) / n
    # By extremes, since rounding of the mean leaves a constant column a tiny deviation to be blown up.
    return mean, np.where(high > low, np.sqrt(square), 0.0)


def _components(rows: Rows, F: int, k: int, whiten: bool) -> tuple[np.ndarray, np.ndarray]:
    """Mean `(F,)` and the k principal directions `(k, F)` of largest variance, from the covariance `(F, F)`."""
    n, total = 0, np.zeros(F)
    for block in rows():
        n += len(block)
        total += block.sum(axis=0, dtype=np.float64)
    if k > min(F, n - 1):
        raise FeaturesError(
            f"pca is {k}, but {n} vectors of length {F} have at most {max(0, min(F, n - 1))} principal components. "
            f"Give a smaller number, or none."
        )
    center = total / n
    covariance = np.zeros((F, F))
    for block in rows():
        centered = (block - center).astype(np.float32)
        covariance += centered.T @ centered
    variance, directions = leading_directions(covariance / n, k)  # (k,), (F, k)
    if whiten:
        floor = variance[0] * 1e-10  # below is rounding, not variance
        directions = np.where(variance > floor, directions / np.sqrt(np.maximum(variance, floor)), 0.0)
    return center, np.ascontiguousarray(directions.T, dtype=np.float32)
