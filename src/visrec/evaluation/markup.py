"""What all pages share: the templates (`base.html.j2` is the look), and a metric as a cell with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from visrec.evaluation.leaderboard import written

if TYPE_CHECKING:
    from jinja2 import Template

    from visrec.evaluation.significance import Estimate

_WHISKER = 72  # CSS pixels between the ends of a column's scale


@dataclass(frozen=True)
class Cell:
    """A metric as a page shows it.

    Attributes:
        mean: as text.
        interval: both ends, as text.
        best: nothing in the column is better.
        at: where "low", "mean" and "high" lie on the column's scale, from 0 to `width`, as text.
        width: of the scale, in CSS pixels.
        mark: a sign behind the mean, or nothing.
        meaning: the sign in words, for those who do not see it.
    """

    mean: str
    interval: str
    best: bool
    at: dict[str, str]
    mark: str = ""
    meaning: str = ""
    width: int = _WHISKER


def template(name: str) -> Template:
    """A template by its file's name. It escapes all it is given: titles, ids and notes are what the data set says."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("visrec.evaluation"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def cells_of(column: Sequence[Estimate | None], is_best: Sequence[bool]) -> list[Cell | None]:
    """The cells of a column, their intervals on one scale."""
    known = [one for one in column if one is not None]
    low = min((one.low for one in known), default=0.0)
    span = max((one.high for one in known), default=0.0) - low or 1.0

    def place(value: float) -> str:
        return f"{(value - low) / span * _WHISKER:.1f}"

    return [
        None
        if one is None
        else Cell(
            mean=written(one.mean),
            interval=f"{written(one.low)}–{written(one.high)}",
            best=best,
            at={"low": place(one.low), "mean": place(one.mean), "high": place(one.high)},
            mark="★" if best else "",
            meaning="best of its column" if best else "",
        )
        for one, best in zip(column, is_best, strict=True)
    ]
