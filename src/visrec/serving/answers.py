"""From a question to a ranked list: what is asked in indices, every item's score or a search, another order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from visrec.errors import ConfigError, UnsupportedError
from visrec.ranking import top_k
from visrec.recommender import Queries
from visrec.retrieval.recommendation import best_items
from visrec.serving.diversity import POOL, rearranged
from visrec.serving.question import Question

if TYPE_CHECKING:
    from visrec.serving.engine import Engine


@dataclass(frozen=True)
class Ranked:
    """An item of a list: its index, its score, its place (1 is the best)."""

    index: int
    score: float
    rank: int


@dataclass(frozen=True, eq=False)
class Ranking:
    """A list: indices `(n,)` int64 of items, best first, and their scores `(n,)` float32."""

    items: np.ndarray
    scores: np.ndarray

    def __len__(self) -> int:
        return len(self.items)

    def page(self, start: int, stop: int) -> list[Ranked]:
        """The places from `start` (0 is the best) up to `stop`."""
        pairs = zip(self.items[start:stop].tolist(), self.scores[start:stop].tolist(), strict=True)
        return [Ranked(index, score, rank) for rank, (index, score) in enumerate(pairs, start=start + 1)]


@dataclass(frozen=True, eq=False)
class History:
    """What a question says that somebody likes, in indices.

    Attributes:
        liked: `(l,)` what the question adds, each item once, where it came last.
        items: `(h,)` the user's own and then those, oldest first, each once.
        weights: `(h,)` of `items`; None where all are 1.
    """

    liked: np.ndarray
    items: np.ndarray
    weights: np.ndarray | None

    @classmethod
    def of(cls, engine: Engine, question: Question) -> History:
        """Of a question; errors as of `rank`."""
        liked, weights = _distinct(engine.catalog.items.indices(question.liked), question.weights)
        if question.user is None:
            return cls(liked, liked, weights)
        model = engine.model(question.model)
        own = model.histories.of(model.users.index(question.user))
        own = own[~np.isin(own, liked)]  # the new opinion counts
        both = None if weights is None else np.concatenate([np.ones(len(own)), weights])
        return cls(liked, np.concatenate([own, liked]), both)


def rank(engine: Engine, question: Question) -> Ranking:
    """The best items for somebody, at most k; errors as of `Engine.rank`."""
    kept = max(question.k, POOL) if question.diversity else question.k
    items, scores = _best(engine, question, kept)
    if question.diversity:
        order = np.arange(len(items))
        alike = engine.likeness(items[:POOL], question.model)
        order[:POOL] = rearranged(scores[:POOL], alike, question.diversity)
        items, scores = items[order], scores[order]
    return Ranking(items[: question.k], scores[: question.k])


def _best(engine: Engine, question: Question, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k items `(n,)` of the highest scores that are not left out, and these."""
    model, history = engine.model(question.model), History.of(engine, question)
    if question.user is None and model.personal and not len(history.items) and not question.pictures:
        raise ConfigError("Nothing is known of this visitor. Give a user, or items that they like.")
    owners = np.array([-1 if question.user is None else model.users.index(question.user)])
    queries = Queries.of(
        [history.items],
        None if question.user is None else owners,
        weights=None if history.weights is None else [history.weights],
        pictures=[np.stack([p.vector for p in question.pictures])] if question.pictures else None,
        picture_weights=[np.array([p.weight for p in question.pictures])] if question.pictures else None,
    )
    left_out = np.concatenate(
        [history.liked, engine.catalog.items.indices(question.exclude), engine.known(question)]
    )
    allowed = engine.shelf.filtering.mask(question.filters)
    model.check_served(queries)
    index = engine.index(question.model)
    with torch.no_grad():
        asked = None if index is None else model.probes(queries)  # None: such a score is no inner product
    if asked is None:
        scores = model.score_queries(queries)
        tells = bool(scores.min() < scores.max())
        scores[:, left_out] = -torch.inf
        if allowed is not None:
            scores[:, torch.from_numpy(~allowed)] = -torch.inf
        found, values = top_k(scores, k, owners)
    else:
        found, values = best_items(model, queries, k, index=index, exclude=[left_out], allowed=allowed)
        probes, real = asked
        tells = bool(probes[real].any())  # without, every score is 0
    if not tells and question.user is None and model.personal:
        raise UnsupportedError(
            f"{question.model} knows nothing of these items (no image, or no interaction); any order would be chance."
        )
    real = found[0] >= 0
    return found[0][real], values[0][real]


def _distinct(items: np.ndarray, weights: tuple[float, ...] | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Each item once, where it came last, and its weight; None where all weigh 1."""
    if weights is not None and len(weights) != len(items):
        raise ConfigError(f"There are {len(weights)} weights for {len(items)} items; give one each, or none.")
    distinct, first = np.unique(items[::-1], return_index=True)  # of the newest first
    order = np.argsort(-first)
    if weights is None:
        return distinct[order], None
    found = np.array(weights, dtype=np.float64)[::-1][first][order]
    return distinct[order], None if (found == 1).all() else found
