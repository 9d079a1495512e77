"""What is kept and what goes, on a real PostgreSQL and a real folder."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from gateway.api.keys import OBJECTS
from gateway.instance import Instance
from gateway.intake.header import read_header
from gateway.intake.partners import Partner, Partners
from gateway.settings import RetentionSettings
from gateway.store import screenings
from gateway.store.arrivals import note_arrivals
from gateway.store.database import Database
from gateway.store.deletion import delete_doomed, remove_images
from gateway.store.index import add_instances
from gateway.store.keys import ensure_tenant
from gateway.store.objects import FolderObjects
from gateway.store.orphans import orphans
from gateway.store.retention import Run, retain
from tests.access_server import STORE_TYPE, body_of
from tests.ct_files import part10, slices
from tests.partner_api import Client, api_settings, database, order, problem, running
from tests.small_ct import write_small_ct

pytestmark = pytest.mark.postgres

SHORT = Partner(name="short", tenant="default", keys=("short",), retain_days=2)
FOREVER = Partner(name="forever", tenant="default", keys=("forever",), retain_days=0)
OTHER = Partner(name="other", tenant="other", keys=())
PARTNERS = Partners(partners={p.name: p for p in (SHORT, FOREVER, OTHER)})
SETTINGS = RetentionSettings(pixel_days=10, event_days=30)


class Shelf:
    """A database and a folder of objects."""

    def __init__(self, database: Database, objects: FolderObjects) -> None:
        self.database = database
        self.objects = objects

    async def store(self, partner: Partner, *studies: str) -> str:
        """Store studies of one instance each, in one segment; gives its key."""
        data = part10(slices(1)[0])
        writer = self.objects.begin()
        base = read_header(memoryview(data), object_key=writer.key, object_offset=0)
        instances: list[Instance] = []
        for study in studies:
            offset = writer.offset
            writer.write([data])
            instances.append(
                replace(
                    base,
                    study_instance_uid=study,
                    sop_instance_uid=f"{study}.1",
                    object_offset=offset,
                    frames=tuple(replace(f, sop_instance_uid=f"{study}.1") for f in base.frames),
                )
            )
        writer.commit()
        async with self.database.connection() as connection, connection.transaction():
            outcomes = await add_instances(
                connection, partner.tenant, instances, same_pixels=lambda a, b: True
            )
            await note_arrivals(connection, partner, outcomes)
        return writer.key

    async def age(self, study: str, days: float) -> None:
        """Let a study and its screenings have been there for so long."""
        async with self.database.connection() as connection:
            for table, column in (("studies", "updated_at"), ("screenings", "finished_at")):
                await connection.execute(
                    f"UPDATE {table} SET {column} = {column} - %s WHERE study_instance_uid = %s",
                    (timedelta(days=days), study),
                )
            await connection.execute(
                "UPDATE instances SET received_at = received_at - %s WHERE study_instance_uid = %s",
                (timedelta(days=days), study),
            )

    async def screened(self, study: str, *, ended: bool) -> None:
        async with self.database.connection() as connection:
            asked = screenings.Order(study_instance_uid=study, checks=("liver",), clinical={})
            row, _ = await screenings.create(connection, "default", asked)
            claim = await screenings.claim(connection, row["screening_id"], 1, "w")
            assert claim is not None
            if ended:
                await screenings.finish(connection, claim, {})

    async def left(self) -> set[str]:
        return {row["study_instance_uid"] for row in await self.rows("studies")}

    async def rows(self, table: str) -> Sequence[dict[str, Any]]:
        async with self.database.connection() as connection:
            cursor = await connection.execute(f"SELECT * FROM {table}")
            return await cursor.fetchall()

    async def retain(self, *, dry_run: bool = False) -> Run:
        run = await retain(self.database, PARTNERS, SETTINGS, dry_run=dry_run)
        assert run is not None
        async with self.database.connection() as connection:
            await delete_doomed(connection, self.objects)
        return run

    def keys(self) -> set[str]:
        return {key for key, _ in self.objects.list()}


@pytest_asyncio.fixture
async def shelf(database_url: str, tmp_path: Path) -> AsyncIterator[Shelf]:
    async with Database(database_url, size=5) as made:
        async with made.connection() as connection:
            for tenant in ("default", "other"):
                await ensure_tenant(connection, tenant)
        yield Shelf(made, FolderObjects(tmp_path / "objects", reserve_bytes=0))


async def test_images_go_when_their_partner_s_days_are_over(shelf: Shelf) -> None:
    """Each partner's own days; what is younger, open or for ever stays, and so do results."""
    ages = {"1.1": (SHORT, 3), "1.2": (SHORT, 1), "1.3": (FOREVER, 99), "1.4": (OTHER, 11)}
    for study, (partner, days) in ages.items():
        await shelf.store(partner, study)
        if study != "1.4":
            await shelf.screened(study, ended=True)
        await shelf.age(study, days)
    await shelf.store(SHORT, "1.5")
    await shelf.screened("1.5", ended=False)
    await shelf.age("1.5", 99)
    would = await shelf.retain(dry_run=True)
    assert {tenant: gone.studies for tenant, gone in would.tenants.items()} == {
        "default": 1,
        "other": 1,
    }
    assert len(await shelf.left()) == 5
    ran = await shelf.retain()
    assert {t: (g.studies, g.bytes) for t, g in ran.tenants.items()} == {
        t: (g.studies, g.bytes) for t, g in would.tenants.items()
    }
    assert await shelf.left() == {"1.2", "1.3", "1.5"}
    for table in ("instances", "frames", "series", "arrivals"):
        assert {row["study_instance_uid"] for row in await shelf.rows(table)} == {
            "1.2",
            "1.3",
            "1.5",
        }, table
    assert len(await shelf.rows("screenings")) == 4
    assert len(shelf.keys()) == 3
    lines = [row for row in await shelf.rows("audit") if row["action"] == "retention.ran"]
    assert [(row["tenant"], row["detail"]["studies"]) for row in lines] == [
        ("default", 1),
        ("other", 1),
    ]
    assert (await shelf.retain()).studies == 0
    assert len([r for r in await shelf.rows("audit") if r["action"] == "retention.ran"]) == 2


async def test_days_count_from_the_last_result(shelf: Shelf) -> None:
    """A study that came long ago and was screened yesterday stays."""
    await shelf.store(SHORT, "1.1")
    await shelf.age("1.1", 30)
    await shelf.screened("1.1", ended=True)
    assert (await shelf.retain()).studies == 0


async def test_a_segment_goes_with_the_last_of_its_instances(shelf: Shelf) -> None:
    """Two studies of one request: the bytes of the one are the other's neighbours."""
    key = await shelf.store(SHORT, "1.1", "1.2")
    await shelf.age("1.1", 5)
    await shelf.retain()
    assert (await shelf.left(), shelf.keys()) == ({"1.2"}, {key})
    [row] = await shelf.rows("instances")
    data = shelf.objects.read(key, row["object_offset"], row["object_length"])
    assert data == part10(slices(1)[0])
    await shelf.age("1.2", 5)
    await shelf.retain()
    assert (await shelf.left(), shelf.keys()) == (set(), set())
    assert await shelf.rows("doomed_objects") == []


async def test_a_segment_that_may_still_grow_is_left_alone(shelf: Shelf) -> None:
    """What came a moment ago may be followed by another study's instance in the same segment."""
    key = await shelf.store(SHORT, "1.1")
    async with shelf.database.connection() as connection:
        await remove_images(connection, "default", "1.1")
    async with shelf.database.connection() as connection:
        assert await delete_doomed(connection, shelf.objects) == 0
    assert shelf.keys() == {key}
    async with shelf.database.connection() as connection:
        await connection.execute("UPDATE doomed_objects SET due_at = now()")
    async with shelf.database.connection() as connection:
        assert await delete_doomed(connection, shelf.objects) == 1
    assert shelf.keys() == set()


async def test_a_study_that_is_being_added_to_is_left_alone(shelf: Shelf) -> None:
    """Its lock is held by whoever adds; the next run looks again."""
    await shelf.store(SHORT, "1.1")
    await shelf.age("1.1", 5)
    async with shelf.database.connection() as connection:
        await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('default/1.1', 0))")
        assert (await shelf.retain()).studies == 0
        assert await shelf.left() == {"1.1"}
    assert (await shelf.retain()).studies == 1


async def test_empty_days_of_the_index_are_dropped(shelf: Shelf) -> None:
    """Past days without a study; a day with one, and today, stay."""
    await shelf.store(SHORT, "1.1")
    async with shelf.database.connection() as connection:
        from datetime import date

        from gateway.store.partitions import ensure_partition

        for day in (date(2026, 1, 1), date(2026, 1, 2)):
            await ensure_partition(connection, day)
        await connection.execute(
            "INSERT INTO studies (tenant, study_instance_uid, day)"
            " VALUES ('default', '1.9', '2026-01-02')"
        )
    assert (await shelf.retain()).partitions == 1
    async with shelf.database.connection() as connection:
        cursor = await connection.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname LIKE 'instances_2026%%'"
        )
        names = {row["relname"] for row in await cursor.fetchall()}
    assert "instances_20260101" not in names
    assert "instances_20260102" in names
    assert len(await shelf.rows("instances")) == 1


async def test_old_events_of_ended_screenings_go(shelf: Shelf) -> None:
    """Those of an open one stay, however old."""
    for study, ended in (("1.1", True), ("1.2", False)):
        await shelf.store(FOREVER, study)
        await shelf.screened(study, ended=ended)
        await shelf.age(study, 31)
    run = await shelf.retain()
    assert run.events == 3
    assert {row["kind"] for row in await shelf.rows("screening_events")} == {"accepted", "running"}


async def test_one_run_at_a_time(shelf: Shelf) -> None:
    """Another process that is at it makes this one give way."""
    from gateway.store.retention import LOCK

    async with shelf.database.connection() as connection:
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        assert await retain(shelf.database, PARTNERS, SETTINGS) is None


async def stored(client: Client, folder: Path, study: str) -> None:
    body = body_of(write_small_ct(folder, slices=2, study_instance_uid=study))
    async with client.post(
        "/dicomweb/studies", data=body, headers={"Content-Type": STORE_TYPE}
    ) as answer:
        assert answer.status == 200


async def test_a_study_is_deleted_on_request(database_url: str, tmp_path: Path) -> None:
    """Results stay unless they are named; an open screening forbids it; it is audited."""
    study = "1.2.826.0.9.5"
    async with running(api_settings(database_url, tmp_path)) as client:
        await stored(client, tmp_path / "ct", study)
        made = await order(client, study)
        path = f"/v1/studies/{study}"
        await problem(await client.delete(path), 409, "request.conflict")
        await client.post(f"/v1/screenings/{made['screening_id']}/cancel")
        await problem(await client.delete(f"{path}?results=x"), 400, "request.invalid_query")
        assert (await client.delete(path)).status == 204
        await problem(await client.get(path), 404, "request.not_found")
        await problem(await client.delete(path), 404, "request.not_found")
        kept = f"/v1/screenings/{made['screening_id']}"
        assert (await client.get(kept)).status == 200
        assert (await client.delete(f"{path}?results=delete")).status == 204
        assert (await client.get(kept)).status == 404
        assert client.app is not None
        async with database(client).connection() as connection:
            cursor = await connection.execute(
                "SELECT actor, subject, detail FROM audit WHERE action = 'study.deleted'"
                " ORDER BY audit_id"
            )
            lines = await cursor.fetchall()
            await connection.execute("UPDATE doomed_objects SET due_at = now()")
        assert [(r["actor"], r["subject"], r["detail"]["results"]) for r in lines] == [
            ("key:default", study, "kept"),
            ("key:default", study, "deleted"),
        ]
        assert lines[0]["detail"]["instances"] == 2
        async with database(client).connection() as connection:
            assert await orphans(connection, client.app[OBJECTS], timedelta()) != []
            assert await delete_doomed(connection, client.app[OBJECTS]) == 1
        assert list(client.app[OBJECTS].list()) == []
        await stored(client, tmp_path / "ct", study)  # it may come again
        assert (await client.get(path)).status == 200


async def test_retain_on_the_machine(
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    shelf: Shelf,
) -> None:
    """Counts first, deletes then."""
    import asyncio

    from gateway import cli

    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("ONESCAN_HOME", str(tmp_path))
    monkeypatch.setenv("ONESCAN_RETENTION__PIXEL_DAYS", "10")
    await shelf.store(OTHER, "1.4")
    await shelf.age("1.4", 11)
    for arguments, left in ((("--dry-run",), {"1.4"}), ((), set())):
        code = await asyncio.to_thread(cli.main, ["ops", "retain", "--json", *arguments])
        told = json.loads(capsys.readouterr().out)
        assert (code, told["tenants"]["other"]["studies"]) == (0, 1)
        assert await shelf.left() == left
    assert shelf.keys() == set()


async def test_nothing_is_deleted_while_a_backup_is_made(shelf: Shelf) -> None:
    """Rows go, bytes and partitions stay until the backup's session ends; then they go too."""
    import psycopg
    from psycopg.rows import dict_row

    from gateway.store import hold
    from gateway.store.orphans import sweep_orphans

    key = await shelf.store(OTHER, "1.4")
    await shelf.age("1.4", 11)
    async with await psycopg.AsyncConnection.connect(
        shelf.database.url, row_factory=dict_row, autocommit=True
    ) as holder:
        assert not await hold.holds(holder)
        await hold.hold(holder)
        assert await hold.holds(holder)
        run = await shelf.retain()
        assert (run.studies, run.partitions, shelf.keys()) == (1, 0, {key})
        assert await sweep_orphans(shelf.database, shelf.objects, timedelta(0)) is None
    await shelf.retain()
    assert shelf.keys() == set()
