"""What robots.txt says to us (RFC 9309): the rules of one origin, read by Protego."""

from __future__ import annotations

import re

from protego import Protego

LONGEST = 500 << 10
"""Bytes of it that are read (RFC 9309, 2.5: at least so many)."""

_GROUP = re.compile(r"^([ \t]*user[- ]?agent[ \t]*[: \t])([^#\r\n]*)", re.IGNORECASE | re.MULTILINE)


class Rules:
    """What may be asked of one origin, and how fast, by somebody of one name."""

    def __init__(self, text: bytes, user_agent: str) -> None:
        """Of the bytes of robots.txt.

        Groups count by the name before the version (RFC 9309, 2.2.1), whatever else `user_agent` says. All groups of
        others become one at first: to read them apart takes time and memory by names times rules, gigabytes for a
        file that somebody wrote to do harm.
        """
        self._name = name = product(user_agent)

        def named(found: re.Match[str]) -> str:
            meant = product(found[2].replace("*", "")) if found[2].strip() != "*" else "*"
            return found[1] + (meant if meant in ("*", name) else f"not-{name}")

        self._parsed = Protego.parse(_GROUP.sub(named, text.decode("utf-8-sig", errors="replace")))

    def permit(self, url: str) -> bool:
        """Whether an address may be asked."""
        return bool(self._parsed.can_fetch(url, self._name))

    @property
    def delay(self) -> float | None:
        """Seconds between requests (Crawl-delay), where it says so."""
        return self._parsed.crawl_delay(self._name)


def product(user_agent: str) -> str:
    """The name by which robots.txt calls who says `user_agent`: `my-lab` of `my-lab/1.0 (mailto:…)`."""
    return re.split(r"[/\s]", user_agent.strip(), maxsplit=1)[0].lower()
