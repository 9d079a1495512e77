"""A deployment with studies and screenings in it, for tests of backup and restore."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from gateway.backup.make import Made, make
from gateway.backup.place import Place
from gateway.backup.restore import Restored, restore
from gateway.instance import Instance
from gateway.intake.header import read_header
from gateway.settings import Settings, StoreSettings
from gateway.store import audit, screenings
from gateway.store.database import Database
from gateway.store.index import add_instances, study_instances
from gateway.store.keys import ensure_tenant
from gateway.store.masks import write_mask
from gateway.store.objects import ObjectStore
from gateway.store.open_objects import open_objects
from gateway.store.queue import enqueue
from tests.ct_files import part10, slices

SLICE = part10(slices(1)[0])


def site_settings(database_url: str, home: Path, **store: str) -> Settings:
    """Give the settings of a deployment."""
    return Settings(home=home, store=StoreSettings(database_url=database_url, **store))


class Site:
    """A database and its objects."""

    def __init__(self, settings: Settings, database: Database, objects: ObjectStore) -> None:
        self.settings = settings
        self.database = database
        self.objects = objects

    async def store(self, study: str, number: int = 3) -> bytes:
        """Store a study in one segment; gives its bytes once it would be acknowledged."""
        writer = await asyncio.to_thread(self.objects.begin)
        instances = self._write(writer, study, range(number))
        await asyncio.to_thread(writer.commit)
        await self._index(instances)
        return b"".join(SLICE + f"{study}/{n}".encode() for n in range(number))

    async def store_many(self, number: int) -> None:
        """Store studies of one instance each, in a segment each."""
        instances = []
        for index in range(number):
            writer = self.objects.begin()
            instances += self._write(writer, f"1.2.3.{index}", [0])
            writer.commit()
        await self._index(instances)

    async def grow(self, writer: Any, study: str, number: int) -> None:
        """Add an instance to a growing segment, as an association does."""
        instances = self._write(writer, study, [number])
        await asyncio.to_thread(writer.publish)
        await self._index(instances)

    async def bytes_of(self, study: str) -> bytes:
        """Read a study's bytes by its rows."""
        async with self.database.connection() as connection:
            instances = await study_instances(connection, "default", study)
        return b"".join(
            self.objects.read(i.object_key, i.object_offset, i.object_length)
            for i in sorted(instances, key=lambda item: (item.object_key, item.object_offset))
        )

    async def order(self, study: str, **given: Any) -> screenings.Row:
        """Ask for a screening."""
        asked = screenings.Order(study_instance_uid=study, checks=("liver",), clinical={}, **given)
        async with self.database.connection() as connection:
            row, _ = await screenings.create(connection, "default", asked)
        return row

    async def claim(self, row: screenings.Row, attempt: int = 1) -> screenings.Claim:
        """Take a screening as a worker does."""
        async with self.database.connection() as connection:
            await connection.execute(
                "UPDATE screenings SET attempt = %s WHERE screening_id = %s",
                (attempt, row["screening_id"]),
            )
            await enqueue(connection, str(row["screening_id"]), attempt, row["lane"])
            held = await screenings.claim(connection, row["screening_id"], attempt, "w/gone")
        assert held is not None
        return held

    async def finish(self, held: screenings.Claim, mask: bytes = b"mask") -> None:
        """Release a result with a mask and end the screening."""
        pointer = await asyncio.to_thread(write_mask, self.objects, mask)
        async with self.database.connection() as connection:
            await screenings.release(
                connection, held, check="liver", state="positive", reason=None, result={},
                mask=pointer,
            )  # fmt: skip
            await screenings.finish(connection, held, {"study": {}})

    async def states(self) -> dict[Any, tuple[str, int]]:
        """Give state and attempt of every screening."""
        rows = await self.rows("SELECT screening_id, state, attempt FROM screenings")
        return {row["screening_id"]: (row["state"], row["attempt"]) for row in rows}

    async def rows(self, statement: Any, *values: Any) -> Sequence[dict[str, Any]]:
        async with self.database.connection() as connection:
            cursor = await connection.execute(statement, values)
            return await cursor.fetchall()

    async def audit(self, subject: str) -> None:
        async with self.database.connection() as connection:
            await audit.record(connection, "default", "test", "test.done", subject)

    async def backup(self, folder: Path, **given: Any) -> Made:
        """Make a backup."""
        return await make(self.settings, Place(folder), actor="test", **given)

    def _write(self, writer: Any, study: str, numbers: Sequence[int]) -> list[Instance]:
        instances = []
        base = read_header(memoryview(SLICE), object_key=writer.key, object_offset=0)
        for number in numbers:
            offset, data = writer.offset, SLICE + f"{study}/{number}".encode()
            writer.write([data])
            uid = f"{study}.{number}"
            instances.append(
                replace(
                    base,
                    study_instance_uid=study,
                    sop_instance_uid=uid,
                    object_offset=offset,
                    object_length=len(data),
                    frames=tuple(replace(f, sop_instance_uid=uid) for f in base.frames),
                )
            )
        return instances

    async def _index(self, instances: list[Instance]) -> None:
        async with self.database.connection() as connection:
            await add_instances(connection, "default", instances, same_pixels=lambda a, b: True)


@asynccontextmanager
async def running_site(settings: Settings, *, new: bool = True) -> AsyncIterator[Site]:
    """Open a deployment."""
    async with Database(settings.store.database_url, size=4) as database:
        if new:
            async with database.connection() as connection:
                await ensure_tenant(connection, "default")
        yield Site(settings, database, await asyncio.to_thread(open_objects, settings))


async def restored(settings: Settings, folder: Path, name: str = "") -> Restored:
    """Restore a backup."""
    return await restore(settings, Place(folder), actor="test", name=name)
