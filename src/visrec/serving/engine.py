"""A run, ready to answer: its catalogue, its people and its models, in one object that is swapped as a whole.

Everything here is by index where it is inside, and by external id where it comes in. Nothing is written.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from visrec.config import digest_of
from visrec.data.catalog import Catalog
from visrec.data.interactions import Histories
from visrec.errors import ConfigError, RunError, UnsupportedError
from visrec.evaluation.protocol import Report
from visrec.features.encoding import encode_with, extractor_of, finish
from visrec.files import file_digest
from visrec.ranking import top_k
from visrec.recommender import Queries, Recommender, load_model
from visrec.runs import Run
from visrec.serving.diversity import POOL, rearranged
from visrec.serving.question import Known, Picture, Question
from visrec.serving.shelf import Item, Shelf

if TYPE_CHECKING:
    from PIL import Image

    from visrec.explain.explanation import Explanation
    from visrec.features.extractor import Extractor

__all__ = ["Engine", "Item", "Known", "Person", "Picture", "Question", "Ranked", "Ranking"]


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
class Engine:
    """A run that answers. Safe in threads.

    Attributes:
        run: the run.
        catalog: its items.
        preferred: the model to begin with; None: the one with the best first nDCG.
    """

    run: Run
    catalog: Catalog
    preferred: str | None = None
    _loaded: dict[str, Recommender] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _encoding: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def open(cls, path: str | Path, *, preferred: str | None = None) -> Engine:
        """Open a run folder.

        Raises:
            RunError: it is none, its data have changed, or none of its models is trained.
            ConfigError: it has no such model as is preferred.
        """
        run = Run.load(Path(path).resolve())  # where a link points now: it may point elsewhere in a moment
        if not run.trained:
            raise RunError(f"{run.path}: no model is trained yet; `visrec run` with the same --out goes on.")
        engine = cls(run, run.data.catalog, preferred)
        if preferred is not None:
            engine._check(preferred)
        return engine

    # ---- what there is -----------------------------------------------------------------------------

    @cached_property
    def digest(self) -> str:
        """Tells runs apart: of the models and the data."""
        models = {name: file_digest(self.run.folder_of(name) / "config.json") for name in self.models}
        return digest_of({"models": models, "data": self.catalog.items.digest})[:16]

    @cached_property
    def title(self) -> str:
        """What the run is called."""
        return self.run.experiment.title or Path(self.run.experiment.data.path).name

    @cached_property
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
        return self._best(lambda name: self.kind_of(name).personal) or self.models[0]

    @cached_property
    def visitor_models(self) -> list[str]:
        """Names of the models that serve a visitor by what they like: see `Recommender.new_users`."""
        return [n for n in self.models if self.kind_of(n).new_users and self.kind_of(n).personal]

    def model_for(self, question: Question, *, known: bool = False) -> str:
        """The best of the models that can answer a question, whose own is not looked at.

        Args:
            question: what is asked.
            known: whether something of the visitor is known beside the question.

        Raises:
            UnsupportedError: none can.
        """
        said, seen = bool(question.liked or question.pictures), bool(question.pictures)
        known = known or said

        def fits(name: str) -> bool:
            kind = self.kind_of(name)
            if question.user is None and not kind.new_users:
                return False
            if question.user is None and not known:
                return not kind.personal
            weighed = question.weights is None or kind.weighs
            heard = kind.query in ("history", "both") or not said
            return kind.personal and heard and weighed and (kind.new_pictures or not seen)

        found = self._best(fits)
        if found is None:
            who = "such a history" if known else "a visitor of whom nothing is known"
            raise UnsupportedError(f"No model of this run serves {who}. There are {', '.join(self.models)}.")
        return found

    def _best(self, fits: Callable[[str], bool]) -> str | None:
        """Of the models that fit the preferred one, or else the one with the best first nDCG."""
        key = f"ndcg@{self.run.experiment.evaluation.cutoffs[0]}"
        names = [name for name in self.models if fits(name)]
        if self.preferred in names:
            return self.preferred
        judged = [n for n in names if n in self.reports and key in self.reports[n].metrics]
        return (
            max(judged, key=lambda n: self.reports[n].metrics[key].mean)
            if judged
            else next(iter(names), None)
        )

    @cached_property
    def _kinds(self) -> dict[str, type[Recommender]]:
        return {name: type(self.run.experiment.build(name)) for name in self.models}

    def kind_of(self, name: str) -> type[Recommender]:
        """The class of a model, without loading it."""
        self._check(name)
        return self._kinds[name]

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

    @property
    def is_warm(self) -> bool:
        """Whether all models are loaded."""
        return len(self._loaded) == len(self.models)

    def warm(self) -> None:
        """Load all models, and what else the first question would wait for."""
        for name in self.models:
            self.model(name)
        self.shelf.item(0)
        _ = self.digest, self.best_model, self._past, self._next

    # ---- items and people --------------------------------------------------------------------------

    @cached_property
    def shelf(self) -> Shelf:
        """The items, quick to show."""
        return Shelf(self.catalog)

    def item(self, index: int) -> Item:
        """An item by its index."""
        return self.shelf.item(index)

    def items(self, indices: Iterable[int]) -> list[Item]:
        """Several items by index, in that order."""
        return self.shelf.items(indices)

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
        """The best items for somebody; errors as of `rank`."""
        return self.rank(question).page(0, question.k)

    def rank(self, question: Question) -> Ranking:
        """The best items for somebody, at most k.

        Raises:
            DataError: the user or an item is unknown.
            UnsupportedError: the model cannot serve a visitor, weights or pictures, or knows nothing of what they
                like.
            ConfigError: there is no such model or column, or neither a user nor a history.
        """
        scores, owner = self._scores(question)
        kept = max(question.k, POOL) if question.diversity else question.k
        found, values = top_k(scores[None], kept, np.array([owner]))
        real = found[0] >= 0
        items, values = found[0][real], values[0][real]
        if question.diversity:
            order = np.arange(len(items))
            order[:POOL] = rearranged(
                values[:POOL], self._likeness(items[:POOL], question), question.diversity
            )
            items, values = items[order], values[order]
        return Ranking(items[: question.k], values[: question.k])

    def _scores(self, question: Question) -> tuple[torch.Tensor, int]:
        """Scores `(I,)` of all items, -inf at those that are left out, and whose order ties have."""
        model, items = self.model(question.model), self.catalog.items
        liked, weights = _distinct(items.indices(question.liked), question.weights)
        left_out = [liked, items.indices(question.exclude)]
        mask = self.shelf.filtering.mask(question.filters)
        history, owner, users = liked, -1, None
        if question.user is None:
            if not len(liked) and not question.pictures and model.personal:
                raise ConfigError("Nothing is known of this visitor. Give a user, or items that they like.")
        else:
            owner = model.users.index(question.user)
            users = np.array([owner])
            own = model.histories.of(owner)
            own = own[~np.isin(own, liked)]  # the new opinion counts
            history = np.concatenate([own, liked])
            weights = None if weights is None else np.concatenate([np.ones(len(own)), weights])
            if question.known != "none":
                left_out.append(self._past.of(owner))
            if question.known == "all":
                left_out.append(self._next.of(owner))
        queries = Queries.of(
            [history],
            users,
            weights=None if weights is None else [weights],
            pictures=[np.stack([p.vector for p in question.pictures])] if question.pictures else None,
            picture_weights=[np.array([p.weight for p in question.pictures])] if question.pictures else None,
        )
        scores = model.score_queries(queries)[0]
        if question.user is None and model.personal and bool(scores.min() == scores.max()):
            raise UnsupportedError(
                f"{question.model} knows nothing of these items (no image, or no interaction)."
            )
        scores = scores.clone()
        scores[np.concatenate(left_out)] = -torch.inf
        if mask is not None:
            scores[torch.from_numpy(~mask)] = -torch.inf
        return scores, owner

    def _likeness(self, items: np.ndarray, question: Question) -> np.ndarray:
        """Cosines `(n, n)` of items by visual features, or by the model where the run has none."""
        if self.run.has("vector"):
            found = np.asarray(self.run.features.values[items], dtype=np.float32)
        else:
            vectors = self.model(question.model).similarity_vectors()
            if vectors is None:
                raise UnsupportedError(
                    f"Neither this run nor {question.model} can tell which items are alike; leave diversity at 0."
                )
            rows = vectors.index_select(0, torch.from_numpy(items))
            found = (rows.to_dense() if rows.is_sparse else rows).numpy()
        unit = found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
        return unit @ unit.T

    def reasons(self, question: Question, items: Sequence[int]) -> list[Explanation]:
        """Why each of some items is in the list of a question: the nearest of what was liked, and a sentence."""
        from visrec.explain.reasons import explain

        model, ids = self.model(question.model), self.catalog.items
        liked, weights = _distinct(ids.indices(question.liked), question.weights)
        if weights is not None:
            liked = liked[weights > 0]
        if question.user is not None:
            own = model.histories.of(model.users.index(question.user))
            liked = np.concatenate([own[~np.isin(own, liked)], liked])
        history = ids.take(liked).to_list()
        pictures = {one.name: one.vector for one in question.pictures if one.weight > 0}
        return [
            explain(
                model,
                question.user,
                self.shelf.ids[item],
                history=history,
                content=self.run.content,
                catalog=self.catalog,
                pictures=pictures or None,
                parts=("nearest",),
            )
            for item in items
        ]

    # ---- likeness ----------------------------------------------------------------------------------

    @cached_property
    def extractor(self) -> str | None:
        """The name of the extractor of the run's visual features; None where it has none."""
        return str(self.run.features.provenance["extractor"]) if self.run.has("vector") else None

    def similar(self, index: int, k: int = 10, *, by: str | None = None) -> list[Ranked]:
        """The k items most like one: by a model's name, or (None, or their extractor's name) by visual features."""
        item = self.catalog.items.values[index]
        if by is not None and by in self.models:
            found = self.model(by).similar_items([item], k)
        else:
            self._check_extractor(by)
            found = self.run.similar(item, k)
        rows = self.catalog.items.indices(found["item_id"].to_list())
        return Ranking(rows, found["score"].to_numpy()).page(0, k)

    def similar_to_picture(self, vector: np.ndarray, k: int = 10) -> list[Ranked]:
        """The k items whose pictures are most like one that is no item, a vector of `encode`."""
        from visrec.neighbours import nearest

        found, values = nearest(self.run.features, vector[None], k)
        real = found[0] >= 0
        return Ranking(found[0][real], values[0][real]).page(0, k)

    def encode(self, pictures: list[Image.Image]) -> np.ndarray:
        """Vectors `(n, F)` of upright RGB pictures, as those of the run's visual features.

        Raises:
            FeaturesError: the run has none, or they do not say how new pictures are treated.
            UnsupportedError: the extractor finds nothing in a picture.
        """
        features = self.run.features
        with self._encoding:  # one at a time: it computes in threads of its own
            raw = encode_with(self._pictures_extractor, pictures).astype(features.values.dtype)
        vectors = finish(features, raw)
        blank = ~(raw.reshape(len(raw), -1).any(axis=1) & vectors.reshape(len(raw), -1).any(axis=1))
        if blank.any():
            raise UnsupportedError(
                f"{self.extractor} finds nothing in picture {int(np.argmax(blank)) + 1} to compare it by."
            )
        return vectors

    @cached_property
    def _pictures_extractor(self) -> Extractor:
        return extractor_of(self.run.features)

    def _check_extractor(self, by: str | None) -> None:
        if by is not None and by != self.extractor:
            known = [*self.models, *([self.extractor] if self.extractor else [])]
            raise ConfigError(f"Nothing called '{by}' compares items here. There are {', '.join(known)}.")


def _distinct(items: np.ndarray, weights: tuple[float, ...] | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Each item once, where it came last, and its weight; None where all weigh 1."""
    if weights is not None and len(weights) != len(items):
        raise ConfigError(f"There are {len(weights)} weights for {len(items)} items; give one each, or none.")
    newest_first, first = np.unique(items[::-1], return_index=True)
    order = np.argsort(-first)
    if weights is None:
        return newest_first[order], None
    found = np.array(weights, dtype=np.float64)[::-1][first][order]
    return newest_first[order], None if (found == 1).all() else found
