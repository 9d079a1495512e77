"""The worker on a real PostgreSQL, with a scripted Triton for faults on demand."""

from __future__ import annotations

import asyncio
import dataclasses
import gzip
import hashlib
import io
import json
import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import psycopg
import pytest
import pytest_asyncio

from gateway.exceptions import (
    ModelOutputError,
    NotFoundError,
    StorageFullError,
    StubDiedError,
    TritonDiedError,
)
from gateway.instance import Instance
from gateway.intake.header import read_header
from gateway.log import Scrubber, configure_logging
from gateway.results.json import schema, screening_result
from gateway.runtime.janitor import leftovers
from gateway.screening.manifest_reader import load_manifests
from gateway.settings import Settings, StoreSettings, TritonSettings, WorkerSettings
from gateway.store import screenings
from gateway.store.database import Database
from gateway.store.index import add_instances
from gateway.store.keys import ensure_tenant
from gateway.store.masks import find_mask
from gateway.store.objects import FolderObjects
from gateway.store.orphans import orphans
from gateway.store.reaper import run_reaper
from gateway.testing import FakeTriton, anatomy_inference
from gateway.worker import run_worker
from gateway.worker.attempt import NO_ROOM_SECONDS
from tests.rule_check import write_network_check, write_rule_repository
from tests.small_ct import PATIENT_ID, PATIENT_NAME, write_small_ct

pytestmark = pytest.mark.postgres

PATIENCE_SECONDS = 30.0


@dataclasses.dataclass
class Bench:
    """A database with one study in it."""

    database: Database
    settings: Settings
    study: str
    instances: list[Instance]

    async def order(self, *checks: str, **given: Any) -> screenings.Row:
        order = screenings.Order(
            study_instance_uid=self.study, checks=checks or ("liver",), clinical={}, **given
        )
        async with self.database.connection() as connection:
            row, _ = await screenings.create(connection, "default", order)
        return row

    async def shown(self, row: screenings.Row) -> dict[str, Any]:
        async with self.database.connection() as connection:
            found, released, stage = await screenings.find(
                connection, "default", row["screening_id"]
            )
        shown = screening_result(found, released, stage=stage)
        jsonschema.validate(shown, schema())
        return shown

    async def until(
        self, row: screenings.Row, wanted: Callable[[dict[str, Any]], bool]
    ) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                try:
                    shown = await self.shown(row)
                except psycopg.OperationalError:
                    continue
                if wanted(shown):
                    return shown
                await asyncio.sleep(0.02)

    async def ended(self, row: screenings.Row) -> dict[str, Any]:
        return await self.until(row, lambda shown: shown["state"] in screenings.FINAL_STATES)

    async def events(self, row: screenings.Row) -> list[str]:
        async with self.database.connection() as connection:
            cursor = await connection.execute(
                "SELECT kind FROM screening_events WHERE screening_id = %s ORDER BY event_id",
                (row["screening_id"],),
            )
            return [event["kind"] for event in await cursor.fetchall()]

    @asynccontextmanager
    async def worker(
        self, triton: FakeTriton, probe: Callable[[], Awaitable[None]] | None = None
    ) -> AsyncIterator[asyncio.Event]:
        stop = asyncio.Event()
        task = asyncio.create_task(run_worker(self.settings, triton=triton, probe=probe, stop=stop))
        try:
            yield stop
        finally:
            stop.set()
            await asyncio.wait_for(task, PATIENCE_SECONDS)

    @asynccontextmanager
    async def reaper(self) -> AsyncIterator[None]:
        task = asyncio.create_task(run_reaper(self.database, self.settings.worker))
        yield
        task.cancel()
        await asyncio.wait({task})


@pytest_asyncio.fixture
async def bench(database_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    settings = Settings(
        home=tmp_path,
        store=StoreSettings(database_url=database_url, pool_size=4),
        triton=TritonSettings(
            model_repository=str(write_rule_repository(tmp_path / "model_repository"))
        ),
        worker=WorkerSettings(
            heartbeat_seconds=0.1,
            stalled_seconds=1.0,
            reap_seconds=0.1,
            drain_seconds=0.3,
            concurrency=2,
        ),
    )
    objects = FolderObjects(settings.objects)
    instances = []
    for path in write_small_ct(tmp_path / "ct"):
        data = path.read_bytes()
        writer = objects.begin()
        writer.write([data])
        instances.append(read_header(memoryview(data), object_key=writer.key, object_offset=0))
        writer.commit()
    async with Database(database_url, size=4) as database:
        async with database.connection() as connection:
            await ensure_tenant(connection, "default")
            await add_instances(connection, "default", instances, same_pixels=lambda a, b: True)
        yield Bench(database, settings, instances[0].study_instance_uid, instances)


@pytest.fixture
def triton() -> FakeTriton:
    return FakeTriton().script("anatomy", anatomy_inference())


async def test_a_screening_is_done_once(bench: Bench, triton: FakeTriton) -> None:
    """From the queue to a result in the reference form, with its stages told in order."""
    row = await bench.order()
    async with bench.worker(triton):
        shown = await bench.ended(row)
    assert shown["state"] == "done"
    assert [(c["check"], c["state"]) for c in shown["checks"]] == [("liver", "negative")]
    assert shown["plan"]["checks"][0]["state"] == "runs"
    assert shown["timings"]["decode"]["wall_seconds"] > 0
    assert await bench.events(row) == [
        "accepted",
        "running",
        *["stage"] * 6,
        "released",
        "done",
    ]


async def test_a_finished_job_leaves_the_queue(bench: Bench, triton: FakeTriton) -> None:
    """The table of jobs stays small."""
    row = await bench.order()
    async with bench.worker(triton):
        await bench.ended(row)
    async with bench.database.connection() as connection:
        cursor = await connection.execute("SELECT count(*) AS n FROM procrastinate_jobs")
        assert await cursor.fetchone() == {"n": 0}


async def test_stat_goes_first(bench: Bench, triton: FakeTriton) -> None:
    """A stat order overtakes what waited before it."""
    bench.settings = dataclasses.replace(
        bench.settings, worker=dataclasses.replace(bench.settings.worker, concurrency=1)
    )
    routine = [await bench.order() for _ in range(3)]
    stat = await bench.order(lane="stat")
    async with bench.worker(triton):
        ended = [await bench.ended(row) for row in [*routine, stat]]
    finished = [shown["finished_at"] for shown in ended]
    assert min(finished) == finished[-1]


async def test_a_full_disk_costs_the_organs_and_not_the_screening(
    bench: Bench, triton: FakeTriton, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is done at the first attempt, and speaks of no mask that is not there."""

    def full(*_: object) -> None:
        raise StorageFullError

    monkeypatch.setattr("gateway.worker.attempt.write_mask", full)
    row = await bench.order()
    async with bench.worker(triton):
        shown = await bench.ended(row)
    assert (shown["state"], shown["attempt"]) == ("done", 1)
    assert shown["anatomy"]
    assert not any("mask" in seen for seen in shown["anatomy"].values())


async def test_the_mask_of_what_is_shown_is_kept_with_its_result(
    bench: Bench, triton: FakeTriton
) -> None:
    """An object of its own, which the sweep of orphans spares; a negative check leaves none."""
    for name in ("bone", "nodule"):
        write_network_check(bench.settings.model_repository, name)
    mask = np.zeros((3, 4, 5), np.uint8)
    mask[1, 2, 3] = 1
    for name, score in (("bone", 30.0), ("nodule", 1.0)):
        triton.script(
            name,
            dataclasses.replace(
                anatomy_inference({"listed": 1.0}),
                scores=np.array([score], np.float32),
                mask=mask,
            ),
        )
    row = await bench.order("bone", "nodule")
    async with bench.worker(triton):
        shown = await bench.ended(row)
    told = {check["check"]: check for check in shown["checks"]}
    assert {name: check["state"] for name, check in told.items()} == {
        "bone": "positive",
        "nodule": "negative",
    }
    assert told["nodule"]["mask"] is None
    objects = FolderObjects(bench.settings.objects)
    async with bench.database.connection() as connection:
        pointer = await find_mask(connection, "default", row["screening_id"], "bone")
        organs = await find_mask(connection, "default", row["screening_id"], "anatomy")
        with pytest.raises(NotFoundError):
            await find_mask(connection, "default", row["screening_id"], "nodule")
        with pytest.raises(NotFoundError):
            await find_mask(connection, "other", row["screening_id"], "bone")
        assert await orphans(connection, objects, timedelta(seconds=-60)) == []
    encoded = objects.read(pointer.object_key, pointer.offset, pointer.length)
    assert hashlib.sha256(encoded).hexdigest() == told["bone"]["mask"]["sha256"]
    pixels = gzip.decompress(encoded)[352:]
    assert np.array_equal(np.frombuffer(pixels, np.uint8).reshape(3, 4, 5), mask)
    [seen] = shown["anatomy"].values()
    encoded = objects.read(organs.object_key, organs.offset, organs.length)
    assert hashlib.sha256(encoded).hexdigest() == seen["mask"]["sha256"]
    assert (seen["mask"]["name"], seen["mask"]["labels"][0]) == ("anatomy", "background")


async def test_a_check_that_is_out_is_not_run_again_after_a_restart_of_triton(
    bench: Bench, triton: FakeTriton, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest of the study is, in the same attempt."""
    for name in ("bone", "nodule"):
        write_network_check(bench.settings.model_repository, name)
    healthy = dataclasses.replace(
        anatomy_inference({"listed": 1.0}), scores=np.array([1.0], np.float32)
    )
    triton.script("bone", healthy).script("nodule", StubDiedError(), healthy)
    monkeypatch.setattr("gateway.worker.attempt.restart_triton", lambda settings, error: True)
    row = await bench.order("bone", "nodule")
    async with bench.worker(triton):
        shown = await bench.ended(row)
    assert (shown["state"], shown["attempt"]) == ("done", 1)
    assert {check["check"]: check["state"] for check in shown["checks"]} == {
        "bone": "negative",
        "nodule": "negative",
    }
    asked = [call.model for call in triton.calls]
    assert (asked.count("bone"), asked.count("nodule"), asked.count("anatomy")) == (1, 2, 2)


async def test_a_drained_worker_hands_back(bench: Bench, triton: FakeTriton) -> None:
    """Told to stop, it returns what it cannot finish in time; the attempt does not count."""
    row = await bench.order()
    slow = FakeTriton(delay_seconds=60.0).script("anatomy", anatomy_inference())
    async with bench.worker(slow):
        await slow.asked.wait()
    back = await bench.shown(row)
    assert (back["state"], back["attempt"]) == ("accepted", 1)
    async with bench.worker(triton):
        shown = await bench.ended(row)
    assert (shown["state"], shown["attempt"]) == ("done", 1)


async def test_a_drained_worker_finishes_what_it_can(bench: Bench, triton: FakeTriton) -> None:
    """Within the drain time."""
    triton.delay_seconds = 0.15
    row = await bench.order()
    async with bench.worker(triton):
        await triton.asked.wait()
    assert (await bench.shown(row))["state"] == "done"


async def test_a_given_up_attempt_is_dropped(bench: Bench, triton: FakeTriton) -> None:
    """The reaper takes it for dead, the worker notices, the next attempt finishes, once."""
    slow = FakeTriton(delay_seconds=60.0).script("anatomy", anatomy_inference())
    row = await bench.order()
    async with bench.worker(slow):
        await slow.asked.wait()
        async with bench.database.connection() as connection:
            held = dict(row) | await _row(bench, row)
            await screenings.give_up_attempt(
                connection, held, max_attempts=3, code="crashed", message="", reason="crashed"
            )
        slow.delay_seconds = 0.0
        shown = await bench.ended(row)
    assert (shown["state"], shown["attempt"]) == ("done", 2)
    assert (await bench.events(row)).count("done") == 1
    assert (await bench.events(row)).count("released") == 1


async def test_a_cancelled_screening_stops_its_worker(bench: Bench, triton: FakeTriton) -> None:
    """Within a few heartbeats, though it writes nothing; nothing of it is negative afterwards."""
    slow = FakeTriton(delay_seconds=60.0).script("anatomy", anatomy_inference())
    row = await bench.order()
    async with bench.worker(slow), bench.reaper():
        await slow.asked.wait()
        async with bench.database.connection() as connection:
            await screenings.cancel(connection, "default", row["screening_id"])
        async with asyncio.timeout(5.0):
            while await _in_flight(bench):  # noqa: ASYNC110 - another process's row
                await asyncio.sleep(0.02)
        slow.delay_seconds = 0.0
        other = await bench.order()
        assert (await bench.ended(other))["state"] == "done"
    shown = await bench.shown(row)
    assert (shown["state"], shown["attempt"]) == ("cancelled", 1)
    assert [(c["state"], c["reason"]) for c in shown["checks"]] == [("not_evaluated", "cancelled")]
    assert (await bench.events(row))[-1] == "cancelled"
    async with bench.database.connection() as connection:
        cursor = await connection.execute("SELECT count(*) AS n FROM procrastinate_jobs")
        assert await cursor.fetchone() == {"n": 0}


async def _in_flight(bench: Bench) -> int:
    async with bench.database.connection() as connection:
        cursor = await connection.execute("SELECT sum(in_flight) AS n FROM workers")
        row = await cursor.fetchone()
    return int(row["n"]) if row else 0


async def test_a_killed_database_connection_costs_nothing(bench: Bench, triton: FakeTriton) -> None:
    """Every backend dies while the anatomy runs; the same attempt finishes."""
    triton.delay_seconds = 0.5
    row = await bench.order()
    async with bench.worker(triton), bench.reaper():
        await triton.asked.wait()
        with psycopg.connect(bench.settings.store.database_url, autocommit=True) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        shown = await bench.ended(row)
        assert (shown["state"], shown["attempt"]) == ("done", 1)
        again = await bench.order()
        assert (await bench.ended(again))["state"] == "done"


async def test_a_failing_model_fails_the_check_and_not_the_screening(bench: Bench) -> None:
    """Visible, and not tried again: the model has answered."""
    row = await bench.order()
    async with bench.worker(FakeTriton().script("anatomy", ModelOutputError())):
        shown = await bench.ended(row)
    assert (shown["state"], shown["attempt"]) == ("done", 1)
    assert [(c["state"], c["reason"]) for c in shown["checks"]] == [("failed", "model_failed")]


async def test_a_worker_sweeps_what_a_killed_one_left_in_shared_memory(bench: Bench) -> None:
    """A volume is hundreds of MB, and nobody else would ever take it away."""
    home = bench.settings.home
    killed = (
        "import os, sys; from pathlib import Path;"
        "from gateway.triton.shared_memory import SharedVolume;"
        "volume = SharedVolume.create((1, 1, 1), home=Path(sys.argv[1])); os.kill(os.getpid(), 9)"
    )
    await (await asyncio.create_subprocess_exec(sys.executable, "-c", killed, str(home))).wait()
    assert len(leftovers(home)) == 1
    row = await bench.order()
    async with bench.worker(FakeTriton().script("anatomy", anatomy_inference())):
        await bench.ended(row)
    assert leftovers(home) == []


async def test_what_crashes_every_attempt_fails_visibly(bench: Bench) -> None:
    """Three attempts, then failed, with a reason for every check and no message of the crash."""
    row = await bench.order()
    broken = FakeTriton().script("anatomy", ZeroDivisionError("secret of the stack"))
    async with bench.worker(broken), bench.reaper():
        shown = await bench.ended(row)
    assert (shown["state"], shown["attempt"]) == ("failed", 3)
    assert shown["error"] == {"code": "internal", "message": "ZeroDivisionError"}
    assert [(c["state"], c["reason"]) for c in shown["checks"]] == [("failed", "internal")]
    assert len(broken.calls) == 3


async def test_a_dead_stub_that_nobody_can_restart_counts_as_an_attempt(
    bench: Bench, triton: FakeTriton
) -> None:
    """Without an embedded Triton the next attempt may find a better one."""
    row = await bench.order()
    triton.script("anatomy", StubDiedError(), anatomy_inference())
    async with bench.worker(triton):
        shown = await bench.ended(row)
    assert (shown["state"], shown["attempt"]) == ("done", 2)


async def test_a_study_without_room_waits_before_it_is_tried_again(bench: Bench) -> None:
    """A /dev/shm that is full for a moment does not use up three attempts within it."""
    row = await bench.order()
    full = FakeTriton().script("anatomy", StorageFullError(), anatomy_inference())

    async with bench.worker(full):
        await bench.until(row, lambda shown: shown["attempt"] == 2)
    async with bench.database.connection() as connection:
        cursor = await connection.execute(
            "SELECT extract(epoch FROM scheduled_at - now()) AS seconds FROM procrastinate_jobs"
            " WHERE (args ->> 'screening_id')::uuid = %s",
            (row["screening_id"],),
        )
        [job] = await cursor.fetchall()
        await connection.execute(
            "UPDATE procrastinate_jobs SET scheduled_at = now() WHERE status = 'todo'"
        )
    assert NO_ROOM_SECONDS / 2 < job["seconds"] <= NO_ROOM_SECONDS
    async with bench.worker(full), bench.reaper():
        shown = await bench.ended(row)
    assert (shown["state"], shown["attempt"], len(full.calls)) == ("done", 2, 2)


async def test_a_study_that_triton_dies_of_is_given_up_as_crashed(bench: Bench) -> None:
    """Three attempts of one death each; the check says so, and so does the screening."""
    row = await bench.order()
    poisoned = FakeTriton().script("anatomy", TritonDiedError())
    async with bench.worker(poisoned):
        shown = await bench.ended(row)
    assert (shown["state"], shown["attempt"]) == ("failed", 3)
    assert len(poisoned.calls) == 3
    assert [(c["state"], c["reason"]) for c in shown["checks"]] == [("failed", "crashed")]


async def test_a_study_that_takes_too_long_says_timeout(bench: Bench) -> None:
    """Each check without a result says so, and the worker is free again."""
    bench.settings = dataclasses.replace(
        bench.settings, worker=dataclasses.replace(bench.settings.worker, study_timeout_seconds=0.5)
    )
    row = await bench.order()
    slow = FakeTriton(delay_seconds=60.0).script("anatomy", anatomy_inference())
    async with bench.worker(slow):
        shown = await bench.ended(row)
    assert shown["state"] == "done"
    assert [(c["state"], c["reason"]) for c in shown["checks"]] == [("failed", "timeout")]


async def test_the_worker_reports_itself(bench: Bench, triton: FakeTriton) -> None:
    """Seen while it lives, with Triton's state as probed; gone when it has left."""
    ready = False

    async def probe() -> None:
        if not ready:
            raise ModelOutputError

    async def seen() -> list[dict[str, Any]]:
        async with bench.database.connection() as connection:
            cursor = await connection.execute("SELECT * FROM workers")
            return await cursor.fetchall()

    async with bench.worker(triton, probe):
        [one] = await eventually(seen)
        assert not one["triton_ready"]
        installed = load_manifests(bench.settings.model_repository).values()
        assert one["checks"] == [manifest.name for manifest in installed if manifest.is_check]
        ready = True

        async def seen_ready() -> bool:
            return bool((await seen())[0]["triton_ready"])

        await eventually(seen_ready)
    assert not await seen()


async def test_logs_name_no_patient_and_no_uid(bench: Bench, triton: FakeTriton) -> None:
    """UIDs are keyed hashes, names are nowhere, even where something crashed."""
    stream = io.StringIO()
    root = logging.getLogger()
    before = root.handlers[:], root.level
    configure_logging("worker", b"key of this test", stream=stream)
    try:
        log = logging.getLogger("onescan.test")
        log.warning("study %s of psycopg: \nDETAIL:  Failing row (%s).", bench.study, PATIENT_NAME)
        triton.script(
            "anatomy",
            ValueError(f"crash over {bench.instances[0].sop_instance_uid}"),
            anatomy_inference(),
        )
        row = await bench.order()
        async with bench.worker(triton):
            assert (await bench.ended(row))["state"] == "done"
    finally:
        root.handlers[:], level = before
        root.setLevel(level)
    text = stream.getvalue()
    for line in text.splitlines():
        assert json.loads(line)["event"]
    assert "onescan.attempt.ended" in text
    assert "onescan.attempt.crashed" in text
    assert Scrubber(b"key of this test").uid(bench.study) in text
    secrets = {PATIENT_NAME, "Doe", PATIENT_ID, bench.study}
    secrets |= {i.sop_instance_uid for i in bench.instances}
    secrets |= {i.series_instance_uid for i in bench.instances}
    assert not [secret for secret in secrets if secret in text]


async def eventually(look: Callable[[], Awaitable[Any]]) -> Any:
    """Look until there is something to see."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            if found := await look():
                return found
            await asyncio.sleep(0.02)


async def _row(bench: Bench, row: screenings.Row) -> dict[str, Any]:
    async with bench.database.connection() as connection:
        found, _, _ = await screenings.find(connection, "default", row["screening_id"])
    return found
