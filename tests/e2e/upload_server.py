"""A service that only takes pictures, as a process of its own: prints its port, and ends with its stdin."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading

import uvicorn
from fastapi import FastAPI, Request

from visrec.serving import problems
from visrec.serving.security import Surface, protect
from visrec.serving.settings import ServiceSettings
from visrec.serving.uploads import Uploads


def main() -> None:
    """Serve until stdin ends."""
    settings = ServiceSettings(port=0, **json.loads(sys.argv[1]))
    uploads = Uploads(settings)
    app = FastAPI()
    problems.install(app)
    protect(app, settings, surface=Surface(asking=("/v1/upload",), uploads=("/v1/upload",)))

    @app.post("/v1/upload")
    async def upload(request: Request) -> dict[str, list[list[int]]]:
        form = await uploads.read(request)
        return {"shapes": [list(one.shape) for one in form.pictures]}

    listening = socket.create_server((settings.host, 0), backlog=settings.server["backlog"])
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", **settings.server))

    def until_told() -> None:
        sys.stdout.write(f"{listening.getsockname()[1]}\n")
        sys.stdout.flush()
        sys.stdin.read()
        server.should_exit = True

    threading.Thread(target=until_told, daemon=True).start()
    server.run(sockets=[listening])
    uploads.close()
    os._exit(0)


if __name__ == "__main__":
    main()
