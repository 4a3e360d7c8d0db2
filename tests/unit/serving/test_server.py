"""From an app to a server."""

from __future__ import annotations

import socket

from visrec.serving.server import listening
from visrec.serving.settings import ServiceSettings


def test_the_body_of_an_answer_does_not_wait_for_an_acknowledgement_of_its_headers() -> None:
    with (
        listening(ServiceSettings(port=0)) as listener,
        socket.create_connection(listener.getsockname()),
    ):
        connection, _ = listener.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
