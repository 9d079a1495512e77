"""Pools: who takes which job, what an autoscaler reads, what a kubelet is told."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
import urllib.error
import urllib.request
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import psycopg
import pytest

from gateway.exceptions import StubDiedError, UsageError
from gateway.screening.manifest_reader import load_manifests
from gateway.settings import ROOT, WorkerSettings
from gateway.store import suspensions
from gateway.store.costs import SCALER_FUNCTIONS, grant_scaler, save_costs
from gateway.store.queue import job_class, queue_name
from gateway.testing import FakeTriton, anatomy_inference
from gateway.worker.pool import Pool
from gateway.worker.slots import shares
from tests.integration.test_worker_screens import Bench, bench  # noqa: F401 - a fixture

pytestmark = pytest.mark.postgres

MANIFESTS = load_manifests(ROOT / "model_repository")


def scripted() -> FakeTriton:
    return FakeTriton().script("anatomy", anatomy_inference())


def restrict(bench: Bench, **worker: object) -> None:  # noqa: F811
    bench.settings = dataclasses.replace(
        bench.settings, worker=dataclasses.replace(bench.settings.worker, **worker)
    )


def test_a_pool_is_what_its_settings_say() -> None:
    """All by default; names in the order of the manifests and of urgency; unknown ones refused."""
    everything = Pool.of(WorkerSettings(), MANIFESTS)
    assert set(everything.checks) == {n for n, m in MANIFESTS.items() if m.is_check}
    assert everything.lanes == ("stat", "routine", "backfill")
    assert not everything.restricted
    some = Pool.of(WorkerSettings(checks=" liver, aorta,", lanes="backfill,stat"), MANIFESTS)
    assert set(some.checks) == {"liver", "aorta"}
    assert some.lanes == ("stat", "backfill")
    assert some.restricted
    with pytest.raises(UsageError, match=r"ONESCAN_WORKER__CHECKS holds 'knee'; there are "):
        Pool.of(WorkerSettings(checks="liver,knee"), MANIFESTS)
    with pytest.raises(UsageError, match=r"ONESCAN_WORKER__LANES holds 'urgent'; there are stat"):
        Pool.of(WorkerSettings(lanes="urgent"), MANIFESTS)


def test_a_pool_without_stat_keeps_no_slot_for_it() -> None:
    """And one of stat alone gives it all."""
    assert shares(4, ("routine", "backfill")) == [(("routine", "backfill"), 4)]
    assert shares(4, ("stat",)) == [(("stat",), 4)]


def test_a_class_is_a_set_and_its_channel_fits_into_postgresql() -> None:
    """Neither order nor repetition matters, and the notification's name has at most 63 bytes."""
    assert job_class(["liver", "aorta"]) == job_class(["aorta", "liver", "aorta"])
    assert job_class(["liver"]) != job_class(["liver", "aorta"])
    for lane in ("stat", "routine", "backfill"):
        assert len(f"procrastinate_queue_v1#{queue_name(lane, job_class(MANIFESTS))}") <= 63


async def test_a_job_goes_whole_to_a_pool_that_runs_all_its_checks(
    bench: Bench,  # noqa: F811
) -> None:
    """A restricted pool leaves what it cannot run; one that runs everything takes it."""
    restrict(bench, checks="liver")
    both = await bench.order("liver", "spleen")
    own = await bench.order("liver")
    async with bench.worker(scripted()):
        assert (await bench.ended(own))["state"] == "done"
        await asyncio.sleep(0.3)
        assert (await bench.shown(both))["state"] == "accepted"
    restrict(bench, checks="")
    async with bench.worker(scripted()):
        ended = await bench.ended(both)
    assert ended["state"] == "done"
    told = {check["check"]: (check["state"], check["reason"]) for check in ended["checks"]}
    assert told["spleen"] == ("not_evaluated", "not_installed")
    assert told["liver"] != told["spleen"]


async def test_a_pool_takes_from_its_lanes_only(bench: Bench) -> None:  # noqa: F811
    """What comes while it works is noticed too."""
    restrict(bench, lanes="backfill")
    async with bench.worker(scripted()):
        routine = await bench.order(lane="routine")
        backfill = await bench.order(lane="backfill")
        assert (await bench.ended(backfill))["state"] == "done"
        assert (await bench.shown(routine))["state"] == "accepted"


async def test_jobs_from_before_there_were_classes_are_taken(bench: Bench) -> None:  # noqa: F811
    """By pools that run everything: nothing accepted waits for ever after an upgrade."""
    row = await bench.order()
    async with bench.database.connection() as connection:
        await connection.execute("UPDATE procrastinate_jobs SET queue_name = 'routine'")
    async with bench.worker(scripted()):
        assert (await bench.ended(row))["state"] == "done"


async def test_the_demand_is_what_a_pool_may_take(bench: Bench) -> None:  # noqa: F811
    """Queued plus in flight, of its lanes and checks, by the costs; zero and never NULL on none."""

    async def demand(checks: list[str] | None, lanes: list[str] | None) -> tuple[float, float]:
        async with bench.database.connection() as connection:
            cursor = await connection.execute(
                "SELECT onescan_pool_gpu_seconds(%s, %s) AS seconds,"
                " onescan_pool_oldest_seconds(%s, %s) AS oldest",
                (checks, lanes, checks, lanes),
            )
            row = await cursor.fetchone()
            assert row is not None
            return row["seconds"], row["oldest"]

    for asked in (([], []), (None, None), (["liver"], ["stat"])):
        assert await demand(*asked) == (0.0, 0.0)
    async with bench.database.connection() as connection:
        await save_costs(connection, {"anatomy": 0.5, "liver": 2.0})
        await save_costs(connection, {"anatomy": 0.25, "liver": 2.0})
    await bench.order("liver")
    await bench.order("liver", "unheard-of", lane="stat")
    seconds, oldest = await demand([], [])
    assert seconds == pytest.approx(2 * 0.25 + 2 * 2.0 + 1.0)
    assert 0.0 < oldest < PATIENCE_SECONDS
    assert (await demand(["liver"], []))[0] == pytest.approx(2.25)
    assert (await demand(["liver", "unheard-of"], ["stat"]))[0] == pytest.approx(3.25)
    assert await demand(["liver"], ["stat"]) == (0.0, 0.0)
    async with bench.database.connection() as connection:
        await suspensions.suspend(connection, "", "stat", reason="", actor="test")
    assert (await demand([], ["stat"])) == (0.0, 0.0)  # nobody may take it, so nobody is needed
    async with bench.database.connection() as connection:
        await connection.execute("UPDATE screenings SET state = 'running' WHERE lane = 'stat'")
    assert await demand([], ["stat"]) == (pytest.approx(3.25), 0.0)
    async with bench.database.connection() as connection:
        await connection.execute("UPDATE screenings SET state = 'done'")
    assert await demand([], []) == (0.0, 0.0)


PATIENCE_SECONDS = 60.0


@pytest.fixture
def role(database_url: str) -> Iterator[str]:
    """A role that may log in and nothing else."""
    name = f"scaler_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'secret'")
        yield name
        connection.execute(f"DROP OWNED BY {name}")
        connection.execute(f"DROP ROLE {name}")


def test_the_scaler_sees_the_demand_and_nothing_else(database_url: str, role: str) -> None:
    """Not before it was granted, and no table afterwards either."""

    def ask(statement: str) -> object:
        with psycopg.connect(database_url) as connection:
            connection.execute(f"SET ROLE {role}")
            return connection.execute(statement).fetchone()

    query = "SELECT onescan_pool_gpu_seconds('{}', '{}')"
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        ask(query)
    grant_scaler(database_url, role)
    grant_scaler(database_url, role)
    assert ask(query) == (0.0,)
    assert len(SCALER_FUNCTIONS) == 2
    for table in ("screenings", "api_keys", "check_costs", "job_classes"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            ask(f"SELECT count(*) FROM {table}")


def test_a_scaler_that_does_not_exist_is_said_in_one_sentence(database_url: str) -> None:
    """With the statement that makes it."""
    with pytest.raises(UsageError, match=r"no role 'nobody'.*CREATE ROLE nobody LOGIN"):
        grant_scaler(database_url, "nobody")


async def ask(port: int, path: str) -> tuple[int, str]:
    def get() -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    return await asyncio.to_thread(get)


@asynccontextmanager
async def probed(bench: Bench) -> AsyncIterator[int]:  # noqa: F811
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    restrict(bench, metrics_port=port)
    yield port


async def test_the_workers_port_tells_a_kubelet_and_prometheus(bench: Bench) -> None:  # noqa: F811
    """Ready follows Triton and the database, never the load; nothing is there but the three."""
    well = asyncio.Event()

    async def probe() -> None:
        if not well.is_set():
            raise StubDiedError("a stub died")

    async def status(path: str, wanted: int) -> str:
        async with asyncio.timeout(20):
            while True:
                got, text = await ask(port, path)
                if got == wanted:
                    return text
                await asyncio.sleep(0.05)

    asked_for = bench.settings.home / "triton-must-restart"
    bench.settings = dataclasses.replace(
        bench.settings,
        triton=dataclasses.replace(bench.settings.triton, restart_file=str(asked_for)),
    )
    async with probed(bench) as port, bench.worker(scripted(), probe=probe) as stop:
        await asyncio.sleep(0.2)
        assert await status("/livez", 200) == "ok\n"
        assert "triton is not ready" in await status("/readyz", 503)
        assert asked_for.exists()  # Triton's liveness probe looks for it
        well.set()
        assert await status("/readyz", 200) == "ok\n"
        code, text = await ask(port, "/metrics")
        assert code == 200
        assert "onescan_attempts_total" in text
        assert (await ask(port, "/screenings"))[0] == 404
        stop.set()


async def test_a_port_that_is_taken_is_said(bench: Bench) -> None:  # noqa: F811
    """Before anything is taken from the queue."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        restrict(bench, metrics_port=taken.getsockname()[1])
        with pytest.raises(UsageError, match="cannot be used"):
            async with bench.worker(scripted()):
                await asyncio.sleep(5)


async def test_workers_say_which_pool_they_are_of(bench: Bench) -> None:  # noqa: F811
    """With lanes and checks."""
    restrict(bench, pool="night", lanes="backfill", checks="liver")
    async with bench.worker(scripted()):
        async with asyncio.timeout(20):
            while True:
                async with bench.database.connection() as connection:
                    cursor = await connection.execute("SELECT * FROM workers")
                    rows = await cursor.fetchall()
                if rows:
                    break
                await asyncio.sleep(0.05)
    (row,) = rows
    assert (row["pool"], row["lanes"], row["checks"]) == ("night", ["backfill"], ["liver"])
