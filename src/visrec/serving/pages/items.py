"""Items: the catalogue to search, one item and what is like it, and the path from one to another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from visrec.errors import UnsupportedError, VisrecError
from visrec.explain.paths import Paths
from visrec.features.features import Features
from visrec.neighbours import similar_items
from visrec.serving.engine import Engine, Item, Ranked
from visrec.serving.filters import Filter, is_told
from visrec.serving.once import once
from visrec.serving.pages.rendering import Pager, picture_size, render
from visrec.serving.problems import problem_of
from visrec.serving.service import CurrentEngine
from visrec.serving.shelf import LONGEST_SEARCH

router = APIRouter(include_in_schema=False)

SHOWN = 12
"""Items of a row."""
_PER_PAGE = 72
_MOST_VALUES = 60  # of a column that is offered as a choice
_N_CHOICES = 4
_MOST_FOUND = 12
_BY = "by."
"""What the name of a column begins with in the address of a search, so that it is no word of the page's own."""


@router.get("/items", response_class=HTMLResponse)
def items(
    request: Request,
    engine: CurrentEngine,
    q: Annotated[str, Query(max_length=LONGEST_SEARCH)] = "",
    order: str = "catalogue",
    page: Annotated[int, Query(ge=1)] = 1,
) -> HTMLResponse:
    """All items, or those that a search and a choice of metadata leave."""
    columns = engine.shelf.filtering.columns
    chosen = {
        name.removeprefix(_BY): value
        for name, value in request.query_params.items()
        if name.startswith(_BY) and value and name.removeprefix(_BY) in columns
    }
    keep = engine.shelf.search(q)
    mask = engine.shelf.filtering.mask([Filter(name, "=", value) for name, value in chosen.items()])
    rows = np.flatnonzero(keep if mask is None else keep & mask)
    if order == "taken":
        rows = rows[np.argsort(-_taken(engine)[rows], kind="stable")]
    query = {
        "q": q,
        **{_BY + name: value for name, value in chosen.items()},
        "order": order if order != "catalogue" else "",
    }
    pager = Pager.of(len(rows), page, _PER_PAGE, query)
    return render(
        request,
        engine,
        "items.html.j2",
        searched=q,
        order=order,
        chosen=chosen,
        choices={_BY + name: (name, values) for name, values in _choices(engine).items()},
        others={_BY + name: value for name, value in chosen.items() if name not in _choices(engine)},
        found=engine.items(rows[pager.part]),
        pager=pager,
    )


@router.get("/items/{item:path}", response_class=HTMLResponse)
def item(
    request: Request,
    engine: CurrentEngine,
    item: str,
    to: Annotated[str, Query(max_length=LONGEST_SEARCH)] = "",
) -> HTMLResponse:
    """One item: large, what is known of it, what is like it to whom, who liked it."""
    index = engine.catalog.items.index(item)
    shown = engine.item(index)
    rows = _rows(engine, index)
    likers, n_likers = engine.likers(index)
    return render(
        request,
        engine,
        "item.html.j2",
        item=shown,
        size=picture_size(shown),
        known={name: (value, _BY + name) for name, value in shown.metadata.items()},
        rows=rows,
        also=_also(rows),
        shared=_shared(rows),
        likers=likers,
        n_likers=n_likers,
        to=to,
        targets=_found(engine, to, but=index) if to else [],
        suggested=engine.items(_far(engine, index)),
    )


@router.get("/paths", response_class=HTMLResponse)
def path(
    request: Request,
    engine: CurrentEngine,
    start: Annotated[str, Query(alias="from")],
    end: Annotated[str, Query(alias="to")],
) -> HTMLResponse:
    """From one picture to another in small steps."""
    paths = _paths(engine)
    if paths is None:
        raise UnsupportedError(
            "This run has no visual features, so there are no steps from picture to picture."
        )
    ends = engine.items(engine.catalog.items.indices([start, end]))
    found = paths.between(ends[0].id, ends[1].id)
    steps = engine.items(engine.catalog.items.indices(found.items)) if found else []
    return render(
        request, engine, "path.html.j2", ends=ends, found=found, steps=steps, extractor=engine.extractor
    )


@dataclass(frozen=True)
class Row:
    """What is like an item by one measure.

    Attributes:
        name: of the model, or of the extractor.
        kind: "features", "regions" or "model".
        items: the nearest first.
        cosines: of each.
        problem: why there are none, or nothing.
    """

    name: str
    kind: str
    items: tuple[Item, ...] = ()
    cosines: tuple[float, ...] = ()
    problem: str = ""

    @property
    def indices(self) -> list[int]:
        """Of the items."""
        return [item.index for item in self.items]


def _rows(engine: Engine, index: int) -> list[Row]:
    """One row an extractor, then one a model that compares items."""
    regions = engine.run.content.regions if engine.run.has("regions") else None
    rows = []
    if engine.run.has("vector"):
        rows.append(_row(engine, str(engine.extractor), "features", lambda: engine.similar(index, SHOWN)))
    if regions is not None:
        name = str(regions.provenance.get("extractor", "regions"))
        rows.append(_row(engine, name, "regions", lambda: _by_regions(engine, regions, index)))
    return rows + [
        _row(engine, name, "model", partial(engine.similar, index, SHOWN, by=name))
        for name in engine.models
        if _compares(engine, name)
    ]


def _row(engine: Engine, name: str, kind: str, ask: Callable[[], list[Ranked]]) -> Row:
    try:
        found = ask()
    except VisrecError as error:
        return Row(name, kind, problem=problem_of(error).detail)
    return Row(
        name, kind, tuple(engine.items([one.index for one in found])), tuple(one.score for one in found)
    )


def _by_regions(engine: Engine, regions: Features, index: int) -> list[Ranked]:
    table = similar_items(regions, [engine.catalog.items.values[index]], SHOWN)
    rows = engine.catalog.items.indices(table["item_id"].to_list()).tolist()
    return [
        Ranked(row, score, place)
        for place, (row, score) in enumerate(zip(rows, table["score"].to_list(), strict=True), start=1)
    ]


def _compares(engine: Engine, name: str) -> bool:
    """Whether a model can say how alike two items are."""
    return engine.model(name).similarity_vectors() is not None


def _also(rows: list[Row]) -> dict[int, int]:
    """In how many rows an item stands, by its index."""
    counts: dict[int, int] = {}
    for row in rows:
        for index in row.indices:
            counts[index] = counts.get(index, 0) + 1
    return counts


def _shared(rows: list[Row]) -> list[list[int]]:
    """How many items each two rows have in common `(R, R)`."""
    return [[len(set(one.indices) & set(other.indices)) for other in rows] for one in rows]


def _found(engine: Engine, text: str, *, but: int) -> list[Item]:
    """Items by a text, for the end of a path: the one with that id alone, if there is one."""
    if text.strip() in engine.catalog.items:
        rows = [engine.catalog.items.index(text.strip())]
    else:
        rows = np.flatnonzero(engine.shelf.search(text))[: _MOST_FOUND + 1].tolist()
    return engine.items([row for row in rows if row != but][:_MOST_FOUND])


def _far(engine: Engine, index: int, n: int = 6) -> list[int]:
    """A few other pictures from all over the catalogue, as ends of paths: the same ones for the same item."""
    missing = (
        engine.run.features.missing if engine.run.has("vector") else np.ones(len(engine.catalog), dtype=bool)
    )
    there = np.flatnonzero(~missing)
    there = there[there != index]
    drawn = np.random.default_rng(index).permutation(len(there))[:n]
    return there[drawn].tolist()


@once
def _paths(engine: Engine) -> Paths | None:
    return Paths(engine.run.features) if engine.run.has("vector") else None


@once
def _taken(engine: Engine) -> np.ndarray:
    """How often each item was taken `(I,)`."""
    return np.bincount(engine.run.data.interactions.item, minlength=len(engine.catalog))


@once
def _choices(engine: Engine) -> Mapping[str, list[str]]:
    """Columns of few values, and these: the first that the items' table has."""
    table = engine.catalog.metadata
    found: dict[str, list[str]] = {}
    for name in table.columns:
        if name in ("item_id", "title") or not is_told(table[name].dtype):
            continue
        values = [str(value) for value in table[name].drop_nulls().unique().to_list() if str(value).strip()]
        if 1 < len(values) <= _MOST_VALUES:
            found[name] = sorted(values)
    return dict(list(found.items())[:_N_CHOICES])
