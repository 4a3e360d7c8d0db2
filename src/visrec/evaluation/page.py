"""One HTML file that shows a comparison: the leaderboard, plots, and for a few people what each model offers them.

The file needs nothing else: no request goes to any host, no script runs, each picture is embedded once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visrec.evaluation.leaderboard import NEW_ITEMS, Leaderboard, leaderboard, written
from visrec.evaluation.marks import Mark, Marks, level_marks
from visrec.evaluation.markup import MEANINGS, Cell, cells_of, over, protocol_sentence, reservations, template
from visrec.evaluation.people import Person, note_for, ranks_in_list
from visrec.evaluation.plots.onpage import on_page
from visrec.evaluation.thumbnails import Thumbnail, frame_of, thumbnails_of
from visrec.files import write_text

if TYPE_CHECKING:
    from visrec.data.catalog import Catalog
    from visrec.evaluation.plots.figures import Figure
    from visrec.evaluation.protocol import Report
    from visrec.evaluation.significance import Spread

HOW_CHOSEN = (
    "These are examples, not evidence; the table above counts everyone. They were picked to show all sides: people "
    "for whom a model was right, people on whom the models disagree the most, people for whom none was right, and "
    "last those for whom all were the furthest from it. A tick and a frame mark a hit: an item that was really taken."
)

EXPLAINED = (
    "An explanation is true of a model if deleting what it points at changes the score more than deleting as much at "
    "random. So it was done, for the item that the model puts first for each of some people. Changes are in standard "
    "deviations of a person's own scores, with 95 % intervals of the difference over these people. It says that an "
    "explanation fits the model, not that the model is right."
)


def write_page(
    path: str | Path,
    *,
    title: str,
    reports: Mapping[str, Report],
    facts: Sequence[tuple[str, str]] = (),
    people: Sequence[Person] = (),
    catalog: Catalog | None = None,
    provenance: Mapping[str, Any] | None = None,
    notes: Sequence[str] = (),
    figures: Sequence[Figure] = (),
    marks: Marks | None = None,
    checks: tuple[Sequence[str], Sequence[Sequence[str]]] | None = None,
    shown: int = 10,
) -> None:
    """Write `render_page` of the same arguments, atomically."""
    page = render_page(
        title=title,
        reports=reports,
        facts=facts,
        people=people,
        catalog=catalog,
        provenance=provenance,
        notes=notes,
        figures=figures,
        marks=marks,
        checks=checks,
        shown=shown,
    )
    write_text(path, page)


def render_page(
    *,
    title: str,
    reports: Mapping[str, Report],
    facts: Sequence[tuple[str, str]] = (),
    people: Sequence[Person] = (),
    catalog: Catalog | None = None,
    provenance: Mapping[str, Any] | None = None,
    notes: Sequence[str] = (),
    figures: Sequence[Figure] = (),
    marks: Marks | None = None,
    checks: tuple[Sequence[str], Sequence[Sequence[str]]] | None = None,
    shown: int = 10,
) -> str:
    """The page as HTML. The same arguments give the same text.

    Args:
        title: of the page.
        reports: by the name of the model, in the order of the rows.
        facts: (label, value) about the data set and the run.
        people: see `visrec.evaluation.people.choose_people`.
        catalog: titles, artists and pictures of the items; without one, tiles show the index of the item. A
            picture that is missing or broken becomes a plain tile.
        provenance: how the results came about, nested as it likes.
        notes: sentences that a reader should know first; the protocol's warning and cautions come before them.
        figures: plots, from top to bottom.
        marks: signs behind the numbers of the leaderboard; None: what is level with the best, see `level_marks`.
        checks: headings and rows of the table that says whether explanations hold, the model first; None or no rows:
            there is no such section.
        shown: how many items of a history and of what was taken are shown; lists are shown whole.

    Raises:
        ConfigError: there is no report.
    """
    needed = sorted({item for person in people for item in _items(person, shown)})
    thumbnails = thumbnails_of(catalog, needed)
    width, height = frame_of(thumbnails.values())
    labels = _labels(catalog, needed)
    board = leaderboard(reports)
    signs = level_marks(board) if marks is None else marks
    first = next(iter(reports.values()))
    return template("report.html.j2").render(
        title=title,
        facts=facts,
        # Each once, whoever else says it.
        notes=list(dict.fromkeys([*reservations(first.protocol), *notes])),
        headings=[(column.heading, column.key.startswith(NEW_ITEMS)) for column in board.columns],
        rows=rows_of(board, signs),
        marks_note=signs.note,
        ranked=len(board.rows) > 1,
        figures=[on_page(one) for one in figures],
        meanings=_meanings(board),
        protocol=protocol_sentence(first.protocol, first.per_user.height, over=over(reports)),
        over=over(reports),
        n_seeds=max(len(report.by_seed) for report in reports.values()),
        checks=checks if checks and checks[1] else None,
        explained=EXPLAINED,
        how_chosen=HOW_CHOSEN,
        people=[_on_page(person, reports, labels, thumbnails, shown) for person in people],
        pictures=[(item, one.data, one.fit(width / height)) for item, one in thumbnails.items()],
        frame=(width, height),
        provenance=provenance or {},
    )


# ---- what the template is given --------------------------------------------------------------------


@dataclass(frozen=True)
class _Label:
    title: str
    artist: str


@dataclass(frozen=True)
class _Tile:
    """An item in a row.

    Attributes:
        rank: its place in a list of recommendations.
        hit: it is in such a list and was really taken.
        below: a line of text under the title.
        found: it was taken and some list has it.
    """

    item: int
    label: _Label
    has_picture: bool
    rank: int | None = None
    hit: bool = False
    below: str = ""
    found: bool = False


@dataclass(frozen=True)
class _Strip:
    """A row of tiles."""

    kind: str
    heading: str
    remark: str
    tiles: list[_Tile]


@dataclass(frozen=True)
class _Shown:
    """A person, ready for the template."""

    user_id: str
    note: str
    strips: list[_Strip]


def _items(person: Person, shown: int) -> Iterable[int]:
    yield from person.history[:shown]
    yield from _taken(person)[:shown]
    for items in person.lists.values():
        yield from items


def _taken(person: Person) -> list[int]:
    """What was taken, what some list has first: it is the part that the lists can be held against."""
    listed = {item for items in person.lists.values() for item in items}
    return sorted(person.took, key=lambda item: item not in listed)


def _labels(catalog: Catalog | None, items: Sequence[int]) -> dict[int, _Label]:
    if catalog is None:
        return {item: _Label(f"item {item}", "") for item in items}
    artists = catalog.metadata["artist"] if "artist" in catalog.metadata.columns else None
    return {
        item: _Label(catalog.title(item), "" if artists is None else str(artists[item] or ""))
        for item in items
    }


def _on_page(
    person: Person,
    reports: Mapping[str, Report],
    labels: Mapping[int, _Label],
    thumbnails: Mapping[int, Thumbnail],
    shown: int,
) -> _Shown:
    took = set(person.took)

    def tile(item: int, **more: Any) -> _Tile:
        return _Tile(item, labels[item], item in thumbnails, **more)

    before = [tile(item) for item in person.history[:shown]]
    strips = [_Strip("history", "Liked before", _count(len(before), len(person.history), "newest"), before)]
    for name, items in person.lists.items():
        ranks = ranks_in_list(person, name)
        remark = f"hit at {', '.join(map(str, ranks))}" if ranks else "no hit"
        tiles = [tile(item, rank=rank, hit=item in took) for rank, item in enumerate(items, start=1)]
        strips.append(_Strip("list", name, remark, tiles))
    after = []
    for item in _taken(person)[:shown]:
        where = _where(person, item)
        after.append(tile(item, below=where or "in no list", found=bool(where)))
    strips.append(_Strip("took", "Really took next", _count(len(after), len(took), "first"), after))
    return _Shown(person.user_id, person.note or note_for(person, reports), strips)


def _count(shown: int, there: int, which: str) -> str:
    if there == shown:
        return f"{there:,} {'item' if there == 1 else 'items'}"
    return f"{which} {shown:,} of {there:,}"


def _where(person: Person, item: int) -> str:
    """At which rank each model has an item, such as "vbpr 3 · bpr 7"."""
    found = sorted(
        (list(items).index(item) + 1, name) for name, items in person.lists.items() if item in items
    )
    return " · ".join(f"{name} {rank}" for rank, name in found)


def rows_of(board: Leaderboard, marks: Marks) -> list[tuple[str, list[Cell | None]]]:
    """Name and cells of each model, as `metric.html.j2` shows them."""
    columns = [
        cells_of([row.cells[place] for row in board.rows], [row.is_best[place] for row in board.rows])
        for place in range(len(board.columns))
    ]
    return [
        (
            row.name,
            [
                _marked(_spread(cells[place], spread), marks.of(column.key, row.name))
                for column, cells, spread in zip(board.columns, columns, row.spreads, strict=True)
            ],
        )
        for place, row in enumerate(board.rows)
    ]


def _spread(cell: Cell | None, spread: Spread | None) -> Cell | None:
    """A cell that knows how its mean differs between seeds."""
    return cell if cell is None or spread is None else replace(cell, spread=written(spread.sd))


def _marked(cell: Cell | None, mark: Mark | None) -> Cell | None:
    """A cell with its sign; the star of the best stays."""
    if cell is None or mark is None or cell.best:
        return cell
    return replace(cell, mark=mark.sign, meaning=mark.meaning)


def _meanings(board: Leaderboard) -> list[tuple[str, str]]:
    """The metrics of a board in plain words."""
    there = {column.heading.partition("@")[0] for column in board.columns}
    return [(name, meaning) for name, meaning in MEANINGS.items() if name.partition("@")[0] in there]
