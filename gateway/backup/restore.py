"""Restore a backup into an empty deployment: all of it, or nothing."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg

from gateway.backup import copying, home_files
from gateway.backup.manifest import DATABASE, OBJECTS, Listed, Manifest, read_list
from gateway.backup.place import Place
from gateway.backup.snapshot import count_rows, pointed_at
from gateway.backup.target import Target, connect, empty_target
from gateway.backup.verify import check_files
from gateway.exceptions import (
    BackupError,
    DamagedBackupError,
    NewerBackupError,
    NotFoundError,
    OneScanError,
    StoreUnavailableError,
    TargetNotEmptyError,
)
from gateway.runtime import pgtools
from gateway.settings import Settings
from gateway.store import audit, screenings
from gateway.store.audit import Head
from gateway.store.database import Connection
from gateway.store.migrate import migrate
from gateway.store.objects import ObjectStore
from gateway.store.open_objects import open_objects
from gateway.store.schema import head


@dataclass(frozen=True, slots=True)
class Restored:
    """What is there again."""

    manifest: Manifest
    migrated_to: str
    audit_lines: int
    handed_back: int
    """Screenings that were running; they wait in the queue again."""

    settings: Mapping[str, str | None]
    """Settings of the deployment that was backed up and that this one has otherwise."""

    seconds: float


async def restore(settings: Settings, place: Place, *, actor: str, name: str = "") -> Restored:
    """Restore a backup, the newest without a name, into a deployment that has nothing yet.

    No part of it may run. Whatever is damaged is found before it is used; after a failure the
    deployment is as empty as before.

    Raises
    ------
    NoBackupError, DamagedBackupError, NewerBackupError
        When there is nothing that could be restored.
    TargetNotEmptyError
        When the deployment has something already.
    BackupError
        When what was restored is not what was backed up.
    """
    begun = time.monotonic()
    with place.lock(alone=False):
        manifest = place.read(name)
        folder = place.folder(manifest.name)
        if manifest.revision > head():
            raise NewerBackupError(
                f"The backup has the schema {manifest.revision} and this release knows {head()} at"
                f" most; restore it with OneScan {manifest.software} or later."
            )
        await asyncio.to_thread(check_files, folder, manifest)
        listed = await asyncio.to_thread(_listed, place, folder, manifest)
        own = home_files.of_home(manifest.files)
        home_files.refuse_others(settings.home, folder, own)
        try:
            async with empty_target(settings) as target:
                objects = await asyncio.to_thread(open_objects, settings)
                with _Undo() as undo:
                    await undo.watch(_Putting(place, objects, listed, undo).run)
                    await _fill(target, folder, manifest)
                    lines, handed_back = await _settle(target, manifest, listed, actor)
                    undo.files += home_files.put(settings.home, folder, own)
                    undo.done = target.whole = True
        except psycopg.OperationalError as error:
            raise StoreUnavailableError(f"The database: {error}") from None
        except psycopg.Error as error:
            raise BackupError(f"The database: {str(error).splitlines()[0]}") from None
    ours = home_files.settings_of(settings)
    return Restored(
        manifest,
        head(),
        lines,
        handed_back,
        {key: value for key, value in manifest.settings.items() if ours.get(key, "") != value},
        time.monotonic() - begun,
    )


def _listed(place: Place, folder: Path, manifest: Manifest) -> dict[str, Listed]:
    """Read the list of objects, and see at once whether one of them is missing."""
    listed = {item.key: item for item in read_list(folder / OBJECTS)}
    if len(listed) != manifest.objects:
        raise DamagedBackupError(f"{folder / OBJECTS} does not list {manifest.objects} objects.")
    for item in listed.values():
        if place.size(item.key) < item.bytes:
            raise DamagedBackupError(f"The object {item.key} is missing or cut off in the backup.")
    return listed


class _Undo:
    """What a restore has put so far, taken back unless it comes to its end."""

    def __init__(self) -> None:
        self.done = False
        self.files: list[Path] = []
        self.stop = threading.Event()
        self._deletions: list[Callable[[], None]] = []

    def later(self, delete: Callable[[], None]) -> None:
        """Note how something is deleted again."""
        self._deletions.append(delete)

    async def watch(self, work: Callable[[], None]) -> None:
        """Run something in a thread and, when cancelled, stop it and wait for its end."""
        running = asyncio.create_task(asyncio.to_thread(work))
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            self.stop.set()
            await asyncio.wait({running})
            raise

    def __enter__(self) -> _Undo:
        return self

    def __exit__(self, *_: object) -> None:
        if self.done:
            return
        for file in self.files:
            file.unlink(missing_ok=True)
        for delete in self._deletions:
            with suppress(OneScanError, OSError):  # the next restore finds it and takes it
                delete()


class _Putting:
    """Brings the objects of a backup into a store that has none; blocks."""

    def __init__(
        self, place: Place, objects: ObjectStore, listed: Mapping[str, Listed], undo: _Undo
    ) -> None:
        self._place = place
        self._objects = objects
        self._listed = listed
        self._undo = undo
        self._there: set[str] = set()

    def run(self) -> None:
        """Put every object, and hold each to its digest.

        Raises
        ------
        TargetNotEmptyError
            When the store has an object that is not of this backup.
        DamagedBackupError
            When one was changed in the backup.
        """
        self._there = {key for key, _ in self._objects.list()}  # of a restore that died
        if others := sorted(self._there - self._listed.keys()):
            raise TargetNotEmptyError(
                f"The store has {len(others)} objects that are not of this backup, such as"
                f" {others[0]}."
            )
        for _ in copying.each(self._one, self._listed.values(), self._undo.stop):
            pass

    def _one(self, item: Listed) -> None:
        if item.key in self._there:
            with suppress(BackupError, NotFoundError):
                if copying.digest(self._objects, item.key, item.bytes) == item:
                    return
        self._undo.later(lambda: self._objects.delete(item.key))
        put = copying.copy(
            self._place.objects,
            item.key,
            item.bytes,
            lambda: self._objects.begin_at(item.key, expected_bytes=item.bytes),
        )
        if put != item:
            raise DamagedBackupError(f"The object {item.key} was changed in the backup.")


async def _fill(target: Target, folder: Path, manifest: Manifest) -> None:
    """Restore the database and bring it to this release's schema."""
    tools = pgtools.client_tools(int(manifest.tools.split(".")[0]))
    await asyncio.to_thread(pgtools.restore, tools, target.url, folder / DATABASE)
    async with await connect(target.url) as connection:
        rows = await count_rows(connection)
        for table, number in manifest.rows.items():
            if rows.get(table) != number:
                raise BackupError(
                    f"The table {table} has {rows.get(table, 0)} rows and had {number}."
                )
    await target.name_revision(manifest.revision)
    await asyncio.to_thread(migrate, target.url)


async def _settle(
    target: Target, manifest: Manifest, listed: Mapping[str, Listed], actor: str
) -> tuple[int, int]:
    """Check what is there, and make it fit to go on: its workers are gone.

    Returns
    -------
    tuple of int
        Lines of the audit log, and screenings that wait again.
    """
    async with await connect(target.url) as connection:
        await _check_objects(connection, manifest, listed)
        known = Head.parse(manifest.audit_head) if manifest.audit_head else None
        async with connection.transaction():
            found = await audit.verify(connection, known)
        if found.problems:
            raise BackupError(f"The audit log is not whole: {found.problems[0]}.")
        async with connection.transaction():
            handed_back = await _hand_back(connection)
            await connection.execute("DELETE FROM workers")
            await _close_definers(connection)
            detail = {"point": manifest.point, "objects": manifest.objects}
            await audit.record(connection, "", actor, "backup.restored", manifest.name, detail)
        await connection.execute("ANALYZE")
    return found.head.line + 1, handed_back


async def _check_objects(
    connection: Connection, manifest: Manifest, listed: Mapping[str, Listed]
) -> None:
    """Hold every row to the bytes that it points at."""
    lost = set(manifest.missing)
    for key, length in (await pointed_at(connection)).items():
        if key not in lost and (key not in listed or listed[key].bytes < length):
            raise DamagedBackupError(f"A row points at the object {key}, which is not there.")


async def _hand_back(connection: Connection) -> int:
    """Let screenings that were running wait again, the attempt uncounted: nobody failed at them.

    Those that waited are enqueued again by the reaper where their job is gone.
    """
    cursor = await connection.execute("SELECT * FROM screenings WHERE state = 'running'")
    rows = await cursor.fetchall()
    for row in rows:
        claim = screenings.Claim(
            screening_id=row["screening_id"],
            attempt=row["attempt"],
            worker=row["worker"],
            tenant=row["tenant"],
            lane=row["lane"],
            order=screenings.order_of(row),
        )
        await screenings.hand_back(connection, claim)
    return len(rows)


async def _close_definers(connection: Connection) -> None:
    """Take back what everybody may do with a new function, where it acts as its owner.

    A dump is restored without privileges, since their roles may not exist here.
    """
    cursor = await connection.execute(
        "SELECT oid::regprocedure::text AS name FROM pg_proc"
        " WHERE prosecdef AND pronamespace = current_schema()::regnamespace"
    )
    for row in await cursor.fetchall():
        await connection.execute(f"REVOKE EXECUTE ON FUNCTION {row['name']} FROM PUBLIC")
