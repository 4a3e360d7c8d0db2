"""What `check` gives: the findings, and what there is, right or wrong."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from visrec.checks.codes import Severity, command_of
from visrec.checks.findings import Finding
from visrec.checks.images import Pictures
from visrec.checks.tables import Tables


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """What `check` gives.

    Attributes:
        folder: the data set.
        findings: errors first, then warnings, then notes.
        facts: JSON-able: sizes, k-core preview, popularity head, times, pictures; what is there, right or wrong.
        tables: what was read on the way, which `fix` goes by.
        pictures: what was seen of the files.
    """

    folder: Path
    findings: tuple[Finding, ...]
    facts: dict[str, Any]
    tables: Tables = field(repr=False)
    pictures: Pictures = field(repr=False)

    def of(self, severity: Severity) -> list[Finding]:
        """The findings of one severity."""
        return [one for one in self.findings if one.severity == severity]

    @property
    def has_errors(self) -> bool:
        """Whether any finding is an error."""
        return bool(self.of("error"))

    def command(self, one: Finding) -> str:
        """What to type against a finding; "" where no command mends it."""
        return command_of(one.code, {**one.about, "data": shlex.quote(str(self.folder))})

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
                    "command": self.command(one),
                    "advice": one.advice,
                }
                for one in self.findings
            ],
            "facts": self.facts,
        }
