"""The span of an attempt at a screening, by a worker or by the fetcher."""

from __future__ import annotations

from gateway import traces
from gateway.store.screenings import Claim


def attempt_span(name: str, claim: Claim) -> traces.Span:
    """Begin it below the request that asked for the screening; begun again, it has a sibling."""
    return traces.span(
        name,
        {
            "onescan.screening_id": str(claim.screening_id),
            "onescan.attempt": claim.attempt,
            "onescan.lane": claim.lane,
            "onescan.study": traces.hashed(claim.order.study_instance_uid),
        },
        kind="consumer",
        parent=claim.traceparent,
    )
