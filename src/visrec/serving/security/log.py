"""One line a request, without anything of a person: no address, no query, no id, no cookie."""

from __future__ import annotations

import logging
import secrets
import time

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from visrec.serving.security.surface import route_of

_LOG = logging.getLogger("visrec.serving.access")


class Log:
    """Names each request and logs method, template of the route, status, milliseconds, and the name.

    The name is ours: one brought along by the client could be anything, and would stand in the log.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        name = secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = name
        status, begun = 0, time.perf_counter()

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = name
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            took = (time.perf_counter() - begun) * 1000
            method = scope["method"] if scope["method"].isalpha() else "?"
            _LOG.info("%s %s %s %.1f ms %s", method[:10], route_of(scope), status or "-", took, name)
