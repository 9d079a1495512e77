"""The index on a real PostgreSQL: rows, partitions, keys, migration."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date

import psycopg
import pytest
import pytest_asyncio

from gateway.instance import Instance
from gateway.intake.header import read_header
from gateway.store.database import Connection, Database
from gateway.store.index import Status, add_instances, study_instances
from gateway.store.keys import ensure_default_key, ensure_tenant, lookup
from gateway.store.migrate import migrate
from gateway.store.partitions import ensure_partition
from tests.ct_files import multi_frame, part10, slices
from tests.databases import named

pytestmark = pytest.mark.postgres

INDEX_SECONDS = 0.15
"""What indexing a study of 400 slices may take."""


@pytest_asyncio.fixture
async def connection(database_url: str) -> AsyncIterator[Connection]:
    async with Database(database_url, size=1) as database, database.connection() as made:
        await ensure_tenant(made, "default")
        yield made


def equal(old: Instance, new: Instance) -> bool:
    return True


def headers(count: int, *, seed: int = 0) -> list[Instance]:
    return [
        read_header(part10(ds), object_key="k", object_offset=1000 * index)
        for index, ds in enumerate(slices(count, seed=seed))
    ]


async def test_what_is_read_is_what_was_added(connection: Connection) -> None:
    """Every field of every frame survives the way through the database."""
    frames = replace(
        (multi := read_header(part10(multi_frame(slices(3))), object_key="m")),
        frames=(
            replace(multi.frames[0], fragments=((10, 20), (40, 5))),
            replace(multi.frames[1], image_position_patient=None, rescale_slope=None),
            replace(multi.frames[2], pixel_padding_value=-2000, temporal_position="2.5"),
        ),
    )
    report = replace(multi, sop_instance_uid="1.2.9", frames=())
    added = [*headers(2), frames, report]
    outcomes = await add_instances(connection, "default", added, same_pixels=equal)
    assert [outcome.status for outcome in outcomes] == [Status.STORED] * 4
    read = await study_instances(connection, "default", "1.2.3.0.1")
    assert sorted(read, key=str) == sorted(added, key=str)


async def test_a_study_that_is_not_there_is_empty(connection: Connection) -> None:
    assert await study_instances(connection, "default", "1.2.3") == []


async def test_a_study_of_400_slices_is_indexed_in_time(connection: Connection) -> None:
    """Bulk writes, not four hundred round trips."""
    [base] = headers(1)
    times = []
    for study in range(5):
        many = [
            replace(
                base,
                study_instance_uid=f"1.9.{study}",
                sop_instance_uid=f"1.9.{study}.{number}",
                frames=(replace(base.frames[0], sop_instance_uid=f"1.9.{study}.{number}"),),
            )
            for number in range(400)
        ]
        begun = time.perf_counter()
        await add_instances(connection, "default", many, same_pixels=equal)
        times.append(time.perf_counter() - begun)
    assert statistics.median(times) < INDEX_SECONDS


async def test_pixels_are_compared_only_when_geometry_is_equal(connection: Connection) -> None:
    """Reading pixels is dear; a moved slice is refused without it."""
    asked: list[Instance] = []

    def record(old: Instance, new: Instance) -> bool:
        asked.append(new)
        return True

    old, other = headers(2)
    moved = replace(
        old,
        object_key="n",
        frames=(replace(old.frames[0], image_position_patient=(0.0, 0.0, 1.0)),),
    )
    copy = replace(old, object_key="n", attributes=old.attributes | {"PatientID": "1"})
    await add_instances(connection, "default", [old], same_pixels=record)
    outcomes = await add_instances(connection, "default", [moved, copy, other], same_pixels=record)
    assert [o.status for o in outcomes] == [Status.REFUSED, Status.REVISED, Status.STORED]
    assert asked == [copy]


async def test_a_request_repeated_after_a_lost_answer_is_stored_still(
    connection: Connection,
) -> None:
    """The same bytes at the same place are no copy, so that nobody deletes their segment."""
    for _ in range(2):
        [outcome] = await add_instances(connection, "default", headers(1), same_pixels=equal)
        assert outcome.status == Status.STORED


async def test_all_rows_of_a_study_lie_in_the_partition_of_its_first_day(
    connection: Connection,
) -> None:
    """A study that still arrives after midnight is not torn apart."""
    await connection.execute(
        "INSERT INTO studies (tenant, study_instance_uid, day)"
        " VALUES ('default', '1.2.3.0.1', '2020-02-29')"
    )
    await add_instances(connection, "default", headers(2), same_pixels=equal)
    for table in ("instances", "frames"):
        cursor = await connection.execute(f"SELECT count(*) AS n FROM {table}_20200229")  # type: ignore[arg-type]
        row = await cursor.fetchone()
        assert row is not None
        assert row["n"] == 2


async def test_many_processes_may_make_a_partition_at_once(database_url: str) -> None:
    """One makes it, the others find it; writers of other days go on meanwhile."""
    async with Database(database_url, size=6) as database:

        async def make() -> None:
            async with database.connection() as connection:
                await ensure_partition(connection, date(2031, 1, 1))

        await asyncio.gather(*(make() for _ in range(6)))
        async with database.connection() as connection:
            cursor = await connection.execute(
                "SELECT count(*) AS n FROM pg_inherits"
                " WHERE inhrelid::regclass::text LIKE '%\\_20310101'"
            )
            row = await cursor.fetchone()
    assert row == {"n": 3}


async def test_a_key_is_found_by_its_digest_only(connection: Connection) -> None:
    """The key itself is nowhere in the database."""
    await ensure_default_key(connection, "clinic", "secret-key")
    found = await lookup(connection, "secret-key")
    assert found is not None
    assert (found.tenant, found.name) == ("clinic", "default")
    assert await lookup(connection, "other-key") is None
    cursor = await connection.execute("SELECT api_keys::text AS row FROM api_keys")
    assert "secret-key" not in str(await cursor.fetchall())


async def test_a_new_default_key_ends_the_old_one(connection: Connection) -> None:
    """So does an expiry date, and a revocation."""
    await ensure_default_key(connection, "clinic", "first")
    await ensure_default_key(connection, "clinic", "second")
    assert await lookup(connection, "first") is None
    assert await lookup(connection, "second") is not None
    await ensure_default_key(connection, "clinic", "first")
    assert await lookup(connection, "first") is not None
    await connection.execute("UPDATE api_keys SET expires_at = now() - interval '1 second'")
    assert await lookup(connection, "first") is None


def test_two_processes_may_migrate_at_once(postgres_url: str) -> None:
    """Both end well, on an empty database and again on a migrated one."""
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE migrated")
        try:
            url = named(postgres_url, "migrated")
            with ThreadPoolExecutor(4) as pool:
                list(pool.map(migrate, [url] * 4))
            migrate(url)
            with psycopg.connect(url) as made:
                tables = {
                    name
                    for (name,) in made.execute(
                        "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p')"
                    )
                }
        finally:
            connection.execute("DROP DATABASE migrated WITH (FORCE)")
    assert {"tenants", "api_keys", "studies", "instances", "frames", "instance_revisions"} < tables
    assert {"screenings", "check_results", "screening_events", "audit"} < tables
    assert {"procrastinate_jobs", "queue_migrations"} < tables


def test_a_failed_migration_leaves_the_database_as_it_was(postgres_url: str) -> None:
    """Everything is one transaction."""
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE half")
        try:
            url = named(postgres_url, "half")
            with psycopg.connect(url) as made:
                made.execute("CREATE TABLE procrastinate_jobs (id int)")  # in the queue's way
            with pytest.raises(psycopg.Error):
                migrate(url)
            with psycopg.connect(url) as made:
                assert made.execute("SELECT to_regclass('tenants')").fetchone() == (None,)
        finally:
            connection.execute("DROP DATABASE half WITH (FORCE)")


def test_an_unreachable_database_is_the_drivers_own_error() -> None:
    """Callers need not know what migrates."""
    with pytest.raises(psycopg.OperationalError):
        migrate("postgresql://nobody@/nothing?host=/nowhere")
