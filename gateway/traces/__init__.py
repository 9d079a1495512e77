"""Traces: spans of requests, attempts, stages, checks and calls to Triton, sent by OTLP over HTTP.

Without an endpoint nothing of OpenTelemetry is imported, and a span costs a call. Spans say what
is done and how long it takes, never to whom: no name, no UID but as the keyed hash that the log
has, no message of an exception.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

from gateway.settings import TraceSettings
from gateway.traces.span import NOTHING, Attributes, Kind, Span

if TYPE_CHECKING:
    from gateway.traces.recorder import Recorder

__all__ = [
    "Span",
    "child",
    "hashed",
    "log_fields",
    "recorded_headers",
    "span",
    "start",
    "stop",
    "traceparent",
]

SAMPLED = 1
"""The bit of ``trace-flags`` that says so (W3C Trace Context)."""

FLUSH_SECONDS = 2.0
"""What is left gets so long when a process ends."""

_recorder: Recorder | None = None


def start(settings: TraceSettings, service: str, key: bytes) -> None:
    """Record the spans of this process from now on; without an endpoint, none.

    Parameters
    ----------
    service : str
        ``api`` or ``worker``.
    key : bytes
        That of the log: UIDs have the same hash in both.

    Raises
    ------
    UsageError
        When a setting makes no sense.
    """
    global _recorder
    if not settings.endpoint:
        return
    from gateway.traces.recorder import Recorder

    _recorder = Recorder(settings, service, key)


def stop() -> None:
    """Send what is left, for `FLUSH_SECONDS` at most, and record no more."""
    global _recorder
    recorder, _recorder = _recorder, None
    if recorder is not None:
        recorder.stop(FLUSH_SECONDS)


def span(
    name: str,
    attributes: Attributes | None = None,
    *,
    kind: Kind = "internal",
    parent: str | None = None,
) -> Span:
    """Begin a span.

    Parameters
    ----------
    name : str
        From the code, never from what is received.
    parent : str, optional
        ``traceparent`` of the span that it continues. Without one it is below the current span,
        or the first of a trace.
    """
    if _recorder is None:
        return NOTHING
    return _recorder.begin(name, attributes or {}, kind, parent)


def child(name: str, attributes: Attributes | None = None, *, kind: Kind = "internal") -> Span:
    """Begin a span below the current one; none where there is none."""
    if _recorder is None or not _recorder.has_current():
        return NOTHING
    return _recorder.begin(name, attributes or {}, kind, None)


def traceparent() -> str | None:
    """Name the current span as W3C Trace Context does; None where there is none."""
    return None if _recorder is None else _recorder.traceparent()


def recorded_headers() -> dict[str, str] | None:
    """Give the headers that let a server continue the current span; None unless it is recorded."""
    told = traceparent()
    return {"traceparent": told} if told is not None and int(told[-2:], 16) & SAMPLED else None


def hashed(uid: str) -> str:
    """Give what stands for a UID, here as in the log."""
    return "" if _recorder is None else _recorder.scrubber.uid(uid)


def log_fields(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Add the current trace and span to a line of the log, as structlog's processor."""
    if _recorder is not None and (told := _recorder.traceparent()) is not None:
        _, event["trace_id"], event["span_id"], _ = told.split("-")
    return event
