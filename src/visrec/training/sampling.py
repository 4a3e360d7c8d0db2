"""Triples (user, positive, negatives), drawn on the fly and vectorised from the interactions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from visrec.compiled import compiled, in_parallel
from visrec.data.interactions import Histories, Interactions
from visrec.errors import DataError
from visrec.training.dealing import dealt

Negatives = Literal["catalog", "interacted"]
HistoryRule = Literal["none", "all", "others", "up_to"]
"""Which part of a user's history a model looks at when it learns from a positive: nothing, all of it, all but the
positive, or what came up to and including the positive."""

NOBODY = -1
"""The user of a triple whose history is made up."""

_ROUNDS = 16  # of rejection, before what is left is drawn exactly
_PART = 1 << 18  # triples that are drawn together, or as many as a batch has
_LEAST = 8192  # of them that a thread is worth waking for


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

    def between(self, start: int, stop: int) -> Triples:
        """The positives `start` to before `stop` and what belongs to them, without histories; not a copy."""
        rows = slice(start, stop)
        return Triples(self.user[rows], self.pos[rows], self.neg[rows], self.weight[rows])

    def and_then(self, more: Triples) -> Triples:
        """These and more, without histories."""
        return Triples(
            np.concatenate([self.user, more.user]),
            np.concatenate([self.pos, more.pos]),
            np.concatenate([self.neg, more.neg]),
            np.concatenate([self.weight, more.weight]),
        )


class Sampler(ABC):
    """Where triples come from.

    Attributes:
        user: the users of the positives, each once, in rising order.
        pool: the items that can be negatives, in rising order.
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

    The positives are kept user after user, 4 bytes each. An epoch deals them out to parts by chance, and each part is
    put in random order when its turn comes: any order of all of them is as likely as any other, as with one great
    shuffle (Rao 1961; Sandelius 1962), but what is looked up for a part lies in rising order and, shuffled, in the
    cache.
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
        self.histories = None if history == "none" else train.histories()
        matrix = train.matrix()
        counts = np.diff(matrix.indptr).astype(np.int64)
        weight = None if (matrix.data == 1).all() else matrix.data
        owned = matrix.indices.astype(np.int32, copy=False)
        del matrix
        if negatives == "interacted":
            taken = train.item_counts() > 0
            self.pool = np.flatnonzero(taken)
            owned = (np.cumsum(taken, dtype=np.int32) - 1)[owned]  # place in the pool
        else:
            self.pool = np.arange(train.n_items)
        self.free = len(self.pool) - counts  # (U,) how many negatives each user has
        if (is_full := (self.free == 0) & (counts > 0)).any():
            kept = np.repeat(~is_full, counts)
            owned, weight = owned[kept], None if weight is None else weight[kept]
            counts[is_full] = 0
        if len(owned) == 0:
            raise DataError(
                f"Every user has taken all {len(self.pool)} items that could be a negative (negatives="
                f"'{negatives}'): there is nothing to learn."
            )
        self._is_all = len(self.pool) == train.n_items
        self.user = np.flatnonzero(counts)
        self._owned, self._weight = owned, weight  # (N,) each user's places in the pool, rising
        self._indptr = np.concatenate([[0], np.cumsum(counts)])  # (U + 1,)

    def __len__(self) -> int:
        return len(self._owned)

    def negatives_for(self, users: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """One negative `(n,)` for each of the users `(n,)`, uniform over the items that they do not have."""
        place = np.empty(len(users), dtype=np.int64)
        known = self._indptr, self._owned
        in_parallel(
            _draw_free, len(users), users, rng.random(len(users)), self.free, *known, place, least=_LEAST
        )
        return self._items_at(place)

    def epoch(self, batch_size: int, rng: np.random.Generator) -> Iterator[Triples]:
        left: Triples | None = None
        for rows in dealt(len(self), max(_PART // self.n_negatives, batch_size), rng):
            drawn = self._drawn(rows, rng) if left is None else left.and_then(self._drawn(rows, rng))
            whole = len(drawn) - len(drawn) % batch_size
            for start in range(0, whole, batch_size):
                yield self._with_history(drawn.between(start, start + batch_size))
            left = drawn.between(whole, len(drawn)) if whole < len(drawn) else None
        if left is not None:
            yield self._with_history(left)

    def _drawn(self, rows: np.ndarray, rng: np.random.Generator) -> Triples:
        """The triples of some rows `(m,)`, which rise, in random order."""
        users = np.empty(len(rows), dtype=np.int64)
        in_parallel(_find_owners, len(rows), rows, self._indptr, users, least=_LEAST)
        # Drawn while the users rise, and what they own lies together.
        neg = self.negatives_for(np.repeat(users, self.n_negatives), rng).reshape(len(rows), self.n_negatives)
        order = rng.permutation(len(rows))
        weight = np.ones(len(rows), dtype=np.float32) if self._weight is None else self._weight[rows][order]
        return Triples(users[order], self._items_at(self._owned[rows])[order], neg[order], weight)

    def _items_at(self, place: np.ndarray) -> np.ndarray:
        """The items `(n,)` int64 at places of the pool."""
        return place.astype(np.int64, copy=False) if self._is_all else self.pool[place]

    def _with_history(self, batch: Triples) -> Triples:
        if self.histories is None:
            return batch
        history = looked_at(self.histories, batch.user, batch.pos, self.history, self.max_history)
        return replace(batch, history=history)


class PopularitySampler(UniformSampler):
    """As `UniformSampler`, but an item comes as a negative in proportion to how often it was taken.

    It is the item of any interaction, all alike. Items of the user are rejected and drawn again, at most 16 times; a
    user who has nearly all of what is popular then gets a uniform negative, so that none can make it loop. Items that
    nobody took never come.
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
        self._taken = train.item
        self._place = np.full(train.n_items, -1, dtype=np.int32)  # of each item in the pool
        self._place[self.pool] = np.arange(len(self.pool), dtype=np.int32)

    def negatives_for(self, users: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """One negative `(n,)` for each of the users `(n,)`."""
        found = np.empty(len(users), dtype=np.int64)
        left = np.arange(len(users))
        known = self._place, self._indptr, self._owned
        for _ in range(_ROUNDS):
            asked, chance = users[left], rng.random(len(left))
            item, is_owned = np.empty(len(left), dtype=np.int64), np.empty(len(left), dtype=np.bool_)
            in_parallel(
                _draw_taken, len(left), asked, chance, self._taken, *known, item, is_owned, least=_LEAST
            )
            found[left] = item
            left = left[is_owned]
            if len(left) == 0:
                return found
        found[left] = super().negatives_for(users[left], rng)
        return found


def looked_at(
    histories: Histories, user: np.ndarray, pos: np.ndarray, rule: HistoryRule, newest: int | None
) -> Histories | None:
    """What a model looks at when it learns from positives, by its rule; one row a positive.

    A positive that came twice is all of it left out by "others", and looked at up to its last time by "up_to".
    """
    if rule == "none":
        return None
    first, last, length = (np.empty(len(user), dtype=np.int64) for _ in range(3))
    most = len(histories.items) if newest is None else newest
    known = histories.indptr, histories.items, user, pos
    in_parallel(_find_looked_at, len(user), *known, _RULES[rule], most, first, last, length, least=_FEW)
    indptr = np.concatenate([[0], np.cumsum(length)])
    items = np.empty(indptr[-1], dtype=np.int64)
    left_out = pos if rule == "others" else np.full(len(pos), -1)
    in_parallel(_copy_looked_at, len(user), histories.items, left_out, first, last, indptr, items, least=_FEW)
    return Histories(indptr, items)


_RULES = {"all": 0, "others": 1, "up_to": 2}  # as the compiled loop knows them
_FEW = 512  # histories that a thread is worth waking for


# ---- compiled ------------------------------------------------------------------------------------------


@compiled
def _find_looked_at(  # type: ignore[no-untyped-def]
    start, stop, indptr, owned, user, pos, rule, most, first, last, length
):
    """Of each positive the stretch `first` to before `last` of `owned`, and how many items of it are looked at."""
    for i in range(start, stop):
        begin, end, n = indptr[user[i]], indptr[user[i] + 1], 0
        if rule == 2:
            while end > begin and owned[end - 1] != pos[i]:
                end -= 1
        place = end
        if rule == 1:
            while place > begin and n < most:
                place -= 1
                n += owned[place] != pos[i]
        else:
            place = max(begin, end - most)
            n = end - place
        first[i], last[i], length[i] = place, end, n


@compiled
def _copy_looked_at(  # type: ignore[no-untyped-def]
    start, stop, owned, left_out, first, last, indptr, items
):
    for i in range(start, stop):
        n = indptr[i]
        for place in range(first[i], last[i]):
            if owned[place] != left_out[i]:
                items[n] = owned[place]
                n += 1


@compiled
def _find_owners(start: int, stop: int, rows: np.ndarray, indptr: np.ndarray, users: np.ndarray) -> None:
    """Whose each row is: `indptr[u] <= row < indptr[u + 1]`. Rows rise, so the search begins where the last ended."""
    low, n_users = 0, len(indptr) - 1
    for i in range(start, stop):
        row = rows[i]
        high, step = low + 1, 1
        while high < n_users and indptr[high] <= row:
            low = high
            high += step
            step *= 2
        high = min(high, n_users)
        while high - low > 1:
            middle = (low + high) >> 1
            if indptr[middle] <= row:
                low = middle
            else:
                high = middle
        users[i] = low


@compiled
def _draw_free(
    start: int,
    stop: int,
    users: np.ndarray,
    chance: np.ndarray,
    free: np.ndarray,
    indptr: np.ndarray,
    owned: np.ndarray,
    place: np.ndarray,
) -> None:
    """The r-th free place of each user, r = chance x free.

    Of the j-th place p_j that a user owns, p_j - j counts the free places before it, which never falls; so the r-th
    free place is r + #{j: p_j - j <= r}.
    """
    for i in range(start, stop):
        u = users[i]
        r = int(chance[i] * free[u])
        first = indptr[u]
        low, high = 0, indptr[u + 1] - first
        while low < high:
            j = (low + high) >> 1
            if owned[first + j] - j <= r:
                low = j + 1
            else:
                high = j
        place[i] = r + low


@compiled
def _draw_taken(
    start: int,
    stop: int,
    users: np.ndarray,
    chance: np.ndarray,
    taken: np.ndarray,
    place: np.ndarray,
    indptr: np.ndarray,
    owned: np.ndarray,
    item: np.ndarray,
    is_owned: np.ndarray,
) -> None:
    """The item of any interaction for each user, and whether the user has it."""
    for i in range(start, stop):
        u = users[i]
        found = taken[int(chance[i] * len(taken))]
        wanted = place[found]
        low, high = indptr[u], indptr[u + 1]
        while low < high:
            j = (low + high) >> 1
            if owned[j] < wanted:
                low = j + 1
            else:
                high = j
        item[i] = found
        is_owned[i] = low < indptr[u + 1] and owned[low] == wanted
