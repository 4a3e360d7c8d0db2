"""The app: REST under /v1, pages beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

import visrec
from visrec.run_folder import Run
from visrec.serving import api, pages, problems
from visrec.serving.metrics import Measured
from visrec.serving.pages.rendering import error_page, login_page
from visrec.serving.security import Surface, protect
from visrec.serving.security.login import login_routes
from visrec.serving.service import Service
from visrec.serving.settings import ServiceSettings
from visrec.serving.study import RunningStudy
from visrec.serving.thumbnails import thumbnail_routes

STATIC = Path(__file__).parent / "static"
SURFACE = Surface(
    asking=("/v1/recommendations", "/v1/similar", "/try/list", "/try/look"),
    uploads=("/v1/recommendations/pictures", "/v1/similar/picture", "/v1/pictures", "/try"),
)
"""Which paths are what to `visrec.serving.security`."""
STUDY = ("/study", "/pictures")
"""What participants of a study reach without a token: its pages, and the pictures on them."""


class _Static(StaticFiles):
    """Files whose address has their digest (`static_url`) are kept by browsers, others are asked for again."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """An answer as Starlette gives it."""
        answer = await super().get_response(path, scope)
        if answer.status_code in (200, 304) and scope["query_string"].startswith(b"v="):
            answer.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return answer


def create_app(run: Run | str | Path, settings: ServiceSettings | None = None) -> FastAPI:
    """The web page and the REST service of a run.

    Args:
        run: a run, or its folder; a link to one may point at another when the service is told to load it anew.
        settings: how it is reached, by whom, and how much it takes; None: this machine alone.

    Raises:
        RunError: the folder is no run, or none of its models is trained.
        FeedbackError: the database of feedback cannot be used, or holds another study of the same name.
        ConfigError: the file of the study is not valid, or its models do not serve visitors.
    """
    service = Service.open(run.path if isinstance(run, Run) else run, settings or ServiceSettings())
    study = _study(service)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(service.warm)
        yield
        await run_in_threadpool(service.close)

    app = FastAPI(
        title="visrec",
        version=visrec.__version__,
        description="Recommendations of things that are seen, and why.",
        lifespan=lifespan,
        docs_url=None,  # its page would ask another host for scripts
        redoc_url=None,
        openapi_url="/v1/openapi.json",
    )
    app.state.service = service
    app.state.error_page = error_page
    problems.install(app)
    app.state.study = study
    surface = SURFACE if study is None else replace(SURFACE, public=STUDY)
    protect(app, service.settings, surface=surface, refused=service.metrics.upload_refused)
    app.add_middleware(Measured, metrics=service.metrics)
    app.include_router(api.router)
    app.include_router(login_routes(service.settings, login_page))
    app.include_router(thumbnail_routes(lambda: service.thumbnails))
    for router in pages.ROUTERS:
        app.include_router(router)
    app.mount("/static", _Static(directory=STATIC), name="static")
    return app


def _study(service: Service) -> RunningStudy | None:
    """The study that the settings name, if they do."""
    if service.settings.study is None:
        return None
    try:
        return RunningStudy.open(service.settings.study, service)
    except Exception:
        service.close()
        raise
