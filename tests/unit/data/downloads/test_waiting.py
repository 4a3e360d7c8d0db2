"""How long to wait."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest

from visrec.data.downloads.waiting import backoff, retry_after


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120.0), (" 0 ", 0.0), ("Tue, 01 Jan 2030 00:01:30 GMT", 90.0), ("Mon, 31 Dec 2029 00:00:00 GMT", 0.0),
        ("Tue, 01 Jan 2030 00:01:30 -0000", 90.0), ("", None), ("soon", None), ("-5", None), ("1.5", None),
    ],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date(text, seconds):
    assert retry_after({"retry-after": text}, datetime(2030, 1, 1, tzinfo=UTC)) == seconds


def test_waits_double_up_to_a_minute():
    class Middle(random.Random):
        def random(self) -> float:
            return 0.5

    assert [backoff(n, Middle()) for n in (0, 1, 2, 5, 6, 5000)] == [1, 2, 4, 32, 60, 60]
