"""Lists that are read a page at a time: what was ranked once is kept, so that no page repeats or misses an item."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import struct
import threading
from collections import OrderedDict
from dataclasses import dataclass

from visrec.serving.engine import Question, Ranking
from visrec.serving.problems import ProblemError

_PAGES, _LEAST, _MOST = 10, 100, 500
_KEPT = 4096  # lists of up to 500 items, 6 kB each, and what was asked
_KEY, _MAC = 12, 12  # bytes


def depth(k: int) -> int:
    """How many items are ranked for pages of k: ten pages of them, 100 to 500 items. The pages hold no more.

    Where lists are found by search, its cost grows with the length: few people go beyond the first page.
    """
    return min(_MOST, max(_LEAST, _PAGES * k))


@dataclass(frozen=True, eq=False)
class Asked:
    """A question and its whole answer.

    Attributes:
        question: with what the session liked and hid when it was asked.
        ranking: indices of the run that ranked.
        ids: of the ranking's items: the run may have been swapped since, and must not be held by its lists.
        run: the digest of the run that ranked.
        session: whose; None: nobody's.
    """

    question: Question
    ranking: Ranking
    ids: tuple[str | int, ...]
    run: str
    session: str | None


class Lists:
    """The lists of late, by cursors: opaque, signed by this process. Safe in threads.

    Memory is bounded: the list that was read the longest time ago goes first.
    """

    def __init__(self, kept: int = _KEPT) -> None:
        self._kept = kept
        self._secret = secrets.token_bytes(32)
        self._lists: OrderedDict[bytes, Asked] = OrderedDict()
        self._lock = threading.Lock()

    def keep(self, asked: Asked) -> bytes:
        """Keep a list; its key, for `cursor`."""
        key = secrets.token_bytes(_KEY)
        with self._lock:
            self._lists[key] = asked
            while len(self._lists) > self._kept:
                self._lists.popitem(last=False)
        return key

    def forget(self, session: str) -> None:
        """Forget the lists of a session."""
        with self._lock:
            for key in [key for key, asked in self._lists.items() if asked.session == session]:
                del self._lists[key]

    def cursor(self, key: bytes, start: int) -> str:
        """The cursor of what begins at a place (0 is the best) of a list."""
        text = key + struct.pack(">I", start)
        return base64.urlsafe_b64encode(text + self._mac(text)).decode().rstrip("=")

    def at(self, cursor: str) -> tuple[bytes, Asked, int]:
        """The key, the list and the place of a cursor.

        Raises:
            ProblemError: 400 where it is none of this service's, 410 where its list is not kept any more.
        """
        try:
            raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        except ValueError:
            raw = b""
        text = raw[: _KEY + 4]
        if len(raw) != _KEY + 4 + _MAC or not hmac.compare_digest(self._mac(text), raw[_KEY + 4 :]):
            # Also what another process has signed: to tell the two apart would need a key that outlives it.
            raise ProblemError(
                400,
                "The cursor is not one that this service gave, or it was given before the service was started anew. "
                "Ask the question again, and leave the items that were shown out with exclude.",
                kind="bad-cursor",
            )
        key = text[:_KEY]
        with self._lock:
            found = self._lists.get(key)
            if found is not None:
                self._lists.move_to_end(key)
        if found is None:
            raise ProblemError(
                410,
                "The list of this cursor is not kept any more. Ask the question again, and leave the items that were "
                "shown out with exclude.",
                kind="expired-cursor",
            )
        return key, found, struct.unpack(">I", text[_KEY:])[0]

    def _mac(self, text: bytes) -> bytes:
        return hmac.digest(self._secret, text, hashlib.sha256)[:_MAC]
