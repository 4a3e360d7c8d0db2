"""How a service is reached, by whom, and how much it takes."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, SecretStr, model_validator

from visrec.config import Config

_SHORTEST_TOKEN = 16
_LOOPBACK_NAMES = ("127.0.0.1", "localhost", "::1")

Rate = Annotated[int, Field(ge=0)]


class ServiceSettings(Config):
    """Settings of one service. What is not said is the safe choice: this machine alone.

    Raises:
        ConfigError: a value is out of its range, the token is too short, or there is none although `host` lets other
            machines in.
    """

    host: str = "127.0.0.1"
    """The address to listen on. Any other than this machine's own (127.0.0.1, ::1, localhost) needs a `token`."""
    port: int = Field(default=8000, ge=0, le=65535)
    """The port to listen on; 0: any that is free."""
    token: SecretStr | None = Field(default=None, repr=False)
    """What a client must show to write and, where `host` lets other machines in, to read; at least 16 characters."""
    read_only: bool = False
    """Refuse everything that writes, whoever asks: likes, events, kept pictures, study answers."""
    database: str | None = Field(default=None, repr=False)
    """The URL of the database of feedback, as SQLAlchemy writes it. None: an SQLite file in the run folder."""
    allowed_hosts: tuple[str, ...] = ()
    """Further names by which the service is reached ("shop.example", "*.shop.example"), without ports."""
    max_body_bytes: int = Field(default=1 << 18, ge=1024)
    """Bytes of the body of a request that carries no pictures."""
    max_upload_bytes: int = Field(default=10 << 20, ge=1)
    """Bytes of one uploaded picture."""
    max_upload_pixels: int = Field(default=50_000_000, ge=1)
    """Pixels of one uploaded picture, as its header says, before it is decoded."""
    max_uploads: int = Field(default=8, ge=1)
    """Pictures in one request."""
    upload_side: int = Field(default=1024, ge=32)
    """Pixels of the longer side to which an uploaded picture is reduced."""
    max_kept_bytes: int = Field(default=1 << 30, ge=0)
    """Bytes of all pictures together that visitors asked to be kept; 0: each is forgotten with its request."""
    body_seconds: float = Field(default=30.0, gt=0)
    """Seconds that a client may take to send a body."""
    reading_rate: Rate = 600
    """Requests a minute that read, of one client; 0: no limit. None for who shows the token."""
    writing_rate: Rate = 120
    """Requests a minute that write, of one client; 0: no limit. None for who shows the token."""
    upload_rate: Rate = 60
    """Requests a minute that carry pictures, of one client, with the token or without; 0: no limit."""
    login_rate: Rate = 10
    """Wrong or right tokens a minute, of one client, and not more than this; 0: no limit."""
    max_connections: int = Field(default=512, ge=1)
    """Connections held at once; further ones are answered with status 503."""
    decoding_workers: int = Field(default=2, ge=1)
    """Processes that decode uploaded pictures; each takes about 80 MB. They start with the first one."""
    decoding_seconds: float = Field(default=10.0, gt=0)
    """Seconds that one picture may take to decode; then its process is ended."""
    decoding_waiting: int = Field(default=32, ge=0)
    """Pictures that may wait for a process; further ones are answered with status 503."""
    thumbnail_sizes: tuple[Annotated[int, Field(ge=16, le=4096)], ...] = (160, 320, 640, 1280)
    """Pixels of the longer side of the thumbnails that there are, in ascending order."""
    thumbnail_threads: int = Field(default=2, ge=1)
    """Thumbnails made at once."""
    model: str | None = None
    """The model that is taken where a question names none, if it can answer; None: the best of those that can."""
    study: Path | None = None
    """A file that describes a study, see the study's own page. None: there is none."""

    @property
    def is_local(self) -> bool:
        """Whether only this machine can connect."""
        return is_loopback(self.host)

    def is_token(self, text: str) -> bool:
        """Whether a text is the token; False where there is none. Takes as long for any text of one length."""
        import hmac

        if self.token is None:
            return False
        return hmac.compare_digest(text.encode(), self.token.get_secret_value().encode())

    @property
    def max_request_bytes(self) -> int:
        """Bytes of the body of a request that carries pictures: the pictures, and what is around them."""
        return self.max_uploads * self.max_upload_bytes + self.max_body_bytes

    @property
    def server(self) -> dict[str, Any]:
        """Arguments of `uvicorn.Config` that belong to these settings."""
        return {
            "host": self.host,
            "port": self.port,
            "limit_concurrency": self.max_connections,
            "backlog": 2048,
            "timeout_keep_alive": 10,
            "timeout_graceful_shutdown": 10,
            "h11_max_incomplete_event_size": 32 << 10,  # the request line and all headers
            "server_header": False,
            "access_log": False,  # that one writes addresses and queries; `security.log` writes neither
            "http": "visrec.serving.connections:PatientProtocol",
            "ws": "none",
        }

    @model_validator(mode="after")
    def _check(self) -> Self:
        # Messages of this validator, unlike those of single fields, do not show the value: the token stays unseen.
        if self.token is not None:
            secret = self.token.get_secret_value()
            if len(secret) < _SHORTEST_TOKEN:
                raise ValueError(
                    f"the token has {len(secret)} characters; expected at least {_SHORTEST_TOKEN} that nobody can "
                    f'guess. Make one: python -c "import secrets; print(secrets.token_urlsafe())"'
                )
            if not (secret.isascii() and secret.isprintable()) or " " in secret:
                raise ValueError(
                    "the token has spaces or characters beyond ASCII, which do not fit into a header"
                )
        elif not self.is_local:
            raise ValueError(
                f"host {self.host!r} lets other machines in, and there is no token: anybody who reaches it would see "
                f"everybody's history. Give a token, or leave the host at 127.0.0.1"
            )
        if not self.thumbnail_sizes or list(self.thumbnail_sizes) != sorted(set(self.thumbnail_sizes)):
            raise ValueError(
                f"thumbnail_sizes are {self.thumbnail_sizes}; expected ascending sizes, at least one"
            )
        return self


def is_loopback(host: str) -> bool:
    """Whether an address or a name is this machine's own."""
    host = host.strip("[]").lower()
    if host in _LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
