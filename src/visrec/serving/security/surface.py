"""Which paths of a service are what. A path that is not named here is treated as the most dangerous kind."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from starlette.types import Scope

SAFE = ("GET", "HEAD", "OPTIONS")
LOGIN, LOGOUT = "/login", "/logout"

_ALWAYS_PUBLIC = ("/healthz", "/readyz", "/static", "/favicon.ico", LOGIN, LOGOUT)
_CHEAP = ("/healthz", "/readyz", "/static", "/favicon.ico", "/metrics")


@dataclass(frozen=True)
class Surface:
    """Each a tuple of paths, and all that lies below them: "/v1/recommendations" is "/v1/recommendations/batch" too.

    Attributes:
        asking: POST requests that only ask and change nothing.
        uploads: requests that may carry pictures.
        public: reached, and written to, without a token, also from other machines: a study for its participants.
        cheap: not counted against the rate of reading: a page has dozens of pictures.
    """

    asking: tuple[str, ...] = ()
    uploads: tuple[str, ...] = ()
    public: tuple[str, ...] = ()
    cheap: tuple[str, ...] = ("/pictures",)

    def writes(self, method: str, path: str) -> bool:
        """Whether a request may change something."""
        return method not in SAFE and not below(path, (*self.asking, LOGIN, LOGOUT))

    def takes_pictures(self, method: str, path: str) -> bool:
        """Whether a request may carry pictures."""
        return method not in SAFE and below(path, self.uploads)

    def is_public(self, path: str) -> bool:
        """Whether everybody may."""
        return below(path, (*self.public, *_ALWAYS_PUBLIC))

    def is_cheap(self, path: str) -> bool:
        """Whether a request costs next to nothing, or is bounded elsewhere."""
        return below(path, (*self.cheap, *_CHEAP))


def below(path: str, places: tuple[str, ...]) -> bool:
    """Whether a path is one of some, or lies below one."""
    return any(path == place or path.startswith(f"{place}/") for place in places)


def path_of(scope: Scope) -> str:
    """The path that routes see: without the prefix under which a proxy mounts the service."""
    path, root = str(scope["path"]), root_of(scope)
    return path[len(root) :] if root and path.startswith(f"{root}/") else path


def root_of(scope: Scope) -> str:
    """The prefix under which a proxy mounts the service; "" without one."""
    # What an app mounts itself (/static) is added to the one, and the other then keeps what it was.
    return str(scope.get("app_root_path", scope.get("root_path", ""))).rstrip("/")


def route_of(scope: Scope) -> str:
    """The template of the route that answered ("/v1/users/{user_id}"): no ids, and only as many as there are routes.

    "(none)" where no route was reached: the path is unknown, or the request was refused before.
    """
    route: Any = scope.get("route")
    found = getattr(route, "path_format", None) or getattr(route, "path", None)
    mounted = str(scope.get("root_path", ""))[len(root_of(scope)) :]
    return _prefix(route, scope) + str(found or mounted or "(none)")


def _prefix(route: Any, scope: Scope) -> str:
    """What a router adds before the path of its routes ("/v1"); FastAPI tells a route of a router only the rest."""
    own = getattr(route, "path_regex", None)
    found = None if own is None else re.search(own.pattern.removeprefix("^"), scope["path"])
    return "" if found is None else str(scope["path"][: found.start()])
