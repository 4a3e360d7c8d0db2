"""Pictures of a data set from the addresses that it lists: `fetch_images` is what `visrec fetch-images` does."""

from __future__ import annotations

import math
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from visrec.data.downloads.failures import FILE, PRIVATE
from visrec.data.downloads.image_urls import read_image_urls
from visrec.data.downloads.visit import Stopped, Visit
from visrec.data.downloads.waiting import Clock
from visrec.errors import ConfigError, DataError
from visrec.files import exclusive, sweep_temporaries
from visrec.progress import Progress

if TYPE_CHECKING:
    from visrec.data.downloads.addresses import Resolve
    from visrec.data.downloads.visitor import Visitor


MAX_BYTES = 32 << 20
"""Bytes that one picture may have by default."""


@dataclass(frozen=True, eq=False)
class Fetched:
    """What came of `fetch_images`.

    Attributes:
        folder: the data set.
        source: the file that lists the addresses.
        n_items: items it lists.
        n_there: items that had a picture before.
        n_fetched: items that have one now.
        n_bytes: their size.
        n_without_address: items with neither a picture nor an address.
        n_not_asked: items whose addresses all failed for good in an earlier time.
        failures: all addresses of items still without a picture that gave none: item_id, url, reason, kind ("lasting"
            or "for now"), when. Those of `image-failures.csv`.
    """

    folder: Path
    source: Path
    n_items: int
    n_there: int
    n_fetched: int
    n_bytes: int
    n_without_address: int
    n_not_asked: int
    failures: pl.DataFrame

    @property
    def n_failed(self) -> int:
        """Items that have addresses, none of which gave a picture."""
        return self.failures["item_id"].n_unique()

    def counts(self) -> dict[str, int]:
        """How many items are in which state, in words."""
        return {
            "were there": self.n_there,
            "fetched": self.n_fetched,
            "failed": self.n_failed - self.n_not_asked,
            "failed for good before, not asked again": self.n_not_asked,
            "without an address": self.n_without_address,
        }

    def summary(self) -> str:
        """What there is now, and what to type next."""
        there = self.n_there + self.n_fetched
        said = [f"{there:,} of {self.n_items:,} items have a picture; {self.n_bytes:,} bytes came."]
        if self.n_failed:
            for_now = self.failures.filter(pl.col("kind") != "lasting")["item_id"].n_unique()
            said.append(f"!! {self.n_failed:,} FAILED: {self.folder / FILE} lists their addresses.")
            if for_now:
                said.append(f"{for_now:,} of them may work another time: the same command asks again.")
            if PRIVATE in self.failures["reason"]:
                said.append(
                    "--allow-private --retry-failed asks also private addresses, if you trust the table."
                )
            elif for_now < self.n_failed:
                said.append("--retry-failed asks also those that failed for good.")
        if there:
            said.append(f"Next: visrec check {self.folder}")
        return "\n".join(said)

    def reasons(self) -> dict[str, int]:
        """How many addresses failed for each reason, the most frequent first."""
        counts = self.failures.group_by("reason").len().sort(["len", "reason"], descending=[True, False])
        return dict(zip(counts["reason"].to_list(), counts["len"].to_list(), strict=True))

    def as_dict(self) -> dict[str, Any]:
        """All of it, for JSON; the failures are a file, since they may be a million."""
        return {
            "folder": str(self.folder),
            "source": str(self.source),
            "items": self.n_items,
            "there_before": self.n_there,
            "fetched": self.n_fetched,
            "bytes": self.n_bytes,
            "without_address": self.n_without_address,
            "failed": self.n_failed,
            "of_these_not_asked_again": self.n_not_asked,
            "reasons": self.reasons(),
            "failures": str(self.folder / FILE) if self.n_failed else None,
        }


def fetch_images(
    folder: str | Path,
    *,
    column: str | None = None,
    rate: float = 2.0,
    retries: int = 3,
    timeout: float = 30.0,
    user_agent: str | None = None,
    max_bytes: int = MAX_BYTES,
    retry_failed: bool = False,
    allow_private: bool = False,
    progress: Progress | None = None,
    clock: Clock | None = None,
    resolve: Resolve | None = None,
) -> Fetched:
    """Fetch the pictures that a data set lists by address, and has not got yet, into its `images/`.

    Each host is asked over one connection, at most `rate` times a second, as its robots.txt allows (RFC 9309), more
    slowly where it says so (Crawl-delay, Retry-After); up to 16 hosts at once. An answer counts if visrec decodes it
    as a picture, whatever its type is said to be. The first address of an item that works is taken. Failures are kept
    in `image-failures.csv`; those that last (404, no picture, robots.txt) are not asked again. May be interrupted at
    any time: the next call goes on.

    Args:
        folder: the data set, with `image_urls.csv|parquet` (item_id, url) or a column of addresses in its items.
        column: that column; None: `image_urls.csv` where it is there, else image_url.
        rate: requests a second to one host, at most.
        retries: how often an address is asked again after a failure that may pass.
        timeout: seconds without a byte, after which an answer is given up.
        user_agent: what hosts are told of who asks; None: visrec and its version.
        max_bytes: larger answers are refused.
        retry_failed: ask again also what failed for good.
        allow_private: ask also machines of private networks and this one.
        progress: told how many items are done, of how many, and a note.
        clock: tells the time and waits; for tests.
        resolve: from a host name to numeric addresses; for tests.

    Raises:
        ConfigError: a setting is out of its range.
        DataError: no addresses, a table that cannot be read, or another process fetches into this folder.
    """
    _check(rate=rate, retries=retries, timeout=timeout, max_bytes=max_bytes)
    agent = _agent(user_agent)
    folder = Path(folder)
    wanted = read_image_urls(folder, column=column)
    try:
        with (
            exclusive(folder / "images"),
            _visitor(
                agent, rate=rate, retries=retries, timeout=timeout, max_bytes=max_bytes, clock=clock,
                allow_private=allow_private, resolve=resolve,
            ) as visitor,
        ):  # fmt: skip
            sweep_temporaries(folder / "images")
            visit = Visit(folder, wanted.addresses, visitor, retry_failed=retry_failed)
            try:
                visit.run(progress or _silent)
            finally:
                visit.end()
    except BlockingIOError:
        raise DataError(
            f"{folder}: another process fetches pictures into it. Wait until it is done, or end it."
        ) from None
    except OSError as error:
        raise DataError(
            f"{error.filename or folder}: cannot be read or written ({error.strerror})."
        ) from None
    return Fetched(
        folder=folder,
        source=wanted.source,
        n_items=len(wanted.addresses),
        n_there=visit.n_there,
        n_fetched=visit.n_fetched,
        n_bytes=visit.n_bytes,
        n_without_address=visit.n_without_address,
        n_not_asked=visit.n_not_asked,
        failures=visit.failures(),
    )


@contextmanager
def _visitor(
    agent: str,
    *,
    rate: float,
    retries: int,
    timeout: float,
    max_bytes: int,
    allow_private: bool,
    clock: Clock | None,
    resolve: Resolve | None,
) -> Iterator[Visitor]:
    """Who asks; at the end, also after an interruption, it asks and waits no more."""
    from visrec.data.downloads.addresses import look_up
    from visrec.data.downloads.hosts import Clients, Hosts
    from visrec.data.downloads.visitor import Visitor

    ended = threading.Event()

    def pause(seconds: float) -> None:
        if ended.wait(seconds):
            raise Stopped

    clock = clock or Clock(sleep=pause)
    clients = Clients(
        headers={"User-Agent": agent},
        timeout=timeout,
        allow_private=allow_private,
        resolve=resolve or look_up,
    )
    try:
        yield Visitor(
            hosts=Hosts(clients, rate=rate, clock=clock), user_agent=agent, retries=retries,
            max_bytes=max_bytes, clock=clock,
            generator=random.Random(),  # no seed: it keeps programs apart that failed at one moment
        )  # fmt: skip
    finally:
        ended.set()
        clients.close()


def _silent(done: int, total: int, note: str) -> None:
    pass


def _check(*, rate: float, retries: int, timeout: float, max_bytes: int) -> None:
    for name, value in (("rate", rate), ("timeout", timeout)):
        if not (math.isfinite(value) and value > 0):
            raise ConfigError(f"{name} is {value}; expected a number above 0.")
    if retries < 0:
        raise ConfigError(f"retries is {retries}; expected 0 or more.")
    if max_bytes < 1:
        raise ConfigError(f"max_bytes is {max_bytes}; expected 1 or more.")


def _agent(given: str | None) -> str:
    if given is None:
        return f"visrec/{version('visrec')} (fetches the pictures of a data set that lists their addresses)"
    if not given.strip() or not given.isascii() or not given.isprintable():
        raise ConfigError(
            f"user_agent is {given!r}; expected one line of plain characters, such as "
            f'"my-lab/1.0 (mailto:me@example.org)".'
        )
    return given.strip()
