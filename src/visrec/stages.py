"""How long work shows itself: stages with a title, each with progress."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from visrec.progress import Progress

Stage = Callable[[str], AbstractContextManager[Progress | None]]
"""Opens a progress display with a title; the command line draws bars."""


def silent(title: str) -> AbstractContextManager[Progress | None]:  # noqa: ARG001
    """The stage that shows nothing."""
    return nullcontext(None)
