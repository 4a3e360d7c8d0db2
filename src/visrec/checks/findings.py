"""What the doctor found: one fault, how often, and a few examples."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from visrec.checks.codes import CODES, Severity

N_EXAMPLES = 5
_LONGEST = 300  # characters of an example


@dataclass(frozen=True, eq=False)
class Finding:
    """One fault of a data set.

    Attributes:
        code: a key of `CODES`, which says what it means.
        count: how many are at fault.
        examples: a few of them, as text.
        rows: `(n,)` the rows of the interactions concerned, from 0.
        items: `(n,)` the items concerned, as written.
        severity: that of the code, unless the user allowed the fault.
        about: what the placeholders of the code's command stand for, beside the data set.
    """

    code: str
    count: int
    examples: tuple[str, ...] = ()
    rows: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    items: pl.Series = field(default_factory=lambda: pl.Series(dtype=pl.String))
    severity: Severity = "error"
    about: Mapping[str, str] = field(default_factory=dict)

    @property
    def what(self) -> str:
        """What was found, and how many."""
        words = CODES[self.code].what
        return f"{words[0].upper()}{words[1:]}: {self.count:,}"

    @property
    def meaning(self) -> str:
        """Why it matters."""
        return CODES[self.code].meaning

    @property
    def advice(self) -> str:
        """In words, what no command can do; "" where there is nothing to say."""
        return CODES[self.code].advice


def finding(
    code: str,
    count: int,
    examples: Iterable[object] = (),
    *,
    rows: np.ndarray | None = None,
    items: pl.Series | Sequence[str] = (),
    allowed: bool = False,
    about: Mapping[str, str] | None = None,
) -> list[Finding]:
    """A list of one finding, or of none where the count is 0.

    Args:
        code: a key of `CODES`.
        count: how many are at fault.
        examples: any number; the first few are looked at.
        rows: of the interactions, from 0.
        items: as written.
        allowed: the user has said that this is meant to be so: a note.
        about: see `Finding`.
    """
    if not count:
        return []
    shown = [text for text, _ in zip(map(_text, examples), range(N_EXAMPLES), strict=False)]
    return [
        Finding(
            code,
            int(count),
            tuple(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…" for text in shown),
            np.zeros(0, dtype=np.int64) if rows is None else np.asarray(rows, dtype=np.int64),
            pl.Series(items, dtype=pl.String),
            "note" if allowed else CODES[code].severity,
            about or {},
        )
    ]


def _text(example: object) -> str:
    """A text that any terminal and any JSON can hold: names of files may be bytes that are none."""
    return str(example).encode(errors="backslashreplace").decode()
