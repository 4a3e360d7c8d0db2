"""The map: the catalogue as a plane, where what looks alike lies together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse

from visrec.config import digest_of
from visrec.errors import VisrecError
from visrec.features.projection import Method
from visrec.serving.atlas import atlas_of
from visrec.serving.engine import Engine, Item, Person, Question
from visrec.serving.pages.map_drawing import SHAPES, draw
from visrec.serving.pages.rendering import item_url, picture_url, render
from visrec.serving.problems import problem_of
from visrec.serving.service import CurrentEngine

router = APIRouter(include_in_schema=False)

_FOUND = 12  # items that a search lists
_ASKED = 200  # items that the browser may ask for at once
_K = 20

Of = Annotated[str, Query(max_length=4000, pattern=r"^\d{1,9}(,\d{1,9})*$")]
Text = Annotated[str, Query(max_length=512)]


@dataclass(frozen=True)
class Lit:
    """What is lit up: of a person, by index. All empty: nothing is.

    Attributes:
        person: who.
        model: the model whose recommendations they are.
        history: what they took before the test part, newest first.
        recommended: the list, best first.
        wrong: why there is nothing, in words for people.
    """

    person: Person | None = None
    model: str = ""
    history: tuple[int, ...] = ()
    recommended: tuple[int, ...] = ()
    wrong: str = ""

    @property
    def hits(self) -> frozenset[int]:
        """What is recommended and was really taken next."""
        return frozenset(self.recommended) & frozenset(self.person.took if self.person else ())


@router.get("/map", response_class=HTMLResponse)
def show_map(
    request: Request,
    engine: CurrentEngine,
    *,
    by: Text = "",
    method: Text = "",
    user: Text = "",
    model: Text = "",
    item: Text = "",
    q: Text = "",
) -> HTMLResponse:
    """The page; without JavaScript a drawing, and the regions as lists."""
    atlas = atlas_of(engine)
    if atlas.features is None:
        return render(request, engine, "map.html.j2", atlas=atlas)
    under_way = atlas.begin()
    ready = atlas.ready
    chosen: Method = method if method in ready else ready[-1]
    column = by if by in atlas.columns else ("" if by == "-" else atlas.default_column(chosen) or "")
    colouring = atlas.colouring(column) if column else None
    lit = _lit(engine, user, model)
    focus, wrong = _focus(engine, item)
    found = engine.items(np.flatnonzero(engine.shelf.search(q))[:_FOUND]) if q.strip() else []
    drawing = {"method": chosen, "by": column or "-", "user": user if lit.person else "", "model": lit.model}
    return render(
        request,
        engine,
        "map.html.j2",
        atlas=atlas,
        method=chosen,
        ready=ready,
        under_way=under_way,
        column=column,
        colouring=colouring,
        shapes=SHAPES,
        lit=lit,
        user=user,
        focus=focus,
        item=item,
        q=q,
        found=found,
        wrong=lit.wrong or wrong,
        drawing=drawing,
        regions=[(one, engine.items(one.nearest)) for one in atlas.regions(chosen, column or None)],
        version=digest_of([atlas.map(chosen).digest, engine.digest, column])[:12],
        personal=[name for name in engine.models if engine.kind_of(name).personal],
        status=404 if lit.wrong or wrong else 200,
    )


@router.get("/map/positions")
def positions(request: Request, engine: CurrentEngine, method: Method = "pca") -> Response:
    """Where each item lies, see `Atlas.packed`."""
    return _bytes(request, atlas_of(engine).packed(method), "application/octet-stream")


@router.get("/map/classes")
def classes(request: Request, engine: CurrentEngine, by: Text) -> Response:
    """The class of each item in index order, a byte each."""
    return _bytes(request, atlas_of(engine).colouring(by).of.tobytes(), "application/octet-stream")


@router.get("/map/drawing.svg")
def drawing(
    request: Request,
    engine: CurrentEngine,
    *,
    method: Method = "pca",
    by: Text = "-",
    user: Text = "",
    model: Text = "",
    dark: bool = False,
) -> Response:
    """The map as a drawing, for those without JavaScript."""
    atlas = atlas_of(engine)
    lit = _lit(engine, user, model)
    column = None if by == "-" else by
    regions = [one.place for one in atlas.regions(method, column)]
    text = draw(
        atlas.map(method).positions,
        None if column is None else atlas.colouring(column),
        regions=regions,
        history=lit.history,
        recommended=lit.recommended,
        hits=lit.hits,
        dark=dark,
    )
    return _bytes(request, text.encode(), "image/svg+xml")


@router.get("/map/items")
def items(engine: CurrentEngine, of: Of) -> list[dict[str, Any]]:
    """What the browser shows of some items, by index: at most 200 of them; unknown ones are left out."""
    asked = [int(one) for one in of.split(",")][:_ASKED]
    return [_brief(engine.item(index)) for index in asked if index < len(engine.catalog)]


def _brief(item: Item) -> dict[str, Any]:
    return {
        "index": item.index,
        "id": item.id,
        "title": item.title,
        "creator": item.creator,
        "category": item.category,
        "url": item_url(item.id),
        "picture": picture_url(item, 160) if item.has_image else None,
    }


def _bytes(request: Request, content: bytes, kind: str) -> Response:
    """An answer that the browser keeps, and asks whether it is still the same."""
    tag = f'"{digest_of(content.hex())[:24]}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=kind, headers=headers)


def _lit(engine: Engine, user: str, model: str) -> Lit:
    chosen = model if model in engine.models else engine.best_model
    if not user:
        return Lit(model=chosen)
    try:
        person = engine.person(user)
        ranked = engine.recommend(Question(chosen, k=_K, user=person.id, known="past"))
    except VisrecError as error:
        return Lit(model=chosen, wrong=problem_of(error).detail)
    return Lit(person, chosen, person.history, tuple(one.index for one in ranked))


def _focus(engine: Engine, item: str) -> tuple[int | None, str]:
    if not item:
        return None, ""
    try:
        return engine.catalog.items.index(item), ""
    except VisrecError as error:
        return None, problem_of(error).detail
