"""What all pages share: the templates (`base.html.j2` is the look), metrics as cells, and the words for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from visrec.evaluation.leaderboard import written

if TYPE_CHECKING:
    from jinja2 import Environment, Template

    from visrec.evaluation.protocol import Report
    from visrec.evaluation.significance import Estimate

MEANINGS = {
    "AUC": "how often a held-out item stands above another one; 0.5 is chance, 1 is perfect",
    "MRR": "1 divided by the rank of the best held-out item, averaged",
    "nDCG@k": "held-out items among the k best, worth more the higher they stand; 1 is perfect",
    "recall@k": "the share of the held-out items that is among the k best",
    "precision@k": "the share of the k best that is held out",
    "hit@k": "the share of the users with any held-out item among the k best",
    "MAP@k": "precision at each held-out item among the k best, averaged",
}
"""The metrics in plain words."""

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
        spread: the standard deviation between seeds, as text; nothing where there is one seed, or none.
    """

    mean: str
    interval: str
    best: bool
    at: dict[str, str]
    mark: str = ""
    meaning: str = ""
    spread: str = ""
    width: int = _WHISKER


@cache
def environment(package: str) -> Environment:
    """The templates of a package, compiled once.

    They escape all they are given: titles, ids and notes are what the data set says.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def template(name: str) -> Template:
    """A template of this package by its file's name."""
    return environment("visrec.evaluation").get_template(name)


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


def over(reports: Mapping[str, Report]) -> str:
    """What the intervals of some models' metrics are over, in words."""
    return "over users and seeds" if any(report.by_seed for report in reports.values()) else "over users"


def reservations(protocol: Mapping[str, Any]) -> list[str]:
    """What a reader must know before any number of an evaluation: its warning, and what its numbers cannot bear."""
    return [one for one in (protocol.get("warning"), *protocol.get("cautions", ())) if one]


def caption_of(reports: Mapping[str, Report]) -> str:
    """What a table of means and intervals is about, for a paper: it stands for itself, without a page around it."""
    first = next(iter(reports.values()))
    warning = first.protocol.get("warning", "")
    said = [
        *([warning] if warning else []),
        f"Means over {first.per_user.height:,} users with 95 % bootstrap intervals {over(reports)}; the best of each "
        f"column is bold.",
        f"{_capital(ranked_of(first.protocol))} were ranked.",
        *first.protocol.get("cautions", ()),
    ]
    return " ".join(said)


def protocol_sentence(protocol: Mapping[str, Any], n_users: int, *, over: str = "over users") -> str:
    """What was done in an evaluation, in words.

    Args:
        protocol: of the reports. Its warning is not said here, see `reservations`.
        n_users: who were evaluated.
        over: what the intervals are over, see the function of this name.
    """
    part, split = protocol.get("part", "test"), protocol.get("split", {}).get("name")
    ties = f"; ties {protocol['ties']}" if "ties" in protocol else ""
    return (
        f"{_capital(ranked_of(protocol))} were ranked, for each of {n_users:,} users, and the held-out ones looked "
        f"up in that order ({part} part{f' of {split}' if split else ''}){ties}. "
        f"Whiskers are 95 % bootstrap intervals {over}, on one scale in each column."
    )


def ranked_of(protocol: Mapping[str, Any]) -> str:
    """What was ranked in an evaluation, in words."""
    if protocol.get("name", "full") != "full":
        ranked = str(protocol["candidates"])
    else:
        items = f"all {protocol['n_items']:,} items" if "n_items" in protocol else "all items"
        ranked = f"{items} that a user had not taken before"
    return f"{ranked}, the next basket held out," if protocol.get("targets") == "basket" else ranked


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
