"""From templates to pages: what every page has, and the addresses of things."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

import visrec
from visrec.config import digest_of
from visrec.files import file_digest
from visrec.serving.engine import Engine, Item

STATIC = Path(__file__).parents[1] / "static"
WIDTHS = (160, 320, 640, 1280)
"""Widths of thumbnails, in pixels of the longer side."""

NAVIGATION = (
    ("/", "Home"),
    ("/people", "People"),
    ("/items", "Items"),
    ("/try", "Try it"),
    ("/compare", "Compare"),
    ("/map", "Map"),
)


def render(
    request: Request, engine: Engine, template: str, *, status: int = 200, **context: Any
) -> HTMLResponse:
    """A page of a template. It escapes all it is given: titles, ids and notes are what the data set says."""
    common = {"engine": engine, "here": request.url.path, "navigation": NAVIGATION}
    return HTMLResponse(_environment().get_template(template).render(**common, **context), status_code=status)


def item_url(item: str | int) -> str:
    """The page of an item by id."""
    return f"/items/{quote(str(item), safe='')}"


def person_url(user: str | int, **query: str) -> str:
    """The page of a user by id."""
    return f"/people/{quote(str(user), safe='')}" + (f"?{urlencode(query)}" if query else "")


def picture_url(item: Item, width: int = 320) -> str:
    """The picture of an item, WebP, `width` pixels on its longer side."""
    return f"/pictures/{width}/{quote(str(item.id), safe='')}"


def static_url(name: str) -> str:
    """A static file; its address changes when it does, so that it can be kept for ever."""
    return f"/static/{name}?v={_static_digest(name)}"


@cache
def _static_digest(name: str) -> str:
    return digest_of([visrec.__version__, file_digest(STATIC / name)])[:12]


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("visrec.serving"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        item_url=item_url,
        person_url=person_url,
        picture_url=picture_url,
        static_url=static_url,
        widths=WIDTHS,
    )
    return environment
