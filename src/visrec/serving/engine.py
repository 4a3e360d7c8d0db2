"""A run, ready to answer: its catalogue, its people and its models, in one object that is swapped as a whole.

Everything here is by index where it is inside, and by external id where it comes in. Nothing is written.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from visrec.config import digest_of
from visrec.data.catalog import Catalog
from visrec.data.interactions import Histories
from visrec.errors import ConfigError, RunError, UnsupportedError
from visrec.evaluation.protocol import Report
from visrec.files import file_digest
from visrec.recommender import Recommender, load_model
from visrec.retrieval.index import EXACT_UP_TO, Index
from visrec.retrieval.recommendation import index_of
from visrec.run_folder import Run
from visrec.serving.answers import History, Ranked, Ranking, rank
from visrec.serving.looks import Looks
from visrec.serving.question import Known, Picture, Question
from visrec.serving.shelf import Item, Shelf

if TYPE_CHECKING:
    from PIL import Image

    from visrec.explain.explanation import Explanation

INDICES = "indices"
"""The folder of a run in which what finds lists is kept."""

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


@dataclass(frozen=True, eq=False)
class Engine:
    """A run that answers. Safe in threads.

    Attributes:
        run: the run.
        catalog: its items.
        preferred: the model to begin with; None: the one with the best first nDCG.
        made: what others have made of it, by the function that makes it; see `visrec.serving.once`.
    """

    run: Run
    catalog: Catalog
    preferred: str | None = None
    made: dict[Callable[..., Any], Any] = field(default_factory=dict)
    _loaded: dict[str, Recommender] = field(default_factory=dict)
    _indices: dict[str, Index | None] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

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
        return self._first(lambda name: self.kind_of(name).personal) or self.models[0]

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

        found = self._first(fits)
        if found is None:
            who = "such a history" if known else "a visitor of whom nothing is known"
            raise UnsupportedError(f"No model of this run serves {who}. There are {', '.join(self.models)}.")
        return found

    def _first(self, fits: Callable[[str], bool]) -> str | None:
        """Of the models that fit the preferred one, or else the best."""
        names = [name for name in self.models if fits(name)]
        return self.preferred if self.preferred in names else self.best_of(names)

    def best_of(self, names: Sequence[str]) -> str | None:
        """Of some models the one with the best first nDCG; if none was judged, the first; None: there are none."""
        key = f"ndcg@{self.run.experiment.evaluation.cutoffs[0]}"
        judged = [n for n in names if n in self.reports and key in self.reports[n].metrics]
        if not judged:
            return next(iter(names), None)
        return max(judged, key=lambda n: self.reports[n].metrics[key].mean)

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

    def index(self, name: str) -> Index | None:
        """What finds a model's lists where there are too many items to look at all; None: every item is looked at.

        It is built once, which takes long, and kept in the run folder.
        """
        with self._lock:
            if name not in self._indices:
                many = len(self.catalog) > EXACT_UP_TO
                found = self._index(name) if many else None
                self._indices[name] = found if found is not None and found.kind == "approximate" else None
            return self._indices[name]

    def _index(self, name: str) -> Index | None:
        model, folder = self.model(name), self.run.path / INDICES / name
        assert model.Z is not None
        with suppress(RunError):  # it is not there, or of another model
            if not model.Z.is_sparse:
                return Index.load(folder, model.Z.detach().numpy())
        found = index_of(model, threads=torch.get_num_threads())
        if found is not None:
            with suppress(OSError):  # a folder that cannot be written: it is built again next time
                found.save(folder)
        return found

    def search_of(self, name: str) -> dict[str, Any]:
        """How a model's lists are found: `kind`, and `recall` by the length of the list."""
        index = self.index(name)
        return (
            {"kind": "exact", "recall": {}} if index is None else {"kind": index.kind, "recall": index.recall}
        )

    @property
    def is_warm(self) -> bool:
        """Whether all models are loaded."""
        return len(self._loaded) == len(self.models)

    def warm(self) -> None:
        """Load all models, and what else the first question would wait for."""
        for name in self.models:
            self.model(name)
            self.index(name)
        self.shelf.item(0)
        if self.looks is not None:
            self.looks.warm()
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
        return rank(self, question)

    def known(self, question: Question) -> np.ndarray:
        """The user's own items that are left out of the list, see `Known`."""
        if question.user is None or question.known == "none":
            return np.empty(0, dtype=np.int64)
        row = self.run.split.train.users.index(question.user)
        past = self._past.of(row)
        return np.concatenate([past, self._next.of(row)]) if question.known == "all" else past

    def reasons(self, question: Question, items: Sequence[int]) -> list[Explanation]:
        """Why each of some items is in the list of a question, by all parts that the sentence depends on."""
        from visrec.explain.reasons import DECIDING, explain

        history = History.of(self, question)
        liked = history.items if history.weights is None else history.items[history.weights > 0]
        ids = self.catalog.items.take(liked).to_list()
        pictures = {one.name: one.vector for one in question.pictures if one.weight > 0}
        return [
            explain(
                self.model(question.model),
                question.user,
                self.shelf.ids[item],
                history=ids,
                content=self.run.content,
                catalog=self.catalog,
                pictures=pictures or None,
                parts=("nearest",) if pictures else DECIDING,  # what a picture adds is not told
            )
            for item in items
        ]

    # ---- likeness ----------------------------------------------------------------------------------

    @cached_property
    def looks(self) -> Looks | None:
        """What the run's visual features tell; None where it has none."""
        return Looks(self.run.features.align(self.catalog.items)) if self.run.has("vector") else None

    @property
    def extractor(self) -> str | None:
        """The name of the extractor of the run's visual features; None where it has none."""
        return None if self.looks is None else self.looks.extractor

    def similar(self, index: int, k: int = 10, *, by: str | None = None) -> list[Ranked]:
        """The k items most like one: by a model's name, or (None, or their extractor's name) by visual features.

        Raises:
            ConfigError: there is neither such a model nor such an extractor.
            UnsupportedError: the model does not compare items, knows nothing of this one, or the run has no features.
        """
        if by is not None and by in self.models:
            found = self.model(by).similar_items([self.shelf.ids[index]], k)
            rows = self.catalog.items.indices(found["item_id"].to_list())
            return Ranking(rows, found["score"].to_numpy()).page(0, k)
        if by is not None and by != self.extractor:
            known = [*self.models, *([self.extractor] if self.extractor else [])]
            raise ConfigError(f"Nothing called '{by}' compares items here. There are {', '.join(known)}.")
        return Ranking(*self._looks().similar(index, k)).page(0, k)

    def similar_to_picture(self, vector: np.ndarray, k: int = 10) -> list[Ranked]:
        """The k items whose pictures are most like one that is no item, a vector of `encode`."""
        return Ranking(*self._looks().nearest(vector, k)).page(0, k)

    def encode(self, pictures: list[Image.Image]) -> np.ndarray:
        """Vectors `(n, F)` of upright RGB pictures, as those of the run's visual features.

        Raises:
            UnsupportedError: the run has none, or the extractor finds nothing in a picture.
            FeaturesError: they do not say how new pictures are treated.
        """
        return self._looks().encode(pictures)

    def likeness(self, items: np.ndarray, model: str) -> np.ndarray:
        """Cosines `(n, n)` of items by visual features, or by a model where the run has none.

        Raises:
            UnsupportedError: neither can tell.
        """
        if self.looks is not None:
            found = self.looks.vectors(items)
        else:
            vectors = self.model(model).similarity_vectors()
            if vectors is None:
                raise UnsupportedError(
                    f"Neither this run nor {model} can tell which items are alike; leave diversity at 0."
                )
            rows = vectors.index_select(0, torch.from_numpy(items))
            found = (rows.to_dense() if rows.is_sparse else rows).numpy()
        unit = found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
        return unit @ unit.T

    def _looks(self) -> Looks:
        if self.looks is None:
            raise UnsupportedError("This run has no visual features, and so cannot look at pictures.")
        return self.looks
