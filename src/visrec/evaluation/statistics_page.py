"""One HTML file that shows a data set: its numbers, how they are spread, and what its pictures look like."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from visrec.data.dataset import Dataset
from visrec.data.statistics import LEGEND, Statistics
from visrec.evaluation.charts import Chart, bars, concentration, histogram
from visrec.evaluation.markup import template
from visrec.evaluation.thumbnails import frame_of, thumbnails_of
from visrec.files import write_text

_SHOWN = 14  # pictures of each kind
_FRAME_AREA = 88 * 88  # CSS pixels


def write_statistics_page(path: str | Path, statistics: Statistics, dataset: Dataset, *, title: str) -> None:
    """Write `render_statistics_page` of the same arguments, atomically."""
    write_text(path, render_statistics_page(statistics, dataset, title=title))


def render_statistics_page(statistics: Statistics, dataset: Dataset, *, title: str) -> str:
    """The page as HTML: no request goes to any host, no script runs. The same arguments give the same text."""
    sheet = _sheet(dataset)
    pictures = thumbnails_of(dataset.catalog, sorted({item for _, items in sheet for item in items}))
    width, height = frame_of(pictures.values(), area=_FRAME_AREA)
    return template("statistics.html.j2").render(
        title=title,
        facts=statistics.lines()[:5] + statistics.lines()[5:][-1:],
        notes=dataset.notes,
        lines=statistics.lines(),
        legend=LEGEND,
        charts=_charts(statistics) if statistics.n_interactions else [],
        sheet=sheet,
        titles={item: dataset.catalog.title(item) for _, items in sheet for item in items},
        pictured=set(pictures),
        pictures=[(item, one.data, one.fit(width / height)) for item, one in pictures.items()],
        frame=(width, height),
        provenance={},
    )


def _charts(found: Statistics) -> list[tuple[str, str, Chart]]:
    """By heading: what it says in a sentence, and the drawing."""
    return [
        (
            "How much people take",
            f"Half of the users have at least {np.median(found.user_counts):,.0f} interactions.",
            histogram(found.user_counts, x_title="interactions of a user", y_title="users"),
        ),
        (
            "How often things are taken",
            f"Half of the items that anybody took were taken at most {np.median(found.item_counts):,.0f} times.",
            histogram(found.item_counts, x_title="interactions of an item", y_title="items"),
        ),
        (
            "How uneven that is",
            f"The most taken tenth of the items has {found.head(10):.0%} of the interactions; the Gini coefficient "
            f"is {found.gini:.2f}. The dashed line is what even shares would give.",
            concentration(
                found.item_counts, x_title="items, the most taken first", y_title="share of interactions"
            ),
        ),
        (
            "What is taken together",
            f"{len(found.basket_sizes):,} baskets (one user, one moment).",
            histogram(found.basket_sizes, x_title="items in a basket", y_title="baskets"),
        ),
        (
            "When",
            f"From {found.first} to {found.last}.",
            bars(found.periods, x_title="time", y_title="interactions"),
        ),
    ]


def _sheet(dataset: Dataset) -> list[tuple[str, list[int]]]:
    """A contact sheet: items by heading; only those with a picture."""
    counts = dataset.interactions.item_counts()
    order = np.argsort(-counts, kind="stable")
    order = order[dataset.catalog.pictured[order]]
    untaken = order[counts[order] == 0]
    places = np.linspace(0, max(0, len(order) - 1), min(len(order), 2 * _SHOWN)).round().astype(np.int64)
    if not counts.any():
        return [("From the first to the last", order[places].tolist())] if len(order) else []
    found = [
        ("Most taken", order[:_SHOWN].tolist()),
        ("From the most taken to the least", order[places].tolist()),
        ("Taken by nobody", untaken[:_SHOWN].tolist()),
    ]
    return [(heading, items) for heading, items in found if items]
