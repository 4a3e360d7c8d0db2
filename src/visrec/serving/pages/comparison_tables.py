"""The tables of the comparison, ready for the templates: each number with the address of the people behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from visrec.evaluation.contest import Contest, Entry
from visrec.evaluation.gaps import Gap
from visrec.evaluation.leaderboard import LEVEL_MARK, NEW_ITEMS, written
from visrec.evaluation.people import ranks_in_list
from visrec.evaluation.plots.drawing import Drawing
from visrec.evaluation.plots.figures import Figure
from visrec.evaluation.significance import Estimate
from visrec.serving.comparing import Comparison
from visrec.serving.engine import Item
from visrec.serving.pages.comparison_words import is_accuracy, meaning_of, name_of, people_url
from visrec.serving.pages.rendering import person_url

WIDTH = 112
"""Pixels of the scale of an interval."""

_HISTORY, _TOOK = 8, 8  # pictures of a person
_NEW = "new:a brand-new item"


@dataclass(frozen=True)
class Whisker:
    """An interval on the scale of its column, in pixels from 0 to `WIDTH`; `zero` where the scale has one."""

    low: str
    mean: str
    high: str
    zero: str | None = None


@dataclass(frozen=True)
class Number:
    """A number with its interval, its sign, and the people behind it.

    Attributes:
        text: as displayed.
        interval: as displayed; empty where there is none.
        url: of the people behind it; empty where a number is of all lists together, or not known by person.
        best: nothing in the column is better.
        mark: a sign behind it.
        meaning: the sign in words.
        spread: the standard deviation between seeds, as displayed.
    """

    text: str
    interval: str = ""
    url: str = ""
    best: bool = False
    mark: str = ""
    meaning: str = ""
    spread: str = ""


@dataclass(frozen=True)
class Duel:
    """A model in the contest.

    Attributes:
        entry: the numbers.
        own: its mean.
        whisker: of the mean.
        apart: the whisker of the difference to the baseline; None for the baseline.
        rival: whom its people are compared on.
        verdict: "better", "worse" or "not to be told apart".
        shares: of people who are better off, level and worse off, in percent.
        loses: where it loses most to the baseline.
        gains: where it gains most over it.
        more: how many people are better off.
        less: how many are worse off.
    """

    entry: Entry
    own: Number
    whisker: Whisker
    apart: Whisker | None = None
    difference: Number | None = None
    verdict: str = ""
    shares: tuple[float, float, float] = (0, 0, 0)
    loses: str = ""
    gains: str = ""
    more: int = 0
    less: int = 0


@dataclass(frozen=True)
class Table:
    """Columns: key, heading, meaning and address; rows: a name and a number a column, None where there is none."""

    columns: list[tuple[str, str, str, str]]
    rows: list[tuple[str, list[Number | None]]]


@dataclass(frozen=True)
class SliceTable:
    """A way to divide the people: its plot, and per slice the numbers of each model."""

    heading: str
    drawing: Drawing
    models: list[str]
    rows: list[tuple[str, int, bool, list[Number | None]]]


@dataclass(frozen=True)
class Hits:
    """What a model found for a person: ranks of hits in its list of k, or how near it came."""

    model: str
    value: str
    ranks: list[int]
    nearest: int | None


@dataclass(frozen=True)
class Card:
    """A person behind a number.

    Attributes:
        url: of their page, with the two models.
        value: the difference (or the value), as displayed; `sign` is -1, 0 or 1.
        hits: what each of the models found.
        history: the newest items that they liked before; `n_history` how many there are in all.
        took: what they took next, and where the models have it, in words; those that some list has come first.
    """

    user_id: str | int
    url: str
    value: str
    sign: int
    k: int
    hits: list[Hits]
    history: list[Item]
    n_history: int
    took: list[tuple[Item, str, bool]]
    n_took: int


def duels(comparison: Comparison, found: Contest, metric: str) -> list[Duel]:
    """The contest by one metric, the best mean first."""
    entries = found.of(metric)
    scale = _scale([entry.estimate for entry in entries])
    apart = _scale([entry.paired.difference for entry in entries if entry.paired], zero=True)
    best = written(max(entry.estimate.mean for entry in entries))
    rows = []
    for entry in entries:
        rival = comparison.rival_of(entry.model, metric, found.baseline)
        mean = written(entry.estimate.mean)
        own = Number(
            mean,
            _interval(entry.estimate),
            people_url(metric, entry.model, rival),
            best=mean == best,
            mark="★" if mean == best else "",
            meaning="best" if mean == best else "",
            spread="" if entry.spread is None else written(entry.spread.sd),
        )
        whisker = _whisker(entry.estimate, scale)
        if entry.paired is None:
            rows.append(Duel(entry, own, whisker))
            continue
        people = comparison.gaps(metric, entry.model, found.baseline)
        difference = entry.paired.difference
        sign = "better" if difference.mean > 0 else "worse"
        n = max(1, len(people))
        rows.append(
            Duel(
                entry,
                own,
                whisker,
                _whisker(difference, apart, zero=True),
                Number(
                    f"{difference.mean:+.4f}".replace("-", "−"),
                    _interval(difference, sign=True),
                    people_url(metric, entry.model, found.baseline),
                ),
                sign if entry.is_significant else "not to be told apart",
                (100 * people.n_more / n, 100 * people.n_same / n, 100 * people.n_less / n),
                people_url(metric, entry.model, found.baseline),
                people_url(metric, entry.model, found.baseline, order="most"),
                people.n_more,
                people.n_less,
            )
        )
    return rows


def metric_table(comparison: Comparison, baseline: str) -> Table:
    """All models by their main metrics."""
    board = comparison.board
    columns = [
        (
            column.key,
            column.heading,
            meaning_of(column.key.removeprefix(NEW_ITEMS)),
            f"/compare?metric={column.key}" if column.key in comparison.metrics else "",
        )
        for column in board.columns
    ]
    rows = []
    for row in board.rows:
        numbers: list[Number | None] = []
        for place, (column, cell) in enumerate(zip(board.columns, row.cells, strict=True)):
            if cell is None:
                numbers.append(None)
                continue
            best, level = row.is_best[place], row.is_level[place]
            spread = row.spreads[place]
            numbers.append(
                Number(
                    written(cell.mean),
                    _interval(cell),
                    _url_of(comparison, column.key, row.name, baseline),
                    best=best,
                    mark="★" if best else LEVEL_MARK if level else "",
                    meaning="best of its column" if best else "not to be told from the best" if level else "",
                    spread="" if spread is None else written(spread.sd),
                )
            )
        rows.append((row.name, numbers))
    return Table(columns, rows)


def beyond_table(comparison: Comparison, baseline: str) -> Table:
    """What the lists are like, at the first cutoff; without those that no model has."""
    reports = comparison.reports
    cutoff = next(iter(reports.values())).protocol["cutoffs"][0]
    names = dict.fromkeys(
        name
        for report in reports.values()
        for name in (*report.beyond, *report.system)
        if name.endswith(f"@{cutoff}")
    )
    columns = [(name, name_of(name), meaning_of(name), "") for name in names]
    rows = []
    for model, report in reports.items():
        numbers: list[Number | None] = []
        for name in names:
            if name in report.beyond:
                one = report.beyond[name]
                url = _url_of(comparison, name, model, baseline)
                numbers.append(Number(f"{one.mean:.3f}".replace("-", "−"), _interval(one, digits=3), url))
            elif name in report.system:
                numbers.append(Number(f"{report.system[name]:.3f}"))
            else:
                numbers.append(None)
        rows.append((model, numbers))
    return Table(columns, rows)


def seeds_table(comparison: Comparison, metric: str) -> Table | None:
    """The means of each seed, where there are several."""
    several = {name: report.by_seed for name, report in comparison.reports.items() if report.by_seed}
    if not several:
        return None
    seeds = sorted({seed for found in several.values() for seed in found})
    rows: list[tuple[str, list[Number | None]]] = []
    for name, found in several.items():
        spread = comparison.reports[name].spread(metric)
        numbers: list[Number | None] = [
            Number(written(found[seed][metric])) if seed in found else None for seed in seeds
        ]
        rows.append((name, [*numbers, None if spread is None else Number(written(spread.sd))]))
    columns = [(str(seed), f"seed {seed}", "", "") for seed in seeds]
    return Table([*columns, ("sd", "σ between them", "", "")], rows)


def slice_tables(comparison: Comparison, figure: Figure, metric: str, baseline: str) -> list[SliceTable]:
    """The groups of people, with a plot each."""
    models = list(comparison.reports)
    tables = []
    for slicing, drawing in zip(comparison.slicings, figure.drawings, strict=True):
        rows = []
        for piece in slicing.slices:
            means = {
                name: piece.models[name][metric].mean
                for name in models
                if metric in piece.models.get(name, {})
            }
            best = written(max(means.values(), default=0.0))
            numbers: list[Number | None] = []
            for name in models:
                if name not in means:
                    numbers.append(None)
                    continue
                rival = comparison.rival_of(name, metric, baseline)
                url = people_url(metric, name, rival, piece=f"{slicing.name}:{piece.label}")
                is_best = written(means[name]) == best and len(means) > 1
                numbers.append(
                    Number(
                        written(means[name]),
                        _interval(piece.models[name][metric]),
                        url,
                        best=is_best,
                        mark="★" if is_best else "",
                        meaning="best of this group" if is_best else "",
                    )
                )
            rows.append((piece.label, piece.n_users, piece.is_too_small, numbers))
        tables.append(SliceTable(slicing.heading, drawing, models, rows))
    return tables


def behind(comparison: Comparison, shown: Sequence[Gap], metric: str, a: str, b: str | None) -> list[Card]:
    """People with what each of the models found for them."""
    engine, models = comparison.engine, [a, *([b] if b else [])]
    k = _cutoff(comparison, metric)
    people = comparison.people([gap.user_id for gap in shown], models, k)
    first = {name: _first_ranks(comparison, name, [gap.user_id for gap in shown]) for name in models}
    digits = 4 if is_accuracy(metric) else 3
    cards = []
    for place, (gap, person) in enumerate(zip(shown, people, strict=True)):
        values = {a: gap.one, b: gap.other}
        hits = [
            Hits(
                name,
                f"{values[name]:.{digits}f}".replace("-", "−"),
                ranks_in_list(person, name),
                first[name][place],
            )
            for name in models
        ]
        where = {
            item: [
                f"{name} {list(person.lists[name]).index(item) + 1}"
                for name in models
                if item in person.lists[name]
            ]
            for item in person.took
        }
        took = sorted(person.took, key=lambda item: not where[item])[:_TOOK]
        sign = (gap.value > 1e-12) - (gap.value < -1e-12)
        cards.append(
            Card(
                gap.user_id,
                person_url(gap.user_id, first=a, **({"second": b} if b else {})),
                f"{gap.value:+.{digits}f}".replace("-", "−") if b else f"{gap.value:.{digits}f}",
                sign,
                k,
                hits,
                engine.items(person.history[:_HISTORY]),
                len(person.history),
                [(engine.item(item), " · ".join(where[item]), bool(where[item])) for item in took],
                len(person.took),
            )
        )
    return cards


def _cutoff(comparison: Comparison, metric: str) -> int:
    """The length of list that a metric looks at; of one that looks at all ranks, the first cutoff."""
    _, at, cutoff = metric.partition("@")
    if at:
        return int(cutoff)
    return int(next(iter(comparison.reports.values())).protocol["cutoffs"][0])


def _first_ranks(comparison: Comparison, model: str, users: Sequence[str | int]) -> list[int | None]:
    """Where the best held-out item of each stands: 1 / rr. Unknown where it is a mean over seeds."""
    report = comparison.reports[model]
    if report.by_seed or "rr" not in report.per_user.columns:
        return [None] * len(users)
    known = dict(report.per_user.select("user_id", "rr").iter_rows())
    return [round(1 / known[user]) if known.get(user) else None for user in users]


def _url_of(comparison: Comparison, key: str, model: str, baseline: str) -> str:
    """The people behind a mean. Of brand-new items, those who took some: values of single people are not kept."""
    if key.startswith(NEW_ITEMS):
        key, piece = key.removeprefix(NEW_ITEMS), _NEW
        if piece not in comparison.pieces:
            return ""
    else:
        piece = None
    if key not in comparison.measures:
        return ""
    rival = comparison.rival_of(model, comparison.main, baseline)
    return people_url(key, model, rival, piece=piece)


def _interval(one: Estimate, *, sign: bool = False, digits: int = 4) -> str:
    form = f"{'+' if sign else ''}.{digits}f"
    return f"{one.low:{form}} to {one.high:{form}}".replace("-", "−")


def _scale(estimates: Sequence[Estimate], *, zero: bool = False) -> tuple[float, float]:
    ends = [end for one in estimates for end in (one.low, one.high)] + ([0.0] if zero else [])
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _whisker(one: Estimate, scale: tuple[float, float], *, zero: bool = False) -> Whisker:
    low, high = scale

    def place(value: float) -> str:
        return f"{4 + (value - low) / (high - low) * (WIDTH - 8):.1f}"

    return Whisker(place(one.low), place(one.mean), place(one.high), place(0.0) if zero else None)
