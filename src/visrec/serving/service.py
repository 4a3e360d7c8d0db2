"""What every route reaches: the engine of the moment, and what stays when a new run is swapped in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request

from visrec.serving.engine import Engine


class Service:
    """The running service. One an app, in `app.state.service`.

    `engine` is replaced as a whole by `swap`; a request takes it once and keeps it until it is answered, so no answer
    mixes two runs.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def swap(self, path: str | Path) -> Engine:
        """Load another run and answer from it from now on. If that fails, nothing changes."""
        engine = Engine.open(path)
        engine.warm()
        self.engine = engine
        return engine


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


def _engine(request: Request) -> Engine:
    """The engine of this request: the same one however often it is asked for."""
    if not hasattr(request.state, "engine"):
        request.state.engine = _service(request).engine
    engine: Engine = request.state.engine
    return engine


CurrentService = Annotated[Service, Depends(_service)]
CurrentEngine = Annotated[Engine, Depends(_engine)]
