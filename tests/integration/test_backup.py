"""Backups of a deployment that works, and what a restore of them gives back."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
import pytest_asyncio

from gateway import cli
from gateway.backup import snapshot
from gateway.backup.manifest import DATABASE, MANIFEST, OBJECTS, Manifest, read_list
from gateway.backup.place import DONE, PARTIAL, Place
from gateway.backup.verify import verify
from gateway.exceptions import (
    BackupBusyError,
    BackupError,
    DamagedBackupError,
    NewerBackupError,
    NoBackupError,
    ObjectMissingError,
    StoreUnavailableError,
    TargetNotEmptyError,
    UsageError,
)
from gateway.runtime import pgtools
from gateway.runtime.pginstall import unprivileged_account, wheel_install
from gateway.store import deletion, hold, screenings
from gateway.store.audit import Head
from gateway.store.audit import verify as verify_audit
from gateway.store.migrate import migrate
from gateway.store.objects import FolderObjects
from gateway.store.reaper import reap
from tests.backup_site import Site, restored, running_site, site_settings
from tests.databases import fresh_database
from tests.s3_server import S3Server

pytestmark = pytest.mark.postgres

PATIENCE_SECONDS = 30.0


@pytest.fixture
def empty_url(postgres_url: str) -> Iterator[str]:
    with fresh_database(postgres_url, "template1") as url:
        yield url


@pytest_asyncio.fixture
async def site(database_url: str, tmp_path: Path) -> AsyncIterator[Site]:
    async with running_site(site_settings(database_url, tmp_path / "home")) as made:
        yield made


@pytest.fixture
def dest(tmp_path: Path) -> Path:
    return tmp_path / "dest"


@pytest.fixture
def new(empty_url: str, tmp_path: Path) -> Any:
    """Settings of a deployment that has nothing yet."""
    return site_settings(empty_url, tmp_path / "new")


def is_empty(settings: Any) -> bool:
    """Tell whether neither database nor objects nor home have anything."""
    with psycopg.connect(settings.store.database_url) as connection:
        row = connection.execute(
            "SELECT (SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace)"
            " + (SELECT count(*) FROM pg_proc WHERE pronamespace = 'public'::regnamespace)"
            " + (SELECT count(*) FROM pg_type WHERE typnamespace = 'public'::regnamespace)"
        ).fetchone()
    objects = list(FolderObjects(settings.objects, reserve_bytes=0).list())
    return row == (0,) and not objects and not (settings.home / "key").exists()


def flip(file: Path, at: int = -1) -> None:
    """Change one byte."""
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.write_bytes(data)


# --- what a restore gives back ------------------------------------------------------------


async def test_everything_acknowledged_before_the_point_is_restored(
    site: Site, dest: Path, new: Any
) -> None:
    """While studies come by request and association, are screened, and are deleted."""
    stored: dict[str, tuple[bytes, datetime]] = {}
    done: dict[Any, datetime] = {}
    deleted: set[str] = set()
    stop = asyncio.Event()

    async def send() -> None:
        number = 0
        while not stop.is_set():
            study = f"1.2.3.{number}"
            data = await site.store(study)
            stored[study] = (data, datetime.now(UTC))
            held = await site.claim(await site.order(study))
            await site.finish(held, b"mask of " + study.encode())
            done[held.screening_id] = datetime.now(UTC)
            number += 1

    async def associate() -> None:
        assert isinstance(site.objects, FolderObjects)
        writer, grown = site.objects.grow(), 0
        while not stop.is_set():
            await site.grow(writer, "1.2.4.1", grown)
            grown += 1
            stored[f"1.2.4.1.{grown}"] = (b"", datetime.now(UTC))
        await asyncio.to_thread(writer.end)

    async def delete() -> None:
        number = 0
        while not stop.is_set():
            if f"1.2.3.{number + 3}" in stored:
                study = f"1.2.3.{number}"
                async with site.database.connection() as connection:
                    try:
                        await deletion.delete_study(
                            connection, "default", study, results=True, actor="test"
                        )
                    except screenings.ConflictError:
                        continue
                    await connection.execute("UPDATE doomed_objects SET due_at = now()")
                    deleted.add(study)
                number += 2
            async with site.database.connection() as connection:
                await deletion.delete_doomed(connection, site.objects)
            await asyncio.sleep(0.01)

    async with asyncio.TaskGroup() as tasks:
        working = [tasks.create_task(work()) for work in (send, associate, delete)]
        await asyncio.sleep(1.0)
        made = await site.backup(dest)
        stop.set()
    assert all(task.done() for task in working)
    assert not verify(Place(dest)).problems
    point = datetime.fromisoformat(made.manifest.point)
    assert 3 < len([at for _, at in stored.values() if at < point]) < len(stored)
    assert deleted
    report = await restored(new, dest)
    assert report.audit_lines == made.manifest.rows["audit"] + 1
    async with running_site(new, new=False) as again:
        kept = 0
        for study, (data, at) in stored.items():
            if study.startswith("1.2.3.") and at < point and study not in deleted:
                assert await again.bytes_of(study) == data
                kept += 1
        assert kept
        grown = sum(1 for s, (_, at) in stored.items() if s.startswith("1.2.4.") and at < point)
        assert (await again.bytes_of("1.2.4.1")).count(b"1.2.4.1/") >= grown > 1
        states = await again.states()
        gone = set(done) - set(await site.states())
        sure = [one for one, at in done.items() if at < point and one not in gone]
        assert {states[one] for one in sure} == {("done", 1)}
        for row in await again.rows("SELECT * FROM masks"):
            mask = again.objects.read(row["object_key"], row["object_offset"], 99)
            assert mask.startswith(b"mask of 1.2.3.")
        async with again.database.connection() as connection:
            found = await verify_audit(connection, Head.parse(made.manifest.audit_head))
        assert not found.problems


async def test_open_screenings_go_on_after_a_restore(site: Site, dest: Path, new: Any) -> None:
    """One that ran waits again and its attempt does not count; one whose job is gone gets one."""
    await site.store("1.2.3")
    ran, lost, ended, failed = [await site.order("1.2.3") for _ in range(4)]
    await site.claim(ran, attempt=3)
    await site.finish(await site.claim(ended))
    async with site.database.connection() as connection:
        await connection.execute("DELETE FROM procrastinate_jobs WHERE id = %s", (lost["job_id"],))
        await connection.execute(
            "UPDATE screenings SET state = 'failed', finished_at = now() WHERE screening_id = %s",
            (failed["screening_id"],),
        )
    made = await site.backup(dest)
    assert made.manifest.open_screenings == 2
    report = await restored(new, dest)
    assert report.handed_back == 1
    async with running_site(new, new=False) as again:
        states = await again.states()
        assert [states[row["screening_id"]] for row in (ran, lost, ended, failed)] == [
            ("accepted", 3),
            ("accepted", 1),
            ("done", 1),
            ("failed", 1),
        ]
        async with again.database.connection() as connection:
            found = await reap(connection, new.worker)
        assert (found.enqueued, found.retried, found.failed) == (1, 0, 0)
        jobs = await again.rows("SELECT id FROM procrastinate_jobs WHERE status = 'todo'")
        wanted = await again.rows("SELECT job_id FROM screenings WHERE state = 'accepted'")
        assert {row["job_id"] for row in wanted} <= {row["id"] for row in jobs}
        assert not await again.rows("SELECT * FROM workers")
        acting = "SELECT proname, proacl::text AS acl FROM pg_proc WHERE prosecdef ORDER BY 1"
        assert await again.rows(acting) == await site.rows(acting) != []


async def test_keys_and_settings_come_along(site: Site, dest: Path, new: Any) -> None:
    """Readable by their owner only; passwords of the old database and settings do not."""
    home = site.settings.home
    files = {
        "key": b"k3y",
        "webhook-key": b"wh",
        "log-key": b"l",
        "partners.toml": b"# partners\n",
        "thresholds/north.toml": b"schema = 1\n",
        "thresholds/north/evidence.json": b"{}",
    }
    for name, data in files.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_bytes(data)
    (home / "postgres").mkdir()
    (home / "postgres" / "password").write_text("s3cret")
    settings = replace(
        site.settings,
        screening=replace(site.settings.screening, site="north"),
        webhooks=replace(site.settings.webhooks, key="s3cret"),
    )
    made = await Site(settings, site.database, site.objects).backup(dest)
    assert {path.stat().st_mode & 0o077 for path in dest.rglob("*")} == {0}
    texts = [path.read_bytes() for path in made.folder.rglob("*") if path.is_file()]
    assert not any(b"s3cret" in text for text in texts)
    report = await restored(new, dest)
    assert {name: (new.home / name).read_bytes() for name in files} == files
    assert {(new.home / name).stat().st_mode & 0o777 for name in files} == {0o600}
    assert report.settings == {
        "ONESCAN_SCREENING__SITE": "north",
        "ONESCAN_WEBHOOKS__KEY": None,
    }


async def test_a_bucket_is_backed_up_and_restored_as_a_folder_is(
    s3: S3Server, database_url: str, empty_url: str, tmp_path: Path
) -> None:
    """Objects keep their keys, so that a deployment may change its store on the way."""
    there = {"objects": f"{s3.url}/a", "s3_endpoint": s3.endpoint}
    async with running_site(site_settings(database_url, tmp_path / "home", **there)) as site:
        data = await site.store("1.2.3", 5)
        await site.backup(tmp_path / "dest")
    folder = site_settings(empty_url, tmp_path / "new")
    await restored(folder, tmp_path / "dest")
    async with running_site(folder, new=False) as again:
        assert await again.bytes_of("1.2.3") == data
        with psycopg.connect(empty_url, autocommit=True) as connection:
            connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    back = site_settings(empty_url, tmp_path / "third", **{**there, "objects": f"{s3.url}/b"})
    await restored(back, tmp_path / "dest")
    async with running_site(back, new=False) as third:
        assert await third.bytes_of("1.2.3") == data


@contextmanager
def older_server(folder: Path) -> Iterator[str]:
    """Run the distribution's PostgreSQL; gives the URL of a user who may not do everything."""
    account = unprivileged_account() if os.geteuid() == 0 else None
    given: dict[str, Any] = {"cwd": "/tmp", "stdout": subprocess.DEVNULL, "check": True}
    if account is not None:
        os.chown(folder, account.pw_uid, account.pw_gid)
        given |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    programs = sorted(pgtools.DEBIAN.glob("*/bin"))[0]
    data = str(folder / "data")
    subprocess.run(
        [programs / "initdb", "-D", data, "-U", "own", "--auth=trust", "--locale=C.UTF-8"], **given
    )
    options = f"-c listen_addresses= -c fsync=off -k {folder}"
    log = str(folder / "log")
    subprocess.run(
        [programs / "pg_ctl", "-D", data, "-w", "-o", options, "-l", log, "start"], **given
    )
    try:
        with psycopg.connect(f"postgresql://own@/postgres?host={folder}", autocommit=True) as own:
            own.execute("CREATE ROLE plain LOGIN")
            for name in ("a", "b", "c"):
                own.execute(f"CREATE DATABASE {name} OWNER plain")
        yield f"postgresql://plain@/{{}}?host={folder}"
    finally:
        subprocess.run([programs / "pg_ctl", "-D", data, "-m", "fast", "stop"], **given)


async def test_an_older_server_is_dumped_and_filled_by_whatever_programs_are_there(
    tmp_path: Path, need_tool: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its own and by the wheel's newer ones, for a user who owns the database and no more."""
    need_tool("pg_dump")
    with tempfile.TemporaryDirectory(prefix="os-pg-", dir="/tmp") as short:
        with older_server(Path(short)) as url:
            await asyncio.to_thread(migrate, url.format("a"))
            async with running_site(site_settings(url.format("a"), tmp_path / "home")) as site:
                data = await site.store("1.2.3")
                own = await site.backup(tmp_path / "own")
                monkeypatch.setattr(pgtools, "_folders", lambda: [wheel_install() / "bin"])
                newer = await site.backup(tmp_path / "newer")
            assert own.manifest.tools < newer.manifest.tools
            monkeypatch.undo()
            for name, dest in (("b", "own"), ("c", "newer")):
                new = site_settings(url.format(name), tmp_path / name)
                await restored(new, tmp_path / dest)
                async with running_site(new, new=False) as again:
                    assert await again.bytes_of("1.2.3") == data


# --- several backups in one place ---------------------------------------------------------


async def test_a_second_backup_copies_what_is_new(site: Site, dest: Path, new: Any) -> None:
    """And what has grown; the first one stays whole, and may be restored by its name."""
    assert isinstance(site.objects, FolderObjects)
    first = await site.store("1.2.3")
    writer = site.objects.grow()
    await site.grow(writer, "1.2.4", 0)
    one = await site.backup(dest)
    assert (one.copied, one.kept) == (2, 0)
    await site.grow(writer, "1.2.4", 1)
    await site.store("1.2.5")
    writer.end()
    two = await site.backup(dest)
    assert (two.copied, two.kept) == (2, 1)
    three = await site.backup(dest)
    assert (three.copied, three.kept) == (0, 3)
    for made in (one, two, three):
        assert not verify(Place(dest), made.manifest.name).problems
    await restored(new, dest, one.manifest.name)
    async with running_site(new, new=False) as again:
        assert await again.bytes_of("1.2.3") == first
        assert (await again.bytes_of("1.2.4")).endswith(b"1.2.4/0")
        assert await again.bytes_of("1.2.5") == b""


async def test_a_shorter_segment_never_takes_a_longer_one_s_place(
    site: Site, dest: Path, new: Any
) -> None:
    """A deployment that went back to an earlier backup goes on with the same place."""
    assert isinstance(site.objects, FolderObjects)
    writer = site.objects.grow()
    await site.grow(writer, "1.2.4", 0)
    one = await site.backup(dest)
    await site.grow(writer, "1.2.4", 1)
    writer.end()
    two = await site.backup(dest)
    await restored(new, dest, one.manifest.name)
    async with running_site(new, new=False) as again:
        three = await again.backup(dest)
    assert three.manifest.object_bytes == one.manifest.object_bytes
    assert two.manifest.object_bytes > three.manifest.object_bytes
    for made in (one, two, three):
        assert not verify(Place(dest), made.manifest.name).problems


async def test_old_backups_go_with_what_they_alone_had(site: Site, dest: Path) -> None:
    """A patient's deleted study leaves the backups too, as many backups later."""
    await site.store("1.2.3")
    await site.store("1.2.4")
    first = await site.backup(dest)
    async with site.database.connection() as connection:
        await deletion.delete_study(connection, "default", "1.2.3", results=True, actor="test")
    second = await site.backup(dest, keep=2)
    assert second.pruned == (0, 0)
    third = await site.backup(dest, keep=2)
    assert third.pruned == (1, 1)
    assert Place(dest).names() == [second.manifest.name, third.manifest.name]
    assert len(list(Place(dest).objects.list())) == 1
    assert not verify(Place(dest), second.manifest.name).problems
    with pytest.raises(NoBackupError):
        verify(Place(dest), first.manifest.name)


# --- what is refused ----------------------------------------------------------------------

DAMAGES: dict[str, Callable[[Path, Path], None]] = {
    "manifest": lambda folder, item: flip(folder / MANIFEST, 40),
    "no manifest's file": lambda folder, item: (folder / DATABASE).unlink(),
    "dump": lambda folder, item: flip(folder / DATABASE, 5000),
    "dump cut off": lambda folder, item: (folder / DATABASE).write_bytes(
        (folder / DATABASE).read_bytes()[:-1]
    ),
    "list": lambda folder, item: (folder / OBJECTS).write_text(""),
    "object": lambda folder, item: flip(item, 3000),
    "object cut off": lambda folder, item: item.write_bytes(item.read_bytes()[:-1]),
    "object gone": lambda folder, item: item.unlink(),
    "key": lambda folder, item: flip(folder / "home" / "key"),
    "strange file": lambda folder, item: (folder / "home" / "webhook-key").write_bytes(b"x"),
}


async def test_a_damaged_backup_is_found_and_never_restored(
    site: Site, dest: Path, new: Any, tmp_path: Path
) -> None:
    """By one sentence with one code; the deployment is as empty as before, and may try again."""
    import shutil

    (site.settings.home / "key").write_text("k")
    data = await site.store("1.2.3")
    await site.store("1.2.4")
    made = await site.backup(dest)
    [key, _] = [item.key for item in read_list(made.folder / OBJECTS)]
    for damage, spoil in DAMAGES.items():
        bad = tmp_path / damage
        shutil.copytree(dest, bad)
        place = Place(bad)
        spoil(place.folder(made.manifest.name), place.objects.path(key))
        if damage == "manifest":
            with pytest.raises(DamagedBackupError):
                verify(place)
        else:
            assert verify(place).problems, damage
        with pytest.raises(DamagedBackupError) as told:
            await restored(new, bad)
        assert told.value.code == "backup.damaged"
        assert "\n" not in str(told.value)
        assert is_empty(new), damage
    await restored(new, dest)
    async with running_site(new, new=False) as again:
        assert await again.bytes_of("1.2.3") == data


async def test_a_restore_whose_rows_are_not_those_of_the_manifest_is_taken_back(
    site: Site, dest: Path, new: Any
) -> None:
    """Late in the way, when everything is there already: nothing of it stays."""
    await site.store("1.2.3")
    made = await site.backup(dest)
    told = replace(made.manifest, rows={**made.manifest.rows, "studies": 2})
    (made.folder / MANIFEST).write_text(told.to_text())
    with pytest.raises(BackupError, match="studies has 1 rows and had 2"):
        await restored(new, dest)
    assert is_empty(new)
    (made.folder / MANIFEST).write_text(made.manifest.to_text())
    await restored(new, dest)


async def test_nothing_is_restored_over_something(
    site: Site, dest: Path, new: Any, empty_url: str, tmp_path: Path
) -> None:
    """Neither over tables nor objects nor keys."""
    (site.settings.home / "key").write_text("k")
    await site.store("1.2.3")
    await site.backup(dest)
    with pytest.raises(TargetNotEmptyError, match="tables"):
        await restored(replace(new, store=site.settings.store), dest)
    assert await site.bytes_of("1.2.3")
    other = FolderObjects(new.objects, reserve_bytes=0)
    writer = other.begin()
    writer.write([b"x"])
    writer.commit()
    with pytest.raises(TargetNotEmptyError, match=writer.key):
        await restored(new, dest)
    assert [key for key, _ in other.list()] == [writer.key]
    other.delete(writer.key)
    (new.home / "key").write_text("another")
    with pytest.raises(TargetNotEmptyError, match="key is there already"):
        await restored(new, dest)
    (new.home / "key").unlink()
    await restored(new, dest)


async def test_a_newer_schema_is_refused_both_ways(site: Site, dest: Path, new: Any) -> None:
    """An old release neither backs up what it does not know nor restores it."""
    made = await site.backup(dest)
    newer = replace(made.manifest, revision="9999", software="9.0")
    (made.folder / MANIFEST).write_text(newer.to_text())
    with pytest.raises(NewerBackupError, match=r"9999.*OneScan 9\.0"):
        await restored(new, dest)
    assert is_empty(new)
    async with site.database.connection() as connection:
        await connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(NewerBackupError, match="9999"):
        await site.backup(dest)
    assert Place(dest).names() == [made.manifest.name]


async def test_a_lost_object_is_told(site: Site, dest: Path, new: Any) -> None:
    """No backup hides it; one that names it may be made, and an earlier copy heals it."""
    await site.store("1.2.3")
    data = await site.store("1.2.4")
    [[lost], [kept]] = [
        [row["object_key"] for row in await site.rows(
            "SELECT DISTINCT object_key FROM instances WHERE study_instance_uid = %s", study
        )]
        for study in ("1.2.3", "1.2.4")
    ]  # fmt: skip
    site.objects.delete(lost)
    with pytest.raises(ObjectMissingError, match=lost):
        await site.backup(dest)
    assert Place(dest).names() == []
    made = await site.backup(dest, skip_missing=True)
    assert made.manifest.missing == (lost,)
    report = await restored(new, dest)
    assert report.manifest.missing == (lost,)
    site.objects.delete(kept)
    again = await site.backup(dest, skip_missing=True)  # the place has it from before
    assert again.manifest.missing == (lost,)
    async with running_site(new, new=False) as there:
        assert await there.bytes_of("1.2.4") == data


async def test_places_are_kept_apart(site: Site, dest: Path, tmp_path: Path) -> None:
    """From the store itself, from folders of others, and from a second backup at once."""
    for wrong in (site.settings.objects, site.settings.objects / "b", site.settings.home):
        with pytest.raises(UsageError):
            await site.backup(wrong)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("x")
    with pytest.raises(UsageError, match=r"letter\.txt"):
        await site.backup(tmp_path / "full")
    with pytest.raises(NoBackupError):
        verify(Place(tmp_path / "nowhere"))
    await site.backup(dest)
    with Place(dest).lock(alone=True):
        with pytest.raises(BackupBusyError):
            await site.backup(dest)
    with Place(dest).lock(alone=False):
        verify(Place(dest))


async def test_every_table_that_points_at_objects_is_known(site: Site) -> None:
    """A new one would be backed up without its bytes."""
    rows = await site.rows(
        "SELECT c.relname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
        " WHERE a.attname = 'object_key' AND c.relkind IN ('r', 'p') AND NOT c.relispartition"
    )
    within = {"frames", "doomed_objects"}  # in their instances; of nobody any more
    assert {row["relname"] for row in rows} - within == set(snapshot.POINTERS)


# --- killed on the way --------------------------------------------------------------------


def started(command: str, folder: Path, settings: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "gateway.cli", command, str(folder)],
        env={**settings.to_environ(), "PATH": "/usr/bin:/bin"},
        stdout=subprocess.DEVNULL,
    )


def killed_when(process: subprocess.Popen[bytes], seen: Callable[[], bool]) -> None:
    """Kill it in the middle."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not seen():
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


async def test_killed_on_the_way_nothing_counts_and_the_next_run_goes_on(
    site: Site, dest: Path, new: Any
) -> None:
    """A backup is whole or none; a restore that died is begun again with what it had put."""
    await site.store_many(150)

    def arrived() -> bool:
        return any(len(file.read_bytes()) > 500 for file in dest.glob(f"backups/*{PARTIAL}/{DONE}"))

    killed_when(started("backup", dest, site.settings), arrived)
    assert Place(dest).names() == []
    with pytest.raises(NoBackupError):
        await restored(new, dest)
    made = await site.backup(dest)
    assert made.kept > 3
    assert made.copied + made.kept == 150
    assert not verify(Place(dest)).problems
    assert not Place(dest).partials()
    put = FolderObjects(new.objects, reserve_bytes=0)
    killed_when(started("restore", dest, new), lambda: len(list(put.list())) > 5)
    with psycopg.connect(new.store.database_url) as connection:
        row = connection.execute("SELECT to_regclass('alembic_version')").fetchone()
    assert row == (None,)
    await restored(new, dest)
    async with running_site(new, new=False) as again:
        assert await again.bytes_of("1.2.3.149") == await site.bytes_of("1.2.3.149")


async def test_a_backup_that_lost_its_hold_does_not_count(site: Site, dest: Path) -> None:
    """From then on something may have been deleted before it was copied."""
    await site.store("1.2.3")

    async def let_go() -> None:
        while not await site.rows(  # noqa: ASYNC110 - another session's lock
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
            " AND mode = 'ShareLock' AND objid = (%s & x'ffffffff'::bigint)::oid AND granted",
            hold.LOCK,
        ):
            await asyncio.sleep(0.005)

    losing = asyncio.create_task(let_go())
    with pytest.raises((StoreUnavailableError, BackupError)):
        await site.backup(dest)
    await losing
    assert Place(dest).names() == []
    await site.backup(dest)
    assert not verify(Place(dest)).problems


# --- the command line ---------------------------------------------------------------------


async def test_the_commands(
    site: Site,
    dest: Path,
    new: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One JSON object, or sentences; a refusal is one sentence with its code."""

    async def run(settings: Any, *words: str) -> tuple[int, str, str]:
        for name, value in settings.to_environ().items():
            monkeypatch.setenv(name, value)
        code = await asyncio.to_thread(cli.main, list(words))
        said = capsys.readouterr()
        return code, said.out, said.err

    await site.store("1.2.3")
    code, out, _ = await run(site.settings, "backup", str(dest), "--json")
    told = json.loads(out)
    assert (code, told["objects"], told["copied"], told["rows"]["studies"]) == (0, 1, 1, 1)
    code, out, _ = await run(site.settings, "backup", str(dest), "--keep", "1")
    assert (code, "Removed 1 older backups" in out) == (0, True)
    code, out, _ = await run(new, "backup", "verify", str(dest), "--json")
    assert (code, json.loads(out)["whole"]) == (0, True)
    code, out, err = await run(site.settings, "restore", str(dest))
    assert (code, out) == (1, "")
    assert err.count("\n") == 1
    assert "[backup.target_not_empty]" in err
    code, out, _ = await run(new, "restore", str(dest), "--json")
    told = json.loads(out)
    assert (code, told["objects"], told["audit_lines"]) == (0, 1, 2)
    code, out, err = await run(new, "backup", "mend", str(dest))
    assert (code, "[usage]" in err) == (2, True)
    folder = Place(dest).folder(Place(dest).names()[-1])
    assert isinstance(Manifest.from_text((folder / MANIFEST).read_text(), folder), Manifest)
    flip(folder / DATABASE)
    code, out, err = await run(new, "backup", "verify", str(dest))
    assert (code, "[backup.damaged]" in err) == (1, True)
    actions = [row["action"] for row in await site.rows("SELECT action FROM audit ORDER BY 1")]
    assert actions == ["backup.made", "backup.made"]
