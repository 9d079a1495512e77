"""How Triton is told to add its spans to the traces of its callers."""

from __future__ import annotations

from urllib.parse import urlsplit

from gateway.exceptions import UsageError

DEFAULT_PATH = "/v1/traces"
"""Of an address without one, as OTLP has it."""

RATE = 1_000_000_000
"""Triton begins a trace of its own with every so-manieth request; those that come with a trace are
all recorded."""


def trace_options(endpoint: str) -> list[str]:
    """Give the options that send Triton's spans to a collector; none without an address.

    Time stamps only: at its other levels Triton writes tensors into traces.

    Raises
    ------
    UsageError
        When the address makes no sense.
    """
    if not endpoint:
        return []
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname or "," in endpoint:
        raise UsageError("ONESCAN_TRITON__TRACE_ENDPOINT must begin with http:// or https://.")
    url = endpoint if parts.path.strip("/") else endpoint.rstrip("/") + DEFAULT_PATH
    return [
        f"--trace-config={option}"
        for option in (
            "mode=opentelemetry",
            "level=TIMESTAMPS",
            f"rate={RATE}",
            f"opentelemetry,url={url}",
            "opentelemetry,resource=service.namespace=onescan",
            "opentelemetry,resource=service.name=onescan-triton",
        )
    ]
