"""``onescan pool`` on a real database, real workers and an API server that asks for every right."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway import cli
from gateway.cluster import deletion_cost
from gateway.cluster.access import OPERATOR_RULES, WORKER_RULES
from gateway.cluster.pools import DELETION_COST
from gateway.commands import pool_drain
from gateway.commands.pool_drain import PAUSED_REPLICAS
from gateway.store import drains
from gateway.store.costs import save_costs
from gateway.testing import FakeTriton, anatomy_inference
from tests.cluster_server import (
    NAMESPACE,
    ApiServer,
    pool_deployment,
    pool_pod,
    running_cluster,
)
from tests.integration.test_worker_screens import Bench, bench  # noqa: F401 - a fixture

pytestmark = pytest.mark.postgres

POD = "onescan-pool-h200-5c9d-x7k2p"
OTHER = "onescan-pool-h200-5c9d-aaaaa"
DEPLOYMENT = "onescan-pool-h200"


@pytest.fixture(scope="module")
def server() -> Iterator[ApiServer]:
    with running_cluster() as running:
        yield running


@pytest.fixture
def api(
    server: ApiServer,
    bench: Bench,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> ApiServer:
    """A GPU pool of two pods and a CPU pool at zero; the command line knows where all of it is."""
    server.objects.clear()
    server.asked.clear()
    server.faults.clear()
    server.texts.clear()
    server.rules = {NAMESPACE: OPERATOR_RULES}
    env = {"ONESCAN_WORKER__CHECKS": "liver", "ONESCAN_WORKER__LANES": ""}
    server.put(
        "deployments", pool_deployment("h200", replicas=2, ready=2, gpu="NVIDIA-H200", env=env)
    )
    for name in (POD, OTHER):
        server.put("pods", pool_pod("h200", name, gpu="NVIDIA-H200"))
    backfill = {**env, "ONESCAN_WORKER__LANES": "backfill"}
    server.put("deployments", pool_deployment("night", replicas=0, ready=0, gpus=0, env=backfill))
    settings = server.settings(tmp_path)
    monkeypatch.setenv("DATABASE_URL", bench.settings.store.database_url)
    monkeypatch.setenv("ONESCAN_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ONESCAN_CLUSTER__KUBECONFIG", settings.kubeconfig)
    monkeypatch.setenv("ONESCAN_CLUSTER__TIMEOUT_SECONDS", "1")
    monkeypatch.setenv("ONESCAN_WORKER__STALLED_SECONDS", "10")
    monkeypatch.setattr(pool_drain, "LOOK_SECONDS", 0.05)
    return server


@asynccontextmanager
async def worker(
    bench: Bench,  # noqa: F811
    *,
    pod: str = POD,
    pool: str = "h200",
    triton: FakeTriton | None = None,
    **more: Any,
) -> AsyncIterator[asyncio.Event]:
    """Run a worker as in this pod of this pool."""
    changed = dataclasses.replace(
        bench.settings.worker, pod_name=pod, pool=pool, checks="liver", **more
    )
    inner = dataclasses.replace(bench, settings=dataclasses.replace(bench.settings, worker=changed))
    scripted = triton or FakeTriton().script("anatomy", anatomy_inference())
    async with inner.worker(scripted) as stop:
        await until_reported(bench, pod)
        yield stop


async def reported(bench: Bench, pod: str) -> dict[str, Any] | None:  # noqa: F811
    async with bench.database.connection() as connection:
        cursor = await connection.execute("SELECT * FROM workers WHERE pod = %s", (pod,))
        return await cursor.fetchone()


async def until_reported(bench: Bench, pod: str, **wanted: Any) -> None:  # noqa: F811
    async with asyncio.timeout(20):
        while True:
            row = await reported(bench, pod)
            if row is not None and wanted.items() <= row.items():
                return
            await asyncio.sleep(0.02)


@dataclasses.dataclass
class GatedTriton(FakeTriton):
    """Answers when its gate is open."""

    gate: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)

    async def infer(self, *args: Any, **options: Any) -> Any:
        self.asked.set()
        await self.gate.wait()
        return await super().infer(*args, **options)


class Told:
    """What the command line answered."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        assert self.code == 0, self.err
        return json.loads(self.out)


@pytest.fixture
def pool(capsys: pytest.CaptureFixture[str]) -> Any:
    """Run ``onescan pool`` beside the event loop."""

    async def run(*arguments: str) -> Told:
        capsys.readouterr()
        code = await asyncio.to_thread(cli.main, ["pool", *arguments])
        captured = capsys.readouterr()
        return Told(code, captured.out, captured.err)

    return run


def of(view: Any, name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(item for item in view["pools"] if item["pool"] == name)
    return found


async def test_pools_pods_and_queue_are_shown(
    bench: Bench,  # noqa: F811
    api: ApiServer,
    pool: Any,
) -> None:
    """Each figure from where it says; a pool at zero has its queue too."""
    async with bench.database.connection() as connection:
        await save_costs(connection, {"anatomy": 0.5, "liver": 2.0})
    slow = FakeTriton(delay_seconds=60.0).script("anatomy", anatomy_inference())
    async with worker(bench, triton=slow):
        await bench.order()
        await slow.asked.wait()
        await until_reported(bench, POD, in_flight=1, triton_ready=True)
        await bench.order()
        await bench.order(lane="backfill")
        await bench.order("spleen")
        view = (await pool("--json")).json
    assert view["namespace"] == NAMESPACE
    h200, night = of(view, "h200"), of(view, "night")
    assert h200["gpu"] == {
        "resource": "nvidia.com/gpu",
        "count": 1,
        "type": "NVIDIA-H200",
        "model": None,
    }
    shown = ("pods_wanted", "pods_ready", "workers", "models_ready", "in_flight", "slots")
    assert [h200[key] for key in shown] == [2, 2, 1, 1, 1, 2]
    # One in hand and two that wait, 2.5 s each; the spleen is for no pool.
    assert (h200["waiting"], h200["gpu_seconds_queued"]) == (2, 7.5)
    assert 0 < h200["oldest_seconds"] < 60
    assert (night["waiting"], night["gpu_seconds_queued"]) == (1, 2.5)
    assert (night["pods_wanted"], night["workers"], night["gpu"]) == (0, 0, None)
    assert [pod["pod"] for pod in view["pods"]] == [OTHER, POD]
    idle, busy = view["pods"]
    assert (busy["phase"], busy["node"], busy["ready"]) == ("Running", f"node-of-{POD}", True)
    assert (busy["in_flight"], busy["models_ready"], busy["draining"]) == (1, True, False)
    assert (idle["worker"], idle["in_flight"], idle["models_ready"]) == (None, None, None)
    assert "PROMETHEUS_URL" in view["missing"]["gpu_hours_held"]
    assert "dcgm" in view["missing"]["utilisation"] or "403" in view["missing"]["utilisation"]


async def test_nothing_at_all_is_shown_as_zeros(
    bench: Bench,  # noqa: F811
    api: ApiServer,
    pool: Any,
) -> None:
    """An empty queue, no worker, nothing ended: no figure is NULL, and no cost is made up."""
    view = (await pool("--json", "--gpu-hour-price", "H200=3.60")).json
    h200 = of(view, "h200")
    assert (h200["waiting"], h200["gpu_seconds_queued"], h200["oldest_seconds"]) == (0, 0.0, 0.0)
    assert (h200["workers"], h200["in_flight"], h200["studies"]) == (0, 0, 0)
    assert (h200["gpu_seconds_spent"], h200["price"]) == (0.0, 3.6)
    assert h200["cost_used"] is None


async def test_cost_is_that_of_what_the_pool_finished(
    bench: Bench,  # noqa: F811
    api: ApiServer,
    pool: Any,
) -> None:
    """By its own screenings, though their worker has gone; other pools have their own."""
    async with bench.database.connection() as connection:
        await save_costs(connection, {"anatomy": 0.5, "liver": 2.0})
    for name, pod in (("h200", POD), ("night", "onescan-pool-night-1-x")):
        async with worker(bench, pool=name, pod=pod):
            for _ in range(2 if name == "h200" else 1):
                assert (await bench.ended(await bench.order()))["state"] == "done"
    async with bench.database.connection() as connection:
        await connection.execute("DELETE FROM workers")
    view = (await pool("--json", "--gpu-hour-price", "H200=3.60")).json
    h200, night = of(view, "h200"), of(view, "night")
    # Two screenings of one study: 2 × 2.5 GPU-seconds at 0.001 EUR each.
    assert (h200["studies"], h200["gpu_seconds_spent"]) == (1, 5.0)
    assert h200["cost_used"] == pytest.approx(5.0)
    assert (night["studies"], night["gpu_seconds_spent"], night["cost_used"]) == (1, None, None)
    async with bench.database.connection() as connection:
        await connection.execute(
            "UPDATE screenings SET finished_at = finished_at - interval '25 hours'"
        )
    assert of((await pool("--json")).json, "h200")["studies"] == 0
    assert of((await pool("--json", "--hours", "48")).json, "h200")["studies"] == 1


async def test_tables_say_what_is_missing_and_why(
    bench: Bench,  # noqa: F811
    api: ApiServer,
    pool: Any,
) -> None:
    """Within 100 columns; a figure that is not known is a dash."""
    async with worker(bench):
        told = await pool()
    assert told.code == 0
    assert max(map(len, told.out.splitlines())) <= 100
    for word in ("h200", "night", "NVIDIA-H200", "CPU", "taking", "EUR/GPU-h"):
        assert word in told.out
    assert "price: –, since: No price is known" in told.out
    only = await pool("--pool", "night")
    assert "h200" not in only.out
    unknown = await pool("--pool", "nowhere")
    assert (unknown.code, unknown.out) == (1, "")
    assert "has no pool nowhere. [cluster.not_found]" in unknown.err


async def test_without_a_database_pods_are_shown_all_the_same(
    api: ApiServer, pool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no server is started for it."""
    for url, why in (
        ("", "DATABASE_URL is not set."),
        ("postgresql://127.0.0.1:9/none", "The database cannot be asked: store.unavailable."),
    ):
        monkeypatch.setenv("DATABASE_URL", url)
        view = (await pool("--json")).json
        assert view["missing"]["database"] == why
        assert of(view, "h200")["pods_ready"] == 2
        assert of(view, "h200")["waiting"] is None
        assert (await pool()).code == 0


async def test_a_cluster_that_does_not_answer_is_one_line(api: ApiServer, pool: Any) -> None:
    """On stderr, with --json too; and bad arguments are refused before it is asked."""
    for fault, code in (
        (403, "cluster.forbidden"),
        (500, "cluster.failed"),
        ("hang", "cluster.unavailable"),
        ("html", "cluster.failed"),
    ):
        api.faults = {("list", "deployments"): fault}
        told = await pool("--json")
        assert (told.code, told.out) == (1, "")
        assert told.err.count("\n") == 1
        assert f"[{code}]" in told.err
    api.asked.clear()
    for arguments in (["--hours", "0"], ["--hours", "nan"], ["--gpu-hour-price", "H200"]):
        assert (await pool(*arguments)).code == 2
    assert not api.asked


async def test_a_drained_pod_finishes_what_it_has_and_is_deleted(
    bench: Bench,  # noqa: F811
    api: ApiServer,
    pool: Any,
) -> None:
    """It takes nothing more meanwhile, nothing is handed back, and its drain goes with it."""
    triton = GatedTriton().script("anatomy", anatomy_inference())
    async with worker(bench, triton=triton):
        held = await bench.order()
        await triton.asked.wait()
        drained = asyncio.create_task(pool("drain", POD, "--json"))
        await until_reported(bench, POD, draining=True, drained=False, in_flight=1)
        waiting = await bench.order()
        assert not drained.done()
        triton.gate.set()
        told = (await drained).json
        assert (await bench.shown(held))["state"] == "done"
        assert (await bench.shown(held))["attempt"] == 1
        assert (await bench.shown(waiting))["state"] == "accepted"
        assert told["then"] == "delete"
        assert told["done"][-1] == f"Deleted the pod {POD}."
        assert told["waited_seconds"] > 0
    assert api.get("pods", POD) is None
    assert api.get("pods", OTHER) is not None
    (deleted,) = api.of_verb("delete")
    assert deleted.body["preconditions"]["uid"]
    async with bench.database.connection() as connection:
        assert await drains.list_drains(connection) == []


async def test_an_idle_worker_s_drain_holds_until_it_is_resumed(
    bench: Bench,  # noqa: F811
    api: ApiServer,
    pool: Any,
) -> None:
    """A worker that starts anew in the same pod takes nothing either; then both go on."""
    for _ in range(2):
        async with worker(bench):
            assert (await pool("drain", f"pod/{POD}", "--then", "leave")).code == 0
            row = await bench.order()
            await asyncio.sleep(0.3)
            assert (await bench.shown(row))["state"] == "accepted"
            assert (await reported(bench, POD) or {})["drained"] is True
    async with worker(bench):
        shown = next(p for p in (await pool("--json")).json["pods"] if p["pod"] == POD)
        assert shown["drain_asked"]
        assert shown["drained"]
        assert (await pool("resume", POD)).code == 0
        assert (await bench.ended(row))["state"] == "done"
    assert api.get("pods", POD) is not None
    again = await pool("resume", POD)
    assert again.code == 2
    assert "is not drained. [request.not_found]" in again.err


async def test_what_a_worker_said_of_an_earlier_drain_counts_for_nothing(
    bench: Bench,  # noqa: F811
) -> None:
    """It has taken a study since, and has yet to say so."""
    async with bench.database.connection() as connection:
        await connection.execute(
            "INSERT INTO workers (worker, version, checks, slots, pod, pool, drained)"
            " VALUES ('w', '1', '{}', 1, %s, 'h200', true)",
            (POD,),
        )
        for scope, name in (("pod", POD), ("pool", "h200")):
            await drains.request(connection, scope, name, actor="test")
            assert len(await drains.still_busy(connection, scope, name, 60.0)) == 1
            await connection.execute("UPDATE workers SET drained = true")  # its next beat
            assert not await drains.still_busy(connection, scope, name, 60.0)
            await drains.request(connection, scope, name, actor="test")  # again changes nothing
            assert not await drains.still_busy(connection, scope, name, 60.0)


async def test_a_drain_that_takes_too_long_says_so_and_holds(
    bench: Bench,  # noqa: F811
    api: ApiServer,
    pool: Any,
) -> None:
    """Nothing is deleted or scaled; SIGTERM still hands back what is in hand."""
    stuck = FakeTriton(delay_seconds=60.0).script("anatomy", anatomy_inference())
    async with worker(bench, triton=stuck):
        row = await bench.order()
        await stuck.asked.wait()
        told = await pool("drain", POD, "--timeout", "0.5")
        assert told.code == 1
        assert "still has 1 screenings in flight" in told.err
        assert "onescan pool resume pod/" in told.err
        assert "[cluster.drain_timeout]" in told.err
        assert (await reported(bench, POD) or {})["draining"] is True
    shown = await bench.shown(row)
    assert (shown["state"], shown["attempt"]) == ("accepted", 1)
    assert not api.of_verb("delete", "patch")


async def test_a_pool_is_drained_scaled_to_none_and_back(
    bench: Bench,  # noqa: F811
    api: ApiServer,
    pool: Any,
) -> None:
    """As many pods as before come back; other pools go on meanwhile."""
    async with worker(bench), worker(bench, pod=OTHER):
        assert (await pool("drain", "h200")).code == 0
        row = await bench.order()
        await asyncio.sleep(0.3)
        assert (await bench.shown(row))["state"] == "accepted"
    async with worker(bench, pool="night", pod="elsewhere"):
        assert (await bench.ended(row))["state"] == "done"
    deployment = api.get("deployments", DEPLOYMENT)
    assert deployment is not None
    assert deployment["spec"]["replicas"] == 0
    assert of((await pool("--json")).json, "h200")["drained"]
    assert (await pool("drain", "h200")).code == 0  # again changes nothing
    told = (await pool("resume", "pool/h200", "--json")).json
    assert told["done"][-1] == f"The Deployment {DEPLOYMENT} wants 2 pods."
    assert deployment["spec"]["replicas"] == 2
    async with bench.database.connection() as connection:
        cursor = await connection.execute(
            "SELECT action, subject FROM audit WHERE action LIKE 'pool.%%' ORDER BY audit_id"
        )
        lines = [(row["action"], row["subject"]) for row in await cursor.fetchall()]
    assert lines == [("pool.drained", "h200"), ("pool.resumed", "h200")]


async def test_keda_is_told_instead_of_overruled(
    bench: Bench,  # noqa: F811
    api: ApiServer,
    pool: Any,
) -> None:
    """Its pause holds the pool at zero; a scaling by one, which it would undo, is refused first."""
    api.put(
        "scaledobjects",
        {"metadata": {"name": "h200"}, "spec": {"scaleTargetRef": {"name": DEPLOYMENT}}},
    )
    refused = await pool("drain", POD, "--then", "scale")
    assert refused.code == 2
    assert "KEDA scales the pool h200" in refused.err
    async with bench.database.connection() as connection:
        assert await drains.list_drains(connection) == []
    assert of((await pool("--json")).json, "h200")["scaled_by"] == "h200"
    assert (await pool("drain", "h200")).code == 0
    scaled = api.get("scaledobjects", "h200")
    assert scaled is not None
    assert scaled["metadata"]["annotations"] == {PAUSED_REPLICAS: "0"}
    assert (await pool("resume", "h200")).code == 0
    scaled = api.get("scaledobjects", "h200")
    assert scaled is not None
    assert scaled["metadata"]["annotations"] == {}
    assert not [a for a in api.asked if a.resource == "deployments/scale"]


async def test_a_pool_shrinks_by_the_drained_pod(api: ApiServer, pool: Any) -> None:
    """Its cost is the lowest before the Deployment wants one less."""
    assert (await pool("drain", POD, "--then", "scale")).code == 0
    cost, scale = api.of_verb("patch")
    assert cost.body == {"metadata": {"annotations": {DELETION_COST: "-1000"}}}
    assert (scale.name, scale.body) == (DEPLOYMENT, {"spec": {"replicas": 1}})
    assert (await pool("resume", POD)).code == 0
    item = api.get("pods", POD)
    assert item is not None
    assert item["metadata"]["annotations"] == {}


async def test_what_has_changed_during_the_wait_is_heeded(
    bench: Bench,  # noqa: F811
    api: ApiServer,
    pool: Any,
) -> None:
    """The Deployment wants one less than it does by then, and a successor of the pod is left be."""
    triton = GatedTriton().script("anatomy", anatomy_inference())
    for then in ("scale", "delete"):
        triton.gate.clear()
        triton.asked.clear()
        async with worker(bench, triton=triton):
            await bench.order()
            await triton.asked.wait()
            drained = asyncio.create_task(pool("drain", POD, "--then", then))
            await until_reported(bench, POD, draining=True, in_flight=1)
            deployment = api.get("deployments", DEPLOYMENT)
            assert deployment is not None
            deployment["spec"]["replicas"] = 6
            if then == "delete":
                api.put("pods", pool_pod("h200", POD, gpu="NVIDIA-H200"))  # with another UID
            triton.gate.set()
            told = await drained
            assert told.code == 0
        if then == "scale":
            assert deployment["spec"]["replicas"] == 5
            assert (await pool("resume", POD)).code == 0
        else:
            assert "No pod was left to delete." in told.out
            assert api.get("pods", POD) is not None


async def test_all_pods_of_a_pool_are_replaced(
    bench: Bench,  # noqa: F811
    api: ApiServer,
    pool: Any,
) -> None:
    """What replaces them takes screenings at once."""
    told = (await pool("drain", "h200", "--then", "delete", "--json")).json
    assert told["done"][1:] == [f"Deleted the pod {name}." for name in sorted((OTHER, POD))]
    async with bench.database.connection() as connection:
        assert await drains.list_drains(connection) == []


async def test_what_may_not_be_deleted_stays_drained(
    bench: Bench,  # noqa: F811
    api: ApiServer,
    pool: Any,
) -> None:
    """The right is missed at the end only, and the work was not lost on the way."""
    api.faults = {("delete", "pods"): 403}
    told = await pool("drain", POD)
    assert told.code == 1
    assert "[cluster.forbidden]" in told.err
    async with bench.database.connection() as connection:
        assert [(d["scope"], d["name"]) for d in await drains.list_drains(connection)] == [
            ("pod", POD)
        ]


async def test_a_worker_of_an_older_release_is_waited_for(
    bench: Bench,  # noqa: F811
    api: ApiServer,
    pool: Any,
) -> None:
    """It cannot hear the drain, so its pod is never taken for drained; a silent one is."""
    async with bench.database.connection() as connection:
        await connection.execute(
            "INSERT INTO workers (worker, version, checks, slots, in_flight, seen_at)"
            " VALUES (%s, '0.0.9', '{liver}', 2, 1, now() + interval '1 hour')",
            (f"{POD}-1-0123abcd",),
        )
    told = await pool("drain", POD, "--timeout", "0.3")
    assert "[cluster.drain_timeout]" in told.err
    async with bench.database.connection() as connection:
        await connection.execute("UPDATE workers SET seen_at = now() - interval '1 minute'")
    assert (await pool("drain", POD)).code == 0


async def test_an_unknown_name_drains_nothing(
    bench: Bench,  # noqa: F811
    api: ApiServer,
    pool: Any,
) -> None:
    """Names are those of `onescan pool`."""
    for name, why in (
        ("nowhere", "no pod and no pool of the name nowhere"),
        ("pod/h200", "no pod and no pool of the name h200"),
        ("node/h200", "neither pod/NAME nor pool/NAME"),
        ("pool/", "neither pod/NAME nor pool/NAME"),
        (DEPLOYMENT, "no pod and no pool"),
    ):
        told = await pool("drain", name)
        assert told.code in (1, 2)
        assert why in told.err
    async with bench.database.connection() as connection:
        assert await drains.list_drains(connection) == []


async def test_a_name_of_both_has_to_be_told_apart(api: ApiServer, pool: Any) -> None:
    """A pod may be called as a pool is."""
    api.put("pods", pool_pod("h200", "h200"))
    told = await pool("drain", "h200")
    assert told.code == 2
    assert "write pod/h200 or pool/h200" in told.err
    assert (await pool("drain", "pod/h200", "--then", "leave")).code == 0


async def test_draining_needs_the_database(
    api: ApiServer, pool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers hear of it there; none is started for it."""
    monkeypatch.setenv("DATABASE_URL", "")
    for verb in ("drain", "resume"):
        told = await pool(verb, POD)
        assert told.code == 2
        assert "DATABASE_URL is not set" in told.err
    monkeypatch.setenv("DATABASE_URL", "postgresql://127.0.0.1:9/none")
    told = await pool("drain", POD)
    assert (told.code, "[store.unavailable]" in told.err) == (1, True)


async def test_a_worker_keeps_its_pod_s_deletion_cost(
    bench: Bench,  # noqa: F811
    api: ApiServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With no more rights than its Role's; a stat study in hand makes the pod the last to go."""
    monkeypatch.setattr(deletion_cost, "WRITE_SECONDS", 0.2)
    monkeypatch.setattr(deletion_cost, "LOOK_SECONDS", 0.05)
    api.rules = {NAMESPACE: WORKER_RULES}
    bench.settings = dataclasses.replace(bench.settings, cluster=api.settings(tmp_path))

    async def until(cost: str) -> None:
        async with asyncio.timeout(20):
            while True:
                item = api.get("pods", POD)
                assert item is not None
                if item["metadata"].get("annotations") == {DELETION_COST: cost}:
                    return
                await asyncio.sleep(0.02)

    stuck = FakeTriton(delay_seconds=60.0).script("anatomy", anatomy_inference())
    async with worker(bench, triton=stuck, pod_namespace=NAMESPACE):
        await until("0")
        await bench.order()
        await until("200")
        await bench.order(lane="stat")
        await until("300")
    assert {(a.verb, a.resource, a.name, a.field_manager) for a in api.asked} == {
        ("patch", "pods", POD, "onescan-worker")
    }


async def test_a_worker_does_not_mind_a_cluster_that_is_away(
    bench: Bench,  # noqa: F811
    api: ApiServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It screens, and ends in time."""
    monkeypatch.setattr(deletion_cost, "LOOK_SECONDS", 0.05)
    api.faults = {("patch", "pods"): "hang"}
    bench.settings = dataclasses.replace(bench.settings, cluster=api.settings(tmp_path))
    async with worker(bench):
        assert (await bench.ended(await bench.order()))["state"] == "done"
        assert (await bench.ended(await bench.order()))["state"] == "done"
    assert len(api.of_verb("patch")) == 1
