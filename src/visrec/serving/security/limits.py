"""How often a client may ask, how much it may send, and how long it may take to."""

from __future__ import annotations

import asyncio
import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from visrec.serving.problems import Problem, ProblemError, answer
from visrec.serving.security.access import bearer
from visrec.serving.security.surface import LOGIN, SAFE, Surface, path_of
from visrec.serving.settings import ServiceSettings

_MOST_CLIENTS = 10_000  # remembered at once: about 2 MB


class Buckets:
    """A bucket of tokens for each client: full it holds a minute's, and it fills up again in a minute.

    Memory is bounded: who has asked nothing for longest is forgotten, which fills its bucket.
    """

    def __init__(
        self, per_minute: int, *, most: int = _MOST_CLIENTS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._size, self._most, self._clock = per_minute, most, clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._left)

    def wait(self, client: str) -> float:
        """Take one; 0.0 if there was one, else the seconds until there will be, and nothing is taken."""
        if self._size == 0:
            return 0.0
        now, speed = self._clock(), self._size / 60
        left, since = self._left.pop(client, (float(self._size), now))
        left = min(float(self._size), left + (now - since) * speed)
        enough = left >= 1
        self._left[client] = (left - 1 if enough else left, now)
        if len(self._left) > self._most:
            self._left.popitem(last=False)
        return 0.0 if enough else (1 - left) / speed


class Rates:
    """Answers with status 429 who asks too often."""

    def __init__(
        self,
        app: ASGIApp,
        settings: ServiceSettings,
        surface: Surface,
        refused: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._app, self._settings, self._surface, self._refused = app, settings, surface, refused
        self._reading = Buckets(settings.reading_rate)
        self._writing = Buckets(settings.writing_rate)
        self._uploads = Buckets(settings.upload_rate)
        self._logins = Buckets(settings.login_rate)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "http":
            request = Request(scope)
            buckets = self._buckets(request)
            seconds = 0.0 if buckets is None else buckets.wait(client_of(scope))
            if seconds:
                if buckets is self._uploads:
                    self._refused("too-many-requests")
                after = math.ceil(seconds)
                detail = f"Too many requests from this address. Try again in {after} s."
                problem = Problem(429, detail, kind="too-many-requests", headers={"Retry-After": str(after)})
                await answer(request, problem)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _buckets(self, request: Request) -> Buckets | None:
        path, shown = path_of(request.scope), bearer(request)
        if self._surface.takes_pictures(request.method, path):
            return self._uploads
        if shown is not None:  # as with the form: guessing must be slow
            return None if self._settings.is_token(shown) else self._logins
        if path == LOGIN and request.method not in SAFE:
            return self._logins
        if self._surface.writes(request.method, path):
            return self._writing
        return None if self._surface.is_cheap(path) else self._reading


def client_of(scope: Scope) -> str:
    """Who is counted as one client: an IPv4 address, or the network (/64) of an IPv6 address. Kept in memory only."""
    host = scope["client"][0] if scope.get("client") else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return str(host)
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


class Bodies:
    """Reads no more of a body than is allowed, and waits no longer for it.

    The limit holds for what is sent, whatever the header says of it. Where it is passed, whatever the route makes of
    the interruption is replaced by our answer.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: ServiceSettings,
        surface: Surface,
        refused: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._app, self._settings, self._surface, self._refused = app, settings, surface, refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request, settings = Request(scope), self._settings
        with_pictures = self._surface.takes_pictures(request.method, path_of(scope))
        limit = settings.max_request_bytes if with_pictures else settings.max_body_bytes
        deadline = time.monotonic() + settings.body_seconds
        received, whole, begun = 0, False, False
        problem: Problem | None = None

        def refuse(status: int, kind: str, detail: str) -> ProblemError:
            nonlocal problem
            if with_pictures:
                self._refused(kind)
            problem = Problem(status, detail, kind=kind, headers={"Connection": "close"})
            return ProblemError(status, detail)

        def too_large() -> ProblemError:
            return refuse(413, "too-large", f"The request has more than {limit:,} bytes, which is the limit.")

        async def limited() -> Message:
            nonlocal received, whole
            if whole:  # from now on only the end of the connection is waited for
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), deadline - time.monotonic())
            except TimeoutError:
                detail = f"The request was not complete within {settings.body_seconds:g} s."
                raise refuse(408, "too-slow", detail) from None
            received += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if received > limit:
                raise too_large()
            return message

        async def unless_refused(message: Message) -> None:
            nonlocal begun
            if problem is None or begun:
                begun = True
                await send(message)

        declared = request.headers.get("content-length", "")
        if declared.isdigit() and (len(declared) > 15 or int(declared) > limit):
            too_large()
        else:
            try:
                await self._app(scope, limited, unless_refused)
            except Exception:
                if problem is None:
                    raise
        if problem is not None and not begun:
            await answer(request, problem)(scope, receive, send)
