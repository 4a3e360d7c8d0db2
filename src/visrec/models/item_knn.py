"""ItemKNN: people who took this also took that (Deshpande & Karypis 2004)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from scipy import sparse
from torch import Tensor

from visrec import config
from visrec.recommender import Fitting, Queries, Recommender
from visrec.space import IntRange, LogRange, Space

_BLOCK = 1024  # items compared with all others at once


class ItemKNNConfig(config.Config):
    """Settings of `ItemKNN`."""

    space: ClassVar[Space] = {"neighbors": IntRange(5, 500), "shrinkage": LogRange(0.1, 1000.0)}
    neighbors: int = Field(default=100, ge=1)
    """k: how many most similar items are kept for each item of a history."""
    shrinkage: float = Field(default=10.0, ge=0)
    """Added to the denominator of the cosine: distrusts similarities that rest on few users."""


class ItemKNN(Recommender):
    """x_ui = sum of s_ij over the items j of the history that have i among their k nearest neighbours.

    s_ij = r_i . r_j / (|r_i| |r_j| + shrinkage), r_i the column of item i in the user-item matrix
    (Deshpande & Karypis 2004, section 4.1, with the shrinkage of Koren 2008). As two encoders: the item
    vector is row i of the sparse neighbour matrix S `(I, I)` with k entries a column, the query vector marks
    the history. With weights, the mark of j is its weight: x_ui = sum of w_j s_ij.
    """

    Config = ItemKNNConfig
    config: ItemKNNConfig
    learns = "counts"
    query = "history"
    new_users = True
    new_items = False
    weighs = True
    paper = "Deshpande & Karypis 2004"

    def _fit(self, fitting: Fitting) -> None:
        train = fitting.train
        # S is symmetric until only k are kept: row j is made here, and becomes column j.
        R = train.matrix().T.tocsr()  # (I, U)
        norm = np.sqrt(np.asarray(R.multiply(R).sum(axis=1)).ravel())  # (I,)
        n = train.n_items
        rows, columns, values = [], [], []
        for start in range(0, n, _BLOCK):
            S = (R[start : start + _BLOCK] @ R.T).tocsr()  # (b, I), sparse
            for b in range(S.shape[0]):
                j = start + b
                i = S.indices[S.indptr[b] : S.indptr[b + 1]]
                s = S.data[S.indptr[b] : S.indptr[b + 1]] / (norm[i] * norm[j] + self.config.shrinkage)
                s[i == j] = 0
                # Ties at the k-th place go to the lower index, so that the result does not depend on the sort.
                order = np.lexsort((i, -s))[: self.config.neighbors]
                order = order[s[order] > 0]
                rows.append(i[order])
                columns.append(np.full(len(order), j))
                values.append(s[order])
            if fitting.progress is not None:
                fitting.progress(min(start + _BLOCK, n), n, "")
        place = (np.concatenate(rows), np.concatenate(columns))
        S = sparse.csr_array((np.concatenate(values).astype(np.float32), place), shape=(n, n))
        S.sort_indices()
        self.S = S
        unit = sparse.diags_array(1 / np.maximum(norm, 1e-12)) @ R
        self.R = sparse.csr_array(unit.astype(np.float32))  # (I, U), rows of length 1
        self.R.sort_indices()

    def encode_items(self, items: Tensor) -> Tensor:
        return _torch(self.S[items.numpy()])  # (n, I), sparse

    def encode_queries(self, queries: Queries) -> Tensor:
        marks = torch.zeros(len(queries), self.S.shape[1])
        row = torch.arange(len(queries))[:, None].expand_as(queries.history)
        place = row[queries.mask], queries.history[queries.mask]
        if queries.weight is None:
            marks[place] = 1
        else:
            marks.index_put_(place, queries.weight[queries.mask], accumulate=True)
        return marks  # (B, I)

    def similarity_vectors(self) -> Tensor:
        return _torch(self.R)

    def state(self) -> dict[str, Tensor]:
        state = {}
        for name, matrix in (("S", self.S), ("R", self.R)):
            state[f"{name}/indptr"] = torch.from_numpy(matrix.indptr.astype(np.int64))
            state[f"{name}/indices"] = torch.from_numpy(matrix.indices.astype(np.int64))
            state[f"{name}/data"] = torch.from_numpy(matrix.data)
            state[f"{name}/shape"] = torch.tensor(matrix.shape)
        return state

    def restore(self, state: Mapping[str, Tensor]) -> None:
        for name in ("S", "R"):
            indptr, indices, data, shape = (
                state[f"{name}/{part}"].numpy() for part in ("indptr", "indices", "data", "shape")
            )
            matrix = sparse.csr_array((data, indices, indptr), shape=(int(shape[0]), int(shape[1])))
            setattr(self, name, matrix)
        self.Z = _torch(self.S)


def _torch(matrix: sparse.csr_array) -> Tensor:
    """A sparse COO tensor of a CSR matrix."""
    coo = matrix.tocoo()
    index = torch.from_numpy(np.stack([coo.row, coo.col]).astype(np.int64))
    return torch.sparse_coo_tensor(
        index, torch.from_numpy(coo.data), coo.shape, check_invariants=False
    ).coalesce()
