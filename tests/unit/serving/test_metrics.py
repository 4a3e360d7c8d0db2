"""What /metrics says."""

from __future__ import annotations

from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from visrec.serving import problems
from visrec.serving.metrics import Measured, Metrics
from visrec.serving.security import Surface, protect
from visrec.serving.settings import ServiceSettings


def service(metrics: Metrics, folder: str) -> TestClient:
    app = FastAPI()
    problems.install(app)
    protect(
        app,
        ServiceSettings(upload_rate=1),
        surface=Surface(asking=("/up",), uploads=("/up",)),
        refused=metrics.upload_refused,
    )
    app.add_middleware(Measured, metrics=metrics)
    routes = APIRouter(prefix="/v1")

    @routes.get("/users/{user_id}")
    async def user(user_id: str) -> dict[str, str]:
        return {}

    @routes.post("/never")
    @app.post("/up")
    async def up() -> None:
        pass

    @app.get("/bug")
    async def bug() -> None:
        raise ZeroDivisionError

    @app.get("/metrics")
    async def told() -> Response:
        return metrics.response()

    app.include_router(routes)
    app.mount("/static", StaticFiles(directory=folder))
    return TestClient(app, base_url="http://127.0.0.1")


def values(client: TestClient) -> dict[tuple[str, ...], float]:
    text = client.get("/metrics").text
    return {
        (one.name, *(value for _, value in sorted(one.labels.items()))): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }


def test_requests_are_counted_by_template_and_never_by_id(tmp_path) -> None:
    client = service(Metrics(), str(tmp_path))
    for n in range(3):
        client.get(f"/v1/users/u{n}")
        client.get(f"/unknown/{n}")
        client.get(f"/static/{n}.css")
    client.get("/bug")
    client.request("BREW", "/bug")
    found = values(client)
    requests = {key[1:]: value for key, value in found.items() if key[0] == "visrec_requests_total"}
    assert requests == {
        ("GET", "/v1/users/{user_id}", "200"): 3,
        ("GET", "(none)", "404"): 3,
        ("GET", "/static", "404"): 3,
        ("GET", "/bug", "500"): 1,
        ("other", "(none)", "403"): 1,
    }
    assert found["visrec_request_seconds_count", "GET", "/v1/users/{user_id}"] == 3
    assert found["visrec_requests_in_flight",] == 1, "the one that asks"


def test_refused_uploads_are_counted_by_reason(tmp_path) -> None:
    client = service(Metrics(), str(tmp_path))
    assert [client.post("/up").status_code for _ in range(3)] == [200, 429, 429]
    assert values(client)["visrec_uploads_refused_total", "too-many-requests"] == 2


def test_events_rankings_and_the_run_are_told(tmp_path) -> None:
    metrics = Metrics()
    client = service(metrics, str(tmp_path))
    metrics.event_stored("like")
    metrics.event_stored("like", 2)
    with metrics.recommending("vbpr"):
        pass
    metrics.describe_run({"name": "first"}, recall={"old": 0.5})
    metrics.describe_run({"name": "second"}, recall={"vbpr": 0.97})
    found = values(client)
    assert found["visrec_events_total", "like"] == 3
    assert found["visrec_recommendation_seconds_count", "vbpr"] == 1
    assert found["visrec_run_info", "second"] == 1
    assert ("visrec_run_info", "first") not in found
    assert {key: value for key, value in found.items() if key[0] == "visrec_index_recall"} == {
        ("visrec_index_recall", "vbpr"): 0.97
    }


def test_two_apps_count_each_for_itself(tmp_path) -> None:
    first, second = service(Metrics(), str(tmp_path)), service(Metrics(), str(tmp_path))
    first.get("/v1/users/u1")
    assert ("visrec_requests_total", "GET", "/v1/users/{user_id}", "200") not in values(second)
