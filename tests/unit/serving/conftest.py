"""Small apps of the tests' own behind the service's middleware."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient
from pydantic import BaseModel, Field
from starlette.responses import HTMLResponse

from visrec.errors import ConfigError, RunError, UnknownIdError, UnsupportedError
from visrec.serving import problems
from visrec.serving.pages.rendering import login_page
from visrec.serving.security import Surface, protect
from visrec.serving.security.login import login_routes
from visrec.serving.settings import ServiceSettings

TOKEN = "a-token-that-nobody-guesses"
OURS = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}
"""What a browser adds to a request of our own page."""


class Asked(BaseModel):
    """A body."""

    k: int = Field(ge=1)


def app_of(settings: ServiceSettings, **surface: tuple[str, ...]) -> FastAPI:
    """An app with a route of each kind."""
    app = FastAPI()
    problems.install(app)
    surface = {
        "asking": ("/v1/ask", "/v1/upload"),
        "uploads": ("/v1/upload",),
        "public": ("/study",),
        **surface,
    }
    protect(app, settings, surface=Surface(**surface))
    app.include_router(login_routes(settings, login_page))

    @app.get("/")
    async def home() -> HTMLResponse:
        return HTMLResponse("<h1>Home</h1>")

    @app.get("/v1/users/{user_id}")
    async def user(user_id: str, request: Request) -> dict[str, Any]:
        return {"user": user_id, "session": request.state.session, "may_write": request.state.may_write}

    @app.post("/v1/ask")
    async def ask(asked: Asked) -> dict[str, int]:
        return {"k": asked.k}

    @app.post("/v1/upload")
    async def upload(request: Request) -> dict[str, int]:
        return {"bytes": len(await request.body())}

    @app.post("/v1/events")
    @app.post("/study/answers")
    @app.post("/like")
    async def like() -> dict[str, bool]:
        return {"stored": True}

    @app.get("/v1/raise/{kind}")
    async def fail(kind: str) -> None:
        raise {
            "unknown": UnknownIdError("Unknown user 'x'."),
            "config": ConfigError("k is 0; expected 1 or more."),
            "unsupported": UnsupportedError("Popularity has no similar items."),
            "run": RunError("/home/anna/runs/a: has no features. `visrec run DATA --out /home/anna/runs/a`"),
            "bug": ZeroDivisionError("user anna@example.org"),
        }[kind]

    return app


@pytest.fixture
def client() -> Iterator[Callable[..., TestClient]]:
    """`client(token=…, public=(…,))`: of the app with these settings; by default as a program on this machine."""
    with ExitStack() as stack:

        def make(
            *, base: str = "http://127.0.0.1:8000", surface: dict[str, Any] | None = None, **values: Any
        ) -> TestClient:
            app = app_of(ServiceSettings(**values), **(surface or {}))
            return stack.enter_context(
                TestClient(app, base_url=base, follow_redirects=False, client=("203.0.113.7", 5000))
            )

        yield make
