"""Make a backup: the database of one moment, then every object that it points at."""

from __future__ import annotations

import asyncio
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import dict_row

from gateway import __version__
from gateway.backup import copying, home_files
from gateway.backup.manifest import (
    DATABASE,
    OBJECTS,
    Listed,
    Manifest,
    describe_file,
    write_line,
)
from gateway.backup.place import DONE, Place, write_durably
from gateway.backup.snapshot import Holder, Snapshot, holding, take
from gateway.exceptions import (
    BackupError,
    DamagedBackupError,
    ObjectMissingError,
    StoreUnavailableError,
    UsageError,
)
from gateway.runtime.database import served_url
from gateway.settings import Settings
from gateway.store import audit
from gateway.store.database import Connection
from gateway.store.objects import ObjectStore
from gateway.store.open_objects import open_objects
from gateway.store.s3_client import SCHEME

CHECK_SECONDS = 20.0
"""How often the hold is looked after while objects are copied."""


@dataclass(frozen=True, slots=True)
class Made:
    """A backup that counts, and what it took."""

    manifest: Manifest
    folder: Path
    copied: int
    copied_bytes: int
    kept: int
    seconds: float
    pruned: tuple[int, int] = (0, 0)
    """Older backups, and objects of theirs alone."""


async def make(
    settings: Settings,
    place: Place,
    *,
    actor: str,
    skip_missing: bool = False,
    keep: int = 0,
) -> Made:
    """Make a backup of a deployment, whose server may run or not.

    Objects that an earlier backup in the same place has are not copied again.

    Parameters
    ----------
    skip_missing : bool
        Go on without objects that the store has lost; the manifest names them.
    keep : int
        Remove older backups beyond so many, once this one counts; 0 keeps all.

    Raises
    ------
    ObjectMissingError
        When the store has lost an object and `skip_missing` is not set.
    BackupError
        When it did not come to its end; nothing counts then.
    """
    begun = time.monotonic()
    _refuse_own_folders(settings, place)
    place.make()
    with place.lock(alone=True):
        place.objects.sweep_temporary()
        known = place.known()
        given_up = place.partials()
        for old in given_up:
            (old / DATABASE).unlink(missing_ok=True)  # only its objects are of use
        folder = place.begin()
        try:
            async with served_url(settings) as url, holding(url) as holder:
                snapshot = await take(url, folder / DATABASE)
                source = await asyncio.to_thread(open_objects, settings)
                task = _Copying(source, place, folder, known, skip_missing=skip_missing)
                await _watched(holder, task, lambda: task.run(snapshot.objects))
                await holder.check()
                manifest = _manifest(settings, folder, snapshot, task)
                await asyncio.to_thread(place.finish, folder, manifest)
                await _note(url, actor, manifest)
        except psycopg.OperationalError as error:
            raise StoreUnavailableError(f"The database: {error}") from None
        except OSError as error:
            raise BackupError(f"{place.root}: {error.strerror or error}.") from None
        for old in given_up:
            await asyncio.to_thread(_remove, old)
        pruned = await asyncio.to_thread(place.prune, keep) if keep else (0, 0)
    return Made(
        manifest,
        place.folder(manifest.name),
        len(task.copied),
        sum(item.bytes for item in task.copied),
        len(task.listed) - len(task.copied),
        time.monotonic() - begun,
        pruned,
    )


class _Copying:
    """Brings the objects of a snapshot into a place; blocks, in a thread of its own."""

    def __init__(
        self,
        source: ObjectStore,
        place: Place,
        folder: Path,
        known: dict[str, Listed],
        *,
        skip_missing: bool,
    ) -> None:
        self.stop = threading.Event()
        self.listed: list[Listed] = []
        self.copied: list[Listed] = []
        self.missing: list[str] = []
        self._source = source
        self._place = place
        self._folder = folder
        self._known = known
        self._skip_missing = skip_missing

    def run(self, wanted: Mapping[str, int]) -> None:
        """Copy what is not there yet, and write the list of all."""
        with (self._folder / DONE).open("x", buffering=1, encoding="utf-8") as done:
            for item in copying.each(self._one, wanted.items(), self.stop):
                if item is not None:
                    done.write(write_line(item))  # for the next run, should this one die
        lines = "".join(write_line(item) for item in sorted(self.listed, key=lambda i: i.key))
        write_durably(self._folder / OBJECTS, lines.encode())

    def _one(self, wanted: tuple[str, int]) -> Listed | None:
        key, length = wanted
        there, known = self._place.size(key), self._known.get(key)
        if known is not None and known.bytes == length <= there:
            self.listed.append(known)
            return known
        try:
            if there > length:  # it grew, and the database is of an earlier moment than then
                item = copying.digest(self._source, key, length)
                if copying.digest(self._place.objects, key, length) != item:
                    raise DamagedBackupError(f"{self._place.objects.path(key)} is damaged.")
            else:
                item = copying.copy(
                    self._source,
                    key,
                    length,
                    lambda: self._place.objects.begin_at(key, expected_bytes=length),
                )
        except ObjectMissingError as error:
            if not self._skip_missing:
                raise ObjectMissingError(
                    f"{error} Look for it; --skip-missing makes a backup without it."
                ) from None
            self.missing.append(key)
            return None
        self.copied.append(item)
        self.listed.append(item)
        return item


async def _watched(holder: Holder, task: _Copying, work: Callable[[], None]) -> None:
    """Let work run in a thread while the hold is looked after; without it the work is stopped."""
    running = asyncio.create_task(asyncio.to_thread(work))
    try:
        while not (await asyncio.wait({running}, timeout=CHECK_SECONDS))[0]:
            await holder.check()
        await running
    except BaseException:
        task.stop.set()
        await asyncio.wait({running})
        raise


def _manifest(settings: Settings, folder: Path, snapshot: Snapshot, task: _Copying) -> Manifest:
    (folder / DATABASE).chmod(0o600)
    names = [DATABASE, OBJECTS, *home_files.collect(settings, folder)]
    return Manifest(
        name=folder.name.removesuffix(".partial"),
        point=snapshot.point,
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        software=__version__,
        revision=snapshot.revision,
        server=snapshot.server,
        tools=snapshot.tools,
        wal_lsn=snapshot.wal_lsn,
        audit_head=snapshot.audit_head,
        rows=dict(snapshot.rows),
        open_screenings=snapshot.open_screenings,
        objects=len(task.listed),
        object_bytes=sum(item.bytes for item in task.listed),
        missing=tuple(sorted(task.missing)),
        files=tuple(describe_file(folder, name) for name in names),
        settings=home_files.settings_of(settings),
    )


async def _note(url: str, actor: str, manifest: Manifest) -> None:
    """Leave a line in the audit log: patients' data has left the deployment."""
    connection: Connection
    with suppress(psycopg.Error):  # the backup counts, whatever becomes of the line
        async with await AsyncConnection.connect(url, row_factory=dict_row) as connection:
            detail = {"point": manifest.point, "objects": manifest.objects}
            await audit.record(connection, "", actor, "backup.made", manifest.name, detail)


def _refuse_own_folders(settings: Settings, place: Place) -> None:
    if settings.store.objects.startswith(SCHEME):
        return
    own = settings.objects.resolve()
    root = place.root.resolve()
    if own == root or own in root.parents or own == root / OBJECTS:
        raise UsageError(f"{place.root} is a part of the store; a backup belongs elsewhere.")


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
