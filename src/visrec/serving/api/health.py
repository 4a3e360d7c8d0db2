"""For whoever looks after the service: /healthz, /readyz, /metrics."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Response

from visrec.errors import FeedbackError
from visrec.serving.api.schemas import Answer
from visrec.serving.problems import ProblemError
from visrec.serving.service import CurrentEngine, CurrentService

router = APIRouter(tags=["service"])


class Health(Answer):
    """The process answers."""

    status: Literal["ok"] = "ok"
    """Always: who cannot answer, does not."""


class Search(Answer):
    """How a model's lists are found."""

    kind: Literal["exact", "approximate"]
    """"exact" looks at every item; "approximate" follows a graph, for catalogues of more than 100,000 items."""
    recall: dict[int, float]
    """Of the k items that an exact search finds, the share that is found, by k; measured when the graph was built."""


class Ready(Answer):
    """The service can do its work."""

    status: Literal["ready"] = "ready"
    """Else the answer is a problem, with status 503."""
    run: str
    """The digest of the run that answers."""
    models: list[str]
    """That are loaded."""
    search: dict[str, Search]
    """How each model's lists are found, by its name."""
    database: str | None
    """The kind of the database of feedback; null: the service is read-only and has none."""


@router.get("/healthz", summary="Whether the process answers")
def health() -> Health:
    """Nothing is looked at."""
    return Health()


@router.get(
    "/metrics",
    response_class=Response,
    responses={
        200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "For Prometheus."}
    },
    summary="What the service counts of itself",
)
def metrics(service: CurrentService) -> Response:
    """In the text format of Prometheus. How the models were judged: /v1/metrics."""
    return service.metrics.response()


@router.get("/readyz", summary="Whether the service can do its work")
def ready(service: CurrentService, engine: CurrentEngine) -> Ready:
    """All models are loaded, and the database answers."""
    if not engine.is_warm:
        raise ProblemError(
            503, "The models are not loaded yet.", kind="not-ready", headers={"Retry-After": "1"}
        )
    try:
        database = None if service.store is None else service.store.health().database
    except FeedbackError as error:
        detail = "The database of feedback does not answer."
        raise ProblemError(503, detail, kind="not-ready", headers={"Retry-After": "1"}) from error
    search = {name: Search(**engine.search_of(name)) for name in engine.models}
    return Ready(run=engine.digest, models=engine.models, search=search, database=database)
