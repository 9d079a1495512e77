"""Spans that are recorded, by OpenTelemetry's SDK; imported only where there is a collector.

Everything that the SDK would read from ``OTEL_`` variables is given here, so that none of them
changes what leaves the process. ``tracestate`` and baggage are neither taken nor sent: they carry
text of others.
"""

from __future__ import annotations

import math
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import Token
from types import TracebackType
from typing import Self

from opentelemetry import context as current_context
from opentelemetry import trace as otel
from opentelemetry.context import Context
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from gateway import __version__
from gateway.exceptions import OneScanError, UsageError
from gateway.log import Scrubber
from gateway.settings import TraceSettings
from gateway.traces.collector import Collector
from gateway.traces.span import Attributes, Kind, Span
from gateway.traces.uplink import Uplink

KINDS = {
    "internal": otel.SpanKind.INTERNAL,
    "server": otel.SpanKind.SERVER,
    "client": otel.SpanKind.CLIENT,
    "consumer": otel.SpanKind.CONSUMER,
}

LIMITS = SpanLimits(
    max_attributes=32,
    max_events=0,
    max_links=0,
    max_span_attributes=32,
    max_event_attributes=0,
    max_link_attributes=0,
    max_attribute_length=256,
    max_span_attribute_length=256,
)
"""Ours have ten short attributes at most, and no events or links."""

TRACEPARENT = "traceparent"

PROPAGATOR = TraceContextTextMapPropagator()


class Recorder:
    """Makes the spans of a process.

    Raises
    ------
    UsageError
        When a setting makes no sense.
    """

    def __init__(self, settings: TraceSettings, service: str, key: bytes) -> None:
        ratio = settings.sample_ratio
        if not (math.isfinite(ratio) and 0.0 <= ratio <= 1.0):
            raise UsageError("ONESCAN_TRACES__SAMPLE_RATIO is not between 0 and 1.")
        self.scrubber = Scrubber(key)
        self._uplink = Uplink(Collector(settings))
        by_ratio = TraceIdRatioBased(ratio)
        host = socket.gethostname()
        provider = TracerProvider(
            # A caller's "sampled" flag does not make us record more than our share.
            sampler=ParentBased(root=by_ratio, remote_parent_sampled=by_ratio),
            resource=Resource(
                {
                    "service.namespace": "onescan",
                    "service.name": f"onescan-{service}",
                    "service.version": __version__,
                    "service.instance.id": f"{host}-{os.getpid()}",
                    "host.name": host,
                }
            ),
            shutdown_on_exit=False,
            span_limits=LIMITS,
            meter_provider=NoOpMeterProvider(),
        )
        provider.add_span_processor(self._uplink)
        self._tracer = provider.get_tracer("onescan", __version__)

    def begin(self, name: str, attributes: Attributes, kind: Kind, parent: str | None) -> Span:
        """Begin a span; see `gateway.traces.span`."""
        # What is no traceparent leaves the context empty, and the span is the first of a trace.
        context = None if parent is None else PROPAGATOR.extract({TRACEPARENT: parent}, Context())
        return RecordedSpan(
            self._tracer.start_span(
                self.scrubber.value(name),
                context=context,
                kind=KINDS[kind],
                attributes=self.scrubber.value(attributes),
                record_exception=False,
                set_status_on_exception=False,
            ),
            self.scrubber,
        )

    def has_current(self) -> bool:
        """Tell whether a span is current."""
        return otel.get_current_span().get_span_context().is_valid

    def traceparent(self) -> str | None:
        """Name the current span; None where there is none."""
        carrier: dict[str, str] = {}
        PROPAGATOR.inject(carrier)
        return carrier.get(TRACEPARENT)

    def stop(self, seconds: float) -> None:
        """Send what is left, for so long at most."""
        self._uplink.stop(seconds)


class RecordedSpan(Span):
    """A span of the SDK; whether it is sent is the sampler's matter."""

    def __init__(self, span: otel.Span, scrubber: Scrubber) -> None:
        self._span = span
        self._scrubber = scrubber
        self._token: Token[Context] | None = None

    def set(self, attributes: Attributes) -> None:
        """Add attributes."""
        self._span.set_attributes(self._scrubber.value(attributes))

    def fail(self, reason: str) -> None:
        """Mark it as failed, in one word."""
        word = self._scrubber.value(reason)
        self._span.set_status(otel.Status(otel.StatusCode.ERROR, word))
        self._span.set_attribute("error.type", word)

    def end(self) -> None:
        """End it."""
        self._span.end()

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make it the current one for a block of code."""
        token = current_context.attach(otel.set_span_in_context(self._span))
        try:
            yield
        finally:
            current_context.detach(token)

    def __enter__(self) -> Self:
        self._token = current_context.attach(otel.set_span_in_context(self._span))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self.fail(error.code if isinstance(error, OneScanError) else type(error).__name__)
        if self._token is not None:
            current_context.detach(self._token)
        self._span.end()
