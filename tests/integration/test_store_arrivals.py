"""When a study is complete: on a real PostgreSQL, by its clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio

from gateway.instance import Instance
from gateway.intake.header import read_header
from gateway.intake.partners import Partner, Partners
from gateway.intake.stat_rule import StatRule
from gateway.store import screenings
from gateway.store.arrivals import note_arrivals, put_off
from gateway.store.completer import BATCH, complete, run_completer
from gateway.store.database import Database
from gateway.store.index import add_instances
from gateway.store.keys import ensure_tenant
from gateway.store.screenings import Order
from tests.ct_files import part10, slices

pytestmark = pytest.mark.postgres

WARD = Partner(
    name="ward",
    tenant="default",
    ae_titles=("CT1",),
    quiet_seconds=60.0,
    lane="backfill",
    exam_context="screening",
    stat=(StatRule((("StudyDescription", "*aort*"),)),),
)
ON_REQUEST = Partner(name="clinic", tenant="default", keys=())
OTHER = replace(WARD, name="other", tenant="other")
PARTNERS = Partners(partners={p.name: p for p in (WARD, ON_REQUEST, OTHER)})


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with Database(database_url, size=6) as made:
        async with made.connection() as connection:
            for tenant in ("default", "other"):
                await ensure_tenant(connection, tenant)
        yield made


def checks(modalities: Iterable[str]) -> tuple[str, ...]:
    return ("liver",) if "CT" in set(modalities) else ("liver", "bone_age")


def some(count: int, *, series: str = "1", start: int = 0, **attributes: Any) -> list[Instance]:
    base = read_header(part10(slices(1)[0]), object_key="k")
    return [
        replace(
            base,
            series_instance_uid=f"1.9.{series}",
            sop_instance_uid=f"1.9.{series}.{number}",
            attributes=base.attributes | attributes,
            frames=(replace(base.frames[0], sop_instance_uid=f"1.9.{series}.{number}"),),
        )
        for number in range(start, start + count)
    ]


def same(old: Instance, new: Instance) -> bool:
    return True


async def send(database: Database, instances: list[Instance], partner: Partner = WARD) -> list[str]:
    async with database.connection() as connection, connection.transaction():
        outcomes = await add_instances(connection, partner.tenant, instances, same_pixels=same)
        await note_arrivals(connection, partner, outcomes)
    return [outcome.status for outcome in outcomes]


async def rows(database: Database, query: str) -> list[dict[str, Any]]:
    async with database.connection() as connection:
        return await (await connection.execute(query)).fetchall()  # type: ignore[arg-type]


async def later(database: Database, seconds: float) -> None:
    """Let so much time pass on the database's clock, as seen from what is noted."""
    async with database.connection() as connection:
        await connection.execute(
            "UPDATE arrivals SET due_at = due_at - make_interval(secs => %s),"
            " last_at = last_at - make_interval(secs => %s)",
            (seconds, seconds),
        )


async def look(database: Database) -> int:
    async with database.connection() as connection:
        return await complete(connection, PARTNERS, checks)


async def made(database: Database) -> list[dict[str, Any]]:
    return await rows(database, "SELECT * FROM screenings ORDER BY tenant, version")


async def test_a_quiet_study_is_screened_once_with_the_profile_s_order(
    database: Database,
) -> None:
    """Not before the quiet time is over, and not twice."""
    await send(database, some(3))
    await later(database, 59)
    assert await look(database) == 0
    await later(database, 2)
    assert await look(database) == 1
    assert await look(database) == 0
    [row] = await made(database)
    assert (row["lane"], row["exam_context"], row["checks"]) == ("backfill", "screening", ["liver"])
    [job] = await rows(database, "SELECT * FROM procrastinate_jobs")
    assert (job["queue_name"].split(":")[0], job["id"]) == ("backfill", row["job_id"])


async def test_a_slow_trickle_never_looks_complete(database: Database) -> None:
    """Each instance begins the quiet time anew, however long the study takes in all."""
    for number in range(6):
        await send(database, some(1, start=number))
        await later(database, 50)
        assert await look(database) == 0
    await later(database, 11)
    assert await look(database) == 1
    assert len(await made(database)) == 1


async def test_a_second_series_after_a_short_pause_belongs_to_the_same_screening(
    database: Database,
) -> None:
    """And one after the quiet time gets a new version that supersedes the first."""
    await send(database, some(3, series="1"))
    await later(database, 40)
    await send(database, some(3, series="2"))
    await later(database, 40)
    assert await look(database) == 0
    await later(database, 21)
    assert await look(database) == 1
    await send(database, some(3, series="3"))
    await later(database, 61)
    assert await look(database) == 1
    first, second = await made(database)
    assert (first["version"], second["version"]) == (1, 2)
    assert second["supersedes"] == first["screening_id"]


async def test_more_on_the_wire_puts_it_off(database: Database) -> None:
    """A request that takes longer than the quiet time holds the study open."""
    await send(database, some(3))
    await later(database, 61)
    async with database.connection() as connection:
        await put_off(connection, "default", [some(1)[0].study_instance_uid])
    assert await look(database) == 0


async def test_a_copy_that_changes_nothing_does_not_reset_the_clock(database: Database) -> None:
    """Nor does it start a screening afterwards."""
    await send(database, some(3))
    await later(database, 61)
    again = [replace(i, object_key="other") for i in some(3)]
    assert set(await send(database, again)) == {"duplicate"}
    assert await look(database) == 1
    assert set(await send(database, again)) == {"duplicate"}
    await later(database, 61)
    assert await look(database) == 0


async def test_our_own_results_neither_start_nor_put_off_a_screening(database: Database) -> None:
    """They are stored all the same."""
    own = replace(
        some(1, series="sr", Manufacturer="OneScan")[0],
        sop_class_uid="1.2.840.10008.5.1.4.1.1.88.33",
        frames=(),
    )
    assert await send(database, [own]) == ["stored"]
    assert not await rows(database, "SELECT * FROM arrivals")
    await send(database, some(3))
    await later(database, 61)
    await send(database, [replace(own, sop_instance_uid="1.9.8.1")])
    assert await look(database) == 1
    await send(database, [replace(own, sop_instance_uid="1.9.8.2")])
    await later(database, 61)
    assert await look(database) == 0


async def test_a_study_screened_on_request_is_not_screened_again(database: Database) -> None:
    """Unless something newer comes."""
    await send(database, some(3))
    study = some(1)[0].study_instance_uid
    async with database.connection() as connection:
        await screenings.create(
            connection, "default", Order(study_instance_uid=study, checks=("liver",), clinical={})
        )
    await later(database, 61)
    assert await look(database) == 0
    await send(database, some(1, series="2"))
    await later(database, 61)
    assert await look(database) == 1
    assert [row["version"] for row in await made(database)] == [1, 2]


async def test_a_rule_that_holds_for_one_instance_makes_the_study_stat(
    database: Database,
) -> None:
    """Whichever instance it was, and though later ones do not say it."""
    await send(database, [*some(2), *some(1, start=2, StudyDescription="CT Aorta")])
    await send(database, some(1, start=3))
    await later(database, 61)
    await look(database)
    [row] = await made(database)
    assert row["lane"] == "stat"


async def test_a_sender_on_request_does_not_stop_what_another_began(database: Database) -> None:
    """Its instances reset the clock; alone they never start it."""
    await send(database, some(1), ON_REQUEST)
    await later(database, 3600)
    assert await look(database) == 0
    await send(database, some(1, start=1), WARD)
    await later(database, 50)
    await send(database, some(1, start=2), ON_REQUEST)
    await later(database, 50)
    assert await look(database) == 0
    await later(database, 11)
    assert await look(database) == 1


async def test_tenants_do_not_share_a_study(database: Database) -> None:
    """The same UID of two tenants is two studies with a quiet time each."""
    await send(database, some(2))
    await send(database, some(2), OTHER)
    async with database.connection() as connection:
        await connection.execute(
            "UPDATE arrivals SET due_at = due_at - interval '61 s' WHERE tenant = 'other'"
        )
    assert await look(database) == 1
    assert [row["tenant"] for row in await made(database)] == ["other"]


async def test_two_completers_make_one_screening(database: Database) -> None:
    """Rows that one looks at are skipped by the other; a rolled-back look loses nothing."""
    await send(database, some(2))
    await later(database, 61)
    async with database.connection() as connection:
        assert await complete(connection, PARTNERS, checks) == 1
        assert await look(database) == 0
        await connection.rollback()
    assert sum(await asyncio.gather(*(look(database) for _ in range(4)))) == 1
    assert len(await made(database)) == 1


async def test_a_study_that_is_being_added_to_is_left_alone(database: Database) -> None:
    """Its instances are not committed yet, but it is locked; nobody waits or deadlocks."""
    await send(database, some(2))
    await later(database, 61)
    async with database.connection() as adding, adding.transaction():
        outcomes = await add_instances(adding, "default", some(1, series="2"), same_pixels=same)
        await asyncio.wait_for(look(database), 5)
        assert not await made(database)
        await note_arrivals(adding, WARD, outcomes)
    assert await look(database) == 0


async def test_a_backlog_is_taken_up_in_bounded_steps(database: Database) -> None:
    """One transaction takes so many and no more; the oldest first."""
    async with database.connection() as connection:
        await connection.execute(
            "INSERT INTO studies (tenant, study_instance_uid, day)"
            " SELECT 'default', '1.5.' || n, current_date FROM generate_series(1, %s) n",
            (BATCH + 7,),
        )
        await connection.execute(
            "INSERT INTO arrivals SELECT 'default', '1.5.' || n, 'ward', now(), 1, false, 60,"
            " now() - make_interval(secs => 1000 - n) FROM generate_series(1, %s) n",
            (BATCH + 7,),
        )
    assert await look(database) == BATCH
    left = await rows(database, "SELECT * FROM arrivals WHERE due_at IS NOT NULL")
    assert {row["study_instance_uid"] for row in left} == {
        f"1.5.{n}" for n in range(BATCH + 1, BATCH + 8)
    }
    assert await look(database) == 7


async def test_a_partner_that_is_gone_leaves_nothing_behind(database: Database) -> None:
    """What was due is screened with the built-in profile."""
    await send(database, some(2))
    await later(database, 61)
    async with database.connection() as connection:
        assert await complete(connection, Partners(), checks) == 1
    [row] = await made(database)
    assert row["lane"] == "routine"


async def test_the_completer_runs_until_cancelled(database: Database) -> None:
    """As a task of the api, by the real clock."""
    await send(database, some(2), replace(WARD, quiet_seconds=0.3))
    task = asyncio.create_task(run_completer(database, PARTNERS, checks))
    async with asyncio.timeout(10):
        while not await made(database):  # noqa: ASYNC110 - another task's row
            await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(await made(database)) == 1
