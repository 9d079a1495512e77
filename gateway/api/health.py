"""``/livez``, ``/readyz`` and ``/metrics``."""

from __future__ import annotations

import asyncio

import psycopg
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from gateway.api.keys import DATABASE, SETTINGS
from gateway.api.measures import measure
from gateway.api.state import LIFECYCLE
from gateway.metrics import REGISTRY
from gateway.store.database import Connection
from gateway.store.schema import is_current
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
    return _readiness(parts)


@routes.get("/readyz/intake")
async def readyz_intake(request: web.Request) -> web.Response:
    """Say whether studies are taken, whoever screens them later: what a balancer asks.

    A pool of workers may be at zero, and grows only when something waits.
    """
    parts = {"api": "draining" if request.app[LIFECYCLE].draining else "ok"}
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_SECONDS):
            async with request.app[DATABASE].connection() as connection:
                parts["database"] = await _database(connection)
    except (psycopg.Error, TimeoutError):
        parts["database"] = "unreachable"
    return _readiness(parts)


@routes.get("/metrics")
async def metrics(request: web.Request) -> web.Response:
    """Give this process's metrics and those of the deployment, in Prometheus' text form."""
    await measure(request.app)
    return web.Response(
        body=generate_latest(REGISTRY), headers={"Content-Type": CONTENT_TYPE_LATEST}
    )


def _readiness(parts: dict[str, str]) -> web.Response:
    ready = all(state == "ok" for state in parts.values())
    return web.json_response(
        {"state": "ready" if ready else "not_ready", "parts": parts},
        status=200 if ready else 503,
    )


async def _database(connection: Connection) -> str:
    return "ok" if await is_current(connection) else "migration missing"


async def _parts(connection: Connection, silence_seconds: float) -> dict[str, str]:
    database = await _database(connection)
    workers = [] if database != "ok" else await seen_lately(connection, silence_seconds)
    taking = [worker for worker in workers if not worker["draining"]]
    ready = any(worker["triton_ready"] for worker in taking)
    return {
        "database": database,
        "worker": "ok" if taking else "none seen lately",
        "triton": "ok" if ready else "not ready",
    }
