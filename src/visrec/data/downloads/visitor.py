"""One address after another, asked politely: robots.txt first, redirects followed, failures tried again in time."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import httpx

from visrec.data.downloads.addresses import parsed
from visrec.data.downloads.failures import Refused
from visrec.data.downloads.hosts import Host, Hosts
from visrec.data.downloads.robots import LONGEST, Rules
from visrec.data.downloads.waiting import LONGEST_WAIT, Clock, backoff, retry_after

_REDIRECTS = 5
_MISSES = 5  # items in a row without an answer, after which a host is left alone for this time
_DRAINED = 1 << 16  # bytes of an error page read to keep the connection: a new one costs the host more
_ROBOTS_SECONDS = 86400.0  # RFC 9309, 2.4: no longer is it kept
_PICTURES = {"Accept": "image/jpeg,image/png,image/webp,image/gif,*/*;q=0.1", "Accept-Encoding": "identity"}
_TEXT = {"Accept": "text/plain,*/*;q=0.1", "Accept-Encoding": "identity"}


@dataclass(frozen=True)
class Visitor:
    """Asks hosts for pictures. Many threads may use one.

    Attributes:
        hosts: who is asked when.
        user_agent: what it calls itself, to hosts and in robots.txt.
        retries: how often an address is asked again after a failure that may pass.
        max_bytes: larger answers are refused.
        clock: what waits.
        generator: of the random part of waiting.
    """

    hosts: Hosts
    user_agent: str
    retries: int
    max_bytes: int
    clock: Clock
    generator: random.Random

    def get(self, address: str) -> bytes:
        """The bytes at an address, through redirects.

        Raises:
            Refused: why there are none.
        """
        url = parsed(address)
        way = [self.hosts.of(url)]
        try:
            data = self._again(way, lambda: self._follow(url, way))
        except Refused as refused:
            _count(way, missed=refused.host_wide and not refused.lasting)
            raise
        _count(way, missed=False)
        return data

    def _again(self, way: list[Host], ask: Callable[[], bytes]) -> bytes:
        """Ask, and ask again where a failure may pass: it is the last host of the way that failed."""
        for attempt in range(self.retries):
            try:
                return ask()
            except Refused as refused:
                if refused.lasting or (refused.wait or 0.0) > LONGEST_WAIT:
                    raise
                if refused.wait is None:
                    way[-1].postpone(backoff(attempt, self.generator))
        return ask()

    def _follow(self, url: httpx.URL, way: list[Host]) -> bytes:
        been = {str(url)}
        for _ in range(_REDIRECTS + 1):
            host = self.hosts.of(url)
            way.append(host)
            if host.misses >= _MISSES:
                raise _given_up("host did not answer, left alone for this time")
            self._check_permitted(host, url)
            found = self._ask(host, url, limit=self.max_bytes, headers=_PICTURES)
            if isinstance(found, bytes):
                return found
            url = found
            if str(url) in been:
                raise Refused("redirected in a circle", lasting=True)
            been.add(str(url))
        raise Refused(f"redirected more than {_REDIRECTS} times", lasting=True)

    def _check_permitted(self, host: Host, url: httpx.URL) -> None:
        """Refuse what robots.txt forbids, and everything while it cannot be read (RFC 9309, 2.3.1)."""
        origin = f"{url.scheme}://{url.netloc.decode('ascii')}"
        with host.rules_lock:
            read_at, rules = host.rules.get(origin, (0.0, None))
            if rules is None or self.clock.now() - read_at > _ROBOTS_SECONDS:
                rules = self._robots(host, httpx.URL(f"{origin}/robots.txt"))
                host.rules[origin] = (self.clock.now(), rules)
                if isinstance(rules, Rules):
                    host.slow_down(rules.delay)
            if isinstance(rules, Refused):
                raise rules
            if not rules.permit(str(url)):
                raise Refused("forbidden by robots.txt", lasting=True)

    def _robots(self, host: Host, url: httpx.URL) -> Rules | Refused:
        """What robots.txt says: everything is allowed where there is none, nothing where the host does not answer."""
        try:
            text = self._again([host], lambda: self._robots_text(url))
        except Refused as refused:
            if refused.lasting and refused.host_wide:
                return refused
            return _given_up(f"robots.txt cannot be read: {refused.reason}")
        return Rules(text, self.user_agent)

    def _robots_text(self, url: httpx.URL) -> bytes:
        for _ in range(_REDIRECTS + 1):
            try:
                found = self._ask(self.hosts.of(url), url, limit=LONGEST, headers=_TEXT, cut=True)
            except Refused as refused:
                if refused.reason.startswith("HTTP 4") and refused.lasting:
                    return b""
                raise
            if isinstance(found, bytes):
                return found
            url = found
        return b""  # RFC 9309, 2.3.1.2: after five redirects, as if there were none

    def _ask(
        self, host: Host, url: httpx.URL, *, limit: int, headers: dict[str, str], cut: bool = False
    ) -> bytes | httpx.URL:
        """One request: the body, or where the host sends us. With `cut`, no more than `limit` is read."""
        try:
            with host.turn() as client, client.stream("GET", url, headers=headers) as response:
                if not response.is_success:
                    _drain(response)
                if response.has_redirect_location:
                    return parsed(str(url.join(response.headers["location"])))
                if not response.is_success:
                    raise self._refusal(host, response)
                return self._body(response, limit=limit, cut=cut)
        except httpx.InvalidURL:
            raise Refused("redirected to what is no address", lasting=True) from None
        except httpx.TimeoutException:
            raise Refused("timed out", lasting=False, host_wide=True) from None
        except httpx.ConnectError as error:
            why = "certificate is not valid" if "CERTIFICATE" in str(error) else "cannot be reached"
            raise Refused(why, lasting=False, host_wide=True) from None
        except httpx.RemoteProtocolError as error:
            if "location" in str(error):  # httpx looks at it first
                raise Refused("redirected to what is no address", lasting=True) from None
            raise Refused("answer was cut off", lasting=False) from None
        except httpx.DecodingError:
            raise Refused("answer is damaged", lasting=True) from None
        except httpx.HTTPError as error:
            raise Refused(f"connection failed ({type(error).__name__})", lasting=False) from None
        except (ValueError, ArithmeticError, OSError) as error:
            # What the layers below let through of hosts that break the rules: one must never end a visit of many.
            raise Refused(f"answer makes no sense ({type(error).__name__})", lasting=False) from None

    def _refusal(self, host: Host, response: httpx.Response) -> Refused:
        status = response.status_code
        busy = status in (429, 503)
        wait = retry_after(response.headers, self.clock.today()) if busy else None
        if wait is not None and wait > LONGEST_WAIT:
            host.misses = _MISSES
        elif wait is not None:
            host.postpone(wait)  # whoever asks next, for whatever
        lasting = status < 500 and status not in (408, 425, 429)
        return Refused(f"HTTP {status}", lasting=lasting, wait=wait, host_wide=busy)

    def _body(self, response: httpx.Response, *, limit: int, cut: bool) -> bytes:
        if response.headers.get("content-encoding", "identity").lower() not in (
            "identity",
            "gzip",
            "deflate",
        ):
            raise Refused("compressed in a way that was not asked for", lasting=True)
        too_large = Refused(f"larger than {limit:,} bytes", lasting=True)
        declared = response.headers.get("content-length", "")
        if not cut and declared.isdigit() and int(declared[:20]) > limit:
            raise too_large
        data = bytearray()
        for chunk in response.iter_bytes():
            data += chunk
            if len(data) > limit:
                if cut:
                    return bytes(data[:limit])
                raise too_large
        return bytes(data)


def _count(way: list[Host], *, missed: bool) -> None:
    """Keep count of an item: all hosts of its way answered, but for the last one where it did not."""
    misses = way[-1].misses + 1 if missed else 0
    for host in way:
        host.misses = 0
    way[-1].misses = misses


def _given_up(reason: str) -> Refused:
    return Refused(reason, lasting=False, wait=math.inf, host_wide=True)


def _drain(response: httpx.Response) -> None:
    declared = response.headers.get("content-length", "")
    if declared.isdigit() and int(declared[:20]) <= _DRAINED:
        with suppress(httpx.HTTPError):
            for _ in response.iter_raw():
                pass
