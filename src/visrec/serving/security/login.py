"""How a person with a browser shows the token: once, in a form; a cookie remembers it."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from visrec.serving.security.sessions import cookie
from visrec.serving.security.surface import LOGIN, LOGOUT, root_of
from visrec.serving.settings import ServiceSettings

COOKIE = "visrec_login"
DAYS = 7

LoginPage = Callable[[str, str | None], Response]
"""Makes the page with the form, of where to go then and of what was wrong; it posts `token` and `next`."""


def login_routes(settings: ServiceSettings, page: LoginPage) -> APIRouter:
    """/login and /logout."""
    routes = APIRouter(include_in_schema=False)

    @routes.get(LOGIN)
    async def form(next: str = "/") -> Response:  # noqa: A002 - the name in the address
        return page(safe_target(next), None)

    @routes.post(LOGIN)
    async def login(request: Request) -> Response:
        async with request.form(max_files=0, max_fields=2, max_part_size=4096) as sent:
            token, target = str(sent.get("token", "")), safe_target(str(sent.get("next", "/")))
        if not settings.is_token(token.strip()):
            again = page(target, "That is not the token of this service.")
            again.status_code = 403
            return again
        answer = RedirectResponse(root_of(request.scope) + target, status_code=303)
        answer.headers.append(
            "Set-Cookie",
            cookie(
                COOKIE, signed(settings, until=_now() + DAYS * 86400), request.scope, seconds=DAYS * 86400
            ),
        )
        return answer

    @routes.post(LOGOUT)
    async def logout(request: Request) -> Response:
        answer = RedirectResponse(root_of(request.scope) + "/", status_code=303)
        answer.headers.append("Set-Cookie", cookie(COOKIE, "", request.scope, seconds=0))
        return answer

    return routes


def is_signed_in(request: Request, settings: ServiceSettings) -> bool:
    """Whether a request brings the cookie of a login with the present token that has not run out."""
    until, _, _ = request.cookies.get(COOKIE, "").partition(".")
    if settings.token is None or not (until.isascii() and until.isdigit() and len(until) <= 12):
        return False
    right = signed(settings, until=int(until))
    return hmac.compare_digest(request.cookies[COOKIE].encode(), right.encode()) and int(until) > _now()


def signed(settings: ServiceSettings, *, until: int) -> str:
    """The cookie's value: when it runs out (Unix time), and a proof that the token was shown; not the token."""
    assert settings.token is not None
    key = settings.token.get_secret_value().encode()
    proof = hmac.new(key, f"visrec login until {until}".encode(), hashlib.sha256).hexdigest()
    return f"{until}.{proof}"


def safe_target(target: str) -> str:
    """Where to go after the login: a path of this service, never another site."""
    ours = target.startswith("/") and not target.startswith(("//", "/\\"))
    return target if ours and target.isprintable() and "\\" not in target else "/"


def _now() -> int:
    return int(time.time())
