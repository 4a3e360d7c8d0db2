"""Every way in which a request can fail is told in one form."""

from __future__ import annotations

import logging

import pytest
from fastapi.testclient import TestClient
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from visrec.serving.problems import Problem, without_paths


def test_a_problem_document_has_the_members_of_its_standard(client) -> None:
    answer = client().get("/v1/raise/unknown")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "type": "urn:visrec:problem:unknown-id",
        "title": "Not Found",
        "status": 404,
        "detail": "Unknown user 'x'.",
        "instance": f"urn:visrec:request:{answer.headers['x-request-id']}",
    }


@pytest.mark.parametrize(
    ("kind", "status"), [("unknown", 404), ("config", 422), ("unsupported", 422), ("run", 409), ("bug", 500)]
)
def test_each_error_has_its_status(client, kind: str, status: int) -> None:
    answer = client().get(f"/v1/raise/{kind}")
    assert (answer.status_code, answer.json()["status"]) == (status, status)


def test_no_answer_tells_a_folder_of_the_machine(client) -> None:
    detail = client().get("/v1/raise/run").json()["detail"]
    assert detail == "a: has no features. `visrec run DATA --out a`"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/a/b/c.jpg: is cut", "c.jpg: is cut"),
        (r"C:\Users\anna\c.jpg: is cut", "c.jpg: is cut"),
        ("Unknown item 'i/1'.", "Unknown item 'i/1'."),
        ("1/2 and/or", "1/2 and/or"),
    ],
)
def test_only_folders_are_taken_out_of_messages(text: str, expected: str) -> None:
    assert without_paths(text) == expected


def test_a_bug_is_answered_without_its_message_and_logged_without_its_values(client, caplog) -> None:
    with caplog.at_level(logging.INFO, logger="visrec"):
        answer = client().get("/v1/raise/bug")
    assert "anna" not in answer.text
    assert "anna" not in caplog.text
    assert "ZeroDivisionError" in caplog.text
    assert answer.headers["x-request-id"] in caplog.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_faults_of_a_body_are_listed_without_the_values(client) -> None:
    answer = client().post("/v1/ask", json={"k": -98765})
    assert answer.status_code == 422
    assert [one["where"] for one in answer.json()["errors"]] == ["body.k"]
    assert "98765" not in answer.text


def test_unknown_paths_and_methods_are_problems_too(client) -> None:
    one = client()
    assert one.get("/v1/nothing").json()["title"] == "Not Found"
    wrong = one.delete("/v1/ask")
    assert (wrong.status_code, wrong.headers["content-type"]) == (405, "application/problem+json")
    assert wrong.headers["allow"] == "POST"


def test_a_browser_gets_a_page_and_the_pages_can_bring_their_own(client) -> None:
    browser = {"Accept": "text/html,application/xhtml+xml"}
    one: TestClient = client()
    plain = one.get("/nothing", headers=browser)
    assert (plain.status_code, plain.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "Not Found" in plain.text

    def page(request: Request, problem: Problem) -> Response:
        return HTMLResponse(f"<h1>Lost: {problem.status}</h1>")

    one.app.state.error_page = page  # type: ignore[attr-defined]
    assert one.get("/nothing", headers=browser).text == "<h1>Lost: 404</h1>"
    assert one.get("/v1/nothing", headers=browser).headers["content-type"] == "application/problem+json"
