"""``/health``: every dependency by its name, and what is wrong with it.

For people and alarms, never for an orchestrator: it tells of load and of other parts' faults,
which no restart of this process would mend. ``/livez`` and ``/readyz`` are for that.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from aiohttp import web

from gateway.api.admission import ADMISSION
from gateway.api.keys import DATABASE, OBJECTS, SETTINGS
from gateway.api.state import LIFECYCLE
from gateway.exceptions import OneScanError
from gateway.settings import Settings
from gateway.store.database import Connection
from gateway.store.objects import FolderObjects, ObjectStore
from gateway.store.queue import LANES
from gateway.store.schema import head, is_current
from gateway.store.suspensions import list_suspensions
from gateway.store.workers import seen_lately

CHECK_SECONDS = 3.0
"""A dependency that takes longer is told as one that does not answer."""

LATE_SECONDS: Mapping[str, float] = {"stat": 60.0, "routine": 3600.0, "backfill": 86400.0}
"""Age of the oldest screening that waits in a lane from which on the lane is late."""

REAPER_LOOKS = 5
"""So many looks of the reaper may pass before somebody is told."""

SHM = Path("/dev/shm")

OK, WARNING, FAILED = "ok", "warning", "failed"


@dataclass(frozen=True, slots=True)
class Part:
    """What was found of one dependency."""

    state: str = OK
    says: str = ""
    """One sentence on what is wrong; empty where nothing is."""

    facts: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Give it as plain values."""
        return {"state": self.state, "says": self.says, "facts": dict(self.facts)}


routes = web.RouteTableDef()


@routes.get("/health")
async def health(request: web.Request) -> web.Response:
    """Name each dependency and what is wrong with it."""
    parts = await diagnose(request.app)
    states = {part.state for part in parts.values()}
    return web.json_response(
        {
            "state": next(state for state in (FAILED, WARNING, OK) if state in states),
            "parts": {name: part.to_json() for name, part in parts.items()},
        }
    )


async def diagnose(app: web.Application) -> dict[str, Part]:
    """Look at every dependency, all at once."""
    settings = app[SETTINGS]

    def asked(look: Callable[[Connection, Settings], Awaitable[Part]]) -> Awaitable[Part]:
        async def ask() -> Part:
            async with app[DATABASE].connection() as connection:
                return await look(connection, settings)

        return ask()

    looks: dict[str, Awaitable[Part]] = {
        "api": _api(app),
        "database": asked(_database),
        "migrations": asked(_migrations),
        "objects": asyncio.to_thread(look_at_objects, app[OBJECTS]),
        "disk": asyncio.to_thread(_disk, app),
        "workers": asked(_workers),
        "triton": asked(_triton),
        "queue": asked(_queue),
        "reaper": asked(_reaper),
        "suspensions": asked(_suspensions),
    }
    found = await asyncio.gather(*(_told(look) for look in looks.values()))
    return dict(zip(looks, found, strict=True))


async def _told(look: Awaitable[Part]) -> Part:
    """Turn what a look raises into what it tells."""
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return await look
    except TimeoutError:
        return Part(FAILED, f"It did not answer within {CHECK_SECONDS:.0f} s.")
    except OneScanError as error:
        return Part(FAILED, str(error), {"code": error.code})
    except psycopg.Error as error:
        return Part(FAILED, "The database cannot be reached.", {"error": type(error).__name__})
    except OSError as error:
        return Part(FAILED, f"{os.strerror(error.errno or 0)}.", {"error": type(error).__name__})


async def _api(app: web.Application) -> Part:
    admission, limits = app[ADMISSION], app[SETTINGS].api
    facts = {
        "requests": admission.requests,
        "stores": admission.stores,
        "store_bytes": admission.store_bytes,
    }
    if app[LIFECYCLE].draining:
        return Part(WARNING, "It is stopping.", facts)
    if admission.stores >= max(1, limits.store_limit - limits.store_stat_reserve):
        return Part(WARNING, "It receives as many studies as it may.", facts)
    return Part(facts=facts)


async def _database(connection: Connection, settings: Settings) -> Part:
    begun = time.perf_counter()
    cursor = await connection.execute(
        "SELECT current_setting('server_version') AS version, pg_is_in_recovery() AS standby,"
        " current_setting('fsync') = 'on' AND current_setting('synchronous_commit') <> 'off'"
        " AS durable"
    )
    row = await cursor.fetchone()
    assert row is not None
    facts = {
        "version": row["version"],
        "milliseconds": round((time.perf_counter() - begun) * 1000, 1),
    }
    if row["standby"]:
        return Part(FAILED, "It is a standby and takes no writes.", facts)
    if not row["durable"]:
        return Part(FAILED, "fsync or synchronous_commit is off: nothing is acknowledged.", facts)
    return Part(facts=facts)


async def _migrations(connection: Connection, settings: Settings) -> Part:
    if await is_current(connection):
        return Part(facts={"head": head()})
    return Part(
        FAILED, "The database lacks this version's schema; run `onescan migrate`.", {"head": head()}
    )


def look_at_objects(objects: ObjectStore) -> Part:
    """Write an object and take it back; ask a bucket whether it is there."""
    writer = objects.begin()
    try:
        writer.write([b"health"])
    finally:
        writer.abort()
    if not isinstance(objects, FolderObjects):
        next(iter(objects.list()), None)
    return Part(facts={"kind": type(objects).__name__})


def _disk(app: web.Application) -> Part:
    watermark = app[SETTINGS].store.watermark_bytes
    free = app[ADMISSION].free_bytes()
    facts: dict[str, Any] = {"watermark_bytes": watermark}
    if free != float("inf"):
        facts["free_bytes"] = int(free)
    if SHM.is_dir():
        shared = os.statvfs(SHM)
        facts["shm_free_bytes"] = shared.f_bavail * shared.f_frsize
    if free < watermark:
        return Part(FAILED, "Only stat studies are taken: less is free than the watermark.", facts)
    if free < 2 * watermark:
        return Part(WARNING, "Less is free than twice the watermark.", facts)
    return Part(facts=facts)


async def _workers(connection: Connection, settings: Settings) -> Part:
    seen = await seen_lately(connection, settings.worker.stalled_seconds)
    taking = [worker for worker in seen if not worker["draining"]]
    facts = {
        "workers": len(seen),
        "draining": len(seen) - len(taking),
        "slots": sum(worker["slots"] for worker in taking),
        "in_flight": sum(worker["in_flight"] for worker in seen),
        "versions": sorted({worker["version"] for worker in seen}),
    }
    if not taking:
        return Part(FAILED, "No worker has spoken lately.", facts)
    return Part(facts=facts)


async def _triton(connection: Connection, settings: Settings) -> Part:
    seen = await seen_lately(connection, settings.worker.stalled_seconds)
    ready = sum(bool(worker["triton_ready"]) for worker in seen)
    facts = {"ready": ready, "not_ready": len(seen) - ready}
    if not ready:
        return Part(FAILED, "No worker has a Triton that is ready.", facts)
    if ready < len(seen):
        return Part(WARNING, "Some workers have no Triton that is ready.", facts)
    return Part(facts=facts)


async def _queue(connection: Connection, settings: Settings) -> Part:
    cursor = await connection.execute(
        "SELECT lane, count(*) AS number,"
        " extract(epoch FROM now() - min(created_at))::float AS oldest"
        " FROM screenings WHERE state IN ('accepted', 'running') AND state = 'accepted'"
        " GROUP BY lane"
    )
    waiting = {row["lane"]: row for row in await cursor.fetchall()}
    facts = {
        lane: {
            "waiting": waiting[lane]["number"] if lane in waiting else 0,
            "oldest_seconds": round(waiting[lane]["oldest"], 1) if lane in waiting else 0.0,
        }
        for lane in LANES
    }
    late = [lane for lane in LANES if facts[lane]["oldest_seconds"] > LATE_SECONDS[lane]]
    if late:
        return Part(WARNING, f"Screenings have waited too long: {', '.join(late)}.", facts)
    return Part(facts=facts)


async def _reaper(connection: Connection, settings: Settings) -> Part:
    """Judge the reaper by what it leaves behind, since any api process may run it."""
    worker = settings.worker
    cursor = await connection.execute(
        "SELECT count(*) AS number FROM screenings WHERE state = 'running'"
        " AND heartbeat_at < now() - make_interval(secs => %s)",
        (worker.stalled_seconds + REAPER_LOOKS * worker.reap_seconds,),
    )
    row = await cursor.fetchone()
    assert row is not None
    facts = {"stalled": row["number"]}
    if row["number"]:
        return Part(FAILED, "Screenings have stalled and nobody takes them up.", facts)
    return Part(facts=facts)


async def _suspensions(connection: Connection, settings: Settings) -> Part:
    whats = sorted({row["what"] for row in await list_suspensions(connection)})
    if whats:
        return Part(WARNING, f"Suspended for everybody or some: {', '.join(whats)}.")
    return Part()
