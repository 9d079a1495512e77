"""What a server holds after a fault: from its database, its processes and its shared memory."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import psycopg
from psycopg.rows import dict_row

from gateway.contract import REGION_PREFIX
from gateway.runtime.home import home_digest
from gateway.runtime.janitor import TRITON_REGION_PREFIX
from gateway.runtime.postgres import DATABASE, PORT, USER
from loadtests.chaos.checks import Facts, Process, Screened
from loadtests.chaos.server import CHILDREN, SHM, Server

POSTGRES_REGIONS = "PostgreSQL."

CALM_SECONDS = 15.0
"""What ends by itself, such as a probe's own region or a process that was just killed. The same
one has to be there all the time to count."""

OPEN = """
SELECT (SELECT count(*) FROM screenings WHERE state NOT IN ('done', 'failed', 'cancelled'))
    + (SELECT count(*) FROM arrivals WHERE due_at IS NOT NULL) AS open
"""

SCREENINGS = """
SELECT s.screening_id::text, s.study_instance_uid AS study, s.version, s.state, s.attempt,
    (SELECT count(*) FROM screening_events e WHERE e.screening_id = s.screening_id
        AND e.kind IN ('done', 'failed', 'cancelled')) AS ends,
    (SELECT coalesce(jsonb_object_agg(told.name, told.count), '{}') FROM (
        SELECT e.data ->> 'check' AS name, count(*) FROM screening_events e
        WHERE e.screening_id = s.screening_id AND e.kind = 'released' GROUP BY 1
    ) told) AS releases,
    (SELECT coalesce(jsonb_object_agg(r.check_name,
        jsonb_build_array(r.state, r.reason, r.result -> 'score')), '{}')
        FROM check_results r WHERE r.screening_id = s.screening_id) AS answers
FROM screenings s
"""

INSTANCES = """
SELECT s.study_instance_uid AS study, count(*) AS instances
FROM studies s JOIN instances i USING (tenant, day, study_instance_uid) GROUP BY 1
"""


def database_url(server: Server) -> str:
    """Give the address of its PostgreSQL, as one reaches it from outside the cage."""
    inside = Path(f"/proc/{server.process.pid}/root") if server.caged else Path("/")
    base = server.database_folder
    sockets = base / "run" if base != server.home / "postgres" else server.home / "run" / "sockets"
    password = (inside / (server.home / "postgres" / "password").relative_to("/")).read_text()
    host = quote(str(inside / sockets.relative_to("/")), safe="")
    account = f"{USER}:{quote(password.strip(), safe='')}"
    return f"postgresql://{account}@/{DATABASE}?host={host}&port={PORT}"


def ask(server: Server, query: str) -> list[dict[str, Any]]:
    """Ask its database."""
    with psycopg.connect(
        database_url(server), connect_timeout=10, row_factory=dict_row
    ) as connection:
        return connection.execute(query).fetchall()


def open_work(server: Server) -> int:
    """Count screenings that have not ended and studies that are about to be screened."""
    try:
        return int(ask(server, OPEN)[0]["open"])
    except psycopg.Error:
        return -1


def processes(server: Server) -> tuple[list[Process], list[str]]:
    """List its processes, each with the child that it belongs to, and children that are missing."""
    up = psutil.Process(server.process.pid)
    names: dict[int, str] = {}
    missing = []
    for name in CHILDREN:
        try:
            names[server.child(name).pid] = name
        except (LookupError, psutil.Error):
            missing.append(name)
    found = []
    parents = {p.pid: p for p in up.children(recursive=True)}
    for process in parents.values():
        top = process.pid
        with suppress(psutil.Error):
            dead = process.status() == psutil.STATUS_ZOMBIE
            while (above := psutil.Process(top).ppid()) != up.pid and above in parents:
                top = above
            # a child's own zombies are the child's, and it waits for them in its time
            child = "" if dead and top == process.pid else names.get(top, "")
            found.append(Process(process.pid, process.name() + (" (dead)" if dead else ""), child))
    return found, missing


def regions(server: Server) -> tuple[list[str], Counter[str]]:
    """List the shared memory of studies, and count the other regions by kind."""
    digest = home_digest(server.home)
    names = server.shm.names() if server.caged else [path.name for path in SHM.iterdir()]
    studies = [name for name in names if name.startswith(REGION_PREFIX + digest)]
    kinds: Counter[str] = Counter()
    kinds["triton"] = sum(name.startswith(TRITON_REGION_PREFIX + digest) for name in names)
    if server.caged:
        kinds["postgres"] = sum(name.startswith(POSTGRES_REGIONS) for name in names)
    return studies, kinds


async def gather(
    server: Server,
    *,
    before: Mapping[str, int],
    damaged: Sequence[str],
    stat_seconds: float,
    recovery_seconds: float,
) -> Facts:
    """Look at everything; what is wrong all the time is what is wrong."""
    deadline = time.monotonic() + CALM_SECONDS
    studies, more, strange, missing = await asyncio.to_thread(_seen, server, before)
    while (studies or more or strange or missing) and time.monotonic() < deadline:
        await asyncio.sleep(0.2)
        again = await asyncio.to_thread(_seen, server, before)
        studies &= again[0]
        more = {kind: min(n, again[1][kind]) for kind, n in more.items() if kind in again[1]}
        strange &= again[2]
        missing &= again[3]
    rows = await asyncio.to_thread(ask, server, SCREENINGS)
    kept = await asyncio.to_thread(ask, server, INSTANCES)
    return Facts(
        instances={row["study"]: row["instances"] for row in kept},
        screenings=[_screened(row) for row in rows],
        processes=sorted(strange, key=lambda process: process.pid),
        missing=sorted(missing),
        damaged=damaged,
        regions=sorted(studies),
        more_regions=more,
        stat_seconds=stat_seconds,
        recovery_seconds=recovery_seconds,
    )


def _seen(
    server: Server, before: Mapping[str, int]
) -> tuple[set[str], dict[str, int], set[Process], set[str]]:
    """Look once: regions of studies, other regions more than before, orphans, missing children."""
    found, missing = processes(server)
    studies, kinds = regions(server)
    more = {kind: n for kind, count in kinds.items() if (n := count - before.get(kind, 0)) > 0}
    return set(studies), more, {one for one in found if not one.child}, set(missing)


def _screened(row: Mapping[str, Any]) -> Screened:
    answers = {check: (told[0], told[1], told[2]) for check, told in row["answers"].items()}
    return Screened(**{**row, "answers": answers})
