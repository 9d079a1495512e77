"""An upgrade rehearsed from every schema there was: nothing was released before this one.

Rows that were written by hand, as the code of then wrote them, are served and finish; a migration
that dies leaves what was; code of the schema before goes on beside the new one.
"""

from __future__ import annotations

import asyncio
import hashlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from gateway.instance import Instance
from gateway.intake.header import read_header
from gateway.settings import Settings, WorkerSettings
from gateway.store import audit, keys
from gateway.store.database import Database
from gateway.store.index import study_instances
from gateway.store.migrate import migrate
from gateway.store.objects import FolderObjects
from gateway.store.reaper import reap, run_reaper
from gateway.store.schema import head, is_current
from gateway.testing import FakeTriton, anatomy_inference
from gateway.worker import run_worker
from tests import old_rows
from tests.databases import fresh_database
from tests.partner_api import api_settings, running
from tests.small_ct import PATIENT_ID, write_small_ct

pytestmark = pytest.mark.postgres

OLD = old_rows.revisions()[:-1]
BEFORE_THIS_RELEASE = "0011"
"""What ran before the cluster's tables came."""

SERVED = (OLD[0], BEFORE_THIS_RELEASE)
"""Where api and worker look at the rows; elsewhere index, audit and reaper do."""

NEVER_BESIDE = {
    "0001": "api_keys", "0002": "api_keys", "0003": "api_keys", "0004": "api_keys",
    "0005": "api_keys", "0006": "api_keys",
}  # fmt: skip
"""Revision → table whose rows its code cannot write any more: roles of keys have no default since
0008. None of them was ever released."""


@pytest.fixture
def url(postgres_url: str) -> Iterator[str]:
    with fresh_database(postgres_url, "template1") as made:
        yield made


@pytest.fixture
def settings(url: str, tmp_path: Path) -> Settings:
    return replace(
        api_settings(url, tmp_path),
        worker=WorkerSettings(
            heartbeat_seconds=0.1, stalled_seconds=1.0, reap_seconds=0.1, concurrency=2
        ),
    )


@pytest.fixture
def instances(settings: Settings, tmp_path: Path) -> list[Instance]:
    """A study's instances in the store."""
    writer = FolderObjects(settings.objects, reserve_bytes=0).begin()
    found = []
    for path in write_small_ct(tmp_path / "ct"):
        data, offset = path.read_bytes(), writer.offset
        found.append(read_header(memoryview(data), object_key=writer.key, object_offset=offset))
        writer.write([data])
    writer.commit()
    return found


async def until_ended(database: Database, wanted: int) -> dict[str, tuple[str, int]]:
    async with asyncio.timeout(30):
        while True:
            async with database.connection() as connection:
                cursor = await connection.execute(
                    "SELECT screening_id, state, attempt FROM screenings"
                )
                found = {
                    row["screening_id"]: (row["state"], row["attempt"])
                    for row in await cursor.fetchall()
                }
            if (
                sum(state in ("done", "failed", "cancelled") for state, _ in found.values())
                == wanted
            ):
                return found
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("revision", OLD)
async def test_old_rows_are_served_and_open_screenings_finish(
    url: str, revision: str, settings: Settings, instances: list[Instance]
) -> None:
    """A job of then is taken by a worker of now; what had lost its job or worker gets one."""
    old_rows.migrate_to(url, revision)
    old = old_rows.write(url, revision, instances)
    await asyncio.to_thread(migrate, url)
    study = instances[0].study_instance_uid
    async with Database(url, size=4) as database:
        async with database.connection() as connection:
            assert await is_current(connection)
            assert await study_instances(connection, "default", study) == sorted(
                instances, key=lambda item: item.sop_instance_uid
            )
            known = await keys.lookup(connection, old_rows.KEY)
            assert known is not None
            assert known.tenant == "default"
        async with database.connection() as connection:
            found = await audit.verify(connection)
            assert (found.head.line, found.problems) == (old.audit_lines, [])
        if revision not in SERVED:
            async with database.connection() as connection:
                found_again = await reap(connection, settings.worker)
                assert (found_again.retried, found_again.enqueued) == (1, 1)
                cursor = await connection.execute(
                    "SELECT count(*) AS number FROM screenings s JOIN procrastinate_jobs j"
                    " ON j.id = s.job_id AND j.status = 'todo' WHERE s.state = 'accepted'"
                )
                assert await cursor.fetchone() == {"number": 3}
            return
        await served(settings, old, instances, revision)
        await finished(settings, old, database)


async def finished(settings: Settings, old: old_rows.Old, database: Database) -> None:
    """Let a worker and a reaper of now work until nothing is open."""
    stop = asyncio.Event()
    triton = FakeTriton().script("anatomy", anatomy_inference())
    worker = asyncio.create_task(run_worker(settings, triton=triton, stop=stop))
    reaper = asyncio.create_task(run_reaper(database, settings.worker))
    try:
        ended = await until_ended(database, len(old.screenings))
    finally:
        reaper.cancel()
        stop.set()
        await worker
        with suppress(asyncio.CancelledError):
            await reaper
    states = {name: ended[screening_id] for name, screening_id in old.screenings.items()}
    assert states.pop("running") == ("done", 2)
    assert states == {
        name: (name if name in ("done", "failed", "cancelled") else "done", 1) for name in states
    }


async def served(
    settings: Settings, old: old_rows.Old, instances: list[Instance], revision: str
) -> None:
    """Ask the api of now for what was stored then."""
    async with running(settings, "1.2.3.4") as client:
        client.session.headers["Authorization"] = f"Bearer {old_rows.KEY}"
        answer = await client.get(f"/v1/screenings/{old.screenings['done']}")
        shown = await answer.json()
        assert (answer.status, shown["state"]) == (200, "done")
        assert [(c["check"], c["state"]) for c in shown["checks"]] == [("liver", "positive")]
        listed = await (await client.get("/v1/screenings?limit=50")).json()
        assert len(listed["screenings"]) == len(old.screenings)
        answer = await client.get(
            f"/dicomweb/studies?PatientID={PATIENT_ID}&PatientName=DOE*&ModalitiesInStudy=CT",
            headers={"Accept": "application/dicom+json"},
        )
        assert [one["0020000D"]["Value"] for one in await answer.json()] == [
            [instances[0].study_instance_uid]
        ]
        one = instances[3]
        answer = await client.get(
            f"/dicomweb/studies/{one.study_instance_uid}/series/{one.series_instance_uid}"
            f"/instances/{one.sop_instance_uid}",
            headers={"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'},
        )
        data = FolderObjects(settings.objects).read(
            one.object_key, one.object_offset, one.object_length
        )
        assert answer.status == 200
        assert data in await answer.read()
        if revision >= "0010":
            answer = await client.get("/v1/webhooks/deliveries")
            assert [d["state"] for d in (await answer.json())["deliveries"]] == ["pending"]


def test_code_of_before_goes_on_beside_the_schema_of_now(
    url: str, instances: list[Instance]
) -> None:
    """During a rolling upgrade its pods still write; whatever they wrote then, they may now."""
    migrate(url)
    for number, revision in enumerate(OLD):
        study = f"1.2.3.{number}"
        if revision in NEVER_BESIDE:
            assert revision < BEFORE_THIS_RELEASE
            with pytest.raises(psycopg.IntegrityError, match=NEVER_BESIDE[revision]):
                old_rows.write(url, revision, instances, study)
            continue
        old = old_rows.write(url, revision, instances, study)
        with psycopg.connect(url, autocommit=True) as connection:
            values = {"id": old.screenings["waiting"], "worker": "w/then"}
            for name, statement in OLD_WORK.items():
                assert connection.execute(statement, values).rowcount == 1, (revision, name)
            row = connection.execute(
                "SELECT state FROM screenings WHERE screening_id = %(id)s", values
            ).fetchone()
            assert row == ("done",)
            assert connection.execute("SELECT place_screening_events()").fetchone() != (0,)


OLD_WORK = {
    "claim": """
        UPDATE screenings SET state = 'running', worker = %(worker)s, heartbeat_at = now(),
            started_at = coalesce(started_at, now())
        WHERE screening_id = %(id)s AND attempt = 1
            AND (state = 'accepted' OR (state = 'running' AND worker = %(worker)s))""",
    "event": """
        INSERT INTO screening_events (screening_id, tenant, kind, data)
        VALUES (%(id)s, 'default', 'running', '{"attempt": 1}')""",
    "heartbeat": """
        UPDATE screenings SET heartbeat_at = now()
        WHERE state = 'running' AND screening_id = %(id)s AND worker = %(worker)s""",
    "plan": """
        UPDATE screenings SET plan = '{}' WHERE screening_id = %(id)s AND attempt = 1
            AND worker = %(worker)s AND state = 'running'""",
    "release": """
        INSERT INTO check_results (screening_id, check_name, attempt, state, reason, result)
        VALUES (%(id)s, 'liver', 1, 'negative', NULL, '{}')
        ON CONFLICT (screening_id, check_name) DO NOTHING""",
    "finish": """
        UPDATE screenings SET state = 'done', finished_at = now(), result = '{}'
        WHERE screening_id = %(id)s AND attempt = 1 AND worker = %(worker)s
            AND state = 'running'""",
    "leave": "DELETE FROM workers WHERE worker = %(worker)s AND %(id)s::uuid IS NOT NULL",
}
"""What a worker of then did to a screening, in its order."""


def started(url: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "gateway.cli", "migrate"],
        env={"DATABASE_URL": url, "PATH": "/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_migration_that_is_killed_has_changed_nothing(
    url: str, instances: list[Instance]
) -> None:
    """Halfway, behind the lock of somebody who reads a table; the next one goes all the way."""
    old_rows.migrate_to(url, BEFORE_THIS_RELEASE)
    old_rows.write(url, BEFORE_THIS_RELEASE, instances)
    with psycopg.connect(url) as reader, psycopg.connect(url, autocommit=True) as watcher:
        reader.execute("LOCK TABLE workers IN ACCESS SHARE MODE")
        process = started(url)
        deadline = time.monotonic() + 30
        while watcher.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND wait_event_type = 'Lock' AND query LIKE '%ALTER TABLE workers%'"
        ).fetchone() == (0,):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        reader.rollback()
        while watcher.execute(
            "SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation"
            " WHERE c.relname = 'workers' AND l.pid <> pg_backend_pid()"
        ).fetchone() != (0,):
            assert time.monotonic() < deadline  # the server has yet to notice
            time.sleep(0.01)
        assert watcher.execute("SELECT version_num FROM alembic_version").fetchone() == (
            BEFORE_THIS_RELEASE,
        )
        assert watcher.execute("SELECT to_regclass('check_costs')").fetchone() == (None,)
        study = "1.2.3.4"
        again = [replace(one, study_instance_uid=study) for one in instances]
        old_rows.write(url, BEFORE_THIS_RELEASE, again, study)  # the code of then goes on
        done = started(url)
        out, err = done.communicate(timeout=60)
        assert (done.returncode, err) == (0, ""), out
        assert watcher.execute("SELECT version_num FROM alembic_version").fetchone() == (head(),)


def test_two_migrators_of_an_old_database_end_well(url: str, instances: list[Instance]) -> None:
    """One does it and the other finds it done; rows are filled in once."""
    old_rows.migrate_to(url, OLD[0])
    old = old_rows.write(url, OLD[0], instances)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(migrate, [url] * 3))
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT (SELECT version_num FROM alembic_version), (SELECT count(*) FROM series),"
            " (SELECT count(*) FROM audit_chain)"
        ).fetchone()
    assert row == (head(), 1, old.audit_lines)


def test_a_database_of_a_newer_release_is_left_alone(url: str) -> None:
    """Pods of an older release may start once more during a rolling upgrade."""
    migrate(url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.execute("DELETE FROM queue_migrations")
        migrate(url)
        row = connection.execute(
            "SELECT version_num, (SELECT count(*) FROM queue_migrations) FROM alembic_version"
        ).fetchone()
    assert row == ("9999", 0)


def test_a_half_made_database_is_one_sentence(url: str) -> None:
    """Tables without a revision: a restore that was broken off, or somebody's own."""
    migrate(url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DELETE FROM alembic_version")
        before: Any = connection.execute("SELECT count(*) FROM pg_class").fetchone()
        process = started(url)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out, err.count("\n")) == (1, "", 1)
        assert "[store.migration]" in err
        assert connection.execute("SELECT count(*) FROM pg_class").fetchone() == before
    assert hashlib.sha256(old_rows.KEY.encode()).hexdigest() not in err
