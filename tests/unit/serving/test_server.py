"""From an app to a server."""

from __future__ import annotations

import socket
import threading

import pytest

from visrec.errors import ConfigError
from visrec.serving.server import address_of, listening
from visrec.serving.settings import ServiceSettings


@pytest.mark.parametrize(
    ("host", "name"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]"), ("localhost", "localhost")]
)
def test_it_listens_where_it_says(host, name):
    try:
        with listening(ServiceSettings(host=host, port=0)) as listener:
            port = listener.getsockname()[1]
            assert address_of(listener, host) == f"http://{name}:{port}/"
            with socket.create_connection((host, port), timeout=5):
                pass
    except ConfigError:
        assert host == "::1"  # a machine without IPv6
        pytest.skip("no IPv6 here")


def test_small_answers_are_sent_at_once():
    """asyncio turns off the waiting for company (Nagle) on sockets that say they are TCP, and on those alone."""
    with listening(ServiceSettings(port=0)) as listener:
        thread = threading.Thread(target=lambda: socket.create_connection(listener.getsockname()[:2]).close())
        thread.start()
        accepted, _ = listener.accept()
        thread.join()
        with accepted:
            assert accepted.proto == socket.IPPROTO_TCP


def test_a_port_that_is_taken_is_refused_or_passed_over():
    with socket.create_server(("127.0.0.1", 0)) as other:
        settings = ServiceSettings(port=other.getsockname()[1])
        with (
            pytest.raises(ConfigError, match=f"Port {settings.port} of"),
            listening(settings),
        ):
            pass
        with listening(settings, other_port=True) as listener:
            assert settings.port < listener.getsockname()[1] <= settings.port + 20


def test_a_host_of_another_machine_is_named():
    token = "a-token-that-nobody-guesses"
    with (
        pytest.raises(ConfigError, match=r"Cannot listen on 192\.0\.2\.1"),
        listening(ServiceSettings(host="192.0.2.1", port=0, token=token)),
    ):
        pass
