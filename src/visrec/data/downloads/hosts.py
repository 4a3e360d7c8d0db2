"""Hosts, and when each may be asked: one connection at a time, no faster than agreed."""

from __future__ import annotations

import math
import ssl
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from visrec.data.downloads.addresses import CheckedTransport, Resolve, look_up
from visrec.data.downloads.failures import Refused
from visrec.data.downloads.robots import Rules
from visrec.data.downloads.waiting import Clock

_OPEN_AT_ONCE = 64  # connections; systems allow some hundred files
_PATIENCE = 10  # timeouts that one answer may take in all, however often a few bytes of it come
_LONGEST_DELAY = 86400.0  # seconds: nobody waits more than a day for a picture


class Host:
    """One host: whose turn it is, and when it may be asked again.

    Attributes:
        rules: by origin (scheme, host, port), what its robots.txt says, or why nobody knows.
        rules_lock: held by who reads robots.txt.
        misses: how many items in a row it did not answer for.
    """

    def __init__(self, interval: float, clock: Clock, clients: Clients) -> None:
        self.rules: dict[str, tuple[float, Rules | Refused]] = {}
        self.rules_lock = threading.Lock()
        self.misses = 0
        self.lock = threading.Lock()
        self._interval = interval
        self._asked_at = self._not_before = -math.inf
        self._clock = clock
        self._clients = clients

    @contextmanager
    def turn(self) -> Iterator[httpx.Client]:
        """Wait until nobody else asks this host and it may be asked again; then the client to ask it with."""
        with self.lock:
            while (wait := self._free_at() - self._clock.now()) > 0:  # others may postpone meanwhile
                self._clock.sleep(wait)
            self._asked_at = self._clock.now()
            try:
                client, transport = self._clients.of(self)
                with transport.within(self._clients.patience):
                    yield client
            finally:
                self._clients.asked(self)

    def postpone(self, seconds: float) -> None:
        """Ask it no sooner than in so many seconds."""
        self._not_before = max(self._not_before, self._clock.now() + seconds)

    def slow_down(self, delay: float | None) -> None:
        """Leave at least `delay` seconds between requests (Crawl-delay)."""
        self._interval = max(self._interval, min(delay or 0.0, _LONGEST_DELAY))

    def _free_at(self) -> float:
        return max(self._not_before, self._asked_at + self._interval)


class Clients:
    """A client for each host that was asked last; one connection each.

    Attributes:
        patience: seconds that an answer may take in all.
    """

    def __init__(
        self, *, headers: dict[str, str], timeout: float, allow_private: bool, resolve: Resolve = look_up
    ) -> None:
        self._context: ssl.SSLContext = httpx.create_ssl_context()
        self._headers, self._timeout = headers, timeout
        self._allow_private, self._resolve = allow_private, resolve
        self.patience = min(_PATIENCE * timeout, _LONGEST_DELAY)
        self._open: OrderedDict[Host, tuple[httpx.Client, CheckedTransport]] = OrderedDict()
        self._lock = threading.Lock()
        self._ended = False

    def of(self, host: Host) -> tuple[httpx.Client, CheckedTransport]:
        """The client of a host, whose lock the caller holds, and what connects it."""
        with self._lock:
            found = self._open.pop(host, None)
            if found is None:
                self._make_room()
                transport = CheckedTransport(
                    self._context, allow_private=self._allow_private, resolve=self._resolve
                )
                # Without the environment: a proxy would connect to addresses that nobody checked.
                client = httpx.Client(
                    transport=transport, headers=self._headers, timeout=self._timeout, trust_env=False
                )
                found = client, transport
            self._open[host] = found
            return found

    def asked(self, host: Host) -> None:
        """Told by who has asked a host, and holds its lock: nobody else ends its connection after the end."""
        if self._ended:
            with self._lock:
                self._close_idle(list(self._open), mine=host)

    def close(self) -> None:
        """End all connections; those in use when their threads have done with them."""
        self._ended = True
        with self._lock:
            self._close_idle(list(self._open))

    def _make_room(self) -> None:
        self._close_idle(list(self._open)[: max(0, len(self._open) + 1 - _OPEN_AT_ONCE)])

    def _close_idle(self, hosts: list[Host], *, mine: Host | None = None) -> None:
        for host in hosts:
            if host is mine:
                self._open.pop(host)[0].close()
            elif host.lock.acquire(blocking=False):  # else somebody asks it right now
                try:
                    self._open.pop(host)[0].close()
                finally:
                    host.lock.release()


class Hosts:
    """All hosts, by name: http and https, on whatever port, are one."""

    def __init__(self, clients: Clients, *, rate: float, clock: Clock) -> None:
        self._clients, self._interval, self._clock = clients, 1 / rate, clock
        self._known: dict[bytes, Host] = {}
        self._lock = threading.Lock()

    def of(self, url: httpx.URL) -> Host:
        """The host of an address."""
        with self._lock:
            return self._known.setdefault(
                url.raw_host.rstrip(b"."), Host(self._interval, self._clock, self._clients)
            )
