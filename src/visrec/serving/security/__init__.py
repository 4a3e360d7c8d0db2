"""What stands between a request and the routes: who may ask what, how much, and what every answer says to a browser.

Each is a plain ASGI middleware of its own; `protect` puts them around an app in the order in which they must stand.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from visrec.serving.security.access import Access
from visrec.serving.security.faults import Faults
from visrec.serving.security.headers import Headers
from visrec.serving.security.hosts import Hosts
from visrec.serving.security.limits import Bodies, Rates
from visrec.serving.security.log import Log
from visrec.serving.security.sessions import Sessions
from visrec.serving.security.surface import Surface

if TYPE_CHECKING:
    from fastapi import FastAPI

    from visrec.serving.settings import ServiceSettings

__all__ = ["Surface", "protect"]


def protect(
    app: FastAPI,
    settings: ServiceSettings,
    *,
    surface: Surface,
    refused: Callable[[str], None] = lambda _: None,
) -> None:
    """Put the app behind all of them. What is added to the app afterwards stands outside of them: metrics, say.

    A route finds in `request.state`: `request_id`, `session` (an unguessable name for one browser), `may_write`
    (whether what this client writes would be taken: a page needn't offer what would be refused).

    Args:
        app: with `problems.install` done, or to come.
        settings: of the service.
        surface: which paths are what.
        refused: told the reason of each upload that is refused before a route sees it.
    """
    app.add_middleware(Bodies, settings=settings, surface=surface, refused=refused)
    app.add_middleware(Sessions)
    app.add_middleware(Access, settings=settings, surface=surface)
    app.add_middleware(Rates, settings=settings, surface=surface, refused=refused)
    app.add_middleware(Hosts, settings=settings)
    app.add_middleware(Faults)
    app.add_middleware(Headers)
    app.add_middleware(Log)
