"""Triples (user, positive, negative), drawn on the fly and vectorised from the interactions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from visrec.data.interactions import Interactions
from visrec.errors import DataError

Negatives = Literal["catalog", "interacted"]


@dataclass(frozen=True, eq=False)
class Triples:
    """A batch: user `(B,)`, pos `(B,)`, neg `(B,)` int64 indices, weight `(B,)` float32 of the positives."""

    user: np.ndarray
    pos: np.ndarray
    neg: np.ndarray
    weight: np.ndarray

    def __len__(self) -> int:
        return len(self.user)


class UniformSampler:
    """Each training interaction once an epoch as the positive, in random order, with one uniform negative.

    A negative is never an item that the user is known to have. It is drawn exactly, without rejection: the
    r-th item that the user does *not* have, r uniform. So no user can make it loop, however much they own.
    Users who have every item of the pool have no negative and are left out.
    """

    def __init__(self, train: Interactions, *, negatives: Negatives = "catalog") -> None:
        """Prepare the sampler.

        Args:
            train: the known interactions.
            negatives: the pool of negatives: all items of the catalogue, or only those that somebody took.

        Raises:
            DataError: every user has every item of the pool.
        """
        matrix = train.matrix()
        indptr = matrix.indptr.astype(np.int64)
        counts = np.diff(indptr)
        if negatives == "interacted":
            self.pool = np.flatnonzero(train.item_counts() > 0)  # sorted
            owned = np.searchsorted(self.pool, matrix.indices).astype(np.int64)  # place in the pool
        else:
            self.pool = np.arange(train.n_items)
            owned = matrix.indices.astype(np.int64)
        self.free = len(self.pool) - counts  # (U,) how many negatives each user has
        # Of the j-th owned place p_j, p_j - j counts the free places before it. The r-th free place is thus
        # r + #{j: p_j - j <= r}; offsetting by user makes that one search in one sorted array.
        user = np.repeat(np.arange(train.n_users), counts)
        nth = np.arange(len(owned)) - indptr[user]
        self._stride = len(self.pool) + 1
        self._keys = user * self._stride + (owned - nth)
        self._indptr = indptr
        kept = self.free[user] > 0
        self.user = user[kept]
        self.pos = matrix.indices.astype(np.int64)[kept]
        self.weight = matrix.data[kept]
        if len(self.user) == 0:
            raise DataError(
                f"Every user has taken all {len(self.pool)} items that could be a negative (negatives="
                f"'{negatives}'): there is nothing to learn."
            )

    def __len__(self) -> int:
        """Triples of an epoch."""
        return len(self.user)

    def negatives_for(self, users: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """One negative `(n,)` for each of the users `(n,)`, uniform over the items that they do not have."""
        r = (rng.random(len(users)) * self.free[users]).astype(np.int64)
        before = np.searchsorted(self._keys, users * self._stride + r, side="right") - self._indptr[users]
        negatives: np.ndarray = self.pool[r + before]
        return negatives

    def epoch(self, batch_size: int, rng: np.random.Generator) -> Iterator[Triples]:
        """The batches of one epoch; the last may be smaller."""
        order = rng.permutation(len(self.user))
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            users = self.user[rows]
            yield Triples(users, self.pos[rows], self.negatives_for(users, rng), self.weight[rows])
