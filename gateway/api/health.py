"""``/livez``, ``/readyz`` and ``/metrics``."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import psycopg
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from gateway.api.keys import DATABASE, SETTINGS
from gateway.api.state import LIFECYCLE, MANIFESTS
from gateway.metrics import (
    GPU_SECONDS,
    QUEUE_DEPTH,
    QUEUE_OLDEST_SECONDS,
    REGISTRY,
    SCREENINGS_FAILED,
    SCREENINGS_RUNNING,
    SUSPENDED,
    WEBHOOKS_PENDING,
    WORKERS,
)
from gateway.screening.manifest import Manifest
from gateway.store.database import Connection
from gateway.store.deliveries import pending
from gateway.store.queue import LANES
from gateway.store.schema import is_current
from gateway.store.suspensions import SUSPENDABLE, list_suspensions
from gateway.store.workers import seen_lately

PROBE_TIMEOUT_SECONDS = 2.0
"""A probe that waits longer is answered with what is wrong."""

routes = web.RouteTableDef()


@routes.get("/livez")
async def livez(request: web.Request) -> web.Response:
    """Say that the process answers."""
    return web.json_response({"state": "live"})


@routes.get("/readyz")
async def readyz(request: web.Request) -> web.Response:
    """Say whether a study sent now would be screened, and if not, what is wrong."""
    parts = {"api": "draining" if request.app[LIFECYCLE].draining else "ok"}
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_SECONDS):
            async with request.app[DATABASE].connection() as connection:
                parts |= await _parts(connection, request.app[SETTINGS].worker.stalled_seconds)
    except (psycopg.Error, TimeoutError):
        parts |= {"database": "unreachable", "worker": "unknown", "triton": "unknown"}
    ready = all(state == "ok" for state in parts.values())
    return web.json_response(
        {"state": "ready" if ready else "not_ready", "parts": parts},
        status=200 if ready else 503,
    )


@routes.get("/metrics")
async def metrics(request: web.Request) -> web.Response:
    """Give this process's metrics and those of the queue, in Prometheus' text form."""
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_SECONDS):
            async with request.app[DATABASE].connection() as connection:
                await _measure_queue(connection, request.app[SETTINGS].worker.stalled_seconds)
                await _measure_cost(connection, request.app[MANIFESTS])
    except (psycopg.Error, TimeoutError):
        pass  # what this process counts itself is still told
    return web.Response(
        body=generate_latest(REGISTRY), headers={"Content-Type": CONTENT_TYPE_LATEST}
    )


async def _parts(connection: Connection, silence_seconds: float) -> dict[str, str]:
    database = "ok" if await is_current(connection) else "migration missing"
    workers = [] if database != "ok" else await seen_lately(connection, silence_seconds)
    taking = [worker for worker in workers if not worker["draining"]]
    ready = any(worker["triton_ready"] for worker in taking)
    return {
        "database": database,
        "worker": "ok" if taking else "none seen lately",
        "triton": "ok" if ready else "not ready",
    }


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
    suspended = {row["what"] for row in await list_suspensions(connection)}
    for what in SUSPENDABLE:
        SUSPENDED.labels(what).set(what in suspended)


async def _measure_queue(connection: Connection, silence_seconds: float) -> None:
    cursor = await connection.execute(
        "SELECT lane, state, count(*) AS number,"
        " extract(epoch FROM now() - min(created_at))::float AS oldest"
        " FROM screenings WHERE state IN ('accepted', 'running') GROUP BY lane, state"
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
    failed = await connection.execute(
        "SELECT count(*) AS number FROM screenings WHERE state = 'failed'"
    )
    SCREENINGS_FAILED.set((await failed.fetchone() or {"number": 0})["number"])
    WEBHOOKS_PENDING.set(await pending(connection))
    workers = await seen_lately(connection, silence_seconds)
    for state, ready in (("ready", True), ("not_ready", False)):
        WORKERS.labels(state).set(sum(w["triton_ready"] is ready for w in workers))
