"""By which names a service may be reached.

A page of any site can have a name of its own point to 127.0.0.1 after it was loaded (DNS rebinding); the browser then
takes the service on this machine for a part of that site, and hands it everything. Only the Host header tells.
"""

from __future__ import annotations

import ipaddress

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from visrec.serving.problems import Problem, answer
from visrec.serving.settings import ServiceSettings, is_loopback


class Hosts:
    """Answers with status 421 what is meant for another host."""

    def __init__(self, app: ASGIApp, settings: ServiceSettings) -> None:
        self._app, self._settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "http":
            request = Request(scope)
            # More than one Host header is refused: what stands before the service may have looked at the other.
            found = request.headers.getlist("host")
            if len(found) != 1 or not is_allowed(found[0], self._settings):
                problem = Problem(
                    421,
                    "This service does not answer under this host name. If it should, start it with the name among "
                    "its allowed hosts.",
                    kind="unknown-host",
                )
                await answer(request, problem)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def is_allowed(host: str, settings: ServiceSettings) -> bool:
    """Whether a Host header (name or address, and perhaps a port) is one of the service's own.

    An address cannot be rebound. It is enough where other machines are let in, since these need the token anyway.
    """
    name = host_name(host)
    if is_loopback(name):
        return True
    try:
        ipaddress.ip_address(name)
        if not settings.is_local:
            return True
    except ValueError:
        pass
    return any(_matches(name, allowed.lower()) for allowed in (settings.host, *settings.allowed_hosts))


def host_name(host: str) -> str:
    """The name or address in a Host header, in lower case, without port, brackets and final dot."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].rstrip(".")


def _matches(name: str, allowed: str) -> bool:
    if allowed.startswith("*."):
        return name.endswith(allowed[1:]) and len(name) > len(allowed) - 1
    return name == allowed.strip("[]")
