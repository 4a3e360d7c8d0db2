"""A kind of fault: how grave it is, what it means, and what to type against it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "note"]
Mend = Literal["always", "asked"]


@dataclass(frozen=True)
class Code:
    """A kind of fault.

    Attributes:
        severity: "error": visrec refuses the data, or results are wrong; "warning": results may mislead; "note": good
            to know.
        what: what was found; the count comes behind it.
        meaning: why it matters, one sentence.
        mend: whether `visrec fix` mends it always, only when asked (`--only`, `--also`), or never (None).
        does: what `visrec fix` does.
        command: what to type where `visrec fix` is not it; `{data}` stands for the folder, `{features}` for a folder
            of features, `{extract}` for the command that made them, `{plain}` for it without steps, `{rank}` for how
            many columns are worth keeping.
        advice: in words, what no command can do.
    """

    severity: Severity
    what: str
    meaning: str
    mend: Mend | None = None
    does: str = ""
    command: str = ""
    advice: str = ""
