"""A study: for its participants consent, likes, lists, questions, thanks; for its researchers the tables."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Depends, Form, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse, StreamingResponse
from pydantic import StringConstraints
from starlette.concurrency import run_in_threadpool

from visrec.errors import FeedbackError, UnavailableError, VisrecError
from visrec.feedback.events import Shown
from visrec.feedback.exports import csv_lines
from visrec.serving.engine import Engine, Item
from visrec.serving.pages.rendering import render
from visrec.serving.problems import ProblemError, problem_of
from visrec.serving.security.access import bearer
from visrec.serving.security.login import is_signed_in
from visrec.serving.service import CurrentEngine, CurrentService
from visrec.serving.study import RunningStudy, Standing, checked_answers
from visrec.serving.visits import CurrentSession, begun, end

router = APIRouter(include_in_schema=False)

Text = Annotated[str, Form(max_length=512)]
Table = Literal["items", "participants", "shown", "events", "answers"]


def _study(request: Request) -> RunningStudy:
    found: RunningStudy | None = request.app.state.study
    if found is None:
        raise ProblemError(
            404, "There is no study here. A researcher starts one: visrec serve RUN --study FILE."
        )
    return found


CurrentStudy = Annotated[RunningStudy, Depends(_study)]


def _standing(study: CurrentStudy, session: CurrentSession, engine: CurrentEngine) -> Standing:
    return study.standing(session, engine)


CurrentStanding = Annotated[Standing, Depends(_standing)]


@router.get("/study", response_class=HTMLResponse)
def show(
    request: Request,
    engine: CurrentEngine,
    study: CurrentStudy,
    standing: CurrentStanding,
    page: Annotated[int, Query(ge=1, le=10_000)] = 1,
) -> HTMLResponse:
    """The page where a participant stands."""
    if standing.assignment is None:
        return _page(request, engine, study, "consent", standing)
    if standing.is_done:
        return _page(request, engine, study, "thanks", standing)
    if standing.lists:
        return _page(request, engine, study, "list", standing, **_list_of(engine, standing.lists[-1]))
    pages = study.wall_pages(engine)
    shown = engine.items(study.wall(engine, min(page, pages)))
    return _page(request, engine, study, "wall", standing, shown=shown, page=min(page, pages), pages=pages)


@router.post("/study/consent")
def agree(
    request: Request, study: CurrentStudy, session: CurrentSession, version: Text, agreed: Text = ""
) -> Response:
    """Take part."""
    if agreed != "yes":
        return _to("/study?" + urlencode({"missing": "consent"}))
    _done(lambda: study.agree(begun(request, session), version))
    return _to("/study")


@router.post("/study/act")
def act(
    request: Request,
    engine: CurrentEngine,
    study: CurrentStudy,
    *,
    session: CurrentSession,
    standing: CurrentStanding,
    kind: Annotated[Literal["like", "unlike", "hide", "unhide", "click"], Form()],
    item: Text,
    shown: Annotated[str, Form(max_length=64)] = "",
    page: Annotated[int, Form(ge=1, le=10_000)] = 1,
) -> Response:
    """Like, hide or look at a picture."""
    if session is None or standing.assignment is None:
        return _to("/study")
    index = engine.catalog.items.index(item)
    found = engine.item(index)
    _done(
        lambda: study.record(session, standing, kind=kind, item=found.id, shown=shown or None, engine=engine)
    )
    if "application/json" in request.headers.get("accept", ""):
        return Response(status_code=204)
    back = f"?page={page}" if not shown and page > 1 else ""
    if kind == "click":
        return _to(f"/study/pictures/{quote(str(found.id), safe='')}{back}")
    return _to(f"/study{back}#i{index}")


@router.get("/study/pictures/{item:path}", response_class=HTMLResponse)
def picture(
    request: Request,
    engine: CurrentEngine,
    study: CurrentStudy,
    *,
    standing: CurrentStanding,
    item: str,
    page: Annotated[int, Query(ge=1, le=10_000)] = 1,
) -> HTMLResponse:
    """A picture at its largest, for those without JavaScript."""
    found = engine.item(engine.catalog.items.index(item))
    return _page(request, engine, study, "picture", standing, item=found, page=page)


@router.post("/study/next")
def next_list(
    engine: CurrentEngine,
    study: CurrentStudy,
    session: CurrentSession,
    standing: CurrentStanding,
    after: Annotated[int, Form(ge=0, le=50)],
) -> Response:
    """Go on: to the first list (after 0), to the next one, or to the questions."""
    if session is None or standing.assignment is None or after != len(standing.lists) or standing.is_done:
        return _to("/study")  # pressed twice, or on an old page
    if after == study.config.lists:
        return _to("/study/questions")
    _done(lambda: study.next_list(session, standing, engine))
    return _to("/study")


@router.get("/study/questions", response_class=HTMLResponse)
def questions(
    request: Request, engine: CurrentEngine, study: CurrentStudy, standing: CurrentStanding
) -> Response:
    """The questions at the end."""
    if len(standing.lists) < study.config.lists or standing.is_done:
        return _to("/study")
    return _page(request, engine, study, "questions", standing, given={}, wrong={})


@router.post("/study/questions")
async def answer(
    request: Request, engine: CurrentEngine, study: CurrentStudy, standing: CurrentStanding
) -> Response:
    """Answer them."""
    if len(standing.lists) < study.config.lists or standing.is_done:
        return _to("/study")
    form = await request.form()
    given = {key.removeprefix("q-"): value for key, value in form.items() if isinstance(value, str)}
    answers, wrong = checked_answers(study.config.questions, given)
    if wrong:
        return _page(request, engine, study, "questions", standing, given=given, wrong=wrong, status=422)
    await run_in_threadpool(_done, lambda: study.finish(standing, answers))
    return _to("/study")


@router.get("/study/withdraw", response_class=HTMLResponse)
def ask_to_withdraw(
    request: Request, engine: CurrentEngine, study: CurrentStudy, standing: CurrentStanding
) -> HTMLResponse:
    """What withdrawing means, and the form for it."""
    return _page(request, engine, study, "withdraw", standing, wrong="", code="", gone=False)


@router.post("/study/withdraw")
def withdraw(
    request: Request,
    engine: CurrentEngine,
    study: CurrentStudy,
    standing: CurrentStanding,
    code: Annotated[str, Form(max_length=64), StringConstraints(strip_whitespace=True, to_lower=True)] = "",
) -> Response:
    """Remove everything that is kept of a participant."""
    if not study.studies.withdraw(study.config.name, code):
        wrong = "Nobody takes part with this code. It looks like p-1a2b3c4d5e6f."
        return _page(
            request, engine, study, "withdraw", standing, wrong=wrong, code=code, gone=False, status=404
        )
    page = _page(request, engine, study, "withdraw", Standing(), wrong="", code="", gone=True)
    if standing.participant is not None and standing.participant.pseudonym == code:
        end(request, page)
    return page


@router.get("/study/export.csv")
def export(
    request: Request, service: CurrentService, study: CurrentStudy, table: Table = "items"
) -> StreamingResponse:
    """A table of the study, for its researcher: with the token, or on this machine where there is none."""
    settings = service.settings
    shown = bearer(request)
    knows = settings.is_token(shown) if shown is not None else is_signed_in(request, settings)
    if not (knows or (settings.is_local and settings.token is None)):
        raise ProblemError(401, "The tables of a study need the token: send 'Authorization: Bearer TOKEN'.")
    name = f"{study.config.name}-{table}.csv"
    return StreamingResponse(
        csv_lines(study.store, study.config.name, table),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"},
    )


def _page(
    request: Request,
    engine: Engine,
    study: RunningStudy,
    name: str,
    standing: Standing,
    *,
    status: int = 200,
    **context: Any,
) -> HTMLResponse:
    page = render(
        request,
        engine,
        f"study_{name}.html.j2",
        status=status,
        study=study.config,
        standing=standing,
        liked=frozenset(map(str, standing.opinions.liked)),
        hidden=frozenset(map(str, standing.opinions.hidden)),
        missing=request.query_params.get("missing", ""),
        **context,
    )
    page.headers["Cache-Control"] = "no-store"  # it says who somebody is
    return page


def _list_of(engine: Engine, shown: Shown) -> dict[str, Any]:
    """A kept list as its page shows it: the items that are still there, with their places and reasons."""
    reasons = shown.settings.get("reasons", ())
    items: list[tuple[Item, int, str]] = []
    for rank, one in enumerate(shown.items, start=1):
        if one.item in engine.catalog.items:
            item = engine.item(engine.catalog.items.index(one.item))
            items.append((item, rank, reasons[rank - 1] if rank <= len(reasons) else ""))
    return {"list_id": shown.id, "place": shown.settings["round"], "items": items}


def _done(work: Any) -> None:
    """Do what a participant asks; what they may not is a problem of status 409."""
    try:
        work()
    except UnavailableError:
        raise
    except (FeedbackError, VisrecError) as error:
        raise ProblemError(409, problem_of(error).detail) from None


def _to(url: str) -> Response:
    return RedirectResponse(url, status_code=303)
