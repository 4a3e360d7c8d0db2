"""Pages for strangers, and files that browsers keep."""

from __future__ import annotations

import re
from typing import Any

TOKEN = "a-token-that-nobody-guesses"
BROWSER = {"accept": "text/html"}


def test_the_form_for_the_token_tells_nothing_else(opened: Any) -> None:
    client = opened(token=TOKEN, headers=BROWSER)
    title = client.app.state.service.engine.title
    page = client.get("/login").text
    assert '<input id="token" name="token" type="password"' in page
    assert title not in page
    assert "/people" not in page


def test_another_name_of_the_service_is_refused_by_a_page_without_the_run(opened: Any) -> None:
    client = opened(headers=BROWSER)
    answer = client.get("/", headers={"host": "evil.example"})
    assert answer.status_code == 421
    assert client.app.state.service.engine.title not in answer.text
    assert "<h1>" in answer.text


def test_files_are_kept_by_browsers_where_their_address_says_which_they_are(client: Any) -> None:
    found = re.search(r'href="(/static/style\.css\?v=[0-9a-f]+)"', client.get("/").text)
    assert found is not None
    assert "immutable" in client.get(found[1]).headers["cache-control"]
    assert "no-cache" in client.get("/static/style.css").headers["cache-control"]


def test_requests_are_counted_by_the_whole_template_of_their_route(client: Any) -> None:
    client.get("/v1/items/00003")
    client.get("/v1/metrics")
    counted = client.get("/metrics").text
    assert 'route="/v1/items/{item_id}"' in counted
    assert 'route="/v1/metrics"' in counted


def test_who_keeps_nothing_has_no_buttons_to_like(opened: Any) -> None:
    assert "like.js" in opened().get("/items").text
    assert "like.js" not in opened(read_only=True).get("/items").text
