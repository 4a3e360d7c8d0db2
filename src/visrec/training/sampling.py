"""Triples (user, positive, negatives), drawn on the fly and vectorised from the interactions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from visrec.data.interactions import Histories, Interactions
from visrec.errors import DataError

Negatives = Literal["catalog", "interacted"]
HistoryRule = Literal["none", "all", "others", "up_to"]
"""Which part of a user's history a model looks at when it learns from a positive: nothing, all of it, all but the
positive, or what came up to and including the positive."""

NOBODY = -1
"""The user of a triple whose history is made up."""

_ROUNDS = 16  # of rejection, before what is left is drawn exactly


@dataclass(frozen=True, eq=False)
class Triples:
    """A batch of B positives, each with n negatives.

    Attributes:
        user: `(B,)` int64 by index; `NOBODY` where the history is made up.
        pos: `(B,)` int64.
        neg: `(B, n)` int64.
        weight: `(B,)` float32, of the positives.
        history: what the model looks at, one row a positive; None: it looks at no history.
    """

    user: np.ndarray
    pos: np.ndarray
    neg: np.ndarray
    weight: np.ndarray
    history: Histories | None = None

    def __len__(self) -> int:
        return len(self.user)


class Sampler(ABC):
    """Where triples come from.

    Attributes:
        user: `(N,)` the users of the positives.
        pool: the items that can be negatives, sorted.
        fingerprint: of what it goes by beside the interactions and the settings; empty where there is nothing.
        notes: what whoever reads the results should know, sentences without a beginning such as the model's name.
    """

    user: np.ndarray
    pool: np.ndarray
    fingerprint: str = ""
    notes: tuple[str, ...] = ()

    @abstractmethod
    def __len__(self) -> int:
        """Positives of an epoch."""

    @abstractmethod
    def epoch(self, batch_size: int, rng: np.random.Generator) -> Iterator[Triples]:
        """The batches of one epoch; the last may be smaller."""


class UniformSampler(Sampler):
    """Each training interaction once an epoch as the positive, in random order, with uniform negatives.

    A negative is never an item that the user is known to have. It is drawn exactly, without rejection: the
    r-th item that the user does *not* have, r uniform. So no user can make it loop, however much they own.
    Users who have every item of the pool have no negative and are left out.
    """

    def __init__(
        self,
        train: Interactions,
        *,
        negatives: Negatives = "catalog",
        n_negatives: int = 1,
        history: HistoryRule = "none",
        max_history: int | None = None,
    ) -> None:
        """Prepare the sampler.

        Args:
            train: the known interactions.
            negatives: the pool of negatives: all items of the catalogue, or only those that somebody took.
            n_negatives: n, negatives of each positive, drawn one by one: one may come twice.
            history: what the model looks at.
            max_history: at most so many newest items of it; None: all.

        Raises:
            DataError: every user has every item of the pool.
        """
        self.n_negatives, self.history, self.max_history = n_negatives, history, max_history
        self.histories = train.histories()
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
        return len(self.user)

    def negatives_for(self, users: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """One negative `(n,)` for each of the users `(n,)`, uniform over the items that they do not have."""
        r = (rng.random(len(users)) * self.free[users]).astype(np.int64)
        before = np.searchsorted(self._keys, users * self._stride + r, side="right") - self._indptr[users]
        negatives: np.ndarray = self.pool[r + before]
        return negatives

    def epoch(self, batch_size: int, rng: np.random.Generator) -> Iterator[Triples]:
        order = rng.permutation(len(self.user))
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            users, pos = self.user[rows], self.pos[rows]
            drawn = self.negatives_for(np.repeat(users, self.n_negatives), rng)
            history = looked_at(self.histories, users, pos, self.history, self.max_history)
            yield Triples(users, pos, drawn.reshape(len(rows), self.n_negatives), self.weight[rows], history)


class PopularitySampler(UniformSampler):
    """As `UniformSampler`, but an item comes as a negative in proportion to how often it was taken.

    Items of the user are rejected and drawn again, at most 16 times; a user who has nearly all of what is popular
    then gets a uniform negative, so that none can make it loop. Items that nobody took never come.
    """

    def __init__(
        self,
        train: Interactions,
        *,
        n_negatives: int = 1,
        history: HistoryRule = "none",
        max_history: int | None = None,
    ) -> None:
        """Prepare the sampler; arguments and errors as `UniformSampler`, the pool is what somebody took."""
        super().__init__(
            train, negatives="interacted", n_negatives=n_negatives, history=history, max_history=max_history
        )
        counts = train.item_counts()
        self._upto = np.cumsum(counts) / len(train)  # (I,) cumulated shares
        matrix = train.matrix()
        owner = np.repeat(np.arange(train.n_users), np.diff(matrix.indptr))
        self._n_items = train.n_items
        self._pairs = owner * self._n_items + matrix.indices.astype(np.int64)  # sorted

    def negatives_for(self, users: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """One negative `(n,)` for each of the users `(n,)`."""
        found = np.empty(len(users), dtype=np.int64)
        left = np.arange(len(users))
        for _ in range(_ROUNDS):
            drawn = np.searchsorted(self._upto, rng.random(len(left)), side="right")
            drawn = np.minimum(drawn, self._n_items - 1)  # where rounding left the last share below 1
            found[left] = drawn
            pair = users[left] * self._n_items + drawn
            place = np.minimum(np.searchsorted(self._pairs, pair), len(self._pairs) - 1)
            left = left[self._pairs[place] == pair]
            if len(left) == 0:
                return found
        found[left] = super().negatives_for(users[left], rng)
        return found


def looked_at(
    histories: Histories, user: np.ndarray, pos: np.ndarray, rule: HistoryRule, newest: int | None
) -> Histories | None:
    """What a model looks at when it learns from positives, by its rule; one row a positive."""
    if rule == "none":
        return None
    found = histories.take(user)
    if rule != "all":
        is_pos = found.items == pos[found.owner]
        if rule == "others":
            found = found.where(~is_pos)
        else:
            place = np.zeros(len(found), dtype=np.int64)
            place[found.owner[is_pos]] = np.flatnonzero(is_pos)  # the last one, where it comes twice
            found = found.where(np.arange(len(found.items)) <= place[found.owner])
    return found if newest is None else found.newest(newest)
