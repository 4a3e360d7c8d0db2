"""Where feedback is: in a run folder, in a file, in a database elsewhere. Light, since settings look at it."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

FILE = "feedback.db"
"""The name of the SQLite file in a run folder."""

COPY = "events.parquet"
"""The name, in a run folder, of the events that the run was made with."""


def is_url(address: str | Path) -> bool:
    """Whether an address is a URL; otherwise it is a path."""
    return isinstance(address, str) and "://" in address


def has_password(address: str) -> bool:
    """Whether a URL says a password, which must not be written into a run folder."""
    if not is_url(address):
        return False
    parts = urlsplit(address)
    return parts.password is not None or "password" in parse_qs(parts.query)
