"""What users take, and when: choices by chance in proportion to what they like."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from visrec.data.datasets.synthetic.catalogue import TASTE_STREAM
from visrec.data.datasets.synthetic.settings import DAY, SyntheticConfig
from visrec.data.datasets.synthetic.tastes import CUT, END, OPENING, START
from visrec.data.datasets.synthetic.truth import Truth

if TYPE_CHECKING:
    import polars as pl

MIN_INTERACTIONS, MAX_INTERACTIONS = 3, 150
BASKET_SIZES = (1, 2, 3, 4)
BASKET_SHARES = (0.45, 0.3, 0.15, 0.1)
_USERS_PER_BLOCK = 256

Times = NDArray[np.int64]
"""Unix seconds `(N,)`."""


def make_interactions(truth: Truth, config: SyntheticConfig) -> pl.DataFrame:
    """Let every user choose: user_id, item_id, timestamp, evaluation, in time order."""
    import polars as pl  # not in the processes that draw

    before: list[Choices] = []
    log_odds = np.zeros(config.n_users)  # of a brand-new item over what is left of the others
    for user, logits in _by_user(truth, config):
        rng = _user_rng(config, user, 0)
        baskets = _baskets_before(config, rng) if not truth.is_new_user[user] else Baskets.none()
        before.append(_fill(baskets, logits, truth, rng))
        logits[before[-1].items] = -np.inf
        log_odds[user] = np.logaddexp.reduce(logits[truth.is_new_item]) - np.logaddexp.reduce(
            logits[~truth.is_new_item]
        )
    boost = _novelty_boost(log_odds, config.novelty_share) if truth.is_new_item.any() else 0.0
    after: list[Choices] = []
    for user, logits in _by_user(truth, config):
        rng = _user_rng(config, user, 1)
        baskets = _baskets_after(bool(truth.is_new_user[user]), config, rng)
        logits[before[user].items] = -np.inf
        after.append(_fill(baskets, logits + boost * truth.is_new_item, truth, rng))
    users = np.tile(np.arange(config.n_users), 2)
    every = [*before, *after]
    taker = np.repeat(users, [len(choices.items) for choices in every])
    item = np.concatenate([choices.items for choices in every])
    when = np.concatenate([choices.times for choices in every])
    order = np.lexsort((item, taker, when))
    return pl.DataFrame(
        {
            "user_id": truth.user_ids[taker[order]],
            "item_id": truth.item_ids[item[order]],
            "timestamp": when[order],
            "evaluation": when[order] > CUT,
        }
    )


@dataclass(frozen=True)
class Baskets:
    """When a user comes (seconds, ascending) and how many items they take each time, both `(N,)`."""

    times: Times
    sizes: NDArray[np.int64]

    @classmethod
    def none(cls) -> Baskets:
        """Of someone who doesn't come."""
        return cls(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))


@dataclass(frozen=True)
class Choices:
    """What one user took and when (seconds), both `(N,)`."""

    items: NDArray[np.int64]
    times: Times


def _by_user(truth: Truth, config: SyntheticConfig) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Each user with the logits of all items `(I,)`, which are theirs to change."""
    for start in range(0, config.n_users, _USERS_PER_BLOCK):
        block = np.arange(start, min(start + _USERS_PER_BLOCK, config.n_users))
        for user, logits in zip(block, truth.utility(block) / config.temperature, strict=True):
            yield int(user), logits


def _user_rng(config: SyntheticConfig, user: int, use: int) -> np.random.Generator:
    key = (TASTE_STREAM, 1, user, use)
    return np.random.default_rng(np.random.SeedSequence(config.seed, spawn_key=key))


def _baskets_before(config: SyntheticConfig, rng: np.random.Generator) -> Baskets:
    """A user's visits up to the cut."""
    drawn = config.median_interactions * np.exp(config.spread_interactions * rng.standard_normal())
    n_most = min(MAX_INTERACTIONS, max(MIN_INTERACTIONS, config.n_items // 5))
    sizes = _basket_sizes(int(np.clip(round(drawn), MIN_INTERACTIONS, n_most)), rng)
    first = int(START + DAY + rng.random() ** 1.5 * (CUT - START - 60 * DAY))
    return Baskets(_moments(first, CUT - DAY, len(sizes), rng), sizes)


def _baskets_after(is_new: bool, config: SyntheticConfig, rng: np.random.Generator) -> Baskets:
    """A user's visits after the cut: mostly one, and all that a newcomer makes."""
    if is_new:
        sizes = _basket_sizes(int(rng.integers(MIN_INTERACTIONS, 9)), rng)
        return Baskets(_moments(OPENING, END, len(sizes), rng), sizes)
    if rng.random() >= config.returning_share:
        return Baskets.none()
    return Baskets(rng.integers(OPENING, END, 1), rng.choice((1, 2, 3), size=1, p=(0.3, 0.4, 0.3)))


def _basket_sizes(n_taken: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Sizes of baskets that add up to `n_taken`."""
    sizes = rng.choice(BASKET_SIZES, size=n_taken, p=BASKET_SHARES)
    n_baskets = int(np.searchsorted(np.cumsum(sizes), n_taken)) + 1
    sizes = sizes[:n_baskets].astype(np.int64)
    sizes[-1] -= sizes.sum() - n_taken
    return sizes


def _moments(start: int, stop: int, n: int, rng: np.random.Generator) -> Times:
    """Distinct seconds in [start, stop), ascending."""
    times = np.unique(rng.integers(start, stop, n))
    while len(times) < n:
        times = np.unique(np.append(times, rng.integers(start, stop, n - len(times))))
    return times


def _fill(baskets: Baskets, logits: NDArray[np.float64], truth: Truth, rng: np.random.Generator) -> Choices:
    """Fill one user's baskets from what is released by then, nothing twice.

    Adding Gumbel noise and keeping the largest draws without replacement in proportion to exp(logit).
    """
    left = logits.copy()
    items, times = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
    for time, size in zip(baskets.times, baskets.sizes, strict=True):
        noisy = np.where(truth.release <= time, left, -np.inf) + rng.gumbel(size=len(left))
        best = np.argpartition(noisy, -min(size, len(noisy)))[-min(size, len(noisy)) :]
        best = best[np.argsort(-noisy[best])]  # no two are equal but those that cannot be had
        best = best[np.isfinite(noisy[best])]
        left[best] = -np.inf
        items.append(best)
        times.append(np.full(len(best), time))
    return Choices(np.concatenate(items), np.concatenate(times))


def _novelty_boost(log_odds: NDArray[np.float64], share: float) -> float:
    """What to add to a brand-new item's logit for such items to get a `share` of all choices.

    Args:
        log_odds: `(U,)`, of each user choosing a brand-new item without the boost.
        share: as wanted, the mean over users.
    """
    low, high = -1000.0, 1000.0
    for _ in range(60):  # the share rises with the boost: bisect
        middle = 0.5 * (low + high)
        expected = float(np.mean(0.5 + 0.5 * np.tanh(0.5 * (log_odds + middle))))
        low, high = (middle, high) if expected < share else (low, middle)
    return 0.5 * (low + high)
