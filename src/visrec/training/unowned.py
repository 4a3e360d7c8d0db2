"""The items that a user does not have: counted group by group, and drawn exactly, without rejection."""

from __future__ import annotations

import numpy as np


class Unowned:
    """Items in groups (visual clusters, say), and for each user those that are left.

    Items are laid out group after group. The places that a user owns, p_0 < p_1 < …, leave p_j - j free places before
    the j-th; so the R-th free place is R + #{j: p_j - j <= R}, one search in one sorted array for all users at once.
    A user of -1 owns nothing.
    """

    def __init__(self, group: np.ndarray, user: np.ndarray, item: np.ndarray) -> None:
        """Lay them out.

        Args:
            group: `(I,)` int64, the group of each item; -1: of none, never drawn.
            user: `(N,)` int64, who owns …
            item: `(N,)` int64, … what; pairs are distinct.
        """
        order = np.lexsort([np.arange(len(group)), group])
        self.items = order[np.searchsorted(group[order], 0) :]  # (P,) by place
        self.sizes = np.bincount(group[self.items], minlength=int(group.max(initial=-1)) + 1)
        self.start = np.concatenate([[0], np.cumsum(self.sizes)]).astype(np.int64)
        place = np.full(len(group), -1, dtype=np.int64)
        place[self.items] = np.arange(len(self.items))
        self.place = place
        owned = place[item] >= 0
        self._stride = len(self.items) + 1
        self._owned = np.sort(user[owned].astype(np.int64) * self._stride + place[item[owned]])
        owner = self._owned // self._stride
        nth = np.arange(len(owner)) - np.searchsorted(owner, owner)
        self._before = self._owned - nth  # p_j - j, offset by user: sorted as well

    def _owned_before(self, user: np.ndarray, place: np.ndarray) -> np.ndarray:
        """How many places before one a user owns."""
        first = np.searchsorted(self._owned, user * self._stride)
        return np.searchsorted(self._owned, user * self._stride + place) - first

    def count(self, user: np.ndarray, group: np.ndarray) -> np.ndarray:
        """`(n,)` how many items of a group each user does not have."""
        start, stop = self.start[group], self.start[group + 1]
        return stop - start - (self._owned_before(user, stop) - self._owned_before(user, start))

    def count_all(self, user: np.ndarray) -> np.ndarray:
        """`(n,)` how many items of any group each user does not have."""
        return len(self.items) - self._owned_before(user, np.full(len(user), len(self.items)))

    def draw(self, user: np.ndarray, group: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """`(n,)` one item of a group for each user, uniform over those not owned; -1 where there is none."""
        start = self.start[group]
        return self._at(user, start - self._owned_before(user, start), self.count(user, group), rng)

    def draw_any(self, user: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """`(n,)` one item of any group for each user, uniform over those not owned; -1 where there is none."""
        return self._at(user, np.zeros(len(user), dtype=np.int64), self.count_all(user), rng)

    def _at(
        self, user: np.ndarray, first: np.ndarray, count: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """The items at free places `first` … `first + count`, one each."""
        free = first + (rng.random(len(user)) * count).astype(np.int64)  # R
        offset = user * self._stride
        skipped = np.searchsorted(self._before, offset + free, side="right")
        skipped = skipped - np.searchsorted(self._owned, offset)
        place = np.where(count > 0, free + skipped, 0)
        found = self.items[place] if len(self.items) else np.zeros(len(user), dtype=np.int64)
        return np.where(count > 0, found, -1)
