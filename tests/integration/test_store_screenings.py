"""Screenings on a real PostgreSQL: one transaction, fencing, reaper."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
import pytest_asyncio

from gateway.exceptions import ConflictError, NotFoundError, StaleAttemptError
from gateway.settings import WorkerSettings
from gateway.store import screenings
from gateway.store.database import Connection, Database
from gateway.store.keys import ensure_tenant
from gateway.store.queue import job_class, queue_name
from gateway.store.reaper import Reaped, purge, reap, run_reaper
from gateway.store.retry import persist
from gateway.store.screenings import Claim, Order

pytestmark = pytest.mark.postgres

STUDY = "1.2.826.0.1.3680043.8.498.1"
ORDER = Order(study_instance_uid=STUDY, checks=("liver",), clinical={})
SETTINGS = WorkerSettings(stalled_seconds=5.0, max_attempts=3)


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with Database(database_url, size=4) as made:
        async with made.connection() as connection:
            for tenant in ("default", "other"):
                await ensure_tenant(connection, tenant)
            await connection.execute(
                "INSERT INTO studies (tenant, study_instance_uid, day)"
                " VALUES ('default', %s, current_date)",
                (STUDY,),
            )
        yield made


async def create(database: Database, **given: Any) -> screenings.Row:
    async with database.connection() as connection:
        row, _ = await screenings.create(connection, "default", given.pop("order", ORDER), **given)
    return row


async def claimed(database: Database, row: screenings.Row, worker: str = "w/1") -> Claim:
    async with database.connection() as connection:
        claim = await screenings.claim(connection, row["screening_id"], row["attempt"], worker)
    assert claim is not None
    return claim


async def rows(database: Database, query: str, *parameters: Any) -> list[dict[str, Any]]:
    async with database.connection() as connection:
        return await (await connection.execute(query, parameters)).fetchall()  # type: ignore[arg-type]


async def current(database: Database, row: screenings.Row) -> dict[str, Any]:
    [found] = await rows(
        database, "SELECT * FROM screenings WHERE screening_id = %s", row["screening_id"]
    )
    return found


async def silence(database: Database, seconds: float = 60.0) -> None:
    """Let every heartbeat be so old."""
    async with database.connection() as connection:
        await connection.execute(
            "UPDATE screenings SET heartbeat_at = heartbeat_at - make_interval(secs => %s)",
            (seconds,),
        )


async def look(database: Database) -> Reaped:
    async with database.connection() as connection:
        return await reap(connection, SETTINGS)


def give(connection: Connection, claim: Claim, state: str = "negative") -> Any:
    return screenings.release(
        connection, claim, check="liver", state=state, reason=None, result={"said": state}
    )


async def test_a_screening_and_its_job_are_made_in_one_transaction(database: Database) -> None:
    """What is rolled back leaves neither."""
    row = await create(database)
    [job] = await rows(database, "SELECT * FROM procrastinate_jobs")
    assert job["id"] == row["job_id"]
    assert job["args"] == {"screening_id": str(row["screening_id"]), "attempt": 1}
    assert (job["queue_name"], job["priority"]) == (
        queue_name("routine", job_class(ORDER.checks)),
        0,
    )
    async with database.connection() as connection:
        await screenings.create(connection, "default", ORDER)
        await connection.rollback()
    assert len(await rows(database, "SELECT * FROM procrastinate_jobs")) == 1
    assert len(await rows(database, "SELECT * FROM screenings")) == 1


async def test_a_study_of_another_tenant_is_not_found(database: Database) -> None:
    """Two partners may know the same UID; neither learns of the other's."""
    row = await create(database)
    async with database.connection() as connection:
        with pytest.raises(NotFoundError):
            await screenings.create(connection, "other", ORDER)
        with pytest.raises(NotFoundError):
            await screenings.find(connection, "other", row["screening_id"])


async def test_an_idempotency_key_makes_one_screening(database: Database) -> None:
    """The same body gives the same screening, another body is a conflict."""
    first = await create(database, idempotency_key="k")
    again = await create(database, idempotency_key="k")
    assert first["screening_id"] == again["screening_id"]
    other = Order(study_instance_uid=STUDY, checks=("liver",), lane="stat", clinical={})
    with pytest.raises(ConflictError):
        await create(database, order=other, idempotency_key="k")


async def test_versions_count_up_even_at_once(database: Database) -> None:
    """Each supersedes the one before."""
    made = await asyncio.gather(*(create(database) for _ in range(4)))
    assert sorted(row["version"] for row in made) == [1, 2, 3, 4]
    by_version = {row["version"]: row for row in made}
    assert by_version[1]["supersedes"] is None
    assert by_version[4]["supersedes"] == by_version[3]["screening_id"]


async def test_one_attempt_is_claimed_once(database: Database) -> None:
    """A doubled job finds nothing to do; a repeated claim of the same worker is harmless."""
    row = await create(database)
    claim = await claimed(database, row)
    async with database.connection() as connection:
        sid = claim.screening_id
        assert await screenings.claim(connection, sid, 1, "w/2") is None
        assert await screenings.claim(connection, sid, 1, "w/1") == claim
        assert await screenings.claim(connection, sid, 2, "w/1") is None


async def test_a_stalled_attempt_is_tried_again_and_its_late_writes_are_refused(
    database: Database,
) -> None:
    """Fencing: the late worker can neither release, plan, finish nor hand back."""
    row = await create(database)
    late = await claimed(database, row)
    await silence(database)
    assert await look(database) == Reaped(retried=1)
    fresh = await claimed(database, await current(database, row), "w/2")
    assert fresh.attempt == 2
    for write in (
        lambda c: give(c, late),
        lambda c: screenings.save_plan(c, late, {}),
        lambda c: screenings.enter_stage(c, late, "plan"),
        lambda c: screenings.finish(c, late, {}),
        lambda c: screenings.hand_back(c, late),
    ):
        with pytest.raises(StaleAttemptError):
            async with database.connection() as connection:
                await write(connection)
    async with database.connection() as connection:
        await give(connection, fresh)
        await screenings.finish(connection, fresh, {"by": "w/2"})
    done = await current(database, row)
    assert (done["state"], done["result"]) == ("done", {"by": "w/2"})


async def test_a_retried_attempt_has_one_live_job(database: Database) -> None:
    """The silent worker's job is gone, a new one waits."""
    row = await create(database)
    await claimed(database, row)
    await silence(database)
    await look(database)
    [job] = await rows(database, "SELECT * FROM procrastinate_jobs")
    assert job["args"]["attempt"] == 2
    assert job["id"] == (await current(database, row))["job_id"]
    assert await look(database) == Reaped()


async def test_a_screening_with_a_heartbeat_is_left_alone(database: Database) -> None:
    """Working long is not silence."""
    await claimed(database, await create(database))
    await silence(database, seconds=3.0)
    assert await look(database) == Reaped()


async def test_the_last_attempt_ends_visibly(database: Database) -> None:
    """Three silent workers: failed, and every check says crashed."""
    row = await create(database)
    for attempt in (1, 2, 3):
        held = await claimed(database, await current(database, row), f"w/{attempt}")
        assert held.attempt == attempt
        await silence(database)
        found = await look(database)
    assert found == Reaped(failed=1)
    ended = await current(database, row)
    assert (ended["state"], ended["error_code"]) == ("failed", "crashed")
    [check] = await rows(database, "SELECT * FROM check_results")
    assert (check["state"], check["reason"]) == ("failed", "crashed")
    assert not await rows(database, "SELECT * FROM procrastinate_jobs")


async def test_a_released_result_stands(database: Database) -> None:
    """A later attempt does not change what was already told."""
    row = await create(database)
    first = await claimed(database, row)
    async with database.connection() as connection:
        await give(connection, first, "positive")
    await silence(database)
    await look(database)
    second = await claimed(database, await current(database, row), "w/2")
    async with database.connection() as connection:
        standing = await give(connection, second, "negative")
    assert standing["state"] == "positive"
    released = await rows(database, "SELECT * FROM screening_events WHERE kind = 'released'")
    assert len(released) == 1


async def test_a_lost_job_is_replaced(database: Database) -> None:
    """An open screening without a live job is enqueued again, its attempt unchanged."""
    row = await create(database)
    async with database.connection() as connection:
        await connection.execute("DELETE FROM procrastinate_jobs")
    assert await look(database) == Reaped(enqueued=1)
    [job] = await rows(database, "SELECT * FROM procrastinate_jobs")
    assert job["args"] == {"screening_id": str(row["screening_id"]), "attempt": 1}
    assert await look(database) == Reaped()


async def test_a_job_taken_by_a_dead_worker_is_replaced(database: Database) -> None:
    """Fetched, never claimed: after a while somebody else gets it."""
    await create(database)
    [worker] = await rows(database, "SELECT worker_id FROM procrastinate_register_worker_v1()")
    await rows(database, "SELECT * FROM procrastinate_fetch_job_v2(NULL, %s)", worker["worker_id"])
    assert await look(database) == Reaped()
    async with database.connection() as connection:
        await connection.execute("UPDATE procrastinate_events SET at = at - interval '1 minute'")
    assert await look(database) == Reaped(enqueued=1)


async def test_handing_back_does_not_count_as_an_attempt(database: Database) -> None:
    """A drained worker's screening waits again with a job of its own."""
    row = await create(database)
    held = await claimed(database, row)
    async with database.connection() as connection:
        await screenings.hand_back(connection, held)
    back = await current(database, row)
    assert (back["state"], back["attempt"], back["worker"]) == ("accepted", 1, None)
    assert back["job_id"] != row["job_id"]


async def test_finishing_twice_is_harmless_for_the_same_claim(database: Database) -> None:
    """The answer to the first commit may have been lost."""
    held = await claimed(database, await create(database))
    for _ in range(2):
        async with database.connection() as connection:
            await screenings.finish(connection, held, {})
    assert len(await rows(database, "SELECT * FROM screening_events WHERE kind = 'done'")) == 1


async def test_jobs_left_behind_are_purged(database: Database) -> None:
    """A job whose screening has ended is removed, a live one is not."""
    ended, live = await create(database), await create(database)
    async with database.connection() as connection:
        await connection.execute("UPDATE procrastinate_jobs SET status = 'doing'")
        await connection.execute("UPDATE procrastinate_events SET at = at - interval '1 hour'")
        await connection.execute(
            "UPDATE screenings SET state = 'done' WHERE screening_id = %s",
            (ended["screening_id"],),
        )
        await purge(connection)
    [job] = await rows(database, "SELECT * FROM procrastinate_jobs")
    assert job["id"] == live["job_id"]


async def test_two_reapers_do_not_meet(database: Database) -> None:
    """Rows that one looks at are skipped by the other."""
    for number in range(3):
        await claimed(database, await create(database), f"w/{number}")
    await silence(database)
    found = await asyncio.gather(look(database), look(database))
    assert sum(one.retried for one in found) == 3
    states = await rows(database, "SELECT attempt FROM screenings")
    assert [row["attempt"] for row in states] == [2, 2, 2]


async def test_writes_survive_a_lost_connection(database: Database) -> None:
    """A backend that is killed in the middle costs a repetition, not the write."""
    row = await create(database)
    tries = 0

    async def operation(connection: Connection) -> Claim | None:
        nonlocal tries
        tries += 1
        if tries == 1:
            with psycopg.connect(database.url, autocommit=True) as other:
                pid = connection.info.backend_pid
                other.execute("SELECT pg_terminate_backend(%s)", (pid,))
        return await screenings.claim(connection, row["screening_id"], 1, "w/1")

    claim = await persist(database, operation)
    assert claim is not None
    assert tries == 2


async def test_the_reaper_runs_until_cancelled(database: Database) -> None:
    """As a task of the api."""
    row = await create(database)
    await claimed(database, row)
    await silence(database)
    task = asyncio.create_task(
        run_reaper(database, WorkerSettings(stalled_seconds=5.0, reap_seconds=0.05))
    )
    async with asyncio.timeout(10):
        while (await current(database, row))["attempt"] == 1:  # noqa: ASYNC110 - another process's row
            await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_unknown_screening_is_not_found(database: Database) -> None:
    """Whatever its form."""
    async with database.connection() as connection:
        with pytest.raises(NotFoundError):
            await screenings.find(connection, "default", uuid.uuid4())
