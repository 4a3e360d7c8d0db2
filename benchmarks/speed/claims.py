"""What was promised, beside what was measured."""

from __future__ import annotations

import statistics
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common import Table, spread

REASONS = Path(__file__).with_name("reasons.toml")


@dataclass(frozen=True)
class Claim:
    """A target and what was measured for it, round by round.

    Attributes:
        key: under which `reasons.toml` says why it was missed, if it was.
        text: what is compared.
        values: a figure a round.
        target: what the median must reach; None: nothing was promised, the figure is for reading.
        digits: how figures are written.
        unit: behind the target's figure.
        at_most: whether less is better.
    """

    key: str
    text: str
    values: Sequence[float]
    target: float | None
    digits: str = ".2f"
    unit: str = "x"
    at_most: bool = False

    @property
    def share(self) -> float | None:
        """Of the target: 1 just meets it, more is better."""
        if self.target is None:
            return None
        found = statistics.median(self.values)
        return self.target / found if self.at_most else found / self.target

    @property
    def verdict(self) -> str:
        """In words."""
        if self.share is None:
            return "no target"
        if self.share >= 1:
            return "met"
        if self.at_most:
            return f"missed: {1 / self.share - 1:.0%} too much"
        return f"missed by {1 - self.share:.0%}"

    @property
    def row(self) -> list[str]:
        """In a table."""
        sign = "at most" if self.at_most else "at least"
        target = "-" if self.target is None else f"{sign} {self.target:g} {self.unit}"
        return [self.text, target, spread(list(self.values), self.digits), self.verdict]


def table_of(claims: Sequence[Claim]) -> Table:
    """A row each."""
    return Table(["", "target", "median (lowest-highest)", "verdict"], [one.row for one in claims])


def reasons(claims: Sequence[Claim]) -> str:
    """Why targets were missed, as a list in Markdown; empty where none was."""
    known = tomllib.loads(REASONS.read_text()) if REASONS.is_file() else {}
    missed = [one for one in claims if one.verdict.startswith("missed")]
    why = {one.key: known.get(one.key, f"Why is not written down yet (`{one.key}`).") for one in missed}
    return "\n".join(f"- **{one.text}**: {one.verdict}. {why[one.key]}" for one in missed)
