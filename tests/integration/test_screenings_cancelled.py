"""Cancelling a screening: visible, final, and never a negative."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import jsonschema
import pytest
import pytest_asyncio

from gateway.exceptions import ConflictError, NotFoundError, StaleAttemptError
from gateway.results.json import schema, screening_result
from gateway.settings import WorkerSettings
from gateway.store import screenings
from gateway.store.database import Database
from gateway.store.keys import ensure_tenant
from gateway.store.reaper import Reaped, purge, reap
from gateway.store.screenings import Claim, Order

pytestmark = pytest.mark.postgres

STUDY = "1.2.826.0.1.3680043.8.498.1"
ORDER = Order(study_instance_uid=STUDY, checks=("liver", "bone"), clinical={})


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with Database(database_url, size=4) as made:
        async with made.connection() as connection:
            await ensure_tenant(connection, "default")
            await connection.execute(
                "INSERT INTO studies (tenant, study_instance_uid, day)"
                " VALUES ('default', %s, current_date)",
                (STUDY,),
            )
        yield made


async def made(database: Database) -> screenings.Row:
    async with database.connection() as connection:
        row, _ = await screenings.create(connection, "default", ORDER)
    return row


async def claimed(database: Database, row: screenings.Row) -> Claim | None:
    async with database.connection() as connection:
        return await screenings.claim(connection, row["screening_id"], 1, "w/1")


async def cancel(database: Database, row: screenings.Row) -> screenings.Row:
    async with database.connection() as connection:
        return await screenings.cancel(connection, "default", row["screening_id"])


async def shown(database: Database, row: screenings.Row) -> dict[str, Any]:
    async with database.connection() as connection:
        found, released, stage = await screenings.find(connection, "default", row["screening_id"])
    told = screening_result(found, released, stage=stage)
    jsonschema.validate(told, schema())
    return told


async def count(database: Database, query: str) -> int:
    async with database.connection() as connection:
        cursor = await connection.execute(f"SELECT count(*) AS number FROM {query}")  # type: ignore[arg-type]
        row = await cursor.fetchone()
    return int(row["number"]) if row else 0


async def test_a_waiting_screening_ends_at_once(database: Database) -> None:
    """No job is left, no worker can claim it, the reaper leaves it alone; twice is harmless."""
    row = await made(database)
    await cancel(database, row)
    again = await cancel(database, row)
    assert again["state"] == "cancelled"
    assert await count(database, "procrastinate_jobs") == 0
    assert await claimed(database, row) is None
    async with database.connection() as connection:
        assert await reap(connection, WorkerSettings()) == Reaped()
    told = await shown(database, row)
    assert (told["state"], told["stage"], told["error"]) == ("cancelled", "cancelled", None)
    assert {(c["check"], c["state"], c["reason"]) for c in told["checks"]} == {
        ("liver", "not_evaluated", "cancelled"),
        ("bone", "not_evaluated", "cancelled"),
    }
    assert await count(database, "screening_events WHERE kind = 'cancelled'") == 1


async def test_a_running_screening_refuses_its_worker(database: Database) -> None:
    """What was out stands, what comes later is refused, and nothing becomes negative."""
    row = await made(database)
    claim = await claimed(database, row)
    assert claim is not None
    async with database.connection() as connection:
        await screenings.release(
            connection, claim, check="liver", state="positive", reason=None, result={}
        )
    await cancel(database, row)
    for write in (
        lambda c: screenings.release(
            c, claim, check="bone", state="negative", reason=None, result={}
        ),
        lambda c: screenings.finish(c, claim, {}),
        lambda c: screenings.hand_back(c, claim),
    ):
        with pytest.raises(StaleAttemptError):
            async with database.connection() as connection:
                await write(connection)
    async with database.connection() as connection:
        states = {
            r["check_name"]: (r["state"], r["reason"])
            for r in await screenings.results(connection, row["screening_id"])
        }
    assert states == {"liver": ("positive", None), "bone": ("not_evaluated", "cancelled")}


async def test_a_release_in_flight_is_waited_for(database: Database) -> None:
    """Cancelled or released first: one of both, never half of each."""
    row = await made(database)
    claim = await claimed(database, row)
    assert claim is not None
    async with database.connection() as slow:
        await screenings.release(
            slow, claim, check="bone", state="negative", reason=None, result={}
        )
        waiting = asyncio.create_task(cancel(database, row))
        await asyncio.sleep(0.1)
        assert not waiting.done()
    await waiting
    async with database.connection() as connection:
        states = {
            r["check_name"]: r["state"]
            for r in await screenings.results(connection, row["screening_id"])
        }
    assert states == {"bone": "negative", "liver": "not_evaluated"}


async def test_what_has_ended_stays_as_it_is(database: Database) -> None:
    """A conflict; and somebody else's is not found."""
    row = await made(database)
    claim = await claimed(database, row)
    assert claim is not None
    async with database.connection() as connection:
        await screenings.finish(connection, claim, {})
    with pytest.raises(ConflictError):
        await cancel(database, row)
    async with database.connection() as connection:
        with pytest.raises(NotFoundError):
            await screenings.cancel(connection, "other", row["screening_id"])


async def test_its_job_is_purged(database: Database) -> None:
    """A worker that was killed with it leaves no job for ever."""
    row = await made(database)
    async with database.connection() as connection:
        await connection.execute("UPDATE procrastinate_jobs SET status = 'doing'")
        await connection.execute("UPDATE procrastinate_events SET at = at - interval '1 hour'")
    await cancel(database, row)
    assert await count(database, "procrastinate_jobs") == 1
    async with database.connection() as connection:
        await purge(connection)
    assert await count(database, "procrastinate_jobs") == 0
