"""Events come in the order of their commits, and none is passed over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import psycopg
import pytest
import pytest_asyncio

from gateway.store import events, screenings
from gateway.store.database import Database
from gateway.store.keys import ensure_tenant
from gateway.store.screenings import Order

pytestmark = pytest.mark.postgres

STUDY = "1.2.826.0.1.3680043.8.498.1"
ORDER = Order(study_instance_uid=STUDY, checks=("liver", "bone"), clinical={})


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with Database(database_url, size=6) as made:
        async with made.connection() as connection:
            for tenant in ("default", "other"):
                await ensure_tenant(connection, tenant)
                await connection.execute(
                    "INSERT INTO studies (tenant, study_instance_uid, day)"
                    " VALUES (%s, %s, current_date)",
                    (tenant, STUDY),
                )
        yield made


async def made(database: Database, tenant: str = "default") -> screenings.Row:
    async with database.connection() as connection:
        row, _ = await screenings.create(connection, tenant, ORDER)
    return row


async def placed(database: Database) -> int:
    async with database.connection() as connection:
        return await events.place(connection)


async def told(database: Database, after: int = 0, **given: UUID) -> list[events.Event]:
    async with database.connection() as connection:
        return await events.read(connection, "default", after=after, **given)


async def test_an_event_held_back_is_not_lost(database: Database) -> None:
    """Its transaction began first and commits last; a reader that went on meanwhile sees it."""
    row = await made(database)
    async with database.connection() as connection:
        claim = await screenings.claim(connection, row["screening_id"], 1, "w/1")
    assert claim is not None
    async with database.connection() as slow:
        await screenings.enter_stage(slow, claim, "decode")
        async with database.connection() as fast:
            await screenings.enter_stage(fast, claim, "anatomy")
        await placed(database)
        seen = await told(database)
        assert [e["data"].get("stage") for e in seen] == [None, None, "anatomy"]
        assert await told(database, seen[-1]["position"]) == []
        ids = await slow.execute(
            "SELECT event_id FROM screening_events WHERE data ->> 'stage' IS NOT NULL"
        )
        assert len(await ids.fetchall()) == 2  # it sees its own
    await placed(database)
    [late] = await told(database, seen[-1]["position"])
    assert late["data"] == {"stage": "decode"}
    async with database.connection() as connection:
        cursor = await connection.execute(
            "SELECT data ->> 'stage' AS stage FROM screening_events"
            " WHERE kind = 'stage' ORDER BY event_id"
        )
        written = [event["stage"] for event in await cursor.fetchall()]
    assert written == ["decode", "anatomy"]  # which is why event_id is no cursor


async def test_readers_that_place_at_once_miss_nothing(database: Database) -> None:
    """Many writers, three processes that place, one reader that only goes forward."""
    rows = [await made(database) for _ in range(3)]
    ended = asyncio.Event()
    seen: list[events.Event] = []

    async def write(row: screenings.Row, number: int) -> None:
        async with database.connection() as connection:
            claim = await screenings.claim(connection, row["screening_id"], 1, "w/1")
            assert claim is not None
        for stage in range(10):
            async with database.connection() as connection:
                await screenings.enter_stage(connection, claim, f"{number}-{stage}")
                await asyncio.sleep(0.001 * ((stage * 7 + number) % 5))

    async def place() -> None:
        with psycopg.connect(database.url, autocommit=True) as connection:
            while not ended.is_set():
                await asyncio.to_thread(connection.execute, "SELECT place_screening_events()")

    async def read() -> None:
        while True:
            last = ended.is_set()
            after = seen[-1]["position"] if seen else 0
            seen.extend(await told(database, after))
            if last:
                return
            await asyncio.sleep(0.002)

    placing = [asyncio.create_task(place()) for _ in range(3)]
    reading = asyncio.create_task(read())
    await asyncio.gather(*(write(row, number) for number, row in enumerate(rows)))
    await placed(database)
    ended.set()
    await asyncio.gather(reading, *placing)
    assert len(seen) == 3 * (2 + 10)
    stages = [event["data"]["stage"] for event in seen if event["kind"] == "stage"]
    for number in range(3):
        mine = [stage for stage in stages if stage.startswith(f"{number}-")]
        assert mine == [f"{number}-{stage}" for stage in range(10)]


async def test_a_row_that_is_locked_holds_up_no_other(database: Database) -> None:
    """It is placed when its lock is gone."""
    first, second = await made(database), await made(database)
    async with database.connection() as slow:
        await slow.execute(
            "SELECT 1 FROM screening_events WHERE screening_id = %s FOR UPDATE",
            (first["screening_id"],),
        )
        assert await placed(database) == 1
        [event] = await told(database)
        assert event["screening_id"] == second["screening_id"]
    assert await placed(database) == 1
    assert len(await told(database)) == 2


async def test_a_tenant_reads_its_own(database: Database) -> None:
    """Of one screening or of all; another's is as if it were not there."""
    mine, other = await made(database), await made(database, "other")
    await placed(database)
    assert [e["screening_id"] for e in await told(database)] == [mine["screening_id"]]
    assert await told(database, screening_id=other["screening_id"]) == []


async def test_a_commit_is_notified(database: Database) -> None:
    """Once written, once placed; a rolled back one never."""
    with psycopg.connect(database.url, autocommit=True) as listening:
        listening.execute(f"LISTEN {events.CHANNEL}")
        async with database.connection() as connection:
            await screenings.create(connection, "default", ORDER)
            await connection.rollback()
        await made(database)
        await placed(database)
        heard = [n.payload for n in listening.notifies(timeout=0.2)]
    assert heard == ["written", "placed"]
