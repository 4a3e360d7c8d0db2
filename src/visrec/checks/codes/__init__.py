"""Every fault that the doctor knows, in the order of reading."""

from __future__ import annotations

from collections.abc import Mapping

from visrec.checks.codes.code import Code as Code
from visrec.checks.codes.code import Mend as Mend
from visrec.checks.codes.code import Severity as Severity
from visrec.checks.codes.features import FEATURES
from visrec.checks.codes.pictures import PICTURES
from visrec.checks.codes.tables import TABLES

CODES: dict[str, Code] = TABLES | PICTURES | FEATURES

_FROM_FEATURES = ("extract", "plain", "features", "rank")
"""What commands may need to know, and features of another program do not tell."""


def command_of(code: str, about: Mapping[str, str]) -> str:
    """What to type against a fault; "" where no command mends it.

    Args:
        code: a key of `CODES`.
        about: what the placeholders of commands stand for, `data` among them.
    """
    known = CODES[code]
    option = {"always": "--only", "asked": "--also", None: ""}[known.mend]
    command = known.command or (f"visrec fix {{data}} FIXED {option} {code}" if known.mend else "")
    for name, value in about.items():
        command = command.replace(f"{{{name}}}", value)
    is_whole = not any(f"{{{name}}}" in command for name in _FROM_FEATURES)
    return command if is_whole else ""
