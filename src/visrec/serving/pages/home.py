"""Home: what this run is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from visrec.evaluation.leaderboard import NEW_ITEMS, Leaderboard, leaderboard
from visrec.evaluation.marks import level_marks
from visrec.evaluation.markup import Cell, over, protocol_sentence, reservations
from visrec.evaluation.page import rows_of
from visrec.serving.engine import Engine, Item
from visrec.serving.once import once
from visrec.serving.pages.people import example, glimpse, interesting, offered
from visrec.serving.pages.rendering import render
from visrec.serving.service import CurrentEngine

router = APIRouter(include_in_schema=False)

_ON_THE_WALL = 32
_METRICS = ("auc", "ndcg@", "recall@", NEW_ITEMS)


@router.get("/", response_class=HTMLResponse)
def home(request: Request, engine: CurrentEngine) -> HTMLResponse:
    """Pictures of the catalogue, counts, what one person would be shown, where to go, the leaderboard."""
    user = example(engine)
    people = [one for one in interesting(engine) if one != user][:4]
    return render(
        request,
        engine,
        "home.html.j2",
        wall=_wall(engine),
        ends=_ends(engine),
        facts=_facts(engine),
        somebody=glimpse(engine, user, 10),
        offered=offered(engine, user, engine.best_model),
        people=[glimpse(engine, one) for one in people],
        board=_board(engine),
        notes=_notes(engine),
    )


@dataclass(frozen=True)
class Board:
    """The leaderboard in short: its main metrics.

    Attributes:
        headings: of the columns, and whether each is of new items alone.
        rows: name and cells of each model.
        protocol: what was done, in words.
        marks_note: what the marks say.
    """

    headings: tuple[tuple[str, bool], ...]
    rows: list[tuple[str, list[Cell | None]]]
    protocol: str
    marks_note: str


@once
def _board(engine: Engine) -> Board | None:
    reports = engine.reports
    if not reports:
        return None
    whole = leaderboard(reports)
    keys = _first_of_each([column.key for column in whole.columns])
    board: Leaderboard = leaderboard(reports, columns=keys)
    marks = level_marks(board)
    first = next(iter(reports.values()))
    return Board(
        tuple((column.heading, column.key.startswith(NEW_ITEMS)) for column in board.columns),
        rows_of(board, marks),
        protocol_sentence(first.protocol, first.per_user.height, over=over(reports)),
        marks.note,
    )


def _first_of_each(keys: Sequence[str]) -> list[str]:
    """The first metric of each of the main kinds."""
    found = [next((key for key in keys if key.startswith(kind)), None) for kind in _METRICS]
    return [key for key in found if key is not None]


@once
def _wall(engine: Engine) -> list[Item]:
    """Pictures from all over the catalogue, evenly."""
    pictured = np.flatnonzero(engine.catalog.pictured)
    chosen = np.linspace(0, len(pictured) - 1, min(_ON_THE_WALL, len(pictured))).round().astype(np.int64)
    return engine.items(pictured[chosen])


@once
def _ends(engine: Engine) -> list[Item]:
    """The first and the last of these whose looks are known, between which there is a path; none without features."""
    missing = engine.run.features.missing if engine.run.has("vector") else None
    seen = [] if missing is None else [item for item in _wall(engine) if not missing[item.index]]
    return [seen[0], seen[-1]] if len(seen) > 1 else []


@once
def _facts(engine: Engine) -> list[tuple[str, str]]:
    """The run in numbers."""
    split, catalog = engine.run.split, engine.catalog
    in_training = np.bincount(split.train.item, minlength=len(catalog)) > 0
    facts = [
        ("pictures", f"{catalog.pictured.sum():,}"),
        ("people", f"{len(split.train.users):,}"),
        ("times somebody took something", f"{len(engine.run.data.interactions.item):,}"),
        ("items that nobody took in training", f"{int((~in_training).sum()):,}"),
        ("models", f"{len(engine.models)}"),
    ]
    if not catalog.pictured.all():
        facts.insert(0, ("items", f"{len(catalog):,}"))
    return facts


@once
def _notes(engine: Engine) -> list[str]:
    """What a reader should know before any number."""
    first = next(iter(engine.reports.values()), None)
    said = reservations(first.protocol) if first is not None else []
    return list(dict.fromkeys([*said, *engine.run.notes]))
