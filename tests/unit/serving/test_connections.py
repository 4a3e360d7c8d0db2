"""Connections that do not come to the point are closed; those that do are not."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from visrec.serving import connections
from visrec.serving.settings import ServiceSettings


async def slow(request: Request) -> PlainTextResponse:
    await asyncio.sleep(0.8)  # longer than headers may take
    return PlainTextResponse("done")


async def asked(*parts: bytes, pause: float) -> tuple[bytes, float]:
    """What a real server answers to some parts of a request, with pauses; and the seconds that it took."""
    settings = ServiceSettings()
    config = uvicorn.Config(Starlette(routes=[Route("/", slow)]), log_level="error", **settings.server)
    server = uvicorn.Server(config)
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    task = asyncio.create_task(server.serve(sockets=[listening]))
    while not server.started:
        await asyncio.sleep(0.02)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    begun = time.monotonic()
    for part in parts:
        writer.write(part)
        await asyncio.sleep(pause)
    answer = await asyncio.wait_for(reader.read(), 20)
    took = time.monotonic() - begun
    writer.close()
    server.should_exit = True
    await task
    return answer, took


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.5)


@pytest.mark.parametrize("parts", [(), (b"GET / HTTP/1.1\r\n",), (b"G", b"E", b"T", b" ", b"/")])
def test_headers_that_do_not_come_end_the_connection(parts: tuple[bytes, ...]) -> None:
    answer, took = asyncio.run(asked(*parts, pause=0.1))
    assert answer == b""
    assert took < 5


def test_an_answer_may_take_longer_than_the_headers() -> None:
    request = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    answer, _ = asyncio.run(asked(request[:20], request[20:], pause=0.1))
    assert answer.endswith(b"done")


def test_a_second_request_on_a_connection_is_waited_for_as_long_as_the_first() -> None:
    first = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    answer, took = asyncio.run(asked(first, b"GET / HT", pause=1.2))
    assert answer.count(b"done") == 1
    assert 1.5 < took < 6
