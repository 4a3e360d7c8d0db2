"""A figure as a page shows it: with its key, a table of its numbers, and all of them as a file."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from visrec.evaluation.plots.drawing import look_of, outline
from visrec.evaluation.plots.figures import Figure

_TABLE_ROWS = 400  # on the page; the CSV has all


@dataclass(frozen=True)
class FigureOnPage:
    """A figure, ready for the template.

    Attributes:
        keys: model, outline and look of each.
        columns: of the table, and whether each holds numbers.
        rows: of the table, as text.
        left_out: how many rows are not in the table.
        csv: all rows, in base64.
    """

    figure: Figure
    keys: list[tuple[str, str, str]]
    columns: list[tuple[str, bool]]
    rows: list[list[str]]
    left_out: int
    csv: str


def on_page(figure: Figure) -> FigureOnPage:
    """What the template is given of a figure."""
    data = figure.data
    return FigureOnPage(
        figure,
        [(model, outline(group, 8, 8), look_of(group)) for group, model in enumerate(figure.legend)],
        [(name, data[name].dtype.is_numeric()) for name in data.columns],
        [[_as_text(value) for value in row] for row in data.head(_TABLE_ROWS).rows()],
        max(0, data.height - _TABLE_ROWS),
        base64.b64encode(data.write_csv().encode()).decode(),
    )


def _as_text(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.1f}" if abs(value) >= 10 else f"{value:.4f}"
    return str(value)
