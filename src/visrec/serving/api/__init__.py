"""The REST service, one file a noun: all routes are under /v1."""

from __future__ import annotations

from fastapi import APIRouter

from visrec.serving.api import events, recommendations, similar
from visrec.serving.problems import RESPONSES

router = APIRouter(prefix="/v1", responses=RESPONSES)
for _part in (recommendations, similar, events):
    router.include_router(_part.router)
