"""Which role each route needs: one row a route, and no route without a row.

A route that has no row is refused to everybody. A test holds table and routes together, and
`tests/integration/test_access_matrix.py` asks every row with every role, as owner and stranger.
"""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

OPEN = "open"
"""Asked without credentials: probes, and what begins a session."""

MACHINE = "machine"
"""Open to this machine; anybody else needs the role ``operate``."""

ANYBODY = "anybody"
"""Any valid key, token or session, whatever its roles."""

STORE = "store"
"""Brings instances: counts for studies and bytes a day."""

SCREEN = "screen"
"""Asks for a screening: counts for screenings in flight."""


@dataclass(frozen=True, slots=True)
class Access:
    """One row."""

    method: str
    path: str
    needs: str
    """A role, or `OPEN`, `MACHINE` or `ANYBODY`."""

    brings: str = ""
    """`STORE` or `SCREEN`, for quotas."""


STUDY = "/dicomweb/studies/{study}"
SERIES = STUDY + "/series/{series}"
INSTANCE = SERIES + "/instances/{instance}"

ACCESS = (
    Access("GET", "/livez", OPEN),
    Access("GET", "/readyz", OPEN),
    Access("GET", "/readyz/intake", OPEN),
    Access("GET", "/metrics", MACHINE),
    Access("GET", "/auth/login", OPEN),
    Access("GET", "/auth/callback", OPEN),
    Access("GET", "/auth/link", OPEN),
    Access("GET", "/auth/session", ANYBODY),
    Access("POST", "/auth/logout", ANYBODY),
    Access("GET", "/v1/usage", ANYBODY),
    Access("GET", "/openapi.json", OPEN),
    Access("GET", "/docs", OPEN),
    Access("GET", "/v1/checks", "read"),
    Access("POST", "/v1/screenings", "send", SCREEN),
    Access("GET", "/v1/screenings", "read"),
    Access("GET", "/v1/screenings/{screening_id}", "read"),
    Access("GET", "/v1/screenings/{screening_id}/fhir", "read"),
    Access("GET", "/v1/screenings/{screening_id}/events", "read"),
    Access("GET", "/v1/screenings/{screening_id}/masks/{check}", "read"),
    Access("GET", "/v1/screenings/{screening_id}/sr", "read"),
    Access("GET", "/v1/screenings/{screening_id}/seg", "read"),
    Access("GET", "/v1/screenings/{screening_id}/sc", "read"),
    Access("GET", "/v1/screenings/{screening_id}/results", "read"),
    Access("POST", "/v1/screenings/{screening_id}/results/{job_id}/replay", "operate"),
    Access("POST", "/v1/screenings/{screening_id}/cancel", "send"),
    Access("POST", "/v1/screenings/{screening_id}/rerun", "send", SCREEN),
    Access("POST", "/v1/screenings/{screening_id}/reviews", "review"),
    Access("GET", "/v1/screenings/{screening_id}/reviews", "review"),
    Access("GET", "/v1/screenings/{screening_id}/report", "read"),
    Access("GET", "/v1/reviews/{review_id}", "review"),
    Access("PUT", "/v1/reviews/{review_id}", "review"),
    Access("POST", "/v1/reviews/{review_id}/sign", "review"),
    Access("DELETE", "/v1/reviews/{review_id}", "review"),
    Access("GET", "/v1/agreement", "review"),
    Access("POST", "/v1/reader-studies", "review"),
    Access("GET", "/v1/reader-studies", "review"),
    Access("GET", "/v1/reader-studies/{reader_study_id}", "review"),
    Access("POST", "/v1/reader-studies/{reader_study_id}/next", "review"),
    Access("GET", "/v1/reader-studies/{reader_study_id}/export", "review"),
    Access("GET", "/v1/events", "read"),
    Access("GET", "/v1/studies", "read"),
    Access("GET", "/v1/studies/{study_instance_uid}", "read"),
    Access("GET", "/v1/studies/{study_instance_uid}/volumes", "read"),
    Access(
        "GET",
        "/v1/studies/{study_instance_uid}/volumes/{series}/{part}/{plane}/{index}",
        "read",
    ),
    Access("GET", "/v1/screenings/{screening_id}/masks/{check}/{plane}/{index}", "read"),
    Access("GET", "/v1/critical", "read"),
    Access("POST", "/v1/critical/{critical_id}/acknowledge", "review"),
    Access("GET", "/ui", "read"),
    Access("GET", "/ui/studies/{study_instance_uid}", "read"),
    Access("GET", "/ui/screenings/{screening_id}", "read"),
    Access("GET", "/ui/reader-studies", "review"),
    Access("GET", "/ui/to-mark", "review"),
    Access("GET", "/ui/static/{name}", OPEN),
    Access("GET", "/v1/webhooks", "operate"),
    Access("PUT", "/v1/webhooks", "operate"),
    Access("POST", "/v1/webhooks/secret", "operate"),
    Access("GET", "/v1/webhooks/deliveries", "operate"),
    Access("POST", "/v1/webhooks/deliveries/{delivery_id}/replay", "operate"),
    Access("DELETE", "/v1/studies/{study_instance_uid}", "admin"),
    Access("GET", "/health", "operate"),
    Access("GET", "/v1/ops/queue", "operate"),
    Access("GET", "/v1/ops/suspensions", "operate"),
    Access("POST", "/v1/ops/suspend", "operate"),
    Access("POST", "/v1/ops/resume", "operate"),
    Access("POST", "/v1/ops/studies/{study_instance_uid}/complete", "operate"),
    Access("GET", "/v1/ops/screenings/{screening_id}", "operate"),
    Access("POST", "/v1/ops/screenings/{screening_id}/restart", "operate"),
    Access("POST", "/dicomweb/studies", "send", STORE),
    Access("POST", STUDY, "send", STORE),
    Access("GET", "/dicomweb/studies", "read"),
    Access("GET", "/dicomweb/series", "read"),
    Access("GET", "/dicomweb/instances", "read"),
    Access("GET", f"{STUDY}/series", "read"),
    Access("GET", f"{STUDY}/instances", "read"),
    Access("GET", f"{SERIES}/instances", "read"),
    Access("GET", STUDY, "read"),
    Access("GET", SERIES, "read"),
    Access("GET", INSTANCE, "read"),
    Access("GET", f"{STUDY}/metadata", "read"),
    Access("GET", f"{SERIES}/metadata", "read"),
    Access("GET", f"{INSTANCE}/metadata", "read"),
    Access("GET", f"{INSTANCE}/frames/{{frames}}", "read"),
    Access("GET", f"{INSTANCE}/bulkdata/{{path}}", "read"),
    Access("GET", f"{INSTANCE}/rendered", "read"),
    Access("GET", f"{INSTANCE}/frames/{{frames}}/rendered", "read"),
)

_BY_ROUTE = {(access.method, access.path): access for access in ACCESS}

NOWHERE = Access("", "", ANYBODY)
"""An unknown path or method: 404 or 405, but only to whom we know."""


def access_of(request: web.Request) -> Access | None:
    """Find the row of a request; None for a route that has none."""
    route = request.match_info.route
    if request.match_info.http_exception is not None or route.resource is None:
        return NOWHERE
    method = "GET" if request.method == "HEAD" else request.method
    return _BY_ROUTE.get((method, route.resource.canonical))
