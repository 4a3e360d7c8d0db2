"""Try it: click what you like or show a photo, and see what is recommended while you look."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from visrec.errors import VisrecError
from visrec.feedback.events import Opinions
from visrec.serving.because import Because, because_of
from visrec.serving.engine import Engine, Item, Picture, Question
from visrec.serving.once import once
from visrec.serving.pages.photos import Photo, kept_photos, passing_photos, takes_photos
from visrec.serving.pages.rendering import render
from visrec.serving.problems import problem_of
from visrec.serving.service import CurrentEngine, CurrentService, Service
from visrec.serving.taste import OPINIONS, Taste
from visrec.serving.uploads import Form as Sent
from visrec.serving.variety import LOOKS, varied_items
from visrec.serving.visits import CurrentOpinions

router = APIRouter(include_in_schema=False)

SHOWN = 15
"""Items of a list: full rows of three and of five."""

_LIKE_PHOTO = 12  # items that look like a photo
_LESS = -0.5  # what "less of this" weighs: enough to be seen, not so much that it outweighs a like


async def _uploaded(request: Request, service: CurrentService) -> Sent:
    return await service.uploads.read(request)


Uploaded = Annotated[Sent, Depends(_uploaded)]


@dataclass(frozen=True)
class Tile:
    """An item of the list, and why it is there."""

    item: Item
    rank: int
    because: Because | None


@dataclass(frozen=True)
class Offer:
    """What a visitor is offered.

    Attributes:
        taste: what they said, without what is not there.
        model: who ranks.
        sees: whether that model goes by looks.
        tiles: the list.
        like: what they like; `less`: of what there should be less; `hide`: what they do not want to see.
        photos: their photos with the items that look most like each.
        problem: why there is no list, in words.
        notes: what else they should know.
    """

    taste: Taste
    model: str
    sees: bool = False
    tiles: tuple[Tile, ...] = ()
    like: tuple[Item, ...] = ()
    less: tuple[Item, ...] = ()
    hide: tuple[Item, ...] = ()
    photos: tuple[tuple[Photo, tuple[Item, ...]], ...] = ()
    problem: str = ""
    notes: tuple[str, ...] = ()

    @property
    def said(self) -> str:
        """The outcome, for those who do not see it."""
        if self.problem:
            return self.problem
        if not self.tiles:
            return "Nothing is chosen yet."
        n = len(self.like) + len(self.photos)
        return f"{len(self.tiles)} recommendations for {n} {'picture' if n == 1 else 'pictures'}, by {self.model}."


@router.get("/try", response_class=HTMLResponse)
def try_it(
    request: Request, service: CurrentService, engine: CurrentEngine, opinions: CurrentOpinions
) -> Response:
    """The page of what an address says."""
    pairs = request.query_params.multi_items()
    taste = Taste.of(pairs)
    if any(name in ("drop", "away") for name, _ in pairs):  # a form's way to say it: not an address to share
        return RedirectResponse(taste.url, status_code=303)
    found = offer(engine, *kept_photos(service, engine, taste))
    return _page(request, service, engine, found, before=opinions if taste.is_empty else None)


@router.get("/try/list", response_class=HTMLResponse)
def offered(request: Request, service: CurrentService, engine: CurrentEngine) -> Response:
    """The list alone, for a page that is open already."""
    taste = Taste.of(request.query_params.multi_items())
    return _list(request, engine, offer(engine, *kept_photos(service, engine, taste)))


@router.post("/try/list", response_class=HTMLResponse)
def offered_for_photos(
    request: Request, service: CurrentService, engine: CurrentEngine, form: Uploaded
) -> Response:
    """The same with photos, which are forgotten with the answer."""
    return _list(request, engine, _seen(service, engine, form, shown=False))


@router.post("/try/look", response_class=HTMLResponse)
def look(request: Request, service: CurrentService, engine: CurrentEngine, form: Uploaded) -> Response:
    """The whole page with photos, for browsers without JavaScript."""
    return _page(request, service, engine, _seen(service, engine, form, shown=True))


@router.post("/try/keep")
def keep(service: CurrentService, form: Uploaded) -> Response:
    """Keep photos, whose names are then a part of the address; for browsers without JavaScript."""
    names = [service.kept.keep(one) for one in form.pictures]
    pairs = [*_taste(form).fields, *(("photo", name) for name in names)]
    return RedirectResponse(Taste.of(pairs).url, status_code=303)


@router.post("/try/forget")
def forget(service: CurrentService, photo: Annotated[str, Form(max_length=64)]) -> Response:
    """Remove a kept photo, for everybody who has its address."""
    service.kept.forget(photo)
    return RedirectResponse("/try", status_code=303)


@router.get("/try/wall", response_class=HTMLResponse)
def wall(request: Request, engine: CurrentEngine) -> HTMLResponse:
    """Other pictures to choose from, for a page that is open already."""
    taste = Taste.of(request.query_params.multi_items())
    return render(request, engine, "try_wall.html.j2", taste=taste, **_wall(engine, taste))


def offer(engine: Engine, taste: Taste, photos: list[Photo]) -> Offer:
    """What a visitor with a taste is offered. Faults of what they ask are said, not raised."""
    known = [tuple(one for one in taste.items(side) if one in engine.catalog.items) for side in OPINIONS]
    lost = sum(len(taste.items(side)) for side in OPINIONS) - sum(map(len, known))
    notes = [f"{_counted(lost, 'chosen picture')} not in this catalogue."] if lost else []
    if taste.model and taste.model not in engine.visitor_models:
        notes.append(f"No model '{taste.model}' serves visitors here; this is another one.")
        taste = replace(taste, model="")
    taste = replace(taste, like=known[0], less=known[1], hide=known[2])
    like, less, hide = (
        tuple(engine.items(engine.catalog.items.indices(items)))
        for items in (taste.like, taste.less, taste.hide)
    )
    found = Offer(
        taste=taste,
        model=taste.model or default_model(engine),
        like=like,
        less=less,
        hide=hide,
        photos=tuple((one, _alike(engine, one)) for one in photos),
        notes=tuple(notes),
    )
    if taste.is_empty and not photos:
        return found
    try:
        return _ranked(engine, found, photos)
    except VisrecError as error:
        return replace(found, problem=problem_of(error).detail)


def default_model(engine: Engine) -> str:
    """The model to begin with: of those that serve visitors the best that can look at a new picture, if there is one.

    Whoever chooses pictures expects looks to count, and a wall of varied pictures has many that few people took.
    """
    names = engine.visitor_models
    seeing = [name for name in names if engine.kind_of(name).new_pictures]
    return engine.best_of(seeing or names) or ""


def _ranked(engine: Engine, found: Offer, photos: list[Photo]) -> Offer:
    taste, kind = found.taste, engine.kind_of(found.model)
    notes, less = list(found.notes), taste.less
    pictures = tuple(Picture(one.name, one.vector) for one in photos)
    if pictures and not kind.new_pictures:
        notes.append(f"{found.model} does not look at pictures, so photos do not count for this list.")
        pictures = ()
    if less and not kind.weighs:
        notes.append(f"{found.model} knows no “less of this”: such pictures are only left out.")
        less = ()
    found = replace(found, notes=tuple(notes))
    question = Question(
        model=found.model,
        k=SHOWN,
        liked=(*taste.like, *less),
        weights=(1.0,) * len(taste.like) + (_LESS,) * len(less) if less else None,
        pictures=pictures,
        exclude=(*taste.hide, *taste.less),
        diversity=taste.diversity / 100,
    )
    if not question.liked and not question.pictures:
        return replace(found, problem="This model has nothing to go by yet. Like a picture.")
    ranked = engine.recommend(question)
    why = because_of(engine, question, [one.index for one in ranked])
    return replace(
        found,
        sees=engine.model(found.model).needs != "none",
        tiles=tuple(
            Tile(engine.item(one.index), one.rank, its) for one, its in zip(ranked, why, strict=True)
        ),
    )


def _counted(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'} {'is' if n == 1 else 'are'}"


def _alike(engine: Engine, photo: Photo) -> tuple[Item, ...]:
    """The items whose pictures look most like a photo."""
    return tuple(engine.items(one.index for one in engine.similar_to_picture(photo.vector, _LIKE_PHOTO)))


def _seen(service: Service, engine: Engine, form: Sent, *, shown: bool) -> Offer:
    """What is offered with photos that are not kept."""
    taste, kept = kept_photos(service, engine, _taste(form))
    try:
        passing = passing_photos(engine, form.pictures, first=len(kept), shown=shown)
    except VisrecError as error:
        found = offer(engine, taste, kept)
        return replace(
            found, notes=(*found.notes, f"The photo was not understood: {problem_of(error).detail}")
        )
    return offer(engine, taste, [*kept, *passing])


def _taste(form: Sent) -> Taste:
    """What the other fields of a form say."""
    return Taste.of((name, value) for name, values in form.fields.items() for value in values)


def _page(
    request: Request, service: Service, engine: Engine, found: Offer, *, before: Opinions | None = None
) -> HTMLResponse:
    """The whole page; `before` is what was liked and hidden on other pages, which one can begin with."""
    if not engine.visitor_models:
        return render(request, engine, "try_nothing.html.j2")
    return render(
        request,
        engine,
        "try.html.j2",
        offer=found,
        taste=found.taste,
        models=engine.visitor_models,
        default=default_model(engine),
        may_keep=service.kept.takes,
        takes_photos=takes_photos(engine),
        before=before if before is not None and before.liked else None,
        **_wall(engine, found.taste),
    )


def _list(request: Request, engine: Engine, found: Offer) -> HTMLResponse:
    return render(request, engine, "try_offer.html.j2", offer=found, taste=found.taste)


def _wall(engine: Engine, taste: Taste) -> dict[str, Any]:
    """The pictures to choose from, and the address of others."""
    order = _varied(engine)
    pages = max(1, len(order) // LOOKS)
    page = taste.wall % pages
    shown = engine.items(order[page * LOOKS : (page + 1) * LOOKS])
    return {"shown": shown, "others": replace(taste, wall=(page + 1) % pages)}


@once
def _varied(engine: Engine) -> np.ndarray:
    return varied_items(engine)
