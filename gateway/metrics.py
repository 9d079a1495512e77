"""Every metric of OneScan, in one place; never a UID, a name or a path as a label.

``docs/metrics.md`` lists them. What is counted with a label from a closed list begins at zero for
each of them (`BEGINNING`): Prometheus sees no increase in a series whose first value is 1.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from gateway import __version__

REGISTRY = CollectorRegistry()
"""Of this process."""

_SECONDS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
"""Buckets: from a header query to a whole study on a small machine."""

SHM = Path("/dev/shm")

STATES = ("positive", "negative", "indeterminate", "not_evaluated", "failed")
"""How a check may end."""

# --- every process ----------------------------------------------------------------------

BUILD = Gauge(
    "onescan_build_info",
    "Always 1; the release that the process runs.",
    ["version"],
    registry=REGISTRY,
)
BUILD.labels(__version__).set(1)
DISK_BYTES = Gauge(
    "onescan_disk_bytes",
    "Size of the folder of objects, and of /dev/shm; a bucket has none.",
    ["kind"],
    registry=REGISTRY,
)
DISK_FREE = Gauge(
    "onescan_disk_free_bytes",
    "What is free of it.",
    ["kind"],
    registry=REGISTRY,
)
LAST_RUN = Gauge(
    "onescan_last_run_timestamp_seconds",
    "When reaper, retention, orphan sweep or measuring last ran through here; at first, the start.",
    ["what"],
    registry=REGISTRY,
)

# --- api ------------------------------------------------------------------------------

DEPENDENCY_UP = Gauge(
    "onescan_dependency_up",
    "Whether the api reaches database and objects, and finds its schema migrated.",
    ["dependency"],
    registry=REGISTRY,
)
DISK_WATERMARK = Gauge(
    "onescan_disk_watermark_bytes",
    "Free space of the folder of objects below which only the stat lane is taken.",
    registry=REGISTRY,
)
QUEUE_LIMIT = Gauge(
    "onescan_queue_limit",
    "Screenings that may wait; the stat lane has the double.",
    registry=REGISTRY,
)
AUDIT_LINES = Gauge(
    "onescan_audit_lines",
    "Number of the newest line of the audit log, which never goes back.",
    registry=REGISTRY,
)
WEBHOOKS_OLDEST_SECONDS = Gauge(
    "onescan_webhooks_oldest_seconds",
    "Age of the oldest webhook delivery that is owed.",
    registry=REGISTRY,
)
REQUESTS = Counter(
    "onescan_requests_total",
    "HTTP requests answered; 499 where the client went away before.",
    ["method", "route", "status"],
    registry=REGISTRY,
)
REQUEST_SECONDS = Histogram(
    "onescan_request_duration_seconds",
    "Time from the request's head to the end of its answer.",
    ["route"],
    buckets=_SECONDS,
    registry=REGISTRY,
)
AUTH_FAILURES = Counter(
    "onescan_auth_failures_total",
    "Requests without valid credentials: none, wrong ones, or refused for too many of them.",
    ["outcome"],
    registry=REGISTRY,
)
QUOTA_REFUSALS = Counter(
    "onescan_quota_refusals_total",
    "Requests refused with 429 for a tenant's limit.",
    ["quota"],
    registry=REGISTRY,
)
CRITICAL_ESCALATED = Counter(
    "onescan_critical_escalated_total",
    "Times that a critical result went to the next person, or past the last one.",
    registry=REGISTRY,
)
ADMISSION_ACTIVE = Gauge(
    "onescan_admission_active",
    "Requests in hand: all, and those that store.",
    ["kind"],
    registry=REGISTRY,
)
ADMISSION_BYTES = Gauge(
    "onescan_admission_bytes", "Announced bytes of bodies on their way.", registry=REGISTRY
)
ADMISSION_REFUSALS = Counter(
    "onescan_admission_refusals_total",
    "Requests refused because a bound of the server was reached.",
    ["bound"],
    registry=REGISTRY,
)
INTAKE_BYTES = Counter(
    "onescan_intake_bytes_total",
    "Bytes of bodies of store requests, by what became of them.",
    ["outcome"],
    registry=REGISTRY,
)
GPU_SECONDS = Gauge(
    "onescan_gpu_seconds",
    "Estimated GPU-seconds of screenings that wait or are in hand, by the manifests' costs.",
    ["lane", "state"],
    registry=REGISTRY,
)
SUSPENDED = Gauge(
    "onescan_suspended",
    "Whether intake or a lane is suspended, for everybody or for some tenant.",
    ["what"],
    registry=REGISTRY,
)
RETAINED = Counter(
    "onescan_retention_deleted_total",
    "What retention and deletion on request have removed.",
    ["kind"],
    registry=REGISTRY,
)
QUEUE_DEPTH = Gauge(
    "onescan_queue_depth", "Screenings that wait for a worker.", ["lane"], registry=REGISTRY
)
QUEUE_OLDEST_SECONDS = Gauge(
    "onescan_queue_oldest_seconds",
    "Age of the oldest screening that waits for a worker: fetched, and its lane not suspended.",
    ["lane"],
    registry=REGISTRY,
)
SCREENINGS_RUNNING = Gauge(
    "onescan_screenings_running", "Screenings that a worker has in hand.", registry=REGISTRY
)
SCREENINGS_FAILED = Gauge(
    "onescan_screenings_failed", "Screenings kept that ended as failed.", registry=REGISTRY
)
WORKERS = Gauge("onescan_workers", "Workers seen lately.", ["triton"], registry=REGISTRY)
REAPED = Counter(
    "onescan_reaped_total", "Screenings that the reaper took up.", ["outcome"], registry=REGISTRY
)

EVENT_STREAMS = Gauge(
    "onescan_event_streams", "Streams of server-sent events that are open.", registry=REGISTRY
)
WEBHOOKS = Counter(
    "onescan_webhook_attempts_total",
    "Attempts at webhook deliveries, by how they ended.",
    ["outcome"],
    registry=REGISTRY,
)
RESULT_JOBS = Counter(
    "onescan_result_jobs_total",
    "Attempts at making and sending results as DICOM objects, by how they ended.",
    ["outcome"],
    registry=REGISTRY,
)
WEBHOOKS_PENDING = Gauge(
    "onescan_webhooks_pending", "Webhook deliveries that are owed.", registry=REGISTRY
)
FETCHES = Counter(
    "onescan_fetches_total",
    "Attempts at fetching a study from a remote source, by how they ended.",
    ["outcome"],
    registry=REGISTRY,
)
ORPHANS = Counter(
    "onescan_orphans_deleted_total",
    "Objects deleted because nothing in the index points at them.",
    registry=REGISTRY,
)
COMPLETED = Counter(
    "onescan_completed_total",
    "Screenings made because a study had been quiet.",
    registry=REGISTRY,
)

SPANS = Counter(
    "onescan_spans_total",
    "Spans of this process, by what became of them: sent, lost on the way, or without a place.",
    ["outcome"],
    registry=REGISTRY,
)

# --- worker -----------------------------------------------------------------------------

STAGE_SECONDS = Histogram(
    "onescan_stage_duration_seconds",
    "Wall time of a stage of a screening.",
    ["stage"],
    buckets=_SECONDS,
    registry=REGISTRY,
)
CHECKS = Counter(
    "onescan_checks_total", "Check results released.", ["check", "state"], registry=REGISTRY
)
ATTEMPTS_STARTED = Counter(
    "onescan_attempts_started_total", "Attempts at screenings that began.", registry=REGISTRY
)
ATTEMPTS = Counter(
    "onescan_attempts_total",
    "Attempts at screenings, by how they ended.",
    ["outcome"],
    registry=REGISTRY,
)
SHM_BYTES = Gauge("onescan_shm_bytes", "Shared memory held by studies in hand.", registry=REGISTRY)
INFERENCES = Counter(
    "onescan_inferences_total",
    "Calls of a model of Triton, by how they ended.",
    ["model", "outcome"],
    registry=REGISTRY,
)
TRITON_RESTARTS = Counter(
    "onescan_triton_restarts_total", "Restarts of Triton after a dead stub.", registry=REGISTRY
)

DELETION_COST_WRITES = Counter(
    "onescan_pod_deletion_cost_writes_total",
    "Attempts at writing the deletion cost of the worker's own pod, by how they ended.",
    ["outcome"],
    registry=REGISTRY,
)

# --- dimse ------------------------------------------------------------------------------

DIMSE_OPEN = Gauge(
    "onescan_dimse_connections", "DIMSE connections that are open.", registry=REGISTRY
)
DIMSE_ASSOCIATIONS = Counter(
    "onescan_dimse_associations_total",
    "Associations with requestors, by how they ended.",
    ["outcome"],
    registry=REGISTRY,
)
DIMSE_STORES = Counter(
    "onescan_dimse_stores_total", "C-STORE requests, by status.", ["status"], registry=REGISTRY
)
DIMSE_STORE_SECONDS = Histogram(
    "onescan_dimse_store_duration_seconds",
    "Time from a C-STORE's command to its response.",
    buckets=(0.003, *_SECONDS),
    registry=REGISTRY,
)

# --- what begins at zero ----------------------------------------------------------------

BEGINNING: Mapping[Counter, tuple[str, ...]] = {
    AUTH_FAILURES: ("none", "wrong", "refused"),
    QUOTA_REFUSALS: (
        "requests_per_minute",
        "studies_per_day",
        "bytes_per_day",
        "screenings_in_flight",
    ),
    ADMISSION_REFUSALS: ("requests", "stores", "bytes", "disk"),
    INTAKE_BYTES: ("stored", "refused"),
    RETAINED: ("studies", "objects", "events"),
    REAPED: ("retried", "failed", "enqueued"),
    WEBHOOKS: ("delivered", "retried", "failed"),
    RESULT_JOBS: ("made", "sent", "retried", "failed"),
    FETCHES: ("fetched", "retried", "failed", "waits", "stale", "lost", "abandoned"),
    ATTEMPTS: ("done", "failed", "retried", "handed_back", "stale", "lost", "abandoned"),
    DELETION_COST_WRITES: ("written", "forbidden", "unavailable", "failed"),
    DIMSE_ASSOCIATIONS: (
        "released",
        "aborted",
        "rejected",
        "timeout",
        "lost",
        "drained",
        "empty",
        "failed",
    ),
}
"""Counter → the words of its one label."""

for _counter, _words in BEGINNING.items():
    for _word in _words:
        _counter.labels(_word)


def begin_checks(checks: Iterable[str]) -> None:
    """Count the results of these checks from zero."""
    for check in checks:
        for state in STATES:
            CHECKS.labels(check, state)


def watch_disk(kind: str, folder: Path) -> None:
    """Measure size and free space of a folder's file system whenever metrics are asked for."""

    def size() -> float:
        try:
            found = os.statvfs(folder)
        except OSError:
            return float("nan")  # a zero would read as full
        return float(found.f_blocks * found.f_frsize)

    def free() -> float:
        try:
            found = os.statvfs(folder)
        except OSError:
            return float("nan")
        return float(found.f_bavail * found.f_frsize)

    DISK_BYTES.labels(kind).set_function(size)
    DISK_FREE.labels(kind).set_function(free)


if SHM.is_dir():
    watch_disk("shm", SHM)
