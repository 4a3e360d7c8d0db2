"""One HTML file that shows a comparison of features: the table, two plots, and the nearest pictures by each.

Like the page of a run it needs nothing else: no request goes to any host, no script runs, and each picture is
embedded once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visrec.evaluation.contact_sheet import Neighbours
from visrec.evaluation.leaderboard import LEVEL_MARK
from visrec.evaluation.markup import MEANINGS, Cell, cells_of, protocol_sentence, template
from visrec.evaluation.plots.drawing import Drawing, outline
from visrec.evaluation.plots.scatter import Point, drawn, scatter
from visrec.evaluation.thumbnails import SIZE, Thumbnail, frame_of, thumbnails_of
from visrec.evaluation.transfer import Comparison, Row, facts_as_text
from visrec.files import write_text

if TYPE_CHECKING:
    from visrec.data.catalog import Catalog

QUERY_SIZE = 288  # pixels of the longer side of a picture that is asked for

_FRAME_AREA = 88 * 88  # CSS pixels: ten of them stand in a row


def write_comparison_page(
    path: str | Path,
    comparison: Comparison,
    *,
    title: str,
    facts: Sequence[tuple[str, str]] = (),
    sheet: Sequence[Neighbours] = (),
    catalog: Catalog | None = None,
    thumbnails: Mapping[int, Thumbnail] | None = None,
    provenance: Mapping[str, Any] | None = None,
    notes: Sequence[str] = (),
) -> None:
    """Write `render_comparison_page` of the same arguments, atomically."""
    page = render_comparison_page(
        comparison,
        title=title,
        facts=facts,
        sheet=sheet,
        catalog=catalog,
        thumbnails=thumbnails,
        provenance=provenance,
        notes=notes,
    )
    write_text(path, page)


def render_comparison_page(
    comparison: Comparison,
    *,
    title: str,
    facts: Sequence[tuple[str, str]] = (),
    sheet: Sequence[Neighbours] = (),
    catalog: Catalog | None = None,
    thumbnails: Mapping[int, Thumbnail] | None = None,
    provenance: Mapping[str, Any] | None = None,
    notes: Sequence[str] = (),
) -> str:
    """The page as HTML. The same arguments give the same text.

    Args:
        comparison: what is shown.
        title: of the page.
        facts: (label, value) about the data set and the run.
        sheet: the nearest pictures.
        catalog: titles of the items; without one, tiles show the index.
        thumbnails: their pictures, as `sheet_thumbnails` makes them; an item without one becomes a plain tile.
        provenance: how the results came about, nested as it likes; its "protocol" heads the table.
        notes: sentences that a reader should know first.
    """
    protocol = (provenance or {}).get("protocol", {})
    pictures = thumbnails or {}
    width, height = frame_of(pictures.values(), area=_FRAME_AREA)
    used = {item for one in sheet for item in one.items}
    failures = [f"{name} is not there, or not whole: {why}" for name, why in comparison.failures.items()]
    return template("transfer.html.j2").render(
        title=title,
        facts=facts,
        notes=[*([protocol["warning"]] if protocol.get("warning") else []), *failures, *notes],
        protocol=protocol_sentence(protocol, comparison.n_users),
        headings=comparison.headings,
        groups=_groups(comparison),
        level_mark=LEVEL_MARK,
        table_notes=comparison.notes,
        from_file=any(_is_file(one.weights) and one.top1 is not None for one in comparison.features),
        top1_notes=comparison.top1_notes,
        meanings=_meanings(comparison),
        sentences=[(model, comparison.sentence(model)) for model in comparison.models],
        legend=[(model, outline(place, 8, 8)) for place, model in enumerate(comparison.models)],
        has_level=comparison.baseline is not None,
        plot=_transfer_plot(comparison),
        cost=_cost_plot(comparison),
        k=comparison.k,
        sheet=sheet,
        titles={item: catalog.title(item) if catalog else f"item {item}" for item in sorted(used)},
        pictured=set(pictures),
        pictures=[
            (item, one.data, one.fit(width / height)) for item, one in pictures.items() if item in used
        ],
        frame=(width, height),
        provenance=provenance or {},
    )


def sheet_thumbnails(catalog: Catalog, sheet: Sequence[Neighbours]) -> dict[int, Thumbnail]:
    """A picture of each item in a sheet: large where it is asked for, small elsewhere."""
    asked = {one.item for one in sheet}
    others = {item for one in sheet for item in one.items} - asked
    large = thumbnails_of(catalog, sorted(asked), size=QUERY_SIZE)
    return large | thumbnails_of(catalog, sorted(others), size=SIZE)


def _groups(comparison: Comparison) -> list[tuple[str, list[dict[str, Any]]]]:
    """By model the rows: name, weights, cells, facts; the baseline is a group of its own, last."""
    rows = [*comparison.rows, *([comparison.baseline] if comparison.baseline else [])]
    columns = {
        key: cells_of([row.metrics[key] for row in rows], [row.is_best.get(key, False) for row in rows])
        for key in comparison.keys
    }
    groups: dict[str, list[dict[str, Any]]] = {}
    for place, row in enumerate(rows):
        cells = [_marked(column[place], row, key == comparison.ndcg) for key, column in columns.items()]
        weights = row.features.weights if row.features else None
        groups.setdefault(row.model if row.features else "", []).append(
            {
                "name": row.extractor or f"{row.model.lower()} order",
                "weights": "" if weights in (None, "default") else weights,
                "from_file": _is_file(weights) and row.features is not None and row.features.top1 is not None,
                "cells": cells,
                "facts": facts_as_text(row.features),
            }
        )
    return list(groups.items())


def _marked(cell: Cell | None, row: Row, decides: bool) -> Cell | None:
    """A cell whose best is that of a model, not of the column, and where it decides, what is level with it."""
    if cell is None:
        return None
    if cell.best:
        return replace(cell, meaning=f"best of {row.model}")
    if decides and row.is_level:
        return replace(cell, mark=LEVEL_MARK, meaning="not to be told from the best")
    return cell


def _is_file(weights: str | None) -> bool:
    return weights not in (None, "default", "random")


def _transfer_plot(comparison: Comparison) -> Drawing:
    points = [
        Point(_label(row), row.model, row.features.top1 if row.features else None, row.metrics[comparison.ndcg])
        for row in comparison.rows
    ]  # fmt: skip
    plot = scatter(points, x_title="ImageNet top-1 accuracy (%)", **_axes(comparison))
    name = (
        f"nDCG@{comparison.k} of each extractor and model against the ImageNet top-1 accuracy of its network."
    )
    return drawn(plot, f"{name} The numbers are in the table above.", strip_note="no top-1")


def _label(row: Row) -> str:
    """The extractor's name, with the mark of a top-1 that is another measure."""
    return row.extractor + facts_as_text(row.features)["kind"]


def _cost_plot(comparison: Comparison) -> Drawing | None:
    points = [
        Point(row.extractor, row.model, row.features.images_per_second, row.metrics[comparison.ndcg])
        for row in comparison.rows
        if row.features is not None and row.features.images_per_second
    ]
    if len({point.label for point in points}) < 2:
        return None  # one speed is a number, not a plot
    plot = scatter(points, x_title="images a second", log=True, **_axes(comparison))
    name = f"nDCG@{comparison.k} of each extractor and model against the images it takes in a second."
    return drawn(plot, f"{name} The numbers are in the table above.")


def _axes(comparison: Comparison) -> dict[str, Any]:
    level = comparison.baseline.metrics[comparison.ndcg].mean if comparison.baseline else None
    return {"y_title": f"nDCG@{comparison.k}", "level": level}


def _meanings(comparison: Comparison) -> list[tuple[str, str]]:
    k = comparison.k
    return [
        (f"R@{k}", f"recall: {MEANINGS['recall@k']}"),
        (f"P@{k}", f"precision: {MEANINGS['precision@k']}"),
        (f"MRR@{k}", f"{MEANINGS['MRR']}; 0 for a user who has none among the k best"),
        (f"nDCG@{k}", MEANINGS["nDCG@k"]),
        ("top-1, top-5", "how often the network names the right one of 1,000 things, at once or in five guesses"),
        ("dim", "numbers in the vector of a picture"),
        ("images/s", "pictures turned into vectors in a second, when that was done, on the machine that did it"),
        ("MB", "what the features take on disk"),
    ]  # fmt: skip
