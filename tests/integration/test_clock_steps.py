"""A clock that ran an hour ahead: what was written then waits no hour when it is right again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from gateway.settings import WorkerSettings
from gateway.store import deliveries, result_jobs, screenings
from gateway.store.clock_steps import LONGEST_PAUSE_SECONDS, LONGEST_RETRY_SECONDS, bring_back
from gateway.store.commitments import MAX_DELAY
from gateway.store.database import Connection, Database
from gateway.store.keys import ensure_tenant
from gateway.store.screenings import Order
from gateway.webhooks.deliverer import LAST_DELAY_SECONDS, pause
from gateway.worker.attempt import NO_ROOM_SECONDS

pytestmark = pytest.mark.postgres

STUDY = "1.2.3"

HOUR = 3600.0

QUIET_SECONDS = 60.0

LEASES = (deliveries.LEASE_SECONDS, result_jobs.LEASE_SECONDS)

TIMES = {
    "arrivals": "due_at",
    "screenings": "heartbeat_at",
    "workers": "seen_at",
    "procrastinate_jobs": "scheduled_at",
    "webhook_deliveries": "next_at",
    "result_jobs": "next_at",
    "commitments": "next_at",
}
"""Table → what tells when its work is due, or who was seen when."""


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with Database(database_url, size=2) as made:
        async with made.connection() as connection:
            await ensure_tenant(connection, "default")
            await fill(connection)
        yield made


async def fill(connection: Connection) -> None:
    """Write one row of each kind, each as late as it may be with a right clock."""
    await connection.execute(
        "INSERT INTO studies (tenant, study_instance_uid, day)"
        " VALUES ('default', %s, current_date)",
        (STUDY,),
    )
    order = Order(study_instance_uid=STUDY, checks=("liver",), clinical={})
    row, _ = await screenings.create(connection, "default", order)
    await screenings.claim(connection, row["screening_id"], 1, "w/1")
    await connection.execute(
        "INSERT INTO arrivals VALUES ('default', %s, 'ward', now(), 1, false, %s,"
        " now() + make_interval(secs => %s))",
        (STUDY, QUIET_SECONDS, QUIET_SECONDS),
    )
    await connection.execute("UPDATE procrastinate_jobs SET scheduled_at = now() + interval '15 s'")
    await connection.execute(
        "INSERT INTO workers (worker, version, checks, slots) VALUES ('w', '1', '{liver}', 1)"
    )
    await connection.execute(
        "INSERT INTO webhook_deliveries (tenant, screening_id, event, url, body, attempts, next_at)"
        " VALUES ('default', %s, 'done', 'https://partner.test', 'result', 8,"
        " now() + interval '75 minutes')",
        (row["screening_id"],),
    )
    await connection.execute(
        "INSERT INTO result_jobs (tenant, screening_id, kinds) VALUES ('default', %s, '{sr}')",
        (row["screening_id"],),
    )
    await connection.execute(
        'INSERT INTO commitments (tenant, transaction_uid, calling, called, "references")'
        " VALUES ('default', '1.1', 'PACS', 'ONESCAN', '{}')"
    )


async def times(database: Database) -> dict[str, float]:
    """Seconds from now, by table."""
    found = {}
    async with database.connection() as connection:
        for table, column in TIMES.items():
            cursor = await connection.execute(
                f"SELECT extract(epoch FROM {column} - now())::float8 AS ahead FROM {table}"
            )
            [row] = await cursor.fetchall()
            found[table] = row["ahead"]
    return found


async def look(database: Database) -> dict[str, Any]:
    async with database.connection() as connection:
        return await bring_back(connection)


async def test_a_right_clock_is_left_alone(database: Database) -> None:
    """Every wait as long as it may be, and nothing is brought forward."""
    before = await times(database)
    assert await look(database) == {}
    after = await times(database)
    assert {name: before[name] - after[name] < 10 for name in TIMES} == dict.fromkeys(TIMES, True)


def test_no_wait_is_longer_than_what_is_taken_for_the_longest() -> None:
    """Else a wait that is meant would be cut short."""
    retries = [pause(attempts, LAST_DELAY_SECONDS) for attempts in range(1, 200)]
    assert max(*retries, MAX_DELAY.total_seconds(), *LEASES) <= LONGEST_RETRY_SECONDS
    assert NO_ROOM_SECONDS * WorkerSettings().max_attempts <= LONGEST_PAUSE_SECONDS


async def test_what_an_hour_ahead_has_put_off_is_due(database: Database) -> None:
    """A study's quiet time begins anew; the second look finds nothing."""
    async with database.connection() as connection:
        for table, column in TIMES.items():
            await connection.execute(
                f"UPDATE {table} SET {column} = {column} + make_interval(secs => %s)", (HOUR,)
            )
    found = await look(database)
    assert found == {
        "arrivals": 1,
        "screenings": 1,
        "workers": 1,
        "jobs": 1,
        "webhook_deliveries": 1,
        "result_jobs": 1,
        "commitments": 1,
    }
    now = await times(database)
    assert 0 < now.pop("arrivals") <= QUIET_SECONDS
    assert all(seconds <= 0 for seconds in now.values())
    assert await look(database) == {}
