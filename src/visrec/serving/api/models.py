"""The run that answers: its models, how they were judged, another one in its place."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from visrec.serving.api.schemas import Answer
from visrec.serving.engine import Engine
from visrec.serving.service import CurrentEngine, CurrentService

router = APIRouter(tags=["models"])


class Estimate(Answer):
    """A mean over users, and the interval that covers the true one in 95 of 100 data sets like this."""

    mean: float
    """The mean."""
    low: float
    """Where the interval begins."""
    high: float
    """Where it ends."""


class ModelAnswer(Answer):
    """A model of the run, and what it needs and can do."""

    name: str
    """In questions."""
    model: str
    """Its kind: a name of `visrec models`."""
    paper: str
    """Where it comes from."""
    needs: str
    """The content that it looks at: none, vector, regions or image."""
    personal: bool
    """Whether its lists follow what somebody took."""
    visitors: bool
    """Whether it serves a history without a user."""
    follows_likes: bool
    """Whether a history, and so a like, changes its lists at once; else it knows its users by training alone."""
    weights: bool
    """Whether items of a history may have weights, below 0 too."""
    pictures: bool
    """Whether a history may hold uploaded pictures."""
    new_items: bool
    """Whether it can tell items that nobody has taken yet from one another."""
    metrics: dict[str, Estimate]
    """How it was judged on the test part; empty: it was not."""


class Models(Answer):
    """The models of the run."""

    run: str
    """The digest of the run."""
    title: str
    """What the run is called."""
    best: str
    """The model for users that is taken where none is named."""
    extractor: str | None
    """Whose visual features the run has; it compares items too: `by` in /v1/similar."""
    models: list[ModelAnswer]
    """In the run's order."""


class Metrics(Answer):
    """How the models were judged."""

    run: str
    """The digest of the run."""
    models: dict[str, dict[str, Estimate]]
    """Of each model each metric."""
    protocol: dict[str, Any]
    """Who was asked what, and how the intervals were made."""


class Reloaded(Answer):
    """The run that answers now."""

    run: str
    """Its digest."""
    before: str
    """The digest of the run that answered until now."""
    n_items: int
    """How many items it has."""


@router.get("/models", summary="The models of the run")
def list_models(engine: CurrentEngine) -> Models:
    """What each needs and can do, and how it was judged."""
    return Models(
        run=engine.digest,
        title=engine.title,
        best=engine.best_model,
        extractor=engine.extractor,
        models=[_model(engine, name) for name in engine.models],
    )


@router.get("/metrics", summary="How the models were judged")
def show_metrics(engine: CurrentEngine) -> Metrics:
    """Means over the users of the test part with intervals, and the protocol. Counters of the service: /metrics."""
    return Metrics(
        run=engine.digest,
        models={name: _metrics(engine, name) for name in engine.reports},
        protocol=engine.run.provenance.get("protocol", {}),
    )


@router.post("/reload", tags=["service"], summary="Answer from the run as it is on the disk now")
def reload(service: CurrentService) -> Reloaded:
    """Load anew what lies in the folder that the service was started with, such as a link that points elsewhere now.

    Requests in progress end with the run that they began with. If the new one cannot be loaded, nothing changes.
    """
    before = service.engine.digest
    engine = service.reload()
    return Reloaded(run=engine.digest, before=before, n_items=len(engine.catalog))


def _model(engine: Engine, name: str) -> ModelAnswer:
    kind = engine.kind_of(name)
    return ModelAnswer(
        name=name,
        model=str(engine.run.experiment.models[name].get("model", name)),
        paper=kind.paper,
        needs=kind.needs,
        personal=kind.personal,
        visitors=kind.new_users,
        follows_likes=kind.personal and kind.query in ("history", "both"),
        weights=kind.weighs,
        pictures=kind.new_pictures,
        new_items=kind.new_items,
        metrics=_metrics(engine, name),
    )


def _metrics(engine: Engine, name: str) -> dict[str, Estimate]:
    report = engine.reports.get(name)
    return {} if report is None else {metric: Estimate(**vars(one)) for metric, one in report.metrics.items()}
