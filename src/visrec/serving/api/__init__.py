"""The REST service, one file a noun. All routes are under /v1 but those for whoever looks after the service."""

from __future__ import annotations

from fastapi import APIRouter

from visrec.serving.api import events, health, items, models, pictures, recommendations, similar, users
from visrec.serving.problems import RESPONSES

router = APIRouter(responses=RESPONSES)
for _part in (recommendations, pictures, similar, events, items, users, models):
    router.include_router(_part.router, prefix="/v1")
router.include_router(health.router)
