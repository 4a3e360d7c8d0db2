"""Who is let in, who may write, and what every answer carries."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest

from visrec.serving.security.access import is_from_elsewhere
from visrec.serving.security.hosts import is_allowed
from visrec.serving.security.limits import Buckets, client_of
from visrec.serving.security.login import safe_target, signed
from visrec.serving.settings import ServiceSettings

TOKEN = "a-token-that-nobody-guesses"
SHOWN = {"Authorization": f"Bearer {TOKEN}"}
OURS = {"Sec-Fetch-Site": "same-origin"}
BROWSER = {"Accept": "text/html"}
ELSEWHERE = "http://192.168.1.5:8000"


def test_every_answer_forbids_inline_scripts_frames_and_other_hosts(client) -> None:
    for answer in (client().get("/"), client().get("/nothing"), client().post("/v1/events")):
        policy = answer.headers["content-security-policy"].split("; ")
        assert "default-src 'none'" in policy
        assert "script-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["cache-control"] in {"private, no-cache", "no-store"}


# Who may read and write -----------------------------------------------------------------------------------


def test_on_this_machine_without_a_token_all_may_read_and_only_pages_may_write(client) -> None:
    one = client()
    assert one.get("/v1/users/u1").status_code == 200
    assert one.post("/v1/ask", json={"k": 3}).json() == {"k": 3}
    refused = one.post("/v1/events")
    assert (refused.status_code, refused.json()["type"]) == (403, "urn:visrec:problem:no-token")
    assert one.post("/like", headers=OURS).json() == {"stored": True}
    assert one.post("/like", headers={"Origin": "http://127.0.0.1:8000"}).status_code == 200


def test_on_this_machine_with_a_token_all_may_read_and_it_is_needed_to_write(client) -> None:
    one = client(token=TOKEN)
    assert one.get("/v1/users/u1").status_code == 200
    assert one.post("/v1/events").status_code == 401
    assert one.post("/like", headers=OURS).status_code == 401
    assert one.post("/v1/events", headers=SHOWN).json() == {"stored": True}


def test_from_elsewhere_nothing_is_read_without_the_token(client) -> None:
    one = client(host="0.0.0.0", token=TOKEN, base=ELSEWHERE)
    refused = one.get("/v1/users/u1")
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, 'Bearer realm="visrec"')
    assert one.get("/v1/users/u1", headers=SHOWN).status_code == 200
    assert one.get("/v1/nothing").status_code == 401, "not even which paths there are"


@pytest.mark.parametrize(
    "scheme", ["Bearer wrong-token-wrong-token", f"Bearer {TOKEN}x", "Bearer ", "bearer é"]
)
def test_a_wrong_token_is_refused_even_where_none_is_needed(client, scheme: str) -> None:
    headers = {"Authorization": scheme.encode("latin-1")}
    assert client(token=TOKEN).get("/v1/users/u1", headers=headers).status_code == 401


def test_read_only_refuses_writing_to_everybody(client) -> None:
    one = client(token=TOKEN, read_only=True)
    for headers in (SHOWN, {**SHOWN, **OURS}):
        refused = one.post("/v1/events", headers=headers)
        assert (refused.status_code, refused.json()["type"]) == (403, "urn:visrec:problem:read-only")
    assert one.post("/study/answers").status_code == 403
    assert one.post("/v1/ask", json={"k": 1}).status_code == 200
    assert one.get("/v1/users/u1", headers=SHOWN).json()["may_write"] is False


def test_public_paths_need_no_token_from_anywhere(client) -> None:
    one = client(host="0.0.0.0", token=TOKEN, base=ELSEWHERE)
    assert one.post("/study/answers").json() == {"stored": True}
    assert one.get("/studying").status_code == 401, "only what lies below it"


def test_pages_learn_whether_writing_is_possible(client) -> None:
    assert client().get("/v1/users/u1").json()["may_write"] is True
    assert client(token=TOKEN).get("/v1/users/u1").json()["may_write"] is False
    assert client(token=TOKEN).get("/v1/users/u1", headers=SHOWN).json()["may_write"] is True


# Other sites ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},  # another port of this machine
        {"Origin": "https://evil.example"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1:8000"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
    ],
)
@pytest.mark.parametrize("path", ["/like", "/v1/ask", "/v1/upload", "/login"])
def test_other_sites_pages_cannot_have_a_browser_post(client, headers: dict[str, str], path: str) -> None:
    answer = client().post(path, headers=headers, json={"k": 1})
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:visrec:problem:cross-site")


def test_other_sites_may_link_to_a_page_and_load_nothing_of_it(client) -> None:
    one = client()
    assert (
        one.get("/", headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}).status_code
        == 200
    )
    assert (
        one.get("/", headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}).status_code == 403
    )


def test_old_browsers_without_fetch_metadata_are_judged_by_their_origin() -> None:
    from starlette.requests import Request

    def asks(origin: str) -> Request:
        headers = [(b"host", b"shop.example"), (b"origin", origin.encode())]
        return Request({"type": "http", "method": "POST", "path": "/", "headers": headers, "scheme": "http"})

    assert not is_from_elsewhere(asks("https://shop.example"))  # TLS ends at a proxy
    assert is_from_elsewhere(asks("https://shop.example.evil.example"))
    assert is_from_elsewhere(asks("https://shop.example@evil.example"))


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8000", 200),
        ("localhost:1234", 200),
        ("[::1]:8000", 200),
        ("LocalHost.", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("192.168.1.5", 421),
        ("", 421),
        ("127.0.0.1@evil.example", 421),
    ],
)
def test_a_service_on_this_machine_answers_only_to_its_own_names(client, host: str, status: int) -> None:
    assert client().get("/", headers={"Host": host}).status_code == status


def test_further_hosts_are_those_named(client) -> None:
    settings = ServiceSettings(allowed_hosts=("shop.example", "*.shop.example"))
    assert is_allowed("Shop.Example:443", settings)
    assert is_allowed("www.shop.example", settings)
    assert not is_allowed("shop.example.evil.example", settings)
    assert not is_allowed("evilshop.example", settings)
    open_to_all = ServiceSettings(host="0.0.0.0", token=TOKEN)
    assert is_allowed("10.1.2.3:8000", open_to_all)
    assert not is_allowed("evil.example", open_to_all)


# Signing in -----------------------------------------------------------------------------------------------


def test_a_browser_signs_in_once_with_the_token(client) -> None:
    one = client(host="0.0.0.0", token=TOKEN, base=ELSEWHERE)
    sent = one.get("/v1/users/u1", headers=BROWSER)
    assert sent.status_code == 401, "no page under /v1"
    sent = one.get("/?of=7", headers=BROWSER)
    assert (sent.status_code, sent.headers["location"]) == (303, "/login?next=/%3Fof%3D7")
    form = one.get(sent.headers["location"], headers=BROWSER)
    assert 'value="/?of=7"' in form.text
    done = one.post("/login", data={"token": TOKEN, "next": "/?of=7"}, headers=OURS)
    assert (done.status_code, done.headers["location"]) == (303, "/?of=7")
    set_cookie = next(one for one in done.headers.get_list("set-cookie") if one.startswith("visrec_login="))
    assert "HttpOnly" in set_cookie
    assert "SameSite=Lax" in set_cookie
    assert TOKEN not in set_cookie
    assert one.get("/?of=7", headers=BROWSER).status_code == 200
    assert one.post("/like", headers=OURS).json() == {"stored": True}
    one.post("/logout", headers=OURS)
    assert one.get("/", headers=BROWSER).status_code == 303


def test_a_wrong_token_in_the_form_signs_nobody_in(client) -> None:
    one = client(host="0.0.0.0", token=TOKEN, base=ELSEWHERE)
    refused = one.post("/login", data={"token": "wrong"}, headers=OURS)
    assert refused.status_code == 403
    assert "not the token" in refused.text
    assert "visrec_login" not in one.cookies


def test_a_login_runs_out_and_ends_with_the_token(client) -> None:
    one = client(host="0.0.0.0", token=TOKEN, base=ELSEWHERE)

    def status(value: str) -> int:
        return one.get("/v1/users/u1", headers={"Cookie": f"visrec_login={value}"}).status_code

    here, other = ServiceSettings(token=TOKEN), ServiceSettings(token=TOKEN + "2")
    assert status(signed(here, until=4_000_000_000)) == 200
    assert status(signed(here, until=1_000_000_000)) == 401
    assert status(signed(other, until=4_000_000_000)) == 401
    assert status(signed(here, until=4_000_000_000).replace("4", "5", 1)) == 401
    assert status("9" * 5000) == 401


@pytest.mark.parametrize(
    "target", ["https://evil.example", "//evil.example", "/\\evil.example", "/a\nb", "login", ""]
)
def test_a_login_leads_to_no_other_site(target: str) -> None:
    assert safe_target(target) == "/"


# Sessions -------------------------------------------------------------------------------------------------


def test_a_browser_keeps_its_session_and_programs_and_pictures_get_none(client) -> None:
    one = client()
    assert one.get("/v1/users/u1").headers.get("set-cookie") is None
    first = one.get("/").headers["set-cookie"]
    assert "HttpOnly" in first
    assert "SameSite=Lax" in first
    session = one.cookies["visrec_session"]
    assert len(session) == 32
    assert one.get("/v1/users/u1").json()["session"] == session
    assert one.get("/").headers.get("set-cookie") is None


def test_a_session_of_another_shape_is_not_taken(client) -> None:
    one = client()
    for value in ("x" * 31, "x" * 33, "' OR 1=1 --' OR 1=1 --' OR 1=1 ---", "é" * 32):
        found = one.get("/v1/users/u1", headers={"Cookie": f"visrec_session={value}".encode()}).json()[
            "session"
        ]
        assert found != value
        assert len(found) == 32


def test_cookies_over_tls_are_secure(client) -> None:
    assert "Secure" in client(base="https://127.0.0.1").get("/").headers["set-cookie"]
    assert "Secure" not in client().get("/").headers["set-cookie"]


# Limits ---------------------------------------------------------------------------------------------------


def test_a_bucket_gives_a_minutes_worth_and_then_one_at_a_time() -> None:
    now = 0.0
    buckets = Buckets(6, clock=lambda: now)
    assert [buckets.wait("a") for _ in range(6)] == [0.0] * 6
    assert buckets.wait("a") == pytest.approx(10)  # 6 a minute: one in 10 s
    assert buckets.wait("b") == 0.0
    now = 9.0
    assert buckets.wait("a") == pytest.approx(1)
    now = 10.0
    assert buckets.wait("a") == 0.0
    assert buckets.wait("a") == pytest.approx(10)


def test_buckets_of_many_clients_take_bounded_memory() -> None:
    buckets = Buckets(1, most=100)
    for n in range(1000):
        buckets.wait(str(n))
    assert len(buckets) == 100
    assert buckets.wait("999") > 0, "the last are remembered"


def test_too_many_requests_are_told_when_to_come_back(client) -> None:
    one = client(reading_rate=2)
    assert [one.get("/v1/users/u1").status_code for _ in range(3)] == [200, 200, 429]
    answer = one.get("/v1/users/u1")
    assert answer.json()["status"] == 429
    assert 25 <= int(answer.headers["retry-after"]) <= 30  # 2 a minute: one in 30 s
    assert one.get("/static/none.css").status_code == 404, "cheap ones are not counted"
    assert one.post("/like", headers=OURS).status_code == 200, "writing has its own"


def test_who_shows_the_token_is_not_limited_and_guessing_it_is_slow(client) -> None:
    one = client(token=TOKEN, reading_rate=1, login_rate=3)
    assert {one.get("/v1/users/u1", headers=SHOWN).status_code for _ in range(9)} == {200}
    wrong = {"Authorization": "Bearer wrong"}
    assert [one.get("/v1/users/u1", headers=wrong).status_code for _ in range(4)] == [401, 401, 401, 429]
    assert one.post("/login", data={"token": TOKEN}, headers=OURS).status_code == 429


def test_an_ipv6_network_is_one_client() -> None:
    assert client_of({"client": ("2001:db8::1", 1)}) == client_of({"client": ("2001:db8::ffff:2", 1)})
    assert client_of({"client": ("2001:db8:0:1::1", 1)}) != client_of({"client": ("2001:db8::1", 1)})
    assert client_of({"client": ("::ffff:10.0.0.1", 1)}) == client_of({"client": ("10.0.0.1", 9)})


def test_a_body_beyond_the_limit_is_refused_by_its_header_or_as_it_comes(client) -> None:
    one = client(max_body_bytes=1024)
    refused = one.post("/v1/ask", content=b"x" * 1025)
    assert (refused.status_code, refused.json()["type"]) == (413, "urn:visrec:problem:too-large")

    def chunks() -> Iterator[bytes]:
        yield from [b"x" * 100] * 20  # without a Content-Length

    refused = one.post("/v1/ask", content=chunks(), headers={"Content-Type": "application/json"})
    assert (refused.status_code, refused.headers["content-type"]) == (413, "application/problem+json")


def test_bodies_with_pictures_may_be_as_large_as_the_pictures(client) -> None:
    one = client(max_body_bytes=1024, max_uploads=2, max_upload_bytes=1000)
    assert one.post("/v1/upload", content=b"x" * 3024).json() == {"bytes": 3024}
    assert one.post("/v1/upload", content=b"x" * 3025).status_code == 413


def test_a_body_that_does_not_come_is_given_up(client) -> None:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0.05)
        return {"type": "http.request", "body": b" ", "more_body": True}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", b"127.0.0.1"), (b"content-type", b"application/json"), (b"content-length", b"1000")]
    scope = {"type": "http", "method": "POST", "path": "/v1/ask", "query_string": b"", "headers": headers}
    begun = time.monotonic()
    asyncio.run(client(body_seconds=0.3).app(scope, receive, send))
    assert time.monotonic() - begun < 5
    assert sent[0]["status"] == 408
    assert b"was not complete within 0.3 s" in sent[1]["body"]


# The log --------------------------------------------------------------------------------------------------


def test_the_log_says_which_route_and_nothing_of_the_person(client, caplog) -> None:
    one = client(token=TOKEN)
    with caplog.at_level(logging.INFO, logger="visrec"):
        one.get("/v1/users/anna?secret=yes", headers={"Cookie": "visrec_session=abc", **SHOWN})
        one.get("/anna/private")
    lines = [record.getMessage() for record in caplog.records if record.name == "visrec.serving.access"]
    assert lines[0].startswith("GET /v1/users/{user_id} 200 ")
    assert lines[1].startswith("GET (none) 404 ")
    for word in ("anna", "secret", "203.0.113.7", "abc", TOKEN):
        assert word not in caplog.text
