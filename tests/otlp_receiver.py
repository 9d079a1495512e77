"""An OTLP receiver over HTTP on a thread of its own: keeps the spans and the very bytes."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

PATIENCE_SECONDS = 15.0


@dataclass(frozen=True)
class Sent:
    """A span as it came."""

    name: str
    service: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: int
    status: int
    attributes: Mapping[str, Any]
    seconds: float


@dataclass
class OtlpReceiver:
    """Answers with the statuses it is given, one after another, then with 200."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    delay_seconds: float = 0.0
    bodies: list[bytes] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)

    @property
    def spans(self) -> list[Sent]:
        return [span for body in list(self.bodies) for span in _spans(body)]

    def until(self, wanted: Callable[[list[Sent]], bool]) -> list[Sent]:
        """Wait for spans; gives all that have come."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not wanted(spans := self.spans):
            assert time.monotonic() < deadline, [span.name for span in spans]
            time.sleep(0.02)
        return spans

    async def receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        await asyncio.sleep(self.delay_seconds)
        status = self.statuses.pop(0) if self.statuses else 200
        if status == 200:
            assert request.path == "/v1/traces"
            self.headers.append(dict(request.headers))
            self.bodies.append(body)
        return web.Response(status=status)


@contextmanager
def receiving_spans() -> Iterator[OtlpReceiver]:
    """Run a receiver on a free port of loopback."""
    receiver = OtlpReceiver()
    loop = asyncio.new_event_loop()
    started, stopping = threading.Event(), asyncio.Event()

    async def serve() -> None:
        app = web.Application(client_max_size=64 * 1024**2)
        app.router.add_post("/{tail:.*}", receiver.receive)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        started.set()
        await stopping.wait()
        await runner.cleanup()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    assert started.wait(PATIENCE_SECONDS)
    try:
        yield receiver
    finally:
        loop.call_soon_threadsafe(stopping.set)
        thread.join(PATIENCE_SECONDS)
        loop.close()


def _spans(body: bytes) -> list[Sent]:
    if body.startswith(b"{"):
        return _spans_of_json(json.loads(body))
    told = ExportTraceServiceRequest.FromString(body)
    return [
        Sent(
            name=span.name,
            service=_attributes(group.resource.attributes).get("service.name", ""),
            trace_id=span.trace_id.hex(),
            span_id=span.span_id.hex(),
            parent_id=span.parent_span_id.hex(),
            kind=span.kind,
            status=span.status.code,
            attributes=_attributes(span.attributes),
            seconds=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
        )
        for group in told.resource_spans
        for scope in group.scope_spans
        for span in scope.spans
    ]


def _spans_of_json(told: Any) -> list[Sent]:
    """Read what Triton's exporter sends; OTLP's JSON has IDs in hexadecimal digits."""

    def attributes(pairs: Any) -> dict[str, Any]:
        return {pair["key"]: next(iter(pair["value"].values()), None) for pair in pairs}

    return [
        Sent(
            name=span["name"],
            service=attributes(group["resource"]["attributes"]).get("service.name", ""),
            trace_id=span["traceId"].lower(),
            span_id=span["spanId"].lower(),
            parent_id=span.get("parentSpanId", "").lower(),
            kind=0,
            status=0,
            attributes=attributes(span.get("attributes", [])),
            seconds=(int(span["endTimeUnixNano"]) - int(span["startTimeUnixNano"])) / 1e9,
        )
        for group in told["resourceSpans"]
        for scope in group["scopeSpans"]
        for span in scope["spans"]
    ]


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}
