"""The app: REST under /v1, pages beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.staticfiles import StaticFiles

import visrec
from visrec.runs import Run
from visrec.serving import api, pages, problems
from visrec.serving.service import Service
from visrec.serving.settings import ServiceSettings
from visrec.serving.study import RunningStudy

STATIC = Path(__file__).parent / "static"


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
    path = service.settings.study
    study = None if path is None else RunningStudy.open(path, service)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(service.engine.warm)
        yield
        service.close()

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
    problems.install(app)
    app.include_router(api.router)
    for router in pages.ROUTERS:
        app.include_router(router)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    return app
