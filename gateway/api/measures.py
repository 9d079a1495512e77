"""What the api measures of the whole deployment, for whoever asks for ``/metrics``.

Every api process tells the same of it, so a question takes the largest and never the sum.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import psycopg
from aiohttp import web

from gateway.api.diagnosis import look_at_objects
from gateway.api.keys import DATABASE, OBJECTS, SETTINGS
from gateway.api.state import MANIFESTS
from gateway.exceptions import OneScanError
from gateway.log import get_logger
from gateway.metrics import (
    AUDIT_LINES,
    DEPENDENCY_UP,
    DISK_WATERMARK,
    GPU_SECONDS,
    LAST_RUN,
    QUEUE_DEPTH,
    QUEUE_LIMIT,
    QUEUE_OLDEST_SECONDS,
    SCREENINGS_FAILED,
    SCREENINGS_RUNNING,
    SUSPENDED,
    WEBHOOKS_OLDEST_SECONDS,
    WEBHOOKS_PENDING,
    WORKERS,
    watch_disk,
)
from gateway.screening.manifest import Manifest
from gateway.store import audit
from gateway.store.database import Connection
from gateway.store.deliveries import owed
from gateway.store.objects import FolderObjects, ObjectStore
from gateway.store.queue import LANES
from gateway.store.schema import is_current
from gateway.store.suspensions import SUSPENDABLE, list_suspensions
from gateway.store.workers import seen_lately

TIMEOUT_SECONDS = 2.0
"""Prometheus asks every few seconds and waits for ten."""

OBJECTS_EVERY_SECONDS = 30.0
"""How often the object store is asked whether it is there; a bucket's answer costs money."""

OBJECTS_TIMEOUT_SECONDS = 10.0

COUNT_FAILED = "SELECT count(*) AS number FROM screenings WHERE state = 'failed'"

log = get_logger("onescan.measures")


async def measure(app: web.Application) -> None:
    """Ask the database once; where it does not answer, what was measured last stands."""
    settings = app[SETTINGS]
    QUEUE_LIMIT.set(settings.api.queue_limit)
    reached = False
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            async with app[DATABASE].connection() as connection:
                current = await is_current(connection)
                reached = True
                DEPENDENCY_UP.labels("migrations").set(current)
                if current:
                    await _measure_queue(connection, settings.worker.stalled_seconds)
                    await _measure_cost(connection, app[MANIFESTS])
                    await _measure_owed(connection)
                    LAST_RUN.labels("measure").set(time.time())
    except (psycopg.Error, TimeoutError) as error:
        log.warning("onescan.measures.database_away", error=type(error).__name__)
    DEPENDENCY_UP.labels("database").set(reached)


async def watch_objects(app: web.Application) -> None:
    """Look whether the object store takes what comes, until cancelled."""
    objects: ObjectStore = app[OBJECTS]
    if isinstance(objects, FolderObjects):
        watch_disk("objects", app[SETTINGS].objects)
        DISK_WATERMARK.set(app[SETTINGS].store.watermark_bytes)
    LAST_RUN.labels("measure").set(time.time())
    while True:
        up = False
        try:
            async with asyncio.timeout(OBJECTS_TIMEOUT_SECONDS):
                await asyncio.to_thread(look_at_objects, objects)
            up = True
        except (OneScanError, OSError, TimeoutError) as error:
            log.warning("onescan.measures.objects_away", error=type(error).__name__)
        DEPENDENCY_UP.labels("objects").set(up)
        await asyncio.sleep(OBJECTS_EVERY_SECONDS)


async def _measure_queue(connection: Connection, silence_seconds: float) -> None:
    cursor = await connection.execute(
        """
        SELECT s.lane, s.state, count(*) AS number,
            coalesce(extract(epoch FROM now() - min(coalesce(s.fetched_at, s.created_at))
                FILTER (WHERE (s.source IS NULL OR s.fetched_at IS NOT NULL)
                    AND every.what IS NULL AND own.what IS NULL))::float, 0) AS oldest
        FROM screenings s
        LEFT JOIN suspensions every ON every.tenant = '' AND every.what = s.lane
        LEFT JOIN suspensions own ON own.tenant = s.tenant AND own.what = s.lane
        WHERE s.state IN ('accepted', 'running') GROUP BY s.lane, s.state
        """
    )
    waiting: dict[str, Any] = {}
    running = 0
    for row in await cursor.fetchall():
        if row["state"] == "accepted":
            waiting[row["lane"]] = row
        else:
            running += row["number"]
    for lane in LANES:
        row = waiting.get(lane, {"number": 0, "oldest": 0.0})
        QUEUE_DEPTH.labels(lane).set(row["number"])
        QUEUE_OLDEST_SECONDS.labels(lane).set(row["oldest"])
    SCREENINGS_RUNNING.set(running)
    workers = await seen_lately(connection, silence_seconds)
    for state, ready in (("ready", True), ("not_ready", False)):
        WORKERS.labels(state).set(sum(w["triton_ready"] is ready for w in workers))
    suspended = {row["what"] for row in await list_suspensions(connection)}
    for what in SUSPENDABLE:
        SUSPENDED.labels(what).set(what in suspended)


async def _measure_cost(connection: Connection, manifests: Mapping[str, Manifest]) -> None:
    """Estimate the GPU-seconds of what waits and what is in hand: anatomy, and each check."""
    cursor = await connection.execute(
        "SELECT lane, state, 'anatomy' AS name, count(*) AS number FROM screenings"
        " WHERE state IN ('accepted', 'running') GROUP BY lane, state"
        " UNION ALL SELECT lane, state, name, count(*) FROM screenings, unnest(checks) AS name"
        " WHERE state IN ('accepted', 'running') GROUP BY lane, state, name"
    )
    seconds = {(lane, state): 0.0 for lane in LANES for state in ("accepted", "running")}
    for row in await cursor.fetchall():
        manifest = manifests.get(row["name"])
        cost = manifest.cost.get("gpu_seconds", 0.0) if manifest is not None else 0.0
        seconds[row["lane"], row["state"]] += cost * row["number"]
    for (lane, state), estimate in seconds.items():
        GPU_SECONDS.labels(lane, state).set(estimate)


async def _measure_owed(connection: Connection) -> None:
    """Measure what is owed to receivers, the audit log, and what has failed."""
    number, oldest_seconds = await owed(connection)
    WEBHOOKS_PENDING.set(number)
    WEBHOOKS_OLDEST_SECONDS.set(oldest_seconds)
    AUDIT_LINES.set((await audit.head(connection)).line)
    failed = await connection.execute(COUNT_FAILED)
    SCREENINGS_FAILED.set((await failed.fetchone() or {"number": 0})["number"])
