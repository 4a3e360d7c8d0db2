"""CuratorNet's six sampling guidelines as a sampler for any pairwise model (Messina et al. 2020)."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Self

import numpy as np
import polars as pl
from pydantic import Field, field_validator

from visrec.config import Config, digest_of
from visrec.content import Content
from visrec.data.ids import IdMap
from visrec.data.interactions import Histories, Interactions
from visrec.errors import ConfigError, DataError
from visrec.features.features import Features
from visrec.training.clusters import Clusters, visual_clusters
from visrec.training.sampling import HistoryRule, Negatives, Sampler, Triples
from visrec.training.strategies import NEVER_LOOKED_AT, STRATEGIES, Strategy, Tables

log = logging.getLogger("visrec")

_ROUNDS = 8  # of drawing what was a duplicate, or had no negative, again
_TRIED = 256  # slots of a strategy that are tried before it is believed that it can draw something
_MADE_UP = "the model serves only users that it was trained on, not histories that are made up"

Share = Annotated[float, Field(ge=0)]


class GuidelinesConfig(Config):
    """Settings of the sampler "guidelines"."""

    shares: tuple[Share, Share, Share, Share, Share, Share] = (1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
    """How much of an epoch each of the six strategies makes, in proportion; 0 leaves one out."""
    hard: float = Field(default=0.6, ge=0, le=1)
    """Probability that a negative of strategies 1, 2 and 4 comes from the visual cluster of the positive (4: of the
    query)."""
    margin: float = Field(default=0.1, ge=0, le=2)
    """In strategy 4 the cosine of query and positive is larger than that of query and negative by at least this."""
    creator: str | None = None
    """The column of the items' table that says who made an item; left out: "artist", if there is one."""
    clusters: int = Field(default=100, ge=1)
    """k of k-means; fewer where there would be less than 10 items a cluster on average."""
    runs: int = Field(default=5, ge=1)
    """Runs of k-means, of which that of the best silhouette counts; 20 in the paper."""

    @field_validator("shares")
    @classmethod
    def _some_share_counts(cls, shares: tuple[float, ...]) -> tuple[float, ...]:
        if not sum(shares) > 0:
            raise ValueError("all six are 0; give at least one strategy a share")
        return shares


class GuidelinesSampler(Sampler):
    """Triples by six rules that say what should stand above what, drawn as they are needed.

    An epoch has as many positives as there are training interactions (repeated ones count once). Each strategy goes
    through its slots in random order before any comes again. A triple that a batch has already is drawn again, 8
    times at most: where a data set is so small that it has no other, the batch keeps it. A strategy that cannot fill
    its part of a batch leaves the rest to the others. So nothing can make it loop.

    Attributes:
        strategies: by number (1 to 6), those that draw.
        left_out: by number, why each other one does not.
        shares: by number, the part of an epoch that each strategy makes; together 1.
    """

    def __init__(
        self,
        train: Interactions,
        clusters: Clusters,
        config: GuidelinesConfig | None = None,
        *,
        creator: np.ndarray | None = None,
        image: np.ndarray | None = None,
        made_up: bool = True,
        negatives: Negatives = "catalog",
        n_negatives: int = 1,
        history: HistoryRule = "all",
        max_history: int | None = None,
        seed: int = 0,
        name: str = "This model",
    ) -> None:
        """Prepare the sampler; `of` takes what it goes by from a `Content`.

        Args:
            train: the known interactions.
            clusters: how items look, on the same items.
            config: settings; None: the defaults.
            creator: `(I,)` int64, who made each item; -1: unknown. None: nobody knows.
            image: `(I,)` int64, equal where image files are; -1: unknown. None: it is for none.
            made_up: whether the model learns from histories of nobody (strategies 2 and 4).
            negatives: whether all items of the catalogue may be drawn, or only those that somebody took.
            n_negatives: n, negatives of each positive, drawn one by one: one may come twice.
            history: what the model looks at.
            max_history: at most so many newest items of it; None: all.
            seed: of the trial that shows which strategies can draw something.
            name: of the model, for messages.

        Raises:
            DataError: no strategy can draw anything.
        """
        config = config or GuidelinesConfig()
        known = None if creator is None or not (creator >= 0).any() else creator
        images = np.full(train.n_items, -1, dtype=np.int64) if image is None else image
        self.n_negatives, self.history, self.max_history = n_negatives, history, max_history
        self.tables = Tables(
            train, clusters, known, images, negatives, config.hard, config.margin, history, max_history
        )
        self.fingerprint = digest_of(
            [clusters.digest, None if known is None else known.tolist(), images.tolist()]
        )
        self._n = len(self.tables.pairs[0])
        self.strategies: dict[int, Strategy] = {}
        self.left_out: dict[int, str] = {}
        for number, cls in enumerate(STRATEGIES, start=1):
            if config.shares[number - 1] == 0:
                self.left_out[number] = "its share is 0"
            elif cls.is_made_up and (not made_up or history == "none"):
                self.left_out[number] = _MADE_UP
            else:
                strategy = cls(self.tables)
                why_not = strategy.why_not or self._try(strategy, seed)
                if why_not is None:
                    self.strategies[number] = strategy
                else:
                    self.left_out[number] = why_not
        for number, why in self.left_out.items():
            meant = why in (_MADE_UP, NEVER_LOOKED_AT) or config.shares[number - 1] == 0
            log.log(
                logging.INFO if meant else logging.WARNING,
                "%s: sampling strategy %d (%s) is left out: %s.",
                name,
                number,
                STRATEGIES[number - 1].name,
                why,
            )
        self.notes = self._notes(config)
        if not self.strategies:
            reasons = "; ".join(
                f"{number} ({STRATEGIES[number - 1].name}): {why}" for number, why in self.left_out.items()
            )
            raise DataError(
                f"{name}: none of the six sampling guidelines can draw a triple from these data. {reasons}. "
                f'Train it with sampler = "uniform".'
            )
        total = sum(config.shares[number - 1] for number in self.strategies)
        self.shares = {number: config.shares[number - 1] / total for number in self.strategies}
        self.user = np.unique(np.concatenate([one.users() for one in self.strategies.values()]))
        # What only histories hold begins at 0 as a candidate; a model learns of it there what it can.
        self.pool = self.tables.drawn

    @classmethod
    def of(
        cls,
        train: Interactions,
        content: Content,
        config: GuidelinesConfig,
        *,
        made_up: bool,
        negatives: Negatives,
        n_negatives: int = 1,
        history: HistoryRule = "none",
        max_history: int | None = None,
        seed: int = 0,
        name: str = "This model",
    ) -> Self:
        """A sampler by the visual clusters of `content` and by who made the items; arguments as for the class.

        Raises:
            FeaturesError: the content has neither vectors nor regions, or those of other items.
            ConfigError: the column of creators is not there.
            DataError: no strategy can draw anything.
        """
        found = _features_of(content, name).align(train.items)
        clusters = visual_clusters(found, k=config.clusters, runs=config.runs, seed=seed)
        image = None if found.images is None else _codes(found.images)
        return cls(
            train,
            clusters,
            config,
            creator=creators_of(content.metadata, train.items, config.creator),
            image=image,
            made_up=made_up,
            negatives=negatives,
            n_negatives=n_negatives,
            history=history,
            max_history=max_history,
            seed=seed,
            name=name,
        )

    def __len__(self) -> int:
        return self._n

    def draw(self, number: int, n: int, rng: np.random.Generator) -> Triples:
        """At most n different triples of one strategy, to be looked at."""
        batch = _Batch()
        self._fill(batch, number, n, _Cycle(len(self.strategies[number].slots), rng), rng)
        return batch.triples(slice(0, n), self.max_history)

    def epoch(self, batch_size: int, rng: np.random.Generator) -> Iterator[Triples]:
        numbers = np.array(list(self.shares))
        exact = np.array(list(self.shares.values())) * self._n
        quota = np.floor(exact).astype(np.int64)
        rest = exact - quota  # who has the largest gets one more, equal ones by chance
        more = np.lexsort([rng.random(len(rest)), -rest])[: self._n - int(quota.sum())]
        quota[more] += 1
        order = rng.permutation(np.repeat(numbers, quota))
        cycles = {number: _Cycle(len(one.slots), rng) for number, one in self.strategies.items()}
        given = 0
        for start in range(0, self._n, batch_size):
            wanted = order[start : start + batch_size]
            batch = _Batch()
            for number in self.strategies:
                self._fill(batch, number, int((wanted == number).sum()), cycles[number], rng)
            for number in self.strategies:  # what one could not give
                self._fill(batch, number, len(wanted) - len(batch), cycles[number], rng)
            if len(batch):
                given += len(batch)
                yield batch.triples(np.arange(len(wanted)) % len(batch), self.max_history)
        if given == 0:
            raise DataError(
                "The sampling guidelines found no triple in a whole epoch: pictures or creators hardly differ. "
                'Train it with sampler = "uniform".'
            )

    def _notes(self, config: GuidelinesConfig) -> tuple[str, ...]:
        """What is left out, though it has a share: a sentence for each reason."""
        reasons: dict[str, list[str]] = {}
        for number, why in self.left_out.items():
            if config.shares[number - 1] > 0:
                reasons.setdefault(why, []).append(f"{number} ({STRATEGIES[number - 1].name})")
        return tuple(
            f"sampled without {'strategies' if len(numbers) > 1 else 'strategy'} {' and '.join(numbers)} of the "
            f"guidelines: {why}."
            for why, numbers in reasons.items()
        )

    def _try(self, strategy: Strategy, seed: int) -> str | None:
        """Why a strategy that has slots still draws nothing; None: it does draw."""
        rng = np.random.default_rng(seed)
        slots = rng.permutation(len(strategy.slots))[:_TRIED]
        if self._make(strategy, slots, rng).is_whole.any():
            return None
        return f"of {len(slots)} beginnings that were tried none has a negative that looks different enough"

    def _make(self, strategy: Strategy, slot: np.ndarray, rng: np.random.Generator) -> _Rows:
        """Triples of slots, by number."""
        n = self.n_negatives
        slots = strategy.slots[slot]
        user, pos = strategy.positives(slots, rng)
        row = np.repeat(np.arange(len(slot)), n)
        neg = strategy.negatives(slots[row], user[row], pos[row], rng).reshape(len(slot), n)
        history = None if self.history == "none" else strategy.histories(slots, user, pos)
        # Two triples are the same if user, positive, negatives and (where it is looked at) the history are.
        beginning = (
            user if history is None else slot * (len(STRATEGIES) + 1) + STRATEGIES.index(type(strategy))
        )
        key = _mixed([beginning, pos, *neg.T])
        return _Rows(user, pos, neg, strategy.weights(user, pos), history, key)

    def _fill(self, batch: _Batch, number: int, n: int, cycle: _Cycle, rng: np.random.Generator) -> None:
        """Add n triples of a strategy to a batch, or as many as it finds."""
        repeated: list[_Rows] = []
        for _ in range(_ROUNDS):
            if n <= 0:
                return
            rows = self._make(self.strategies[number], cycle.take(n), rng)
            rows = rows.take(np.flatnonzero(rows.is_whole))
            is_new = batch.is_new(rows.key)
            batch.add(rows.take(np.flatnonzero(is_new)))
            repeated.append(rows.take(np.flatnonzero(~is_new)))
            n -= int(is_new.sum())
        for rows in repeated:
            batch.add(rows.take(np.arange(min(n, len(rows)))))
            n -= min(n, len(rows))


def content_digest(content: Content, config: GuidelinesConfig, name: str) -> str:
    """SHA-256 (hex) of all that the sampler takes from a content."""
    made, column = content.metadata, config.creator or "artist"
    if made is None or column not in made.columns or "item_id" not in made.columns:
        creators = None
    else:
        creators = [made[one].cast(pl.String).to_list() for one in ("item_id", column)]
    return digest_of([_features_of(content, name).digest, creators])


def _features_of(content: Content, name: str) -> Features:
    """The features whose vectors are clustered."""
    return content.vectors(f"{name} with sampler = 'guidelines'")[1]


def creators_of(metadata: pl.DataFrame | None, items: IdMap, column: str | None) -> np.ndarray | None:
    """Who made each item, as numbers `(I,)` int64; -1 where that is null or empty. None: nobody knows.

    Args:
        metadata: rows of items in any order, with a column `item_id`.
        items: the items.
        column: the column of creators; None: "artist", if there is one.

    Raises:
        ConfigError: there is no such column.
    """
    columns = [] if metadata is None else [one for one in metadata.columns if one != "item_id"]
    if column is not None and column not in columns:
        there = f"it has {', '.join(columns)}" if columns else "there are none but item_id"
        raise ConfigError(
            f"guidelines.creator is '{column}', but the items' table has no such column; {there}. Name one of "
            f"them, or leave guidelines.creator out."
        )
    column = column or "artist"
    if metadata is None or column not in columns:
        return None
    row = items.lookup(metadata["item_id"])
    known = row.is_not_null()
    creator = np.full(len(items), -1, dtype=np.int64)
    creator[row.filter(known).to_numpy()] = _codes(metadata[column].filter(known))
    return creator


def _codes(values: pl.Series) -> np.ndarray:
    """`(n,)` int64: equal numbers for equal texts, in the order of the texts; -1 for null and empty ones."""
    text = values.cast(pl.String).str.strip_chars()
    known = (text.is_not_null() & (text != "")).fill_null(value=False).to_numpy()
    codes = np.full(len(values), -1, dtype=np.int64)
    codes[known] = np.unique(text.to_numpy()[known].astype(str), return_inverse=True)[1]
    return codes


def _mixed(columns: Sequence[np.ndarray]) -> np.ndarray:
    """`(n,)` one number for each row of columns; that two different rows get the same one is all but impossible, and
    would cost no more than drawing one of them again."""
    key = np.zeros(len(columns[0]), dtype=np.uint64)
    for column in columns:
        key = (key ^ column.astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        key ^= key >> np.uint64(29)
    return key


@dataclass(frozen=True, eq=False)
class _Rows:
    """Triples under way; `neg` is -1 where none was found."""

    user: np.ndarray
    pos: np.ndarray
    neg: np.ndarray
    weight: np.ndarray
    history: Histories | None
    key: np.ndarray

    def __len__(self) -> int:
        return len(self.user)

    @property
    def is_whole(self) -> np.ndarray:
        return np.asarray((self.neg >= 0).all(axis=1))

    def take(self, rows: np.ndarray) -> _Rows:
        history = None if self.history is None else self.history.take(rows)
        return _Rows(
            self.user[rows], self.pos[rows], self.neg[rows], self.weight[rows], history, self.key[rows]
        )


class _Batch:
    """Triples gathered from several strategies."""

    def __init__(self) -> None:
        self.parts: list[_Rows] = []
        self.keys = np.zeros(0, dtype=np.uint64)

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    def is_new(self, key: np.ndarray) -> np.ndarray:
        """Which keys neither the batch has nor come earlier among them."""
        new = np.zeros(len(key), dtype=bool)
        new[np.unique(key, return_index=True)[1]] = True
        new[np.isin(key, self.keys)] = False
        return new

    def add(self, rows: _Rows) -> None:
        if len(rows):
            self.parts.append(rows)
            self.keys = np.concatenate([self.keys, rows.key])

    def triples(self, which: np.ndarray | slice, newest: int | None) -> Triples:
        """Some of them; histories are cut to the newest items."""
        if not self.parts:
            nothing = np.zeros(0, dtype=np.int64)
            return Triples(nothing, nothing, np.zeros((0, 1), dtype=np.int64), np.zeros(0, dtype=np.float32))
        user, pos, neg, weight = (
            np.concatenate([getattr(part, name) for part in self.parts])[which]
            for name in ("user", "pos", "neg", "weight")
        )
        history = None
        found = [part.history for part in self.parts if part.history is not None]
        if found:
            lengths = np.concatenate([one.lengths for one in found])
            indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
            whole = Histories(indptr, np.concatenate([one.items for one in found]))
            history = whole.take(np.arange(len(lengths))[which])
            history = history if newest is None else history.newest(newest)
        return Triples(user, pos, neg, weight.astype(np.float32), history)


class _Cycle:
    """Numbers below n in random order, each once before any comes again."""

    def __init__(self, n: int, rng: np.random.Generator) -> None:
        self.n, self.rng = n, rng
        self.left = np.zeros(0, dtype=np.int64)

    def take(self, m: int) -> np.ndarray:
        """The next m."""
        rounds = -(-(m - len(self.left)) // self.n)
        self.left = np.concatenate([self.left, *(self.rng.permutation(self.n) for _ in range(rounds))])
        taken, self.left = self.left[:m], self.left[m:]
        return taken
