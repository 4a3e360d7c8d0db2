"""For whoever looks after the service: /healthz, /readyz."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter

from visrec.errors import FeedbackError
from visrec.serving.api.schemas import Answer
from visrec.serving.problems import ProblemError
from visrec.serving.service import CurrentEngine, CurrentService

router = APIRouter(tags=["service"])


class Health(Answer):
    """The process answers."""

    status: Literal["ok"] = "ok"
    """Always: who cannot answer, does not."""


class Ready(Answer):
    """The service can do its work."""

    status: Literal["ready"] = "ready"
    """Else the answer is a problem, with status 503."""
    run: str
    """The digest of the run that answers."""
    models: list[str]
    """That are loaded."""
    database: str | None
    """The kind of the database of feedback; null: the service is read-only and has none."""


@router.get("/healthz", summary="Whether the process answers")
def health() -> Health:
    """Nothing is looked at."""
    return Health()


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
    return Ready(run=engine.digest, models=engine.models, database=database)
