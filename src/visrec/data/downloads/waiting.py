"""How long to wait before a host is asked again, and the clock that waits."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_LONGEST_BACKOFF = 60.0  # seconds


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Clock:
    """What tells the time and waits; tests give one of their own.

    Attributes:
        now: seconds from any moment on.
        sleep: waits so many seconds.
        today: the date and time, in UTC.
    """

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], object] = time.sleep
    today: Callable[[], datetime] = _utc_now


def backoff(attempt: int, generator: random.Random) -> float:
    """Seconds to wait after failed attempt `attempt` (from 0): 1, 2, 4, … up to 60, times .5 to 1.5.

    The random factor keeps programs that failed at one moment from coming back at one moment.
    """
    return min(2.0 ** min(attempt, 6), _LONGEST_BACKOFF) * (0.5 + generator.random())


def retry_after(headers: Mapping[str, str], today: datetime) -> float | None:
    """Seconds that a header Retry-After asks for (RFC 9110, 10.2.3: a number or a date); None without one."""
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    if text.isascii() and text.isdigit():
        return float(text[:12])
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:  # "-0000" says that the zone is not known; HTTP dates are UTC
        moment = moment.replace(tzinfo=UTC)
    seconds = (moment - today).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else None
