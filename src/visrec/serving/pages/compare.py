"""Compare: the models as they were judged, and from every number to the people behind it."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, Response

from visrec.config import digest_of
from visrec.errors import ConfigError
from visrec.evaluation.contest import FORMATS
from visrec.evaluation.gaps import Order
from visrec.evaluation.leaderboard import heading_of
from visrec.evaluation.markup import MEANINGS, over, protocol_sentence, reservations, template
from visrec.evaluation.plots.figures import history_figure, slices_figure
from visrec.evaluation.plots.histogram import histogram
from visrec.evaluation.plots.onpage import on_page
from visrec.serving.comparing import comparison_of
from visrec.serving.pages.comparison_tables import (
    behind,
    beyond_table,
    duels,
    metric_table,
    seeds_table,
    slice_tables,
)
from visrec.serving.pages.comparison_words import meaning_of, order_words, people_url, verdict, words_of
from visrec.serving.pages.rendering import Pager, render
from visrec.serving.service import CurrentEngine

router = APIRouter(include_in_schema=False)

SHOWN = 10
"""People on a page."""

_TYPES = {"md": "text/markdown", "latex": "application/x-tex", "csv": "text/csv", "json": "application/json"}
_ENDINGS = {"md": "md", "latex": "tex", "csv": "csv", "json": "json"}

Chosen = Annotated[str | None, Query(max_length=200)]


@router.get("/compare", response_class=HTMLResponse)
def compare(
    request: Request, engine: CurrentEngine, metric: Chosen = None, baseline: Chosen = None
) -> HTMLResponse:
    """Metrics with intervals and tests, beyond accuracy, seeds, slices."""
    comparison = comparison_of(engine)
    if not comparison.metrics:
        return render(request, engine, "compare_nothing.html.j2")
    metric = metric or comparison.main
    if metric not in comparison.metrics:
        raise ConfigError(
            f"There is no metric '{metric}' of all models. There are {', '.join(comparison.metrics)}."
        )
    reports = comparison.reports
    found = comparison.contest(metric, baseline or None) if len(reports) > 1 else None
    base = found.baseline if found else next(iter(reports))
    first = next(iter(reports.values()))
    figure = slices_figure(comparison.slicings, list(reports), metric)
    longer = history_figure(reports)
    return render(
        request,
        engine,
        "compare.html.j2",
        comparison=comparison,
        metric=metric,
        baseline=base,
        asked=baseline or "",
        meaning=meaning_of(metric),
        verdict=verdict(found, metric) if found else "",
        contest=found,
        duels=duels(comparison, found, metric) if found else [],
        board=metric_table(comparison, base),
        beyond=beyond_table(comparison, base),
        seeds=seeds_table(comparison, metric),
        slices=slice_tables(comparison, figure, metric, base) if figure else [],
        figure=on_page(figure) if figure else None,
        longer=on_page(longer) if longer else None,
        protocol=protocol_sentence(first.protocol, first.per_user.height, over=over(reports)),
        notes=list(dict.fromkeys([*reservations(first.protocol), *engine.run.notes])),
        meanings=MEANINGS,
        formats=list(FORMATS),
        **_drawing(),
    )


@router.get("/compare/people", response_class=HTMLResponse)
def people(
    request: Request,
    engine: CurrentEngine,
    *,
    metric: Chosen = None,
    a: Chosen = None,
    b: Chosen = None,
    slice: Chosen = None,  # noqa: A002 - the word of the address
    order: Order = "least",
    page: Annotated[int, Query(ge=1, le=1_000_000)] = 1,
) -> HTMLResponse:
    """The people behind a number: whom a model serves worse than another, the most first; or the other way."""
    comparison = comparison_of(engine)
    if not comparison.metrics:
        return render(request, engine, "compare_nothing.html.j2")
    metric, a = metric or comparison.main, a or engine.best_model
    b, piece = b or None, slice or None
    if a == b:
        raise ConfigError(f"'{a}' is held against itself. Choose two models, or one alone.")
    found = comparison.gaps(metric, a, b, piece=piece)
    query = {"metric": metric, "a": a, "b": b or "", "slice": piece or "", "order": order}
    pager = Pager.of(len(found), page, SHOWN, query)
    shown = found.page(order, start=pager.part.start, n=SHOWN)
    sides = (words_of(metric, b, than=a), words_of(metric, a, than=b)) if b else None
    title = f"{heading_of(metric)} of {a}" + (f" less that of {b}" if b else "")
    return render(
        request,
        engine,
        "compare_people.html.j2",
        comparison=comparison,
        metric=metric,
        meaning=meaning_of(metric),
        a=a,
        b=b,
        piece=piece,
        order=order,
        pager=pager,
        found=found,
        cards=behind(comparison, shown, metric, a, b),
        words=order_words(metric, a, b),
        histogram=histogram(found.values, x_title=title, sides=sides) if len(found) else None,
        **_drawing(),
    )


@router.get("/compare/table.{ending}")
def table(engine: CurrentEngine, ending: str, metric: Chosen = None, baseline: Chosen = None) -> Response:
    """The comparison as a file, for a paper or a spreadsheet."""
    kind = next((name for name, known in _ENDINGS.items() if known == ending), None)
    if kind is None:
        raise ConfigError(f"There is no table.{ending}. There are {', '.join(_ENDINGS.values())}.")
    comparison = comparison_of(engine)
    found = comparison.contest(metric or comparison.main, baseline or None)
    return Response(
        FORMATS[kind](found),
        media_type=_TYPES[kind],
        headers={"Content-Disposition": f'attachment; filename="comparison.{ending}"'},
    )


@router.get("/compare/plots.css")
def plots_css() -> Response:
    """The look of the plots: that of the reports, as a file, since pages have no inline styles."""
    return Response(
        _plots_css(),
        media_type="text/css",
        headers={"Cache-Control": "public, max-age=31536000, immutable"},
    )


@cache
def _plots_css() -> str:
    return template("plots.css.j2").render()


@cache
def _plots_url() -> str:
    return f"/compare/plots.css?v={digest_of(_plots_css())[:12]}"


def _drawing() -> dict[str, Any]:
    """What templates draw plots with: those of the reports."""
    shapes: Any = template("drawing.html.j2").module
    return {
        "plots_url": _plots_url(),
        "svg": shapes.svg,
        "key": shapes.key,
        "heading_of": heading_of,
        "people_url": people_url,
        "endings": _ENDINGS,
    }
