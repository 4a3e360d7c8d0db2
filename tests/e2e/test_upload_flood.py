"""Ten thousand small uploads at once: each is served or refused, and the server's memory stays bounded."""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

N_UPLOADS = 10_000
_MOST_MEMORY = (
    400 << 20
)  # bytes beyond what the server takes before: 40 KB a connection, of which uvicorn takes most

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc"),
]


@contextmanager
def server(**settings: object) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The process, and its port."""
    script = Path(__file__).with_name("upload_server.py")
    command = [sys.executable, str(script), json.dumps(settings)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield process, int(process.stdout.readline())
        finally:
            process.stdin.close()
            process.wait(30)


def memory(pid: int, field: str) -> int:
    """Bytes: VmRSS now, VmHWM at most."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(f"{field}:"))


def upload(port: int) -> bytes:
    """A whole request with a small picture."""
    file = BytesIO()
    Image.new("RGB", (64, 48), "teal").save(file, "PNG")
    body = (
        b'--xyz\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
        + file.getvalue()
        + b"\r\n--xyz--\r\n"
    )
    head = (
        f"POST /v1/upload HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n"
        f"Content-Type: multipart/form-data; boundary=xyz\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def status_of(port: int, request: bytes, places: asyncio.Barrier | asyncio.Semaphore) -> int:
    """The status of the answer to one request; sent when all connections stand, or when there is a place."""
    if isinstance(places, asyncio.Semaphore):
        async with places:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            return await answered(reader, writer, request)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await places.wait()
    return await answered(reader, writer, request)


async def answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> int:
    """The status of an answer."""
    writer.write(request)
    answer = await reader.read()
    writer.close()
    return int(answer.split(b" ", 2)[1])


async def flood(port: int, n: int, at_once: int) -> Counter[int]:
    """How many of `n` answers have each status, to requests of which `at_once` are under way at a time."""
    places = asyncio.Barrier(n) if at_once >= n else asyncio.Semaphore(at_once)
    request = upload(port)
    return Counter(await asyncio.gather(*(status_of(port, request, places) for _ in range(n))))


@pytest.mark.parametrize(
    ("settings", "at_once", "expected"),
    [
        ({}, N_UPLOADS, {503}),  # more connections than are held
        ({}, 400, {200, 429}),  # more in a minute than one client may
        ({"upload_rate": 0}, 400, {200, 503}),  # more pictures than may wait
        ({"upload_rate": 0, "max_connections": 100_000}, N_UPLOADS, {200, 503}),
    ],
    ids=["all", "some", "some without a rate", "all without a rate and with any number of connections"],
)
def test_ten_thousand_uploads_are_served_or_refused_in_bounded_memory(
    settings: dict[str, int], at_once: int, expected: set[int]
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < N_UPLOADS + 500:
        pytest.skip(f"this system lets a process open {hard} files; it takes {N_UPLOADS + 500}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with server(**settings) as (process, port):
            assert asyncio.run(flood(port, 1, 1)) == {200: 1}  # the decoders run now
            before = memory(process.pid, "VmRSS")
            found = asyncio.run(flood(port, N_UPLOADS, at_once))
            peak = memory(process.pid, "VmHWM")
            assert found.total() == N_UPLOADS
            assert expected <= set(found) <= {*expected, 503}, found
            assert peak - before < _MOST_MEMORY, f"{before >> 20} MB before, {peak >> 20} MB at most; {found}"
            if settings:
                assert asyncio.run(flood(port, 3, 1)) == {200: 3}, "it serves as before"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
