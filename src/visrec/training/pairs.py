"""The pairs of a batch of triples: scores of positives and negatives, and what their gradients do to the vectors.

Each distinct query and item of a batch is encoded once, however often it occurs; a pair is a row of Q and a row of Z.
Neither the scores nor the gradients need a vector for each pair.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from visrec.compiled import compiled, in_parallel
from visrec.recommender import Queries
from visrec.training.device import add_rows, beside
from visrec.training.sampling import NOBODY, Triples

_LEAST = 64  # rows a thread should have: each is a vector


class Buffers:
    """Memory that is used again in each step: to get it anew would cost more than to fill it."""

    def __init__(self) -> None:
        self._held: dict[str, Tensor] = {}

    def of(self, name: str, shape: tuple[int, int], dtype: torch.dtype = torch.float32) -> Tensor:
        """A tensor of that shape with whatever it held before; valid until it is asked for by that name again."""
        size = shape[0] * shape[1]
        held = self._held.get(name)
        if held is None or len(held) < size or held.dtype != dtype:
            held = self._held[name] = torch.empty(size + size // 8, dtype=dtype)
        return held[:size].view(shape)


@dataclass(frozen=True, eq=False)
class Pairs:
    """Who is compared with what in a batch of B positives with n negatives each.

    Attributes:
        queries: the distinct queries.
        items: `(m,)` int64, the distinct items, sorted.
        at_query: `(B,)` int64, the query of each positive.
        at_pos: `(B,)` int64, place of each positive in `items`.
        at_neg: `(B, n)` int64, places of the negatives.
    """

    queries: Queries
    items: np.ndarray
    at_query: np.ndarray
    at_pos: np.ndarray
    at_neg: np.ndarray

    @classmethod
    def of(cls, batch: Triples) -> Pairs:
        """Those of a batch: each user is one query, unless the histories that are looked at differ."""
        B, n = batch.neg.shape
        items, at = distinct(np.concatenate([batch.pos, batch.neg.ravel()]))
        if batch.history is None:
            users, at_query = distinct(batch.user)
            queries = Queries.of_users(users)
        else:
            queries, at_query = Queries.padded(batch.history, batch.user), np.arange(B)
        return cls(queries, items, at_query, at[:B], at[B:].reshape(B, n))

    @property
    def users(self) -> tuple[np.ndarray, np.ndarray]:
        """The distinct users `(n_queries,)` and the place among them of each positive's, where queries are users."""
        if self.queries.user is None:
            raise ValueError("Queries without users, which training never has.")
        return self.queries.user.numpy(), self.at_query

    def scores(self, Q: Tensor, Z: Tensor) -> tuple[Tensor, Tensor]:
        """x_ui `(B,)` and x_uj `(B, n)` of vectors `(n_queries, d)` and `(m, d)`; no gradient flows through them."""
        expected = (len(self.queries), Q.shape[-1]), (len(self.items), Q.shape[-1])
        if (Q.shape, Z.shape) != expected:  # the loops would read beyond the end
            raise ValueError(
                f"The encoders gave query vectors of shape {tuple(Q.shape)} and item vectors of shape "
                f"{tuple(Z.shape)} for {len(self.queries)} queries and {len(self.items)} items: each needs a row, "
                f"and both the same number of columns."
            )
        if not Z.is_cpu:
            return scores_by_torch(self, Q, Z)
        x_ui, x_uj = torch.empty(self.at_pos.shape), torch.empty(self.at_neg.shape)
        tables = (_rows(Q), _rows(Z))
        args = (*tables, self.at_query, self.at_pos, self.at_neg, x_ui.numpy(), x_uj.numpy())
        in_parallel(_scores, len(self.at_pos), *args, least=_LEAST)
        return x_ui, x_uj

    def gradients(
        self, vectors: tuple[Tensor, Tensor], of_scores: tuple[Tensor, ...], buffers: Buffers
    ) -> tuple[Tensor, Tensor]:
        """Gradients of Q `(n_queries, d)` and Z `(m, d)`. Each row is summed up in one order, by whatever thread.

        Args:
            vectors: Q and Z.
            of_scores: the gradients of x_ui `(B,)` and x_uj `(B, n)`.
            buffers: where the result lies until the next call.
        """
        Q, Z = vectors
        if not Z.is_cpu:
            return gradients_by_torch(self, vectors, of_scores)
        dQ = buffers.of("dQ", (Q.shape[0], Q.shape[1]))
        dZ = buffers.of("dZ", (Z.shape[0], Z.shape[1]))
        tables, g = (_rows(Q), _rows(Z)), [one.contiguous().numpy() for one in of_scores]
        indptr, order = grouped(self.at_query, len(dQ))
        args = (indptr, order, tables[1], self.at_pos, self.at_neg, *g, dQ.numpy())
        in_parallel(_query_gradients, len(dQ), *args, least=_LEAST)
        self.gradients_of_items(tables[0], g, dZ)
        return dQ, dZ

    def gradients_of_items(self, Q: np.ndarray, of_scores: Sequence[np.ndarray], dZ: Tensor) -> None:
        """Write the gradients of Z `(m, d)`, of Q `(n_queries, d)` and those of x_ui `(B,)` and x_uj `(B, n)`."""
        indptr, order = grouped(np.concatenate([self.at_pos, self.at_neg.ravel()]), len(dZ))
        args = (indptr, order, Q, self.at_query, self.at_neg, *of_scores, dZ.numpy())
        in_parallel(_item_gradients, len(dZ), *args, least=_LEAST)


@dataclass(frozen=True, eq=False)
class Touched:
    """The distinct users and items of a batch by index, and how often each occurs, divided by the number of triples.

    Attributes:
        users: `(u,)` int64 and `(u,)` float32.
        items: positives and negatives; each of the negatives of a positive counts for its part of one.
        history: the items that are looked at: the mean over triples of an item's part of the history.
    """

    users: tuple[np.ndarray, np.ndarray]
    items: tuple[np.ndarray, np.ndarray]
    history: tuple[np.ndarray, np.ndarray]

    @classmethod
    def of(cls, batch: Triples, pairs: Pairs) -> Touched:
        """What a batch touches."""
        B, n = batch.neg.shape
        m = len(pairs.items)
        items = np.bincount(pairs.at_pos, minlength=m) + np.bincount(pairs.at_neg.ravel(), minlength=m) / n
        looked_at, parts = np.zeros(0, dtype=np.int64), np.zeros(0)
        if batch.history is not None:
            looked_at, place = distinct(batch.history.items)
            lengths = batch.history.lengths
            part = np.repeat(1 / np.maximum(lengths, 1), lengths)
            parts = np.bincount(place, part, minlength=len(looked_at)).astype(np.float64)
        users, at_user = pairs.users if batch.history is None else distinct(batch.user)
        known = users != NOBODY
        counts = np.bincount(at_user, minlength=len(users))
        pairs_of = (users[known], counts[known]), (pairs.items, items), (looked_at, parts)
        return cls(*((index, (times / B).astype(np.float32)) for index, times in pairs_of))


def distinct(index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct values of an index `(N,)`, sorted, and the place of each entry among them; as `np.unique`."""
    if len(index) == 0:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    low = int(index.min())
    span = int(index.max()) - low + 1
    if span > 64 * len(index):  # a table of all that lie between would cost more than sorting
        found, at = np.unique(index, return_inverse=True)
        return found, at
    place = np.zeros(span, dtype=np.int64)
    found, at = np.empty(min(span, len(index)), dtype=np.int64), np.empty(len(index), dtype=np.int64)
    n = _distinct(index, low, place, found, at)
    return found[:n], at


def grouped(at: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Where each of n rows occurs in `at` `(N,)`: row r at `order[indptr[r]:indptr[r + 1]]`, in rising order."""
    indptr, order = np.zeros(n + 1, dtype=np.int64), np.empty(len(at), dtype=np.int64)
    _grouped(at, indptr, order)
    return indptr, order


# ---- in torch's own operations, for vectors on a GPU ----------------------------------------------------


def scores_by_torch(pairs: Pairs, Q: Tensor, Z: Tensor) -> tuple[Tensor, Tensor]:
    """As `Pairs.scores`, where Q and Z lie."""
    Q, Z = Q.detach(), Z.detach()
    q = Q[beside(pairs.at_query, Q)]  # (B, d)
    x_ui = (q * Z[beside(pairs.at_pos, Z)]).sum(1)  # (B,)
    x_uj = (q[:, None] * Z[beside(pairs.at_neg, Z)]).sum(2)  # (B, n)
    return x_ui, x_uj


def gradients_by_torch(
    pairs: Pairs, vectors: tuple[Tensor, Tensor], of_scores: tuple[Tensor, ...]
) -> tuple[Tensor, Tensor]:
    """As `Pairs.gradients`, where Q and Z lie."""
    (Q, Z), (g_ui, g_uj) = (one.detach() for one in vectors), of_scores  # (B,), (B, n)
    at_query, at_pos, at_neg = (beside(at, Z) for at in (pairs.at_query, pairs.at_pos, pairs.at_neg))
    q = Q[at_query]  # (B, d)
    of_q = g_ui[:, None] * Z[at_pos] + (g_uj[:, :, None] * Z[at_neg]).sum(1)  # (B, d)
    of_z = torch.cat([g_ui[:, None] * q, (g_uj[:, :, None] * q[:, None]).flatten(0, 1)])  # (B + B n, d)
    dQ, dZ = torch.zeros_like(Q), torch.zeros_like(Z)
    add_rows(dQ, at_query, of_q)
    add_rows(dZ, torch.cat([at_pos, at_neg.flatten()]), of_z)
    return dQ, dZ


# ---- compiled, for the CPU -----------------------------------------------------------------------------


def _rows(table: Tensor) -> np.ndarray:
    return table.detach().contiguous().numpy()


@compiled
def _distinct(index, low, place, found, at):  # type: ignore[no-untyped-def]
    for t in range(len(index)):
        place[index[t] - low] = 1
    n = 0
    for i in range(len(place)):
        if place[i]:
            found[n] = i + low
            place[i] = n
            n += 1
    for t in range(len(index)):
        at[t] = place[index[t] - low]
    return n


@compiled
def _grouped(at, indptr, order):  # type: ignore[no-untyped-def]
    n = len(indptr) - 1
    for t in range(len(at)):
        indptr[at[t] + 1] += 1
    for r in range(n):
        indptr[r + 1] += indptr[r]
    for t in range(len(at)):  # indptr[r] runs on to the end of its row …
        order[indptr[at[t]]] = t
        indptr[at[t]] += 1
    for r in range(n, 0, -1):  # … which is where the next begins
        indptr[r] = indptr[r - 1]
    indptr[0] = 0


@compiled
def _scores(start, stop, Q, Z, at_query, at_pos, at_neg, x_ui, x_uj):  # type: ignore[no-untyped-def]
    d, n = Q.shape[1], at_neg.shape[1]
    for t in range(start, stop):
        q, z = Q[at_query[t]], Z[at_pos[t]]
        x = np.float32(0)
        for k in range(d):
            x += q[k] * z[k]
        x_ui[t] = x
        for j in range(n):
            z = Z[at_neg[t, j]]
            x = np.float32(0)
            for k in range(d):
                x += q[k] * z[k]
            x_uj[t, j] = x


@compiled
def _query_gradients(start, stop, indptr, order, Z, at_pos, at_neg, g_ui, g_uj, dQ):  # type: ignore[no-untyped-def]
    d, n = Z.shape[1], at_neg.shape[1]
    for r in range(start, stop):
        sum_ = dQ[r]
        for k in range(d):
            sum_[k] = 0
        for place in range(indptr[r], indptr[r + 1]):
            t = order[place]
            g, z = g_ui[t], Z[at_pos[t]]
            for k in range(d):
                sum_[k] += g * z[k]
            for j in range(n):
                g, z = g_uj[t, j], Z[at_neg[t, j]]
                for k in range(d):
                    sum_[k] += g * z[k]


@compiled
def _item_gradients(start, stop, indptr, order, Q, at_query, at_neg, g_ui, g_uj, dZ):  # type: ignore[no-untyped-def]
    B, n = at_neg.shape
    d = Q.shape[1]
    for r in range(start, stop):
        sum_ = dZ[r]
        for k in range(d):
            sum_[k] = 0
        for place in range(indptr[r], indptr[r + 1]):
            t = order[place]
            if t < B:
                g = g_ui[t]
            else:
                t -= B
                g = g_uj[t // n, t % n]
                t = t // n
            q = Q[at_query[t]]
            for k in range(d):
                sum_[k] += g * q[k]
