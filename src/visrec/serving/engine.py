"""A run, ready to answer: its catalogue, its people and its models, in one object that is swapped as a whole.

Everything here is by index where it is inside, and by external id where it comes in. Nothing is written.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from visrec.config import digest_of
from visrec.data.catalog import Catalog
from visrec.data.interactions import Histories
from visrec.errors import ConfigError, RunError, UnsupportedError
from visrec.evaluation.protocol import Report
from visrec.files import file_digest
from visrec.ranking import top_k
from visrec.recommender import Queries, Recommender, load_model
from visrec.runs import Run

Known = Literal["all", "past", "none"]
"""What of a user's own items is left out of lists: all that the data set knows, what lies before the test part (as in
the evaluation), or nothing."""

CREATORS = ("artist", "creator", "author", "brand", "designer", "photographer")
CATEGORIES = ("category", "style", "genre", "genres", "type")


@dataclass(frozen=True)
class Item:
    """An item as pages and answers show it.

    Attributes:
        index: in the catalogue.
        id: the external id.
        title: or the id, where there is none.
        creator: who made it, if a column says so.
        category: what it is, if a column says so.
        metadata: the other columns, as far as they are not empty.
        has_image: whether the data set has a picture of it.
    """

    index: int
    id: str | int
    title: str
    creator: str | None
    category: str | None
    metadata: dict[str, Any]
    has_image: bool


@dataclass(frozen=True)
class Person:
    """A user of the data set. Items are indices of the catalogue.

    Attributes:
        id: the external id.
        history: what they took before the test part, newest first.
        took: the held-out items: what they really took next.
    """

    id: str | int
    history: tuple[int, ...]
    took: tuple[int, ...]


@dataclass(frozen=True)
class Question:
    """For whom to rank, and what may stand in the list.

    Attributes:
        model: a name from `Engine.models`.
        k: list length.
        user: a user id; None: a visitor.
        liked: item ids that the person likes beside what the model knows, oldest first. They are never in the list.
        exclude: item ids that must not be in the list.
        known: see `Known`.
    """

    model: str
    k: int = 20
    user: str | int | None = None
    liked: tuple[str | int, ...] = ()
    exclude: tuple[str | int, ...] = ()
    known: Known = "all"


@dataclass(frozen=True)
class Ranked:
    """An item of a list: its index, its score, its place (1 is the best)."""

    index: int
    score: float
    rank: int


@dataclass(frozen=True, eq=False)
class Engine:
    """A run that answers. Safe in threads.

    Attributes:
        run: the run.
        catalog: its items.
    """

    run: Run
    catalog: Catalog
    _loaded: dict[str, Recommender] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    @classmethod
    def open(cls, path: str | Path) -> Engine:
        """Open a run folder.

        Raises:
            RunError: it is none, its data have changed, or none of its models is trained.
        """
        run = Run.load(path)
        if not run.trained:
            raise RunError(f"{run.path}: no model is trained yet; `visrec run` with the same --out goes on.")
        return cls(run, run.data.catalog)

    # ---- what there is -----------------------------------------------------------------------------

    @cached_property
    def digest(self) -> str:
        """Tells runs apart: of the models, the data and the reports."""
        models = {name: file_digest(self.run.folder_of(name) / "config.json") for name in self.run.trained}
        return digest_of({"models": models, "data": self.catalog.items.digest})[:16]

    @property
    def title(self) -> str:
        """What the run is called."""
        return self.run.experiment.title or Path(self.run.experiment.data.path).name

    @property
    def models(self) -> list[str]:
        """Names of the trained models."""
        return self.run.trained

    @cached_property
    def reports(self) -> dict[str, Report]:
        """How the models were judged, by name; those without a report are left out."""
        return self.run.reports

    @cached_property
    def best_model(self) -> str:
        """The model to begin with: of those that look at the person, the one with the best first nDCG."""
        judged = {name: report for name, report in self.reports.items() if self.kind_of(name).personal}
        key = f"ndcg@{self.run.experiment.evaluation.cutoffs[0]}"
        return max(judged, key=lambda name: judged[name].metrics[key].mean) if judged else self.models[0]

    @cached_property
    def visitor_models(self) -> list[str]:
        """Names of the models that serve a visitor by what they like: see `Recommender.new_users`."""
        return [n for n in self.models if self.kind_of(n).new_users and self.kind_of(n).personal]

    def kind_of(self, name: str) -> type[Recommender]:
        """The class of a model, without loading it."""
        self._check(name)
        return type(self.run.experiment.build(name))

    def model(self, name: str) -> Recommender:
        """A model with its content, loaded once.

        Raises:
            ConfigError: there is no such model.
        """
        self._check(name)
        with self._lock:
            if name not in self._loaded:
                self._loaded[name] = load_model(self.run.folder_of(name), self.run.content)
            return self._loaded[name]

    def _check(self, name: str) -> None:
        if name not in self.models:
            raise ConfigError(f"There is no model '{name}'. There are {', '.join(self.models)}.")

    def warm(self) -> None:
        """Load all models, so that the first question need not wait."""
        for name in self.models:
            self.model(name)

    # ---- items and people --------------------------------------------------------------------------

    def item(self, index: int) -> Item:
        """An item by its index."""
        row = self.catalog.metadata.row(index, named=True)
        rest = {
            k: v for k, v in row.items() if k not in ("item_id", "title") and v is not None and str(v).strip()
        }
        return Item(
            index=index,
            id=self.catalog.items.values[index],
            title=self.catalog.title(index),
            creator=next((str(rest[c]) for c in CREATORS if c in rest), None),
            category=next((str(rest[c]) for c in CATEGORIES if c in rest), None),
            metadata=rest,
            has_image=self.catalog.paths[index] is not None,
        )

    def items(self, indices: Sequence[int]) -> list[Item]:
        """Several items by index, in that order."""
        return [self.item(index) for index in indices]

    @cached_property
    def _past(self) -> Histories:
        return self.run.split.seen("test").histories()

    @cached_property
    def _next(self) -> Histories:
        return self.run.split.test.histories()

    def person(self, user: str | int) -> Person:
        """A user of the data set by id; `DataError` if there is none."""
        users = self.run.split.train.users
        row = users.index(user)
        past, took = self._past.of(row)[::-1].tolist(), self._next.of(row).tolist()
        return Person(users.values[row], tuple(past), tuple(took))

    def likers(self, index: int, n: int = 24) -> tuple[list[str | int], int]:
        """Ids of the users who took an item, the newest first, at most n; and how many there are in all."""
        everything = self.run.data.interactions
        rows = np.flatnonzero(everything.item == index)
        newest = rows[np.argsort(-everything.timestamp[rows], kind="stable")]
        return everything.users.take(everything.user[newest[:n]]).to_list(), len(rows)

    # ---- answers -----------------------------------------------------------------------------------

    def recommend(self, question: Question) -> list[Ranked]:
        """The best items for somebody.

        Raises:
            DataError: the user or an item is unknown.
            UnsupportedError: the model cannot serve a visitor, or knows nothing of what they like.
            ConfigError: there is no such model, or neither a user nor a history.
        """
        scores, left_out, owner = self._scores(question)
        scores[left_out] = -torch.inf
        found, values = top_k(scores[None], question.k, np.array([owner]))
        return [
            Ranked(int(index), float(score), place + 1)
            for place, (index, score) in enumerate(zip(found[0], values[0], strict=True))
            if index >= 0
        ]

    def _scores(self, question: Question) -> tuple[torch.Tensor, np.ndarray, int]:
        """Scores `(I,)` of all items, the indices that are left out, and whose order ties have."""
        model, items = self.model(question.model), self.catalog.items
        liked = items.indices(question.liked)
        left_out = [liked, items.indices(question.exclude)]
        if question.user is None:
            if not len(liked) and model.personal:
                raise ConfigError("Nothing is known of this visitor. Give a user, or items that they like.")
            queries, owner = Queries.of([liked]), -1
        else:
            owner = model.users.index(question.user)
            history = np.concatenate([model.histories.of(owner), liked])
            queries = Queries.of([history], np.array([owner]))
            if question.known != "none":
                left_out.append(self._past.of(owner))
            if question.known == "all":
                left_out.append(self._next.of(owner))
        scores = model.score_queries(queries)[0]
        if question.user is None and model.personal and bool(scores.min() == scores.max()):
            raise UnsupportedError(
                f"{question.model} knows nothing of these items (no image, or no interaction)."
            )
        return scores.clone(), np.concatenate(left_out), owner

    def similar(self, index: int, k: int = 10, *, by: str | None = None) -> list[Ranked]:
        """The k items most like one: by a model's name, or (None) by the visual features of the run."""
        if by is not None:
            self._check(by)
            found = self.model(by).similar_items([self.catalog.items.values[index]], k)
        else:
            found = self.run.similar(self.catalog.items.values[index], k)
        rows = self.catalog.items.indices(found["item_id"].to_list())
        return [
            Ranked(int(row), float(score), place + 1)
            for place, (row, score) in enumerate(zip(rows, found["score"], strict=True))
        ]
