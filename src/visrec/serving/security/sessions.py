"""A name for one browser, so that what it likes takes effect for it, and nothing else about it."""

from __future__ import annotations

import re
import secrets

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from visrec.serving.security.surface import SAFE, root_of

COOKIE = "visrec_session"
DAYS = 30

_SHAPE = re.compile(r"[A-Za-z0-9_-]{32}")


class Sessions:
    """`request.state.session`: 192 random bits, which say nothing and cannot be guessed.

    The cookie is set with the first page and the first write, not with pictures or with answers to programs.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        brought = request.cookies.get(COOKIE, "")
        known = _SHAPE.fullmatch(brought) is not None
        session = brought if known else secrets.token_urlsafe(24)
        scope.setdefault("state", {})["session"] = session
        by_program = "authorization" in request.headers

        async def with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start" and not known and not by_program:
                headers = MutableHeaders(scope=message)
                is_page = headers.get("content-type", "").startswith("text/html")
                if message["status"] < 400 and (is_page or scope["method"] not in SAFE):
                    headers.append("Set-Cookie", cookie(COOKIE, session, scope, seconds=DAYS * 86400))
            await send(message)

        await self._app(scope, receive, with_cookie)


def cookie(name: str, value: str, scope: Scope, *, seconds: int) -> str:
    """A Set-Cookie header that scripts cannot read and that other sites' requests do not carry."""
    secure = "; Secure" if scope.get("scheme") == "https" else ""
    return f"{name}={value}; Path={root_of(scope) or '/'}; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}"
