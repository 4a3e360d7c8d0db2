"""Who may read and who may write.

| the service listens on | token | reading | writing |
|---|---|---|---|
| this machine | none | everybody on it | its own pages; programs are refused |
| this machine | set | everybody on it | with the token |
| another address | needed | with the token | with the token |

The token comes in a header (`Authorization: Bearer …`) or, from a browser, by the cookie that /login sets. With
`read_only`, nobody writes. What other sites' pages make a browser send is refused in any case.
"""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from visrec.serving.problems import Problem, answer, wants_page
from visrec.serving.security.login import is_signed_in
from visrec.serving.security.surface import LOGIN, SAFE, Surface, path_of, root_of
from visrec.serving.settings import ServiceSettings


class Access:
    """Lets through who may, and tells the others what is missing."""

    def __init__(self, app: ASGIApp, settings: ServiceSettings, surface: Surface) -> None:
        self._app, self._settings, self._surface = app, settings, surface

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "http":
            refusal = self._refusal(Request(scope))
            if refusal is not None:
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _refusal(self, request: Request) -> Response | None:
        settings, path = self._settings, path_of(request.scope)
        shown = bearer(request)
        if shown is not None and not settings.is_token(shown):
            return _unknown(request, "The token is not the one that this service was started with.")
        trusted = shown is not None or is_signed_in(request, settings)
        public = self._surface.is_public(path)
        open_to_pages = settings.is_local and settings.token is None
        request.state.may_write = not settings.read_only and (trusted or public or open_to_pages)

        if shown is None and is_from_elsewhere(request):  # a browser adds no such header by itself
            detail = (
                "Another site's page has made this request; this service answers its own pages and programs."
            )
            return answer(request, Problem(403, detail, kind="cross-site"))
        if not (trusted or public or settings.is_local):
            if request.method in SAFE and wants_page(request):
                return _to_login(request)
            return _unknown(request, "This service needs a token: send 'Authorization: Bearer TOKEN'.")
        if not self._surface.writes(request.method, path):
            return None
        if settings.read_only:
            detail = "This service is read-only: it stores nothing."
            return answer(request, Problem(403, detail, kind="read-only"))
        if trusted or public:
            return None
        if not open_to_pages:
            return _unknown(
                request, "Writing needs the token: send 'Authorization: Bearer TOKEN', or sign in."
            )
        if not is_from_own_page(request):
            detail = (
                "Programs need a token to write, and this service was started without one. Start it with a token, "
                "and send 'Authorization: Bearer TOKEN'."
            )
            return answer(request, Problem(403, detail, kind="no-token"))
        return None


def bearer(request: Request) -> str | None:
    """The token that a request shows in its header, right or wrong; None where it shows none."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" else None


def is_from_elsewhere(request: Request) -> bool:
    """Whether a browser sends this on behalf of another origin's page. Following a link to us is not that.

    Other ports of the same machine are other origins, too. Sec-Fetch-Site is the browser's own judgement; it comes on
    this machine and over TLS, and Origin where not. Who sends neither is no browser of the last years.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        is_link = request.method in SAFE and request.headers.get("sec-fetch-mode") == "navigate"
        return site not in {"same-origin", "none"} and not is_link
    return "origin" in request.headers and not _has_own_origin(request)


def is_from_own_page(request: Request) -> bool:
    """Whether a browser says that a page of ours sends this."""
    site = request.headers.get("sec-fetch-site")
    return site == "same-origin" if site is not None else _has_own_origin(request)


def _has_own_origin(request: Request) -> bool:
    # Not the scheme: behind a proxy that ends TLS, we may not know it.
    origin = urlsplit(request.headers.get("origin", ""))
    return origin.netloc.lower() == request.headers.get("host", "").lower()


def _to_login(request: Request) -> Response:
    wanted = path_of(request.scope) + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(
        f"{root_of(request.scope)}{LOGIN}?next={quote(wanted, safe='/')}", status_code=303
    )


def _unknown(request: Request, detail: str) -> Response:
    return answer(
        request,
        Problem(401, detail, kind="token-needed", headers={"WWW-Authenticate": 'Bearer realm="visrec"'}),
    )
