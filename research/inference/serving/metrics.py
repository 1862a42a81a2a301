"""Figures of the server, for Prometheus."""

import time
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
ANSWERED = Counter("hybrid_requests", "Requests answered", ["route", "status"], registry=REGISTRY)
TOOK = Histogram("hybrid_request_seconds", "From request to answer", ["route"], buckets=SECONDS, registry=REGISTRY)
WAITING = Gauge("hybrid_requests_in_flight", "Requests not answered yet", registry=REGISTRY)
TOGETHER = Histogram(
    "hybrid_batch_requests", "Requests that were sent together to a worker", buckets=(1, 2, 4, 8, 16, 32, 64, 128),
    registry=REGISTRY,
)  # fmt: skip


class Measured:
    """ASGI middleware that counts and times requests; the paths of no ``routes`` are counted together."""

    def __init__(self, app: Any, routes: frozenset[str]) -> None:
        self.app, self.routes = app, routes

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        route = scope["path"] if scope["path"] in self.routes else "other"
        status, start = 500, time.perf_counter()

        async def sent(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with WAITING.track_inprogress():
            try:
                await self.app(scope, receive, sent)
            finally:
                ANSWERED.labels(route, status).inc()
                TOOK.labels(route).observe(time.perf_counter() - start)
