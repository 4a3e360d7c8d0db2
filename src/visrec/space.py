"""Where a setting's best value is looked for: what models declare and `visrec tune` searches."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LogRange:
    """Numbers from `low` to `high`, each order of magnitude as likely as the next."""

    low: float
    high: float


@dataclass(frozen=True)
class IntRange:
    """Whole numbers from `low` to `high`."""

    low: int
    high: int


@dataclass(frozen=True)
class Choice:
    """One of some values."""

    values: tuple[str | int | float | bool, ...]


Range = LogRange | IntRange | Choice
Space = dict[str, Range]
"""Ranges by the name of the setting."""
