"""From item ids to names of files that every system can store."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

_LONGEST = 200  # bytes: most systems take 255, and a temporary name is longer than the last one
_FORBIDDEN = re.compile(r'[/\\:*?"<>|\x00-\x1f\x7f]')
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)
_MADE = re.compile(r".*~[0-9a-f]{16}", re.DOTALL)


def file_stems(
    ids: Iterable[str], *, taken: Iterable[str] = (), others: Iterable[str] = ()
) -> dict[str, str]:
    """The name, without suffix, of each item's file: its id, where that can be the name of a file everywhere.

    Where it cannot (separators and signs that Windows refuses, a leading dot, a reserved word such as `con`, more
    than 200 bytes, ids that differ in capitals alone), it is what is readable of the id, `~`, and 64 bits of its
    SHA-256: the same at each call.

    Args:
        ids: the item ids.
        taken: stems of files that are there already; an id that differs from one in capitals alone is not used.
        others: stems of files that are an item's of another id; an id that is one of them is not used either.
    """
    ids = list(dict.fromkeys(ids))
    alike = Counter(_key(one) for one in {*ids, *taken})
    alike.update({_key(one) for one in others})
    return {one: one if is_plain(one) and alike[_key(one)] == 1 else _made(one) for one in ids}


def file_stem(item: str, taken: set[str]) -> str:
    """The same for one item after the other, where not all are known at first: who comes first keeps the plain name.

    Args:
        item: the item id, another at each call.
        taken: what went before; the new one is added.
    """
    plain = is_plain(item) and _key(item) not in taken
    taken.add(_key(item))
    return item if plain else _made(item)


def is_plain(name: str) -> bool:
    """Whether an id can be the name of a file, without suffix, on every system."""
    return (
        not name.startswith((".", " "))
        and not name.endswith((".", " "))
        and len(name.encode()) <= _LONGEST
        and not _FORBIDDEN.search(name)
        and not _RESERVED.fullmatch(name)
        and not _MADE.fullmatch(name)
    )


def is_utf8(name: str) -> bool:
    """Whether a name that the system gave is text: bytes that are no UTF-8 come as surrogates."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _key(name: str) -> str:
    """What a disk without capitals, or one that composes accents, takes for the same name."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _made(name: str) -> str:
    readable = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")[:60]
    return f"{readable}~{hashlib.sha256(name.encode()).hexdigest()[:16]}"
