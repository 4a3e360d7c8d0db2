"""What is asked of a model: for whom, with which history, about which item."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from visrec.errors import ConfigError, UnsupportedError
from visrec.explain.explanation import ItemId
from visrec.recommender import Queries, Recommender


@dataclass(frozen=True, eq=False)
class Question:
    """A user or a visitor, a history and an item, as indices of the model's.

    Attributes:
        model: a fitted one.
        user: an index; None for a visitor.
        history: `(H,)` int64, oldest first, each item once, without the item asked about.
        item: an index.
    """

    model: Recommender
    user: int | None
    history: np.ndarray
    item: int

    @classmethod
    def of(
        cls, model: Recommender, user: ItemId | None, item: ItemId, history: Sequence[ItemId] | None
    ) -> Question:
        """From ids.

        Raises:
            DataError: the user or an item is unknown to the model.
            ConfigError: neither a user nor a history is given.
            UnsupportedError: the model does not serve visitors.
        """
        index = None if user is None else model.users.index(user)
        if history is not None:
            liked = model.items.indices(history)
        elif index is not None:
            liked = model.histories.of(index)
        else:
            raise ConfigError(
                "Neither a user nor a history is given; say explain(model, user, item) or history=[…]."
            )
        if index is None and not model.new_users:
            raise UnsupportedError(
                f"{type(model).__name__} knows only the users it was trained on; it cannot serve a history alone. "
                f"Models that can: see `visrec models`."
            )
        asked = model.items.index(item)
        newest_first, first = np.unique(liked[::-1], return_index=True)
        distinct = newest_first[np.argsort(-first)]  # oldest first again, each where it came last
        return cls(model, index, distinct[distinct != asked], asked)

    @property
    def looked_at(self) -> np.ndarray:
        """The part of the history that the query is made of, oldest first: `(h,)`."""
        if self.model.query not in ("history", "both"):
            return self.history[:0]
        most = getattr(self.model, "max_history", None)
        return self.history if most is None else self.history[-most:]

    def queries(self, histories: Sequence[np.ndarray]) -> Queries:
        """The same user or visitor with other histories, one query each."""
        users = None if self.user is None else np.full(len(histories), self.user)
        return Queries.of(histories, users)

    def scores(self, histories: Sequence[np.ndarray]) -> np.ndarray:
        """Of the item for each history `(n,)` float64."""
        return scores_of(self.model, self.queries(histories), np.array([self.item]))[:, 0]

    @cached_property
    def score(self) -> float:
        """Of the item."""
        return float(self.scores([self.history])[0])

    def ids(self, items: np.ndarray) -> list[ItemId]:
        """Of item indices."""
        return list(self.model.items.take(items).to_list())


def scores_of(model: Recommender, queries: Queries, items: np.ndarray) -> np.ndarray:
    """Scores `(B, n)` float64 of some items alone."""
    with torch.no_grad():
        scores = model.pool(queries, rows_of(model, items))
    return scores.double().numpy()


def rows_of(model: Recommender, items: np.ndarray) -> Tensor:
    """The vectors of some items; sparse where the model's are."""
    assert model.Z is not None
    rows = model.Z.index_select(0, torch.from_numpy(np.asarray(items, dtype=np.int64)))
    return rows.coalesce() if rows.is_sparse else rows
