"""Whose likes count for a request: the session of a browser, by its cookie, or of a program, by a header."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Header, Request, Response

from visrec.feedback.events import Opinions
from visrec.serving.problems import ProblemError
from visrec.serving.security.sessions import COOKIE, cookie
from visrec.serving.service import CurrentEngine, CurrentService


async def _session(
    request: Request,
    visrec_session: Annotated[
        str | None,
        Header(
            pattern=r"^[A-Za-z0-9._:-]{16,64}$",
            description="The session whose likes count, for programs: 16 to 64 letters, digits and ._:- that nobody "
            "can guess, one for each visitor of a shop, chosen by the shop. Browsers have the cookie "
            "`visrec_session` instead.",
            examples=["shop-5b1c0f7e9a2d4c83"],
        ),
    ] = None,
) -> str | None:
    """The id of the session of a request; None: it brings none."""
    brings = request.cookies.get(COOKIE) == request.state.session
    return visrec_session or (request.state.session if brings else None)


CurrentSession = Annotated[str | None, Depends(_session)]
"""The session id of this request, or None."""


def _opinions(session: CurrentSession, service: CurrentService, engine: CurrentEngine) -> Opinions:
    return service.opinions(session, engine)


CurrentOpinions = Annotated[Opinions, Depends(_opinions)]
"""What this session likes and has hidden, of the items of this run."""


def begun(request: Request, session: str | None) -> str:
    """The session that something is written to: that of the request, or the one whose cookie its answer sets.

    Raises:
        ProblemError: a program names none.
    """
    if session is None and "authorization" in request.headers:
        raise ProblemError(
            422,
            "Say whose this is: send the header Visrec-Session, 16 to 64 letters, digits and ._:- that nobody can "
            "guess, one for each visitor.",
            kind="no-session",
        )
    found: str = request.state.session
    return session or found


def end(request: Request, response: Response) -> None:
    """Have the browser forget its session."""
    response.headers.append("Set-Cookie", cookie(COOKIE, "", request.scope, seconds=0))
