"""The six sampling guidelines of CuratorNet (Messina et al. 2020), one class each, and the tables that they share.

A strategy has slots, the different beginnings of a triple (an interaction, an item, a basket), and makes triples of
any of them, all at once. `guidelines.py` decides how many of which.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from scipy import sparse

from visrec.data.interactions import Histories, Interactions
from visrec.training.clusters import Clusters
from visrec.training.sampling import NOBODY, HistoryRule, Negatives, looked_at
from visrec.training.unowned import Unowned

_ROUNDS = 16  # of rejection, before what is left is drawn from all there is
_KEPT = 8  # rounds in which a negative that was to be hard stays hard
_SAME = 0.01  # vectors closer than this part of their typical length are of the same picture
_BLOCK = 2048  # users whose negatives are counted at once

Refuse = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(rows, candidates) -> bool: which candidates are no negatives of their rows."""


@dataclass(frozen=True, eq=False)
class Tables:
    """What all strategies look things up in.

    Attributes:
        train: the known interactions.
        clusters: how items look.
        creator: `(I,)` int64, who made each item; -1: unknown, which is equal to no other. None: nobody knows.
        image: `(I,)` int64, equal where two items have the very same image file; -1: unknown.
        negatives: which items may be drawn.
        hard: probability that a negative comes from the cluster of its positive.
        margin: of strategy 4.
        history: what the model looks at.
        max_history: at most so many newest items of it.
    """

    train: Interactions
    clusters: Clusters
    creator: np.ndarray | None
    image: np.ndarray
    negatives: Negatives
    hard: float
    margin: float
    history: HistoryRule
    max_history: int | None

    @cached_property
    def histories(self) -> Histories:
        return self.train.histories()

    @cached_property
    def pairs(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """User, item and weight `(N,)` of what was taken, repeated pairs once, in order of user and item."""
        matrix = self.train.matrix()
        user = np.repeat(np.arange(self.train.n_users), np.diff(matrix.indptr))
        return user, matrix.indices.astype(np.int64), matrix.data

    @cached_property
    def is_drawn(self) -> np.ndarray:
        """`(I,)` bool: the items that may be drawn, as a positive or a negative: those with an image, and of them, if
        asked for, those that somebody took."""
        there = self.clusters.of >= 0
        return there & (self.train.item_counts() > 0) if self.negatives == "interacted" else there

    @cached_property
    def drawn(self) -> np.ndarray:
        """Their indices."""
        return np.flatnonzero(self.is_drawn)

    @cached_property
    def by_cluster(self) -> Unowned:
        user, item, _ = self.pairs
        return Unowned(np.where(self.is_drawn, self.clusters.of, -1), user, item)

    @cached_property
    def filled(self) -> np.ndarray:
        """The clusters that something can be drawn from."""
        return np.flatnonzero(self.by_cluster.sizes > 0)

    @cached_property
    def unit(self) -> np.ndarray:
        """`(I, K)` the vectors at length 1, whose products are cosines."""
        length = np.linalg.norm(self.clusters.vectors, axis=1, keepdims=True)
        return np.divide(
            self.clusters.vectors, length, out=np.zeros_like(self.clusters.vectors), where=length > 0
        )

    @cached_property
    def _nearest(self) -> float:
        """Squares of distances at most this are those of one picture."""
        rows = self.clusters.vectors[self.clusters.of >= 0]
        return float(_SAME**2 * np.square(rows).sum(dtype=np.float64) / max(1, len(rows)))

    def look_the_same(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """`(n,)` whether the items of each pair are the same picture: the same file, or the same vector."""
        vectors = self.clusters.vectors
        apart = np.square(vectors[one] - vectors[other]).sum(axis=1)  # (n,)
        same = (apart <= self._nearest) & (self.clusters.of[one] >= 0) & (self.clusters.of[other] >= 0)
        return same | ((self.image[one] >= 0) & (self.image[one] == self.image[other])) | (one == other)

    def weight_of(self, user: np.ndarray, item: np.ndarray) -> np.ndarray:
        """The weights `(n,)` of interactions that there are."""
        owner, items, weight = self.pairs
        n = self.train.n_items
        return weight[np.searchsorted(owner * n + items, user.astype(np.int64) * n + item)]

    # ---- negatives ---------------------------------------------------------------------------------

    def near(
        self, user: np.ndarray, like: np.ndarray, refuse: Refuse, rng: np.random.Generator
    ) -> np.ndarray:
        """Negatives `(m,)` that users do not have: some hard, in the cluster of an item, others of any cluster.

        With probability `hard` the cluster is that of `like`, else any, all alike; then any item of it. What is
        refused is drawn again: for 8 rounds as it was meant, for 8 more from any cluster by chance, and what is left
        from all items. -1 where that is refused, too.
        """
        found = np.full(len(user), -1, dtype=np.int64)
        if len(self.filled) == 0:
            return found
        own = self.clusters.of[like]
        hard = (rng.random(len(user)) < self.hard) & (own >= 0)
        left = np.arange(len(user))
        for n_round in range(_ROUNDS + 1):
            if len(left) == 0:
                break
            if n_round < _ROUNDS:
                is_hard = hard[left] if n_round < _KEPT else np.zeros(len(left), dtype=bool)
                any_cluster = self.filled[rng.integers(len(self.filled), size=len(left))]
                candidate = self.by_cluster.draw(user[left], np.where(is_hard, own[left], any_cluster), rng)
            else:
                candidate = self.by_cluster.draw_any(user[left], rng)
            good = candidate >= 0
            good[good] = ~refuse(left[good], candidate[good])
            found[left[good]] = candidate[good]
            left = left[~good]
        return found

    def strange(self, user: np.ndarray, refuse: Refuse, rng: np.random.Generator) -> np.ndarray:
        """Negatives `(m,)` of a cluster and of a creator that the user never took anything of; -1: there is none.

        Uniform over all of them: by rejection, and what is left after 32 rounds from a list of what there is, made
        once for each user.
        """
        found = np.full(len(user), -1, dtype=np.int64)
        left = np.arange(len(user))
        for _ in range(2 * _ROUNDS):
            if len(left) == 0 or len(self.drawn) == 0:
                break
            candidate = self.drawn[rng.integers(len(self.drawn), size=len(left))]
            good = self._is_strange(user[left], candidate)
            good[good] = ~refuse(left[good], candidate[good])
            found[left[good]] = candidate[good]
            left = left[~good]
        left = left[np.argsort(user[left], kind="stable")]
        for rows in np.split(left, np.flatnonzero(np.diff(user[left])) + 1):
            if len(rows):
                found[rows] = self._from_list(rows, self._all_strange(int(user[rows[0]])), refuse, rng)
        return found

    def _from_list(
        self, rows: np.ndarray, able: np.ndarray, refuse: Refuse, rng: np.random.Generator
    ) -> np.ndarray:
        """One of a list of items `(m,)` for each row, uniform over what is not refused; -1: all is."""
        found = np.full(len(rows), -1, dtype=np.int64)
        left = np.arange(len(rows))
        for _ in range(_ROUNDS):
            if len(left) == 0 or len(able) == 0:
                return found
            candidate = able[rng.integers(len(able), size=len(left))]
            good = ~refuse(rows[left], candidate)
            found[left[good]] = candidate[good]
            left = left[~good]
        for at in left:  # whose positive has its very picture in nearly all there is
            rest = able[~refuse(np.full(len(able), rows[at]), able)]
            if len(rest):
                found[at] = rest[rng.integers(len(rest))]
        return found

    def _all_strange(self, user: int) -> np.ndarray:
        """The items that may be drawn and of whose cluster and creator a user took nothing."""
        mine = self.pairs[1][self._indptr[user] : self._indptr[user + 1]]
        strange = np.ones(len(self.drawn), dtype=bool)
        for of, of_drawn, n in self._groups:
            took = np.zeros(n + 1, dtype=bool)
            took[of[mine]] = True
            took[-1] = False  # where -1 points to: what is unknown is of no group
            strange &= ~took[of_drawn]
        return self.drawn[strange]

    @cached_property
    def _indptr(self) -> np.ndarray:
        """`(U + 1,)` where each user's part of `pairs` begins."""
        return np.searchsorted(self.pairs[0], np.arange(self.train.n_users + 1))

    @cached_property
    def _groups(self) -> list[tuple[np.ndarray, np.ndarray, int]]:
        """By cluster and, where they are known, by creator: the group of each item, of each of `drawn`, and how many
        groups there are."""
        groups = [self.clusters.of] if self.creator is None else [self.clusters.of, self.creator]
        return [(of, of[self.drawn], int(of.max(initial=-1)) + 1) for of in groups]

    @cached_property
    def has_strange(self) -> np.ndarray:
        """`(U,)` bool: whether there is any item of a cluster and of a creator that the user took nothing of."""
        of, drawn = self.clusters.of, self.drawn
        in_cluster = self._taken(of, len(self.clusters))  # (U, C)
        n = np.full(self.train.n_users, len(drawn), dtype=np.int64)
        n -= in_cluster @ np.bincount(of[drawn], minlength=len(self.clusters))
        if self.creator is not None:
            made = drawn[self.creator[drawn] >= 0]
            A = int(self.creator.max()) + 1
            of_creator = self._taken(self.creator, A)  # (U, A)
            n -= of_creator @ np.bincount(self.creator[made], minlength=A)
            cells = np.ones(len(made), dtype=np.int64), (of[made], self.creator[made])
            both = sparse.csr_array(cells, shape=(len(self.clusters), A))  # (C, A) items
            for first in range(0, len(n), _BLOCK):
                block = slice(first, first + _BLOCK)
                n[block] += ((in_cluster[block] @ both) * of_creator[block]).sum(axis=1)
        return n > 0

    def _taken(self, group: np.ndarray, n_groups: int) -> sparse.csr_array:
        """`(U, G)` 1 where a user took an item of a group."""
        user, item, _ = self.pairs
        known = group[item] >= 0
        cells = np.ones(int(known.sum()), dtype=np.int64), (user[known], group[item[known]])
        matrix = sparse.csr_array(cells, shape=(self.train.n_users, n_groups))
        matrix.sum_duplicates()
        matrix.data[:] = 1
        return matrix

    @cached_property
    def _took(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """The groups of items (clusters, creators), and the (user, group) pairs taken, as sorted numbers."""
        user, item, _ = self.pairs
        n = self.train.n_items + 1
        return [
            (of, np.unique(user[of[item] >= 0] * n + of[item[of[item] >= 0]])) for of, _, _ in self._groups
        ]

    def _is_strange(self, user: np.ndarray, item: np.ndarray) -> np.ndarray:
        """`(n,)` whether a user took no item of the cluster and none of the creator of an item."""
        strange = np.ones(len(user), dtype=bool)
        for of, took in self._took:
            asked = user.astype(np.int64) * (self.train.n_items + 1) + of[item]
            place = np.minimum(np.searchsorted(took, asked), len(took) - 1)
            strange &= (of[item] < 0) | (len(took) == 0) | (took[place] != asked if len(took) else True)
        return strange


# ---- the strategies ------------------------------------------------------------------------------------


class Strategy(ABC):
    """One of the six guidelines.

    Positives are of `Tables.drawn`, as negatives are: an item that could be a positive and never a negative would
    rise above all others, whatever it is.

    Attributes:
        name: in words.
        rule: one sentence.
        slots: `(S,)` or `(S, …)` int64, one row a beginning of a triple.
        why_not: why it can draw nothing; None: it can.
        is_made_up: its history is nobody's.
    """

    name: ClassVar[str]
    rule: ClassVar[str]
    is_made_up: ClassVar[bool] = False

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self.slots, nothing = self.prepare()
        self.why_not = None if len(self.slots) else nothing

    @abstractmethod
    def prepare(self) -> tuple[np.ndarray, str]:
        """The slots, and what is missing where there are none."""

    @abstractmethod
    def positives(self, slots: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """User and positive `(m,)` of slots."""

    @abstractmethod
    def negatives(
        self, slots: np.ndarray, user: np.ndarray, pos: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """One negative `(m,)` of each; -1 where none was found."""

    @abstractmethod
    def histories(self, slots: np.ndarray, user: np.ndarray, pos: np.ndarray) -> Histories:
        """What a model looks at, whole; its rule "none" and its greatest length are seen to elsewhere."""

    def weights(self, user: np.ndarray, pos: np.ndarray) -> np.ndarray:
        """`(m,)` float32; 1 where the positive is not an interaction."""
        return self.tables.weight_of(user, pos)

    def users(self) -> np.ndarray:
        """All users that it can draw."""
        return np.unique(self.slots[:, 0])

    def _near(
        self, user: np.ndarray, pos: np.ndarray, like: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        same = self.tables.look_the_same
        return self.tables.near(user, like, lambda rows, item: same(pos[rows], item), rng)

    def _strange(self, user: np.ndarray, pos: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        same = self.tables.look_the_same
        return self.tables.strange(user, lambda rows, item: same(pos[rows], item), rng)


class HistoryStrategy(Strategy):
    """1. Slots: (user, item) of the interactions."""

    name = "the history itself"
    rule = "An item of the history stands above one outside it."

    def prepare(self) -> tuple[np.ndarray, str]:
        user, item, _ = self.tables.pairs
        kept = self.tables.is_drawn[item] & (self.tables.by_cluster.count_all(user) > 0)
        nothing = "no item that was taken has an image, or every user has every item with an image"
        return np.stack([user[kept], item[kept]], axis=1), nothing

    def positives(self, slots: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:  # noqa: ARG002
        return slots[:, 0], slots[:, 1]

    def negatives(
        self,
        slots: np.ndarray,  # noqa: ARG002
        user: np.ndarray,
        pos: np.ndarray,
        rng: np.random.Generator,
    ) -> np.ndarray:
        return self._near(user, pos, pos, rng)

    def histories(self, slots: np.ndarray, user: np.ndarray, pos: np.ndarray) -> Histories:  # noqa: ARG002
        found = looked_at(self.tables.histories, user, pos, self.tables.history, None)
        return self.tables.histories.take(user) if found is None else found


class OneItemStrategy(Strategy):
    """2. Slots: the items that may be drawn."""

    name = "one item"
    rule = "For somebody of whom one item is all that is known, that item stands above any other."
    is_made_up = True

    def prepare(self) -> tuple[np.ndarray, str]:
        if self.tables.history == "others":
            return np.zeros(0, dtype=np.int64), NEVER_LOOKED_AT
        return self.tables.drawn, "no item has an image"

    def positives(self, slots: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:  # noqa: ARG002
        return np.full(len(slots), NOBODY, dtype=np.int64), slots

    def negatives(
        self, slots: np.ndarray, user: np.ndarray, pos: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        return self._near(user, pos, slots, rng)

    def histories(self, slots: np.ndarray, user: np.ndarray, pos: np.ndarray) -> Histories:  # noqa: ARG002
        return Histories(np.arange(len(slots) + 1), slots)

    def weights(self, user: np.ndarray, pos: np.ndarray) -> np.ndarray:  # noqa: ARG002
        return np.ones(len(user), dtype=np.float32)

    def users(self) -> np.ndarray:
        return np.zeros(0, dtype=np.int64)


class CreatorAndLooksStrategy(Strategy):
    """3. Slots: (user, group), where a group is the items of one creator in one cluster."""

    name = "same artist, same looks"
    rule = (
        "An item outside the history, of the same artist and the same visual cluster as an item of it, stands above "
        "one of other artists and other clusters."
    )

    def prepare(self) -> tuple[np.ndarray, str]:
        t = self.tables
        none = np.zeros((0, 2), dtype=np.int64)
        if t.creator is None:
            return none, NO_CREATORS
        known = (t.creator >= 0) & (t.clusters.of >= 0)
        group = np.full(len(known), -1, dtype=np.int64)
        group[known] = np.unique(
            t.creator[known] * (len(t.clusters) + 1) + t.clusters.of[known], return_inverse=True
        )[1]
        user, item, _ = t.pairs
        # Groups are numbered over all items with an image, since a history may hold what is never drawn.
        self.groups = Unowned(np.where(t.is_drawn, group, -1), user, item)
        owned = group[item] >= 0
        n = int(group.max(initial=-1)) + 1
        slots = np.unique(np.stack([user[owned], group[item[owned]]], axis=1), axis=0).astype(np.int64)
        slots = slots[slots[:, 1] < len(self.groups.sizes)] if n else none
        slots = slots[t.has_strange[slots[:, 0]]] if len(slots) else none
        slots = slots[self.groups.count(slots[:, 0], slots[:, 1]) > 0] if len(slots) else none
        return slots, "no user lacks an item of an artist and a cluster that they have something of"

    def positives(self, slots: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        return slots[:, 0], self.groups.draw(slots[:, 0], slots[:, 1], rng)

    def negatives(
        self,
        slots: np.ndarray,  # noqa: ARG002
        user: np.ndarray,
        pos: np.ndarray,
        rng: np.random.Generator,
    ) -> np.ndarray:
        return self._strange(user, pos, rng)

    def histories(self, slots: np.ndarray, user: np.ndarray, pos: np.ndarray) -> Histories:  # noqa: ARG002
        return self.tables.histories.take(user)

    def weights(self, user: np.ndarray, pos: np.ndarray) -> np.ndarray:  # noqa: ARG002
        return np.ones(len(user), dtype=np.float32)


class CreatorStrategy(OneItemStrategy):
    """4. Slots: items whose creator made others."""

    name = "same artist"
    rule = (
        "For somebody of whom one item is all that is known, another one of its artist, which looks clearly more "
        "like it, stands above one of another artist."
    )

    def prepare(self) -> tuple[np.ndarray, str]:
        t = self.tables
        if t.creator is None:
            return np.zeros(0, dtype=np.int64), NO_CREATORS
        nobody = np.zeros(0, dtype=np.int64)
        self.made = Unowned(np.where(t.is_drawn, t.creator, -1), nobody, nobody)
        slots = self.made.items[self.made.sizes[t.creator[self.made.items]] > 1]
        return np.sort(slots), "no artist has two items with an image"

    def positives(self, slots: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        creator = self.tables.creator
        assert creator is not None
        start, size = self.made.start[creator[slots]], self.made.sizes[creator[slots]]
        place = start + (rng.random(len(slots)) * (size - 1)).astype(np.int64)
        place += place >= self.made.place[slots]  # any but itself
        return np.full(len(slots), NOBODY, dtype=np.int64), self.made.items[place]

    def negatives(
        self, slots: np.ndarray, user: np.ndarray, pos: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        t, creator = self.tables, self.tables.creator
        assert creator is not None
        like = (t.unit[slots] * t.unit[pos]).sum(axis=1)  # (m,) cosine of query and positive

        def refuse(rows: np.ndarray, item: np.ndarray) -> np.ndarray:
            closer = like[rows] - (t.unit[slots[rows]] * t.unit[item]).sum(axis=1)
            same = (creator[item] == creator[slots[rows]]) | t.look_the_same(pos[rows], item)
            return same | (closer < t.margin)

        return t.near(user, slots, refuse, rng)


class NextBasketStrategy(Strategy):
    """5. Slots: (user, item, start, stop): an item taken for the first time, and the part of all histories before."""

    name = "the next basket"
    rule = "After all earlier baskets, an item of the next one stands above one of artists and clusters never taken."

    def prepare(self) -> tuple[np.ndarray, str]:
        t = self.tables
        user, item, start, _, _ = _baskets(t.train)
        first = np.zeros(len(item), dtype=bool)
        first[np.unique(user * t.train.n_items + item, return_index=True)[1]] = (
            True  # not in the history already
        )
        begin = t.histories.indptr[user]
        kept = first & t.is_drawn[item] & (start > begin) & t.has_strange[user]
        nothing = (
            "no user has two baskets (of different times), the later with an image, or nobody lacks an artist and a "
            "cluster"
        )
        return np.stack([user, item, begin, start], axis=1)[kept], nothing

    def positives(self, slots: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:  # noqa: ARG002
        return slots[:, 0], slots[:, 1]

    def negatives(
        self,
        slots: np.ndarray,  # noqa: ARG002
        user: np.ndarray,
        pos: np.ndarray,
        rng: np.random.Generator,
    ) -> np.ndarray:
        return self._strange(user, pos, rng)

    def histories(self, slots: np.ndarray, user: np.ndarray, pos: np.ndarray) -> Histories:  # noqa: ARG002
        return self.tables.histories.between(slots[:, 2], slots[:, 3])


class SameBasketStrategy(NextBasketStrategy):
    """6. Slots: (user, item, start, stop): an item, and the part of all histories that is its basket."""

    name = "the same basket"
    rule = "Given the rest of a basket, the hidden item stands above one of artists and clusters never taken."

    def prepare(self) -> tuple[np.ndarray, str]:
        t = self.tables
        user, item, start, stop, basket = _baskets(t.train)
        first = np.zeros(len(item), dtype=bool)
        first[np.unique(basket * t.train.n_items + item, return_index=True)[1]] = True
        different = np.bincount(basket, first, minlength=1)[basket]
        kept = first & t.is_drawn[item] & (different > 1) & t.has_strange[user]
        nothing = "no user has a basket of several items, one with an image, or nobody lacks an artist and a cluster"
        return np.stack([user, item, start, stop], axis=1)[kept], nothing

    def histories(self, slots: np.ndarray, user: np.ndarray, pos: np.ndarray) -> Histories:
        found = super().histories(slots, user, pos)
        return found.where(found.items != pos[found.owner])


NEVER_LOOKED_AT = (
    "the model never looks at the positive, which would be the whole history; for this strategy, too, set "
    'history = "all"'
)
NO_CREATORS = "nobody knows who made the items (no column of creators)"

STRATEGIES: tuple[type[Strategy], ...] = (
    HistoryStrategy,
    OneItemStrategy,
    CreatorAndLooksStrategy,
    CreatorStrategy,
    NextBasketStrategy,
    SameBasketStrategy,
)
"""By their numbers, 1 to 6."""


def _baskets(train: Interactions) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """In the order of `train.histories().items`, `(N,)` each: user, item, where its basket starts and stops, and its
    number."""
    order = np.argsort(train.user, kind="stable")
    user, item = train.user[order].astype(np.int64), train.item[order].astype(np.int64)
    time = train.timestamp[order]
    is_new = np.ones(len(user), dtype=bool)
    is_new[1:] = (user[1:] != user[:-1]) | (time[1:] != time[:-1])
    start = np.flatnonzero(is_new)
    basket = np.cumsum(is_new) - 1
    stop = np.append(start[1:], len(user))
    return user, item, start[basket], stop[basket], basket
