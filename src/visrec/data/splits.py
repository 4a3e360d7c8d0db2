"""Train, validation and test parts. All three share one id space; a basket is never cut."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from visrec.data.interactions import Interactions
from visrec.data.order import order_of
from visrec.errors import ConfigError, DataError

TRAIN, VALID, TEST = 0, 1, 2
Part = Literal["train", "valid", "test"]
_BLOCK = 1 << 18  # rows that are looked at together


@dataclass(frozen=True, eq=False)
class Split:
    """Three parts on the same users and items.

    Attributes:
        train: what models learn from.
        valid: what early stopping and tuning look at; may be empty.
        test: what is reported.
        how: the name and the settings of the split, for provenance.
    """

    train: Interactions
    valid: Interactions
    test: Interactions
    how: dict[str, Any] = field(default_factory=dict)

    def seen(self, part: Part) -> Interactions:
        """All that a user consumed before `part` (valid or test): never a candidate when `part` is ranked."""
        if part not in ("valid", "test"):
            raise ConfigError(f"Nothing is seen before the part '{part}'; choose valid or test.")
        return self.train if part == "valid" else self.train.union(self.valid)

    def part(self, part: Part) -> Interactions:
        """The interactions of a part by its name."""
        if part not in ("train", "valid", "test"):
            raise ConfigError(f"There is no part '{part}'; choose train, valid or test.")
        return {"train": self.train, "valid": self.valid, "test": self.test}[part]


@dataclass(frozen=True, eq=False)
class _Baskets:
    """For each interaction: where its basket (one user, one timestamp) stands in the user's history."""

    user: np.ndarray  # (N,)
    basket: np.ndarray  # (N,) baskets are counted user by user, of each the oldest first
    per_user: np.ndarray  # (U,) number of baskets
    sizes: np.ndarray  # (baskets,) number of interactions

    @classmethod
    def of(cls, interactions: Interactions) -> _Baskets:
        user, time, n = interactions.user, interactions.timestamp, len(interactions)
        order = order_of([user])  # rows are in time order already
        starts = np.ones(n, dtype=bool)  # of a basket, in `order`
        u = user[order]
        starts[1:] = u[1:] != u[:-1]
        t = time[order]
        starts[1:] |= t[1:] != t[:-1]
        basket = np.empty(n, dtype=np.int32)
        basket[order] = np.cumsum(starts, dtype=np.int32) - 1
        sizes = np.diff(np.append(np.flatnonzero(starts), n))
        return cls(user, basket, np.bincount(u[starts], minlength=interactions.n_users), sizes)

    @property
    def age(self) -> np.ndarray:
        """`(N,)` 0 = the user's newest basket, 1 = the one before, …"""
        newest = (np.cumsum(self.per_user) - 1).astype(np.int32)  # (U,)
        return newest[self.user] - self.basket

    @property
    def count(self) -> np.ndarray:
        """`(N,)` number of baskets of the user."""
        return self.per_user.astype(np.int32)[self.user]

    @property
    def newer(self) -> np.ndarray:
        """`(N,)` share of the user's interactions that lie in newer baskets."""
        rows = np.bincount(self.user, minlength=len(self.per_user))  # (U,)
        return (np.cumsum(rows)[self.user] - np.cumsum(self.sizes)[self.basket]) / rows[self.user]


def _split(interactions: Interactions, parts: np.ndarray, name: str, **shares: float) -> Split:
    train, valid, test = (interactions.where(parts == part) for part in (TRAIN, VALID, TEST))
    what = name + "".join(f", {part} {share:g}" for part, share in shares.items())
    if len(train) == 0:
        raise DataError(
            f"The split {what} leaves nothing of {len(interactions)} interactions for training: there are too "
            f"few, or too many at one time. Choose another split, or filter less."
        )
    if len(test) == 0:
        raise DataError(
            f"The split {what} leaves nothing of {len(interactions)} interactions for the test. "
            f"It needs users with at least two interactions at different times; choose another split."
        )
    return Split(train, valid, test, {"name": name, **shares})


def leave_last_out(interactions: Interactions) -> Split:
    """Each user's newest basket is the test, the next newest the validation, the rest training.

    A basket is what one user did at one timestamp. A user with two baskets has no validation part; a user
    with one stays in training whole.
    """
    newest, has_older = _in_newest_basket(interactions, np.ones(len(interactions), dtype=bool))
    next_newest, has_oldest = _in_newest_basket(interactions, ~newest)
    parts = np.full(len(interactions), TRAIN, dtype=np.int8)
    parts[newest & has_older[interactions.user]] = TEST
    parts[next_newest & has_oldest[interactions.user]] = VALID
    return _split(interactions, parts, "leave_last_out")


def by_evaluation(interactions: Interactions) -> Split:
    """The parts that the data's own `evaluation` column assigns, even where it cuts a basket.

    Where the column marks no validation rows, the newest basket of each user's remaining interactions is
    held out for it (users with one remaining basket keep it in training).

    Raises:
        DataError: the data have no such column, or it marks no test rows.
    """
    if interactions.evaluation is None:
        raise DataError(
            "The interactions have no 'evaluation' column. Add one (true for test rows), "
            "or choose another split, such as leave_last_out."
        )
    parts = interactions.evaluation.copy()
    if not (parts == TEST).any():
        raise DataError(
            "The 'evaluation' column marks no interaction for the test. Write true (or test) in the rows to "
            "hold out, or choose another split, such as leave_last_out."
        )
    if not (parts == VALID).any():
        rest = parts == TRAIN
        newest, has_older = _in_newest_basket(interactions, rest)
        parts[newest & has_older[interactions.user]] = VALID
    return _split(interactions, parts, "by_evaluation")


def by_time(interactions: Interactions, *, test: float = 0.1, valid: float = 0.1) -> Split:
    """Two moments for all users: what is newer than the later one is the test, between them the validation.

    Args:
        interactions: all of them.
        test: about this share of the interactions, the newest, in (0, 1).
        valid: about this share, the next newest, in [0, 1).
    """
    _check_shares(test, valid)
    parts = np.full(len(interactions), TRAIN, dtype=np.int8)
    if valid:
        parts[_newest(interactions.timestamp, test + valid)] = VALID
    parts[_newest(interactions.timestamp, test)] = TEST
    return _split(interactions, parts, "by_time", test=test, valid=valid)


def by_ratio(interactions: Interactions, *, test: float = 0.2, valid: float = 0.1) -> Split:
    """Of each user's interactions, the newest share is the test, the next newest the validation.

    Whole baskets from the newest on are taken until the share is reached; the oldest basket always trains.
    """
    _check_shares(test, valid)
    baskets = _Baskets.of(interactions)
    parts = np.full(len(interactions), TRAIN, dtype=np.int8)
    oldest = baskets.age == baskets.count - 1
    newer = baskets.newer + 1e-9  # a share that is reached is reached: .2 + .1 makes .30000000000000004
    parts[(newer < test + valid) & ~oldest] = VALID
    parts[(newer < test) & ~oldest] = TEST
    return _split(interactions, parts, "by_ratio", test=test, valid=valid)


def _in_newest_basket(interactions: Interactions, among: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which rows `(N,)` are of their user's newest basket, and which users `(U,)` have rows beside it.

    Args:
        interactions: all of them.
        among: `(N,)` bool, the only rows that count.
    """
    user, time, n_users = interactions.user, interactions.timestamp, interactions.n_users
    rows = [slice(start, start + _BLOCK) for start in range(0, len(user), _BLOCK)]
    last = np.empty(n_users, dtype=time.dtype)
    last[user] = time[0] if len(time) else 0  # the first of all, for who has a row
    for block in rows:
        mine = among[block]
        np.maximum.at(last, user[block][mine], time[block][mine])
    newest, has_others = among.copy(), np.zeros(n_users, dtype=bool)
    for block in rows:
        newest[block] &= time[block] == last[user[block]]
        has_others[user[block][among[block] & ~newest[block]]] = True
    return newest, has_others


def _newest(time: np.ndarray, share: float) -> np.ndarray:
    """A mask of about this share of the moments `(N,)`, rising, the newest; equal moments fall on one side."""
    if len(time) == 0:
        return np.zeros(0, dtype=bool)
    first = min(len(time) - 1, round(len(time) * (1 - share)))
    return time >= time[first]


def _check_shares(test: float, valid: float) -> None:
    if not (0 < test < 1 and 0 <= valid < 1 and test + valid < 1):
        raise ConfigError(
            f"Split shares are test={test}, valid={valid}; expected 0 < test, 0 <= valid and test + valid < 1."
        )


SPLITS = {
    "leave_last_out": leave_last_out,
    "by_evaluation": by_evaluation,
    "by_time": by_time,
    "by_ratio": by_ratio,
}
