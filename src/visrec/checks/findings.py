"""What the doctor found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from visrec.checks.codes import CODES, Severity, remedy_of

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
        items: the items concerned, as written.
        severity: that of the code, unless the user allowed the fault.
    """

    code: str
    count: int
    examples: tuple[str, ...] = ()
    rows: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    items: tuple[str, ...] = ()
    severity: Severity = "error"

    @property
    def what(self) -> str:
        """What was found, and how many."""
        words = CODES[self.code].what
        return f"{words[0].upper()}{words[1:]}: {self.count:,}"

    @property
    def meaning(self) -> str:
        """Why it matters."""
        return CODES[self.code].meaning


def finding(
    code: str,
    count: int,
    examples: Iterable[object] = (),
    *,
    rows: np.ndarray | None = None,
    items: Sequence[str] = (),
    allowed: bool = False,
) -> list[Finding]:
    """A list of one finding, or of none where the count is 0.

    Args:
        code: a key of `CODES`.
        count: how many are at fault.
        examples: any number; a few are kept.
        rows: of the interactions, from 0.
        items: as written.
        allowed: the user has said that this is meant to be so: a note.
    """
    if not count:
        return []
    shown = tuple(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…" for text in map(_text, examples))
    return [
        Finding(
            code,
            int(count),
            shown[:N_EXAMPLES],
            np.zeros(0, dtype=np.int64) if rows is None else np.asarray(rows, dtype=np.int64),
            tuple(items),
            "note" if allowed else CODES[code].severity,
        )
    ]


def _text(example: object) -> str:
    """A text that any terminal and any JSON can hold: names of files may be bytes that are none."""
    return str(example).encode(errors="backslashreplace").decode()


@dataclass(frozen=True)
class Diagnosis:
    """What `check` gives.

    Attributes:
        folder: the data set.
        findings: errors first, then warnings, then notes.
        facts: JSON-able: sizes, k-core preview, popularity head, times, pictures; what is there, right or wrong.
    """

    folder: Path
    findings: tuple[Finding, ...]
    facts: dict[str, Any]

    def of(self, severity: Severity) -> list[Finding]:
        """The findings of one severity."""
        return [one for one in self.findings if one.severity == severity]

    @property
    def has_errors(self) -> bool:
        """Whether any finding is an error."""
        return bool(self.of("error"))

    def remedy(self, one: Finding) -> str:
        """What to type against a finding."""
        return remedy_of(one.code, str(self.folder))

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "folder": str(self.folder),
            "errors": len(self.of("error")),
            "warnings": len(self.of("warning")),
            "notes": len(self.of("note")),
            "findings": [
                {
                    "code": one.code,
                    "severity": one.severity,
                    "count": one.count,
                    "what": one.what,
                    "examples": list(one.examples),
                    "meaning": one.meaning,
                    "remedy": self.remedy(one),
                }
                for one in self.findings
            ],
            "facts": self.facts,
        }
