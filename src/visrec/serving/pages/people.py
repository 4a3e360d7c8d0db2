"""People: who there is, and one of them: what they liked, what two models offer them, what they took next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from visrec.errors import VisrecError
from visrec.evaluation.people import Person as Judged
from visrec.evaluation.people import choose_people, note_for, worst_people
from visrec.serving.engine import Engine, Item, Person, Question
from visrec.serving.once import once
from visrec.serving.pages.rendering import Pager, render
from visrec.serving.problems import problem_of
from visrec.serving.service import CurrentEngine

router = APIRouter(include_in_schema=False)

SHOWN = 12
"""Items of a list, and of what was liked and taken, before somebody asks for all."""
_PER_PAGE = 60
_N_INTERESTING = 12


@router.get("/people", response_class=HTMLResponse)
def people(
    request: Request, engine: CurrentEngine, q: str = "", page: Annotated[int, Query(ge=1)] = 1
) -> HTMLResponse:
    """All people, those worth a look first; `q` is a part of an id."""
    order = _order(engine)
    ids = engine.run.split.train.users.written
    if q.strip():
        wanted = ids.str.to_lowercase().str.contains(q.strip().lower(), literal=True).to_numpy()
        order = order[wanted[order]]
    pager = Pager.of(len(order), page, _PER_PAGE, {"q": q})
    rows = [(ids[int(row)], *_counts(engine, int(row))) for row in order[pager.part]]
    first = [] if q.strip() or page > 1 else [glimpse(engine, user) for user in interesting(engine)]
    return render(request, engine, "people.html.j2", q=q, rows=rows, pager=pager, interesting=first)


@router.get("/people/{user:path}", response_class=HTMLResponse)
def person(
    request: Request,
    engine: CurrentEngine,
    user: str,
    *,
    first: str = "",
    second: str = "",
    k: Annotated[int, Query(ge=1, le=100)] = SHOWN,
    whole: bool = False,
) -> HTMLResponse:
    """One person and two models."""
    found = engine.person(user)
    default = two_models(engine)
    names = [first or default[0], second or default[1]]
    lists = [_offered(engine, found, name, k) for name in names]
    judged = Judged(
        str(found.id), found.history, found.took, {one.model: one.indices for one in lists if not one.problem}
    )
    others = interesting(engine)
    at = others.index(found.id) if found.id in others else -1
    return render(
        request,
        engine,
        "person.html.j2",
        person=found,
        note=note_for(judged, {name: engine.reports[name] for name in names if name in engine.reports})
        if found.took
        else "Nothing is known of what they took next.",
        lists=lists,
        names=names,
        k=k,
        whole=whole,
        history=engine.items(found.history if whole else found.history[:SHOWN]),
        took=[(item, _where(lists, item.index)) for item in engine.items(_found_first(found, lists)[:SHOWN])],
        following=others[(at + 1) % len(others)] if others else None,
    )


# ---- parts that other pages show too -----------------------------------------------------------------


@dataclass(frozen=True)
class Offered:
    """What a model offers a person.

    Attributes:
        model: its name.
        items: best first.
        hits: ranks of those that the person really took.
        problem: why there is no list, or nothing.
    """

    model: str
    items: tuple[Item, ...] = ()
    hits: tuple[int, ...] = ()
    problem: str = ""

    @property
    def indices(self) -> list[int]:
        """Of the items."""
        return [item.index for item in self.items]

    @property
    def remark(self) -> str:
        """How it did, in words."""
        return f"hit at {', '.join(map(str, self.hits))}" if self.hits else "no hit"


@dataclass(frozen=True)
class Glimpse:
    """A person on a card.

    Attributes:
        id: the external id.
        newest: what they liked last.
        n_history: how much they liked in all.
        n_took: how much is known of what they took next.
    """

    id: str | int
    newest: tuple[Item, ...]
    n_history: int
    n_took: int


@once
def interesting(engine: Engine) -> list[str | int]:
    """Ids of people worth a look, to all sides: see `choose_people`. Without reports: of those with the most."""
    chosen = choose_people(engine.reports, n=_N_INTERESTING - 2)
    chosen += worst_people(engine.reports, n=2, but=chosen)
    if chosen:
        return chosen
    return engine.run.split.train.users.take(_by_activity(engine)[:_N_INTERESTING]).to_list()


@once
def example(engine: Engine) -> str | int:
    """The person with whom the first page begins: the first interesting one whom the best model serves well."""
    ids = interesting(engine)
    for user in ids:
        if _offered(engine, engine.person(user), engine.best_model, SHOWN).hits:
            return user
    return ids[0]


def glimpse(engine: Engine, user: str | int, n: int = 4) -> Glimpse:
    """A person for a card, with the n things that they liked last."""
    found = engine.person(user)
    return Glimpse(found.id, tuple(engine.items(found.history[:n])), len(found.history), len(found.took))


def offered(engine: Engine, user: str | int, model: str, k: int = SHOWN) -> Offered:
    """What a model offers a person, of all that they had not taken before."""
    return _offered(engine, engine.person(user), model, k)


def two_models(engine: Engine) -> tuple[str, str]:
    """The two to begin with: the best, and the best of those that work in another way."""
    best = engine.best_model
    others = [name for name in engine.reports if name != best and engine.kind_of(name).personal]
    other_way = [n for n in others if engine.kind_of(n).needs != engine.kind_of(best).needs] or others
    rest = [name for name in engine.models if name != best]
    return best, engine.best_of(other_way) or next(iter(rest), best)


# ---- helpers ---------------------------------------------------------------------------------------


def _offered(engine: Engine, person: Person, model: str, k: int) -> Offered:
    try:
        ranked = engine.recommend(Question(model, k, person.id, known="past"))
    except VisrecError as error:
        return Offered(model, problem=problem_of(error).detail)
    took = set(person.took)
    return Offered(
        model,
        tuple(engine.items([one.index for one in ranked])),
        tuple(one.rank for one in ranked if one.index in took),
    )


def _where(lists: list[Offered], item: int) -> str:
    """At which rank each model has an item, such as "vbpr 3 · bpr 7"; nothing if none has it."""
    return " · ".join(f"{one.model} {one.indices.index(item) + 1}" for one in lists if item in one.indices)


def _found_first(person: Person, lists: list[Offered]) -> list[int]:
    listed = {item for one in lists for item in one.indices}
    return sorted(person.took, key=lambda item: item not in listed)


@once
def _by_activity(engine: Engine) -> np.ndarray:
    """Rows of all users, those who took the most first."""
    everything = engine.run.split.train
    counts = np.bincount(everything.user, minlength=len(everything.users))
    return np.argsort(-counts, kind="stable")


@once
def _order(engine: Engine) -> np.ndarray:
    """Rows of all users: those worth a look, then those who took the most."""
    first = engine.run.split.train.users.indices(interesting(engine))
    rest = _by_activity(engine)
    return np.concatenate([first, rest[~np.isin(rest, first)]])


def _counts(engine: Engine, row: int) -> tuple[int, int]:
    """How much a user took before the test part, and in it."""
    found = engine.person(engine.run.split.train.users.written[row])
    return len(found.history), len(found.took)
