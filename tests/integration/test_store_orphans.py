"""The sweep of orphans: what it deletes, what it spares, and that it runs."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.intake.header import read_header
from gateway.metrics import ORPHANS
from gateway.store.database import Database
from gateway.store.index import add_instances
from gateway.store.keys import ensure_tenant
from gateway.store.objects import FolderObjects, Writer
from gateway.store.orphans import LOCK, sweep_orphans
from tests.ct_files import part10, slices
from tests.partner_api import api_settings, running

pytestmark = pytest.mark.postgres

DAY = 86_400.0


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with Database(database_url, size=4) as made:
        async with made.connection() as connection:
            await ensure_tenant(connection, "default")
        yield made


@pytest.fixture
def objects(tmp_path: Path) -> FolderObjects:
    return FolderObjects(tmp_path / "objects", reserve_bytes=0)


def written(writer: Writer, data: bytes = b"bytes") -> str:
    writer.write([data])
    writer.commit()
    return writer.key


def aged(objects: FolderObjects, key: str, days: float) -> str:
    """Let an object be so old."""
    at = time.time() - days * DAY
    os.utime(objects.path(key), (at, at))
    return key


def deleted() -> float:
    return float(ORPHANS._value.get())


def there(objects: FolderObjects, *keys: str) -> list[bool]:
    return [objects.path(key).exists() for key in keys]


async def test_what_nothing_points_at_goes_after_a_day(
    database: Database, objects: FolderObjects
) -> None:
    """What is younger stays, and what a row points at, however old."""
    old = aged(objects, written(objects.begin()), 1.1)
    young = aged(objects, written(objects.begin()), 0.9)
    data = part10(slices(1)[0])
    used = aged(objects, written(objects.begin(), data), 400)
    instance = read_header(data, object_key=used, object_offset=0)
    async with database.connection() as connection:
        await add_instances(connection, "default", [instance], same_pixels=lambda old, new: True)
    before = deleted()
    assert await sweep_orphans(database, objects) == 1
    assert there(objects, old, young, used) == [False, True, True]
    assert deleted() == before + 1
    assert await sweep_orphans(database, objects) == 0


async def test_a_segment_that_still_grows_stays(database: Database, objects: FolderObjects) -> None:
    """Its writer's lock says so, whatever its age; once the writer has gone it is judged."""
    writer = objects.grow()
    writer.write([b"one"])
    writer.publish()
    aged(objects, writer.key, 3)
    assert await sweep_orphans(database, objects) == 0
    assert there(objects, writer.key) == [True]
    writer.end()
    assert await sweep_orphans(database, objects) == 1
    assert there(objects, writer.key) == [False]


async def test_one_sweeps_at_a_time(database: Database, objects: FolderObjects) -> None:
    """Another process leaves it to the first one, and does not wait."""
    old = aged(objects, written(objects.begin()), 2)
    async with database.connection() as connection:
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        assert await sweep_orphans(database, objects) is None
        assert there(objects, old) == [True]
    assert await sweep_orphans(database, objects) == 1


async def test_the_api_sweeps_beside_its_work(database_url: str, tmp_path: Path) -> None:
    """As often as the settings say; never where they say 0."""
    settings = api_settings(database_url, tmp_path)
    objects = FolderObjects(settings.objects, reserve_bytes=0)
    old = aged(objects, written(objects.begin()), 2)
    never = replace(settings, store=replace(settings.store, orphan_seconds=0))
    async with running(never):
        await asyncio.sleep(0.5)
        assert there(objects, old) == [True]
    often = replace(settings, store=replace(settings.store, orphan_seconds=0.1))
    async with running(often, "1.2.3"), asyncio.timeout(20):
        while there(objects, old) == [True]:  # noqa: ASYNC110 - another task's file
            await asyncio.sleep(0.05)
