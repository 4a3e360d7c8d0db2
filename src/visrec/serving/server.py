"""From an app to a server: the port, what is said when it is there, and a quiet end."""

from __future__ import annotations

import errno
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from visrec.errors import ConfigError
from visrec.serving.settings import ServiceSettings

if TYPE_CHECKING:
    from fastapi import FastAPI

_TRIED = 20  # ports, where another will do
_BACKLOG = 2048


def serve(
    app: FastAPI, settings: ServiceSettings, *, begun: Callable[[str], None], other_port: bool = False
) -> None:
    """Answer until somebody ends it (Ctrl-C, SIGTERM); requests in progress are answered first.

    Args:
        app: what `create_app` gave.
        settings: the same ones.
        begun: called with the address once it can be opened.
        other_port: take the next free port where this one is taken.

    Raises:
        ConfigError: the port is taken, or cannot be listened on.
        RunError: a model of the run cannot be loaded.
    """
    import uvicorn

    class Server(uvicorn.Server):
        """Says when it has begun."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                begun(address)

    with listening(settings, other_port=other_port) as listener:
        address = address_of(listener, settings.host)
        app.state.service.warm()  # here, what is wrong with a model ends in one clear line
        server = Server(uvicorn.Config(app, log_config=None, **settings.server))
        with _quiet_end():
            server.run(sockets=[listener])


@contextmanager
def listening(settings: ServiceSettings, *, other_port: bool = False) -> Iterator[socket.socket]:
    """A socket at the host and port of the settings.

    Raises:
        ConfigError: the port is taken, or cannot be listened on.
    """
    listener = None
    last = settings.port + _TRIED if other_port and settings.port else settings.port
    for port in range(settings.port, min(last, 65535) + 1):
        try:
            listener = _listen(settings.host, port)
            break
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise ConfigError(
                    f"Cannot listen on {settings.host}, port {port} ({error.strerror or error}). "
                    f"Choose another --host or --port."
                ) from None
    if listener is None:
        raise ConfigError(
            f"Port {settings.port} of {settings.host} is taken by another program. Choose another: --port "
            f"{settings.port + 1 if settings.port < 65535 else 8000} (0 takes any that is free)."
        )
    with listener:
        yield listener


def address_of(listener: socket.socket, host: str) -> str:
    """What to type into a browser."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(
        host, host
    )  # all addresses of this machine are none to type
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{listener.getsockname()[1]}/"


def _listen(host: str, port: int) -> socket.socket:
    kind, tcp = socket.SOCK_STREAM, socket.IPPROTO_TCP
    family, _, _, _, where = socket.getaddrinfo(host, port, type=kind, proto=tcp, flags=socket.AI_PASSIVE)[0]
    # The protocol is named, which `socket.create_server` does not do: asyncio sends small answers at once on sockets
    # that say they are TCP, and on those alone; on others each waits 40 ms for a client's acknowledgement.
    listener = socket.socket(family, kind, tcp)
    try:
        if os.name == "posix":  # elsewhere it would let two programs share the port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(where)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


@contextmanager
def _quiet_end() -> Iterator[None]:
    """uvicorn ends in order on a signal, and then hands it on: here that is the end that was asked for."""
    before = {number: signal.signal(number, _nothing) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _nothing(number: int, frame: object) -> None:
    """What a signal does that has done its work."""
