"""What every route reaches: the engine of the moment, and what stays when a new run is swapped in."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request

from visrec.errors import FeedbackError
from visrec.feedback.backlog import Backlog
from visrec.feedback.events import Event, Id, Opinions, Shown, ShownItem
from visrec.feedback.store import Store
from visrec.serving.engine import Engine, Item, Question, Ranked
from visrec.serving.kept import KeptPictures
from visrec.serving.metrics import Metrics
from visrec.serving.paging import Lists
from visrec.serving.settings import ServiceSettings
from visrec.serving.thumbnails import FOLDER as THUMBNAILS
from visrec.serving.thumbnails import Thumbnails
from visrec.serving.uploads import Uploads

_LOG = logging.getLogger("visrec.serving")
MOST_LIKED = 500
"""Likes of a session that count in a question, which can say so many itself."""

_REMEMBERED = 10_000  # ids of lists
_NOBODY = "nobody"
"""The session of lists that were shown without one. Sessions of visitors are longer."""


class Service:
    """The running service. One an app, in `app.state.service`.

    `engine` is replaced as a whole by `reload` and `swap`; a request takes it once and keeps it until it is answered,
    so no answer mixes two runs.

    Attributes:
        engine: of the run that answers.
        settings: how the service is reached, by whom, and how much it takes.
        store: the database of feedback; None where the service is read-only and has none yet.
        lists: that are read a page at a time.
        uploads: reads forms with pictures.
        kept: the pictures that somebody wanted kept.
        thumbnails: small pictures of the catalogue that is served.
        metrics: what the service counts of itself.
    """

    def __init__(self, engine: Engine, *, path: Path, settings: ServiceSettings, store: Store | None) -> None:
        self.engine = engine
        self.settings = settings
        self.store = store
        self.lists = Lists()
        self.metrics = Metrics()
        self.uploads = Uploads(settings, refused=self.metrics.upload_refused)
        # Where the run is now: if the path is a link and points elsewhere later, what was kept stays where it is.
        self.kept = KeptPictures(engine.run.path / "uploads", settings)
        self.thumbnails = _thumbnails(engine, settings)
        self._path = path
        self._swapping = threading.Lock()
        self._shown: OrderedDict[str, None] = OrderedDict()
        self._backlog = None if store is None or settings.read_only else Backlog(store)

    @classmethod
    def open(cls, path: str | Path, settings: ServiceSettings) -> Service:
        """Open a run, and the database of its feedback.

        Raises:
            RunError: the folder is no run, or none of its models is trained.
            FeedbackError: the database cannot be used.
        """
        engine = Engine.open(path, preferred=settings.model)
        store = _store(engine.run.path, settings)
        return cls(engine, path=Path(path).absolute(), settings=settings, store=store)

    def swap(self, path: str | Path) -> Engine:
        """Load another run and answer from it from now on. If that fails, nothing changes."""
        with self._swapping:
            engine = Engine.open(path, preferred=self.settings.model)
            engine.warm()
            self.thumbnails = _thumbnails(
                engine, self.settings
            )  # those of before end with their last request
            self.engine = engine
            self._describe()
            return engine

    def reload(self) -> Engine:
        """Load anew what lies in the folder that the service was started with; a link may point elsewhere now."""
        return self.swap(self._path)

    def warm(self) -> None:
        """Load what the first question would wait for."""
        self.engine.warm()
        self._describe()

    def _describe(self) -> None:
        engine = self.engine
        facts = {"digest": engine.digest, "title": engine.title, "items": str(len(engine.catalog))}
        recall = {
            f"{name}@{k}": share
            for name in engine.models
            for k, share in engine.search_of(name)["recall"].items()
        }
        self.metrics.describe_run(facts, recall=recall)

    def close(self) -> None:
        """Give the database's connections back, and end the processes that decode."""
        self.uploads.close()
        self.thumbnails.close()
        if self._backlog is not None:
            self._backlog.close()
        if self.store is not None:
            self.store.close()

    # ---- what was said -----------------------------------------------------------------------------

    def opinions(self, session: str | None, engine: Engine) -> Opinions:
        """What a session likes and has hidden, of the items that the run knows."""
        if session is None or self.store is None:
            return Opinions()
        found = self.store.session_state(session)
        items = engine.catalog.items
        return Opinions(
            tuple(item for item in found.liked if item in items),
            tuple(item for item in found.hidden if item in items),
            {item: weight for item, weight in found.weights.items() if item in items},
        )

    def record(self, event: Event) -> bool:
        """Keep an event, see `Store.record_event`; whoever calls it has asked `writable`."""
        assert self.store is not None
        is_new = self.store.record_event(event)
        if is_new:
            self.metrics.event_stored(event.kind)
        return is_new

    @property
    def writable(self) -> bool:
        """Whether events are kept."""
        return self.store is not None and not self.settings.read_only

    def record_shown(
        self,
        shown: str,
        items: Sequence[tuple[Item, Ranked]],
        question: Question,
        run: str,
        session: str | None,
    ) -> None:
        """Keep a list that was shown, in a moment: neither the answer nor whoever asked waits for the database."""
        if not self.writable or self._backlog is None:
            return
        self._remember(shown)
        settings = {
            "k": question.k,
            "liked": len(question.liked),
            "pictures": len(question.pictures),
            "filters": [str(one) for one in question.filters],
            "diversity": question.diversity,
            "known": question.known,
            "first": items[0][1].rank if items else 1,
        }
        try:
            kept = Shown(
                session=session or _NOBODY,
                items=tuple(ShownItem(item.id, ranked.score) for item, ranked in items),
                id=shown,
                user=question.user,
                model=question.model,
                run=run,
                settings=settings,
            )
        except FeedbackError:  # very long filters, say; its words may be a person's
            _LOG.warning("A shown list is not kept: it is too long, or has ids that cannot be kept.")
            return
        self._backlog.add(kept)

    def forget(self, session: str) -> None:
        """Delete a session and everything that is kept of it; whoever calls it has asked `writable`."""
        assert self.store is not None
        self.lists.forget(session)  # else their next pages would be kept again
        self.flush()  # else a list of the last moment would come after
        self.store.delete_session(session)

    def flush(self) -> None:
        """Return once all lists that were shown until now are kept."""
        if self._backlog is not None:
            self._backlog.flush()

    def has_shown(self, shown: str) -> bool:
        """Whether a list was shown by this service."""
        if shown in self._shown:
            return True
        return self.store is not None and self.store.has_shown(shown)

    def _remember(self, shown: str) -> None:
        """Know a list at once, that is written in a moment."""
        self._shown[shown] = None
        while len(self._shown) > _REMEMBERED:
            self._shown.popitem(last=False)


def _store(path: Path, settings: ServiceSettings) -> Store | None:
    address: str | Path = path if settings.database is None else settings.database
    if not settings.read_only:
        return Store.open(address)
    try:  # what was liked before still counts; but nothing is made
        return Store.open(address, create=False)
    except FeedbackError:
        return None


def _thumbnails(engine: Engine, settings: ServiceSettings) -> Thumbnails:
    return Thumbnails(
        engine.catalog,
        engine.run.path / THUMBNAILS,
        sizes=settings.thumbnail_sizes,
        n_threads=settings.thumbnail_threads,
    )


# Coroutines, though they wait for nothing: FastAPI calls plain functions in another thread, at many times their cost.


async def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


async def _engine(request: Request) -> Engine:
    """The engine of this request: the same one however often it is asked for."""
    if not hasattr(request.state, "engine"):
        request.state.engine = request.app.state.service.engine
    engine: Engine = request.state.engine
    return engine


def with_opinions(question: Question, opinions: Opinions, *, weighs: bool = True) -> Question:
    """A question with what a session likes, before what it says itself, and without what the session has hidden.

    Of very many likes the newest count; the others are only left out of the list.

    `weighs`: whether the model can make something of the weights of likes; those of the question stay as they are.
    If it cannot, a like whose weight is not above 0 is no like: the item is only left out.
    """
    said = {str(item) for item in question.liked}
    liked = [item for item in opinions.liked if str(item) not in said]
    if not weighs:
        liked = [item for item in liked if opinions.weights.get(item, 1.0) > 0]
    before = tuple(liked[-MOST_LIKED:])
    given = question.weights or (1.0,) * len(question.liked)
    weights = (*(opinions.weights.get(item, 1.0) if weighs else 1.0 for item in before), *given)
    return replace(
        question,
        liked=(*before, *question.liked),
        weights=None if all(weight == 1 for weight in weights) else weights,
        exclude=(*question.exclude, *opinions.hidden, *opinions.liked),
    )


def ids_of(engine: Engine, items: Sequence[Id]) -> list[Id]:
    """Item ids as the catalogue has them: "12" where it has 12.

    Raises:
        UnknownIdError: there is no such item.
    """
    return [engine.shelf.ids[index] for index in engine.catalog.items.indices(items).tolist()]


CurrentService = Annotated[Service, Depends(_service)]
CurrentEngine = Annotated[Engine, Depends(_engine)]
