"""The worker's own port: ``/metrics`` for Prometheus, ``/livez`` and ``/readyz`` for a kubelet.

Served by threads, since a probe must be answered while the event loop works.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from gateway.exceptions import UsageError
from gateway.metrics import REGISTRY
from gateway.settings import WorkerSettings
from gateway.worker.heart import Heart

LOOP_SECONDS = 60.0
"""An event loop that has not turned for so long does not come back."""

TICK_SECONDS = 1.0

TEXT = "text/plain; charset=utf-8"


@contextmanager
def probes(settings: WorkerSettings, heart: Heart) -> Iterator[int]:
    """Serve around a block of code; gives the port.

    ``/livez`` fails when the event loop hangs: then a restart helps. ``/readyz`` fails while the
    database takes no heartbeat, Triton is not ready, or the worker drains. Neither asks how much
    there is to do.

    Raises
    ------
    UsageError
        When the port cannot be bound.
    """
    turned = time.monotonic()

    async def turn() -> None:
        nonlocal turned
        while True:
            turned = time.monotonic()
            await asyncio.sleep(TICK_SECONDS)

    turning = asyncio.create_task(turn(), name="turn")

    def livez() -> list[str]:
        hung = time.monotonic() - turned
        return [f"the event loop hangs since {hung:.0f} s"] if hung > LOOP_SECONDS else []

    def readyz() -> list[str]:
        silent = heart.silent_seconds > settings.stalled_seconds
        return livez() + [
            text
            for text, is_so in (
                ("the database takes no heartbeat", silent),
                ("triton is not ready", not heart.triton_ready),
                ("draining", heart.draining),
            )
            if is_so
        ]

    answers = {"/livez": livez, "/readyz": readyz}

    class Handler(BaseHTTPRequestHandler):
        timeout = 10
        server_version = "onescan"
        sys_version = ""

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/metrics":
                self._answer(HTTPStatus.OK, generate_latest(REGISTRY), CONTENT_TYPE_LATEST)
            elif path in answers:
                wrong = answers[path]()
                status = HTTPStatus.SERVICE_UNAVAILABLE if wrong else HTTPStatus.OK
                self._answer(status, ("; ".join(wrong) or "ok").encode() + b"\n", TEXT)
            else:
                self._answer(HTTPStatus.NOT_FOUND, b"not found\n", TEXT)

        def _answer(self, status: HTTPStatus, body: bytes, content_type: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: probes come every few seconds."""

    try:
        server = ThreadingHTTPServer((settings.metrics_host, settings.metrics_port), Handler)
    except OSError as error:
        raise UsageError(
            f"Port {settings.metrics_port} of {settings.metrics_host} cannot be used"
            f" ({error.strerror})."
        ) from error
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="probes", daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        turning.cancel()
        server.shutdown()
        server.server_close()
