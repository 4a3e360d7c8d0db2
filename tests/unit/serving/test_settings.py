"""What a service refuses to be started with."""

from __future__ import annotations

import pytest

from visrec.errors import ConfigError
from visrec.serving.settings import ServiceSettings, is_loopback

TOKEN = "a-token-that-nobody-guesses"


def test_by_default_only_this_machine_can_connect() -> None:
    settings = ServiceSettings()
    assert settings.host == "127.0.0.1"
    assert settings.is_local
    assert settings.server["host"] == "127.0.0.1"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "shop.example"])
@pytest.mark.parametrize("read_only", [False, True])
def test_another_host_needs_a_token_even_to_read(host: str, read_only: bool) -> None:
    with pytest.raises(ConfigError, match="Give a token, or leave the host"):
        ServiceSettings(host=host, read_only=read_only)
    assert not ServiceSettings(host=host, read_only=read_only, token=TOKEN).is_local


@pytest.mark.parametrize(
    "token", ["short", "with spaces in it, and long enough", "mit-ümlaut-und-lang-genug"]
)
def test_a_bad_token_is_refused_without_being_shown(token: str) -> None:
    with pytest.raises(ConfigError, match="the token has") as caught:
        ServiceSettings(token=token)
    assert token not in str(caught.value)


def test_token_is_in_no_repr_and_is_compared_whole() -> None:
    settings = ServiceSettings(token=TOKEN)
    assert TOKEN not in repr(settings)
    assert settings.is_token(TOKEN)
    assert not settings.is_token(TOKEN[:-1])
    assert not settings.is_token("é" * len(TOKEN))
    assert not ServiceSettings().is_token("")


def test_settings_changed_by_replace_keep_the_token() -> None:
    assert ServiceSettings(token=TOKEN).replace(port=0).is_token(TOKEN)


@pytest.mark.parametrize("sizes", [(), (320, 160), (160, 160)])
def test_thumbnail_sizes_ascend(sizes: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="ascending"):
        ServiceSettings(thumbnail_sizes=sizes)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.8.9.1", True),
        ("[::1]", True),
        ("LOCALHOST", True),
        ("10.0.0.1", False),
        ("localhost.evil.example", False),
    ],
)
def test_loopback_is_told_from_what_looks_like_it(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
