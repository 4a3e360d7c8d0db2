"""Who asks: the session of a request, by a cookie or by a header."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Depends, Header, Request, Response

from visrec.feedback.events import Opinions, new_session
from visrec.serving.service import CurrentEngine, CurrentService

COOKIE = "visrec_session"
HEADER = "Visrec-Session"
_PATTERN = r"^[A-Za-z0-9._:-]{16,64}$"
_DAYS = 180


def _session(
    request: Request,
    visrec_session: Annotated[
        str | None,
        Header(
            pattern=_PATTERN,
            description="The session whose likes count, for programs: 16 to 64 letters, digits and ._:- that nobody "
            "can guess, chosen by the client. Browsers have the cookie `visrec_session` instead.",
            examples=["shop-5b1c0f7e9a2d4c83"],
        ),
    ] = None,
) -> str | None:
    """The id of the session of a request; None: it has none yet."""
    cookie = request.cookies.get(COOKIE, "")
    return visrec_session or (cookie if re.fullmatch(_PATTERN, cookie) else None)


CurrentSession = Annotated[str | None, Depends(_session)]
"""The session id of this request, or None."""


def _opinions(session: CurrentSession, service: CurrentService, engine: CurrentEngine) -> Opinions:
    return service.opinions(session, engine)


CurrentOpinions = Annotated[Opinions, Depends(_opinions)]
"""What this session likes and has hidden, of the items of this run."""


def begin(request: Request, response: Response, session: str | None) -> str:
    """The session that something is written to: that of the request, or a new one, whose cookie is set."""
    if session is not None:
        return session
    session = new_session()
    response.set_cookie(
        COOKIE,
        session,
        max_age=_DAYS * 24 * 3600,
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )
    return session


def end(response: Response) -> None:
    """Have the browser forget its session."""
    response.delete_cookie(COOKIE, httponly=True, samesite="lax")
