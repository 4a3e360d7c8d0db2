"""From templates to pages: what every page has, and the addresses of things."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment

import visrec
from visrec.config import digest_of
from visrec.data.images import size_of
from visrec.errors import ImageError
from visrec.evaluation.markup import environment
from visrec.files import file_digest
from visrec.serving.engine import Engine, Item
from visrec.serving.problems import Problem
from visrec.serving.thumbnails import thumbnail_url, version_of

STATIC = Path(__file__).parents[1] / "static"
NAVIGATION = (
    ("/", "Home"),
    ("/people", "People"),
    ("/items", "Items"),
    ("/try", "Try it"),
    ("/compare", "Compare"),
    ("/map", "Map"),
)

_STRANGERS = (401, 421)
"""The status of answers to those who have shown no token, or call the service by a name that is not its own."""


def render(
    request: Request, engine: Engine, template: str, *, status: int = 200, **context: Any
) -> HTMLResponse:
    """A page of a template. It escapes all it is given: titles, ids and notes are what the data set says."""
    likes = not request.app.state.service.settings.read_only
    common = {"engine": engine, "here": request.url.path, "navigation": NAVIGATION, "likes": likes}
    page = _environment().get_template(template).render(**common, **context)
    return HTMLResponse(page, status_code=status)


def error_page(request: Request, problem: Problem) -> HTMLResponse:
    """The page of a problem, for `app.state.error_page`.

    Strangers are not told what is served here, and participants of a study are led to none of its other pages.
    """
    heading = "Not here" if problem.status == 404 else problem.title
    if problem.status in _STRANGERS or request.app.state.study is not None:
        return _plain("plain.html.j2", status=problem.status, heading=heading, said=problem.detail)
    engine = getattr(request.state, "engine", None) or request.app.state.service.engine
    return render(
        request, engine, "problem.html.j2", status=problem.status, heading=heading, said=problem.detail
    )


def login_page(target: str, fault: str | None) -> HTMLResponse:
    """The page that asks for the token, for `login_routes`."""
    return _plain("login.html.j2", heading="Sign in", target=target, fault=fault)


def _plain(template: str, *, status: int = 200, **context: Any) -> HTMLResponse:
    return HTMLResponse(_environment().get_template(template).render(**context), status_code=status)


@dataclass(frozen=True)
class Pager:
    """A part of a long list.

    Attributes:
        page: from 1.
        n_pages: at least 1.
        n: things in all.
        size: things on a page.
        query: of the address, without the page.
    """

    page: int
    n_pages: int
    n: int
    size: int
    query: Mapping[str, str]

    @classmethod
    def of(cls, n: int, page: int, size: int, query: Mapping[str, str]) -> Pager:
        """The page asked for, or the last one there is."""
        n_pages = max(1, -(-n // size))
        return cls(min(page, n_pages), n_pages, n, size, {k: v for k, v in query.items() if v})

    @property
    def part(self) -> slice:
        """Which things are on the page."""
        return slice((self.page - 1) * self.size, self.page * self.size)

    def url(self, page: int) -> str:
        """The address of another page of the list."""
        return "?" + urlencode({**self.query, "page": page})


def item_url(item: str | int) -> str:
    """The page of an item by id."""
    return f"/items/{quote(str(item), safe='')}"


def person_url(user: str | int, **query: str) -> str:
    """The page of a user by id."""
    return f"/people/{quote(str(user), safe='')}" + (f"?{urlencode(query)}" if query else "")


def why_url(model: str, item: str | int, user: str | int | None = None, **query: Any) -> str:
    """The page that explains an item to a user, or to a visitor (`liked=[ids]`)."""
    about = {"model": model, "item": item, **({} if user is None else {"user": user}), **query}
    return f"/why?{urlencode(about, doseq=True)}"


def path_url(start: str | int, end: str | int) -> str:
    """The page with the path of small steps between two items."""
    return f"/paths?{urlencode({'from': start, 'to': end})}"


def picture_url(item: Item, width: int = 320) -> str:
    """The picture of an item, WebP, `width` pixels on its longer side.

    The address changes when the picture does, so that browsers can keep it for ever.
    """
    return thumbnail_url(item.id, width) + f"?v={version_of(item.path)}"


def picture_size(item: Item) -> tuple[int, int]:
    """Width and height of an item's picture, upright, in pixels; (1, 1) where it has none that can be read.

    Only the head of the file is read. It is what a page needs to keep the place of a picture before it is there.
    """
    if item.path is None:
        return 1, 1
    try:
        return size_of(item.path)
    except ImageError:
        return 1, 1


def decimal(value: float, digits: int = 2, *, sign: bool = False) -> str:
    """A number as all pages write it: with its leading zero, a minus that is one, and none before 0."""
    text = f"{value:{'+' if sign else ''}.{digits}f}"
    if not sign and float(text) == 0:
        text = text.removeprefix("-")
    return text.replace("-", "−")


def brief(value: float) -> str:
    """A number of unknown size in two figures."""
    return f"{value:.2g}".replace("-", "−")


def static_url(name: str) -> str:
    """A static file; its address changes when it does, so that it can be kept for ever."""
    return f"/static/{name}?v={_static_digest(name)}"


@cache
def _static_digest(name: str) -> str:
    return digest_of([visrec.__version__, file_digest(STATIC / name)])[:12]


@cache
def _environment() -> Environment:
    found = environment("visrec.serving")
    found.globals.update(
        item_url=item_url,
        person_url=person_url,
        path_url=path_url,
        picture_url=picture_url,
        why_url=why_url,
        static_url=static_url,
    )
    found.filters.update(decimal=decimal, brief=brief)
    return found
