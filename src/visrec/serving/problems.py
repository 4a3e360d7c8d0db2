"""What a request is told when it cannot be answered: RFC 9457 problem documents, or a page for who asks for pages."""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import compile_path

from visrec.errors import (
    ConfigError,
    ConflictingEventError,
    DataError,
    FeaturesError,
    FeedbackError,
    ImageError,
    RunError,
    UnavailableError,
    UnknownIdError,
    UnsupportedError,
    VisrecError,
)

if TYPE_CHECKING:
    from fastapi import FastAPI

MEDIA_TYPE = "application/problem+json"
TYPE = "urn:visrec:problem:"
"""What the `type` of a problem of our own begins with; the rest says which."""

_LOG = logging.getLogger("visrec.serving")
_MOST_ERRORS = 20  # of a body with a fault in each of a million places, some will do
_PATH = re.compile(r"(?<![\w.])(?:/|[A-Za-z]:\\)[^\s:'\"]*[/\\]")


@dataclass(frozen=True)
class Mistake:
    """One fault of a request.

    Attributes:
        where: "body.items.3", "query.k".
        message: what is wrong there.
    """

    where: str
    message: str


@dataclass(frozen=True)
class Problem:
    """Why a request is not answered.

    Attributes:
        status: of HTTP, 400 … 599.
        detail: one or two sentences for who asked: what was found, what was expected, what to do.
        kind: a stable word for programs ("unknown-id", "too-large"); "" where the status says it all.
        errors: the faults one by one, where a request has several.
        headers: of the answer.
    """

    status: int
    detail: str
    kind: str = ""
    errors: tuple[Mistake, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The status in words."""
        return HTTPStatus(self.status).phrase

    def document(self, instance: str | None = None) -> dict[str, Any]:
        """The members of RFC 9457, and `errors`."""
        found: dict[str, Any] = {
            "type": TYPE + self.kind if self.kind else "about:blank",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        if instance:
            found["instance"] = instance
        if self.errors:
            found["errors"] = [{"where": one.where, "message": one.message} for one in self.errors]
        return found


class ProblemError(Exception):
    """Raised anywhere below a route, it answers the request: `raise ProblemError(404, "No such …")`."""

    def __init__(
        self, status: int, detail: str, *, kind: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.problem = Problem(status, detail, kind=kind, headers=headers or {})


ErrorPage = Callable[[Request, Problem], Response]
"""Makes the page of a problem for a browser: `app.state.error_page`. Its status and headers are set afterwards."""

DOCUMENT: dict[str, Any] = {
    "type": "object",
    "title": "Problem",
    "description": "Why a request is not answered (RFC 9457).",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "format": "uri", "description": f"'about:blank', or '{TYPE}' and a word."},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string"},
        "instance": {"type": "string", "description": "Of this one request; the log has it too."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["where", "message"],
                "properties": {"where": {"type": "string"}, "message": {"type": "string"}},
            },
        },
    },
    "example": {
        "type": f"{TYPE}unknown-id",
        "title": "Not Found",
        "status": 404,
        "detail": "Unknown item 'i999'. There are 2000 items, for example 'i0'.",
        "instance": "urn:visrec:request:5f0c6c1a9be2d7f0",
    },
}

RESPONSES: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "The request is not answered; the document says why.",
        "content": {MEDIA_TYPE: {"schema": DOCUMENT}},
    }
}
"""For `responses=` of a router: every other status than its own is a problem."""


def problem_of(error: Exception) -> Problem:
    """The problem that an exception is. What isn't foreseen is 500, and says nothing of what went wrong."""
    match error:
        case ProblemError():
            return error.problem
        case RequestValidationError():
            return _invalid(error.errors())
        case HTTPException():
            detail = error.detail if isinstance(error.detail, str) else HTTPStatus(error.status_code).phrase
            return Problem(error.status_code, detail, headers=dict(error.headers or {}))
        case UnknownIdError():
            return Problem(404, str(error), kind="unknown-id")
        case ConflictingEventError():
            return Problem(409, str(error), kind="conflict")
        case UnavailableError():  # its message is for the log: it says where the database is
            headers = {"Retry-After": "2"}
            return Problem(
                503,
                "The database of feedback does not answer. Try again.",
                kind="no-database",
                headers=headers,
            )
        case FeedbackError():
            return Problem(422, without_paths(str(error)), kind="invalid")
        case ImageError():
            return Problem(404, "The picture of this item cannot be read.", kind="unreadable-picture")
        case DataError() | ConfigError():
            return Problem(422, without_paths(str(error)), kind="invalid")
        case UnsupportedError():
            return Problem(422, without_paths(str(error)), kind="unsupported")
        case RunError() | FeaturesError():
            return Problem(409, without_paths(str(error)), kind="not-in-this-run")
    return Problem(
        500,
        "Something went wrong that should not have. The log of the service has it under this request's id.",
    )


def install(app: FastAPI) -> None:
    """Have an app answer with problems whatever its routes raise.

    What isn't foreseen at all is caught by `security.faults`, so that its answer carries the headers of all others.
    """
    for kind in (ProblemError, VisrecError, HTTPException, RequestValidationError):
        app.add_exception_handler(kind, _handle)


def answer(request: Request, problem: Problem) -> Response:
    """The answer that tells a problem: a page for a browser that asks for one, else a document."""
    page: ErrorPage | None = (
        getattr(request.app.state, "error_page", None) if "app" in request.scope else None
    )
    if wants_page(request):
        made = page(request, problem) if page is not None else _plain_page(problem)
        made.status_code = problem.status
        made.headers.update(problem.headers)
    else:
        found = problem.document(instance_of(request))
        made = JSONResponse(found, problem.status, headers=dict(problem.headers), media_type=MEDIA_TYPE)
    made.headers.setdefault("Cache-Control", "no-store")
    return made


def wants_page(request: Request) -> bool:
    """Whether a browser asks for something to show: not a program, and not under /v1."""
    return "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/v1/")


def instance_of(request: Request) -> str | None:
    """What names this one request, in its problem and in the log; None before it has an id."""
    found = request.scope.get("state", {}).get("request_id")
    return f"urn:visrec:request:{found}" if found else None


def without_paths(text: str) -> str:
    """A message without the folders of the paths in it, which are nobody's business but the operator's."""
    return _PATH.sub("", text)


def log_fault(error: Exception, *, instance: str | None) -> None:
    """Write where an unforeseen exception came from: its type and its lines of code, not its values."""
    frames = "".join(traceback.format_tb(error.__traceback__))
    _LOG.error("%s in %s\n%s", type(error).__qualname__, instance or "a request", frames)


def _handle(request: Request, error: Exception) -> Response:
    if isinstance(
        error, RunError | FeaturesError | ImageError | UnavailableError
    ):  # the operator's concern too
        _LOG.warning("%s: %s", type(error).__name__, error)
    found = problem_of(error)
    if found.status == 405:
        found = replace(found, headers={**found.headers, "Allow": _methods_at(request, found.headers)})
    if found.status >= 500 and not isinstance(error, ProblemError | HTTPException | UnavailableError):
        log_fault(error, instance=instance_of(request))
    return answer(request, found)


def _methods_at(request: Request, headers: Mapping[str, str]) -> str:
    """All that the path of a request can be asked with: Starlette names the methods of its first route alone."""
    found = {one.strip() for one in headers.get("Allow", "").split(",") if one.strip()}
    for template, methods in request.app.openapi()["paths"].items():
        if compile_path(template)[0].match(request.url.path):
            found |= {one.upper() for one in methods}
    return ", ".join(sorted(found))


def _invalid(errors: Sequence[Mapping[str, Any]]) -> Problem:
    """The faults that pydantic found, without the values at fault: these may be anything, of any size."""
    mistakes = tuple(
        Mistake(".".join(str(part) for part in one["loc"]), str(one["msg"]).removeprefix("Value error, "))
        for one in errors[:_MOST_ERRORS]
    )
    first = f": {mistakes[0].where}: {mistakes[0].message}" if mistakes else ""
    return Problem(422, f"The request is not valid{first}.", kind="invalid", errors=mistakes)


def _plain_page(problem: Problem) -> Response:
    """A page without a template."""
    from html import escape

    return HTMLResponse(
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(problem.title)}</title>'
        f"<h1>{escape(problem.title)}</h1><p>{escape(problem.detail)}</p>"
        f'<p><a href="/">Back to the start</a></p></html>'
    )
