"""What the service counts and measures of itself, for Prometheus. Nothing here is about a person."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from visrec.serving.security.surface import route_of

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class Metrics:
    """The counters of one app, in a registry of their own: two apps in a process do not mix.

    Labels have few values: templates of routes, not paths; models and reasons, not people and items.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        registry = self.registry
        self.requests = Counter(
            "visrec_requests", "Requests answered.", ["method", "route", "status"], registry=registry
        )
        self.request_seconds = Histogram(
            "visrec_request_seconds",
            "Time to the end of the answer.",
            ["method", "route"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.in_flight = Gauge("visrec_requests_in_flight", "Requests being answered.", registry=registry)
        self.uploads_refused = Counter(
            "visrec_uploads_refused", "Uploads refused.", ["reason"], registry=registry
        )
        self.events = Counter("visrec_events", "Events stored.", ["kind"], registry=registry)
        self.recommendation_seconds = Histogram(
            "visrec_recommendation_seconds",
            "Time to rank for one query.",
            ["model"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.index_recall = Gauge(
            "visrec_index_recall",
            "Share of the exact neighbours that the approximate index finds.",
            ["index"],
            registry=registry,
        )
        self.run = Info("visrec_run", "The run that is served.", registry=registry)

    def upload_refused(self, reason: str) -> None:
        """Count a refusal; `reason` is the kind of a problem."""
        self.uploads_refused.labels(reason or "other").inc()

    def event_stored(self, kind: str, n: int = 1) -> None:
        """Count stored events of a kind ("like", "hide", …)."""
        self.events.labels(kind).inc(n)

    @contextmanager
    def recommending(self, model: str) -> Iterator[None]:
        """Measure how long a model takes to rank."""
        with self.recommendation_seconds.labels(model).time():
            yield

    def describe_run(self, facts: Mapping[str, str], *, recall: Mapping[str, float] | None = None) -> None:
        """Tell which run is served, and the recall of each of its indices; what was told before is forgotten."""
        self.run.info(dict(facts))
        self.index_recall.clear()
        for index, share in (recall or {}).items():
            self.index_recall.labels(index).set(share)

    def response(self) -> Response:
        """What /metrics answers."""
        return Response(
            generate_latest(self.registry),
            media_type=CONTENT_TYPE_PLAIN_0_0_4,
            headers={"Cache-Control": "no-store"},
        )


class Measured:
    """Counts and times each request; it stands outside of all else, so that refusals count too."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, begun, metrics = "none", time.perf_counter(), self._metrics

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        with metrics.in_flight.track_inprogress():
            try:
                await self._app(scope, receive, noted)
            finally:
                method = scope["method"] if scope["method"] in _METHODS else "other"
                route = route_of(scope)
                metrics.requests.labels(method, route, status).inc()
                metrics.request_seconds.labels(method, route).observe(time.perf_counter() - begun)
