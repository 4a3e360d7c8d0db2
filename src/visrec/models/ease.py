"""EASE: how much each item says of each other one, in closed form (Steck 2019)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from scipy import sparse
from scipy.linalg.lapack import dpotrf, dpotri
from torch import Tensor

from visrec import config
from visrec.errors import ConfigError, DataError
from visrec.recommender import Fitting, Queries, Recommender
from visrec.space import LogRange, Space

_CELLS = 1 << 20  # of a matrix of items x items, worked on at once
_GIB = 1 << 30


class EASEConfig(config.Config):
    """Settings of `EASE`."""

    space: ClassVar[Space] = {"reg": LogRange(10.0, 3000.0)}
    reg: float = Field(default=200.0, gt=0)
    """lambda: L2 on the weights between items; the more, the less an item that few people took can say."""
    max_gib: float = Field(default=4.0, gt=0)
    """Refuse to fit where that would take more memory than this, in GiB. See `EASE.memory`."""


class EASE(Recommender):
    """x_ui = sum of B_ji over the items j of the history   (Steck 2019, eq. 1).

    B minimises |X - X B|² + reg |B|² with a diagonal of 0 (eq. 2-3), X `(U, I)` binary: who took what, however
    often. In closed form, with P = (X'X + reg 1)^-1: B_ij = -P_ij / P_jj for i != j (eq. 8). As two encoders: the
    item vector is a column of B, the query vector marks the history; with weights, the mark of j is its weight:
    x_ui = sum of w_j B_ji.

    It is the one model that holds a matrix of items x items. Items that nobody took have neither weights nor a say,
    so B is made and held for the others alone.

    Symbols: B (A, A), stored as its columns; item vector (A,); A the number of items that somebody took.
    """

    Config = EASEConfig
    config: EASEConfig
    learns = "closed form"
    query = "history"
    new_users = True
    new_items = False
    weighs = True
    paper = "Steck 2019"

    taken: Tensor
    """(A,) the items that somebody took, by index, ascending."""
    columns: Tensor
    """(A, A) float32; row j is column j of B."""

    @staticmethod
    def memory(n_taken: int, n_items: int) -> int:
        """Bytes that fitting takes at its peak.

        The solve works in place on one float64 matrix of the items that somebody took, beside which B is stored in
        float32 in the end; or else encoding the catalogue is the peak: B, the blocks of vectors, and all of them.
        The interactions themselves and some tens of MiB of blocks at work come on top.

        Args:
            n_taken: A, items that somebody took.
            n_items: I, items of the catalogue.
        """
        return max(12 * n_taken**2, 4 * n_taken**2 + 8 * n_items * n_taken)

    def _fit(self, fitting: Fitting) -> None:
        train = fitting.train
        taken = np.flatnonzero(train.item_counts() > 0)
        self._check_memory(len(taken), train.n_items)
        X = train.matrix()[:, taken]  # (U, A)
        X.data[:] = 1
        G = _gram(X, fitting)  # (A, A)
        G[np.diag_indices_from(G)] += self.config.reg
        self.taken = torch.from_numpy(taken)
        self.columns = torch.from_numpy(_columns(_inverse(G)))
        if fitting.progress is not None:
            fitting.progress(len(taken), len(taken), "")

    def _check_memory(self, n_taken: int, n_items: int) -> None:
        needed = self.memory(n_taken, n_items) / _GIB
        if needed > self.config.max_gib:
            raise ConfigError(
                f"EASE holds a weight for each pair of items: {n_taken:,} items that somebody took, of {n_items:,}, "
                f"take {needed:.3g} GiB to fit; max_gib is {self.config.max_gib:g}. If the machine has that much, "
                f"set max_gib={_above(needed):g}; else leave out items that few people took (item_core under [data] "
                f"of an experiment, visrec.k_core(interactions, item_k=…) in Python), or use item_knn, which keeps "
                f"only the nearest of each item."
            )

    def encode_items(self, items: Tensor) -> Tensor:
        vectors = torch.zeros(len(items), len(self.taken))
        place = self._places(items)
        vectors[place >= 0] = self.columns[place[place >= 0]]
        return vectors  # (n, A)

    def query_cells(self, longest: int) -> int:  # noqa: ARG002 - marks, however long the history
        return len(self._fitted(self.Z))

    def encode_queries(self, queries: Queries) -> Tensor:
        marks = torch.zeros(len(queries), len(self.taken))
        place = self._places(queries.history)  # (B, H)
        real = queries.mask & (place >= 0)
        row = torch.arange(len(queries))[:, None].expand_as(place)
        if queries.weight is None:
            marks[row[real], place[real]] = 1
        else:
            marks.index_put_((row[real], place[real]), queries.weight[real], accumulate=True)
        return marks  # (B, A)

    def _places(self, items: Tensor) -> Tensor:
        """Where items stand among those that somebody took; -1: nowhere."""
        place = torch.searchsorted(self.taken, items.contiguous()).clamp_max(len(self.taken) - 1)
        return torch.where(self.taken[place] == items, place, -1)

    def state(self) -> dict[str, Tensor]:
        return {"taken": self.taken, "columns": self.columns}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self.taken, self.columns = state["taken"], state["columns"]
        self.refresh()


def _gram(X: sparse.csr_array, fitting: Fitting) -> np.ndarray:
    """X'X `(A, A)` float64, in blocks: as a sparse matrix it could take more than the dense one."""
    Xt = X.T.tocsr()
    n = Xt.shape[0]
    G = np.empty((n, n))
    for block in _blocks(n):
        G[block] = (Xt[block] @ X).toarray()
        if fitting.progress is not None:
            # The inverse is the other half.
            fitting.progress(block.stop // 2, n, "counting pairs")
    return G


def _inverse(G: np.ndarray) -> np.ndarray:
    """The inverse of a positive definite matrix, in its place; only at and above the diagonal.

    Raises:
        DataError: it is not positive definite to the precision of float64.
    """
    # LAPACK counts in columns: what it calls the lower triangle of the transpose is our upper one.
    P, failed = dpotrf(G.T, lower=1, clean=0, overwrite_a=1)
    if not failed:
        P, failed = dpotri(P, lower=1, overwrite_c=1)
    if failed:
        raise DataError("EASE cannot invert its matrix to the precision of float64; give a larger reg.")
    inverse: np.ndarray = P.T
    return inverse


def _columns(P: np.ndarray) -> np.ndarray:
    """-P_ij / P_jj `(A, A)` float32 with a diagonal of 0, a row for each j; of P what `_inverse` gives is read."""
    found = np.empty(P.shape, dtype=np.float32)
    n = len(P)
    diagonal = np.diagonal(P)
    for block in _blocks(n):
        after = slice(block.stop, n)
        upper = np.triu(P[block, block], 1)
        found[block, block] = -(upper + upper.T) / diagonal[block, None]
        found[block, after] = -P[block, after] / diagonal[block, None]
        found[after, block] = -P[block, after].T / diagonal[after, None]
    return found


def _blocks(n: int) -> Iterator[slice]:
    """Rows of an `(n, n)` matrix, a few at a time."""
    rows = max(1, _CELLS // n)
    for start in range(0, n, rows):
        yield slice(start, min(start + rows, n))


def _above(gib: float) -> float:
    """A round number that is not less, to type."""
    return float(np.ceil(gib * 10) / 10) if gib >= 0.1 else float(f"{gib * 1.1:.2g}")
