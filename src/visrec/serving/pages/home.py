"""Home: what this run is."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from visrec.serving.pages.rendering import render
from visrec.serving.service import CurrentEngine

router = APIRouter(include_in_schema=False)


@router.get("/", response_class=HTMLResponse)
def home(request: Request, engine: CurrentEngine) -> HTMLResponse:
    """Pictures of the catalogue, counts, the leaderboard, where to go."""
    step = max(1, len(engine.catalog) // 24)
    shown = engine.items(range(0, len(engine.catalog), step))[:24]
    return render(request, engine, "home.html.j2", shown=shown)
