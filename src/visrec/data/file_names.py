"""Item ids as names of files: as they are where any disk takes them, and otherwise a digest."""

from __future__ import annotations

import hashlib
import re

_PLAIN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")
_RESERVED = {"con", "prn", "aux", "nul", *(f"{name}{n}" for name in ("com", "lpt") for n in range(1, 10))}


def file_stem(item: str, taken: set[str]) -> str:
    """The stem of an id's file, another for each id, also where a disk does not tell capitals from small letters.

    An id that is no file name everywhere (other signs than letters, digits, ".", "_", "-"; too long; a name that
    Windows keeps for itself; one that was given before but for capitals) gets the first 32 digits of its SHA-256.

    Args:
        item: the id.
        taken: the stems given before, in small letters; the new one is added.
    """
    stem = item
    if not is_plain(item) or item.lower() in taken:
        stem = hashlib.sha256(item.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    taken.add(stem.lower())
    return stem


def is_plain(item: str) -> bool:
    """Whether an id can be the stem of a file's name on any disk."""
    return (
        _PLAIN.fullmatch(item) is not None
        and not item.endswith(".")
        and item.partition(".")[0].lower() not in _RESERVED
    )
