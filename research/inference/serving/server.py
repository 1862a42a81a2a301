"""LitServe's server with our routes, figures and page."""

import argparse
import base64
import hashlib
import logging
import os
import re
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import litserve
from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from research.inference.serving.metrics import REGISTRY, Measured
from research.inference.serving.routes import Routes
from research.inference.serving.worker import Loads, Worker

NOT_SERVED = {"/", "/info", "/docs", "/docs/oauth2-redirect", "/redoc"}  # LitServe's first page, FastAPI's from afar


def serve(settings: Loads, routes: Routes, page: Path, chosen: argparse.Namespace) -> None:
    """Run until Ctrl-C or SIGTERM, then end all processes.

    Args:
        settings: what the workers load.
        routes: what can be asked.
        page: an HTML file, with one script and one style of its own, that asks it.
        chosen: the options of ``add_options``.

    Raises:
        UserError: for settings that cannot be loaded.
    """
    settings.load("cpu")  # what is wrong with it is said here, in one line
    server = made(settings, routes, page, chosen)
    stop_at_signals()
    print(f"http://{chosen.host}:{chosen.port} answers when the model is there, as /health says; Ctrl-C stops",
          file=sys.stderr)  # fmt: skip
    try:
        server.run(
            chosen.host, chosen.port, num_api_servers=1, log_level="warning", generate_client_file=False,
            limit_concurrency=chosen.max_waiting,
        )  # fmt: skip
    finally:
        for process in getattr(server, "inference_workers", []):  # those that a start that failed leaves
            if process.is_alive():
                process.terminate()


def stop_at_signals() -> None:
    """SIGINT and SIGTERM end this process as Ctrl-C does, and those that are forked from it without a word."""
    first = os.getpid()

    def stop(*_: Any) -> None:
        if os.getpid() == first:
            logging.getLogger("litserve").setLevel(logging.CRITICAL)  # it says that what it has ended is gone
            raise KeyboardInterrupt
        sys.exit()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)


def made(settings: Loads, routes: Routes, page: Path, chosen: argparse.Namespace) -> litserve.LitServer:
    """The server, not yet started."""
    worker = Worker(
        settings,
        chosen.workers,
        spec=routes,
    )
    server = litserve.LitServer(
        [worker],  # of a single one the token would also be asked for by the page and /health
        accelerator=chosen.device,
        workers_per_device=chosen.workers,
        timeout=chosen.timeout,
        max_payload_size=chosen.max_bytes,
        fast_queue=True,
        restart_workers=True,
        middlewares=[(Measured, {"routes": routes.paths | {"/health", "/metrics", "/"}})],
    )
    app = server.app
    app.router.routes[:] = [route for route in app.router.routes if getattr(route, "path", None) not in NOT_SERVED]
    app.add_api_route("/", shown(page), methods=["GET"], include_in_schema=False)
    app.add_api_route("/metrics", figures, methods=["GET"], dependencies=[Depends(Worker.authorize)])
    app.add_exception_handler(RequestValidationError, refused)
    return server


async def figures() -> Response:
    """Figures for Prometheus."""
    return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)


async def refused(request: Request, error: Any) -> Response:
    """What is wrong with a question, without repeating it: JSON cannot write all that it can read."""
    if "json" not in request.headers.get("content-type", ""):
        return JSONResponse({"detail": "send JSON, with the header Content-Type: application/json"}, 415)
    reasons = "; ".join(map(reason, error.errors()[:10]))
    return JSONResponse({"detail": reasons.encode("utf-8", "replace").decode()[:1000]}, 422)


def reason(found: dict[str, Any]) -> str:
    """The key and what is wrong with it."""
    _, *keys = found["loc"]
    if found["type"] == "json_invalid":
        return f"not JSON: {found['ctx']['error']} at character {keys[0]}"
    return f"{'.'.join(map(str, keys)) or 'body'}: {found['msg'].removeprefix('Value error, ')}"


def shown(page: Path) -> Callable[[], Awaitable[Response]]:
    """A page that runs its own script and style and loads nothing from elsewhere."""
    html = page.read_text(encoding="utf-8")
    own = {f"{tag}-src": digest(re.findall(f"<{tag}>(.*?)</{tag}>", html, re.S)[0]) for tag in ("script", "style")}
    policy = "; ".join(
        ["default-src 'none'", "connect-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"]
        + [f"{kind} '{value}'" for kind, value in own.items()]
    )

    async def answer() -> Response:
        return HTMLResponse(html, headers={"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff"})

    return answer


def digest(text: str) -> str:
    """How a content security policy names an inline script or style."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
