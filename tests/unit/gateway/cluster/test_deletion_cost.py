"""The deletion cost of a worker's pod: what it is, how seldom it is written, what fails it."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.cluster import deletion_cost
from gateway.cluster.access import WORKER_RULES
from gateway.cluster.client import Cluster, open_cluster
from gateway.cluster.deletion_cost import (
    COSTS,
    WRITE_SECONDS,
    DeletionCost,
    InHand,
    bucket,
    kept_deletion_cost,
)
from gateway.cluster.pools import DELETION_COST
from gateway.exceptions import ClusterUnavailableError
from gateway.metrics import DELETION_COST_WRITES
from gateway.settings import Settings, WorkerSettings
from tests.cluster_server import NAMESPACE, ApiServer, pool_pod, running_cluster

POD = "onescan-pool-h200-5c9-x7k2p"


@pytest.mark.parametrize(
    ("in_hand", "usual_seconds", "said"),
    [
        ([], None, "idle"),
        ([], 5.0, "idle"),
        ([("routine", 0)], None, "long"),  # nothing has ended yet, so nothing is known
        ([("routine", 0)], 5.0, "short"),
        ([("routine", 0)], 120.0, "long"),
        ([("routine", 100)], 120.0, "short"),
        ([("routine", 130)], 120.0, "long"),  # has outlived the usual: nobody knows
        ([("routine", 100), ("backfill", 0)], 120.0, "long"),
        ([("routine", 100), ("stat", 119)], 120.0, "stat"),
    ],
)
def test_the_bucket_says_how_much_is_left(
    in_hand: list[tuple[str, float]], usual_seconds: float | None, said: str
) -> None:
    """By the lane, and by how long screenings take on this worker."""
    now = 1000.0
    held = {str(i): InHand(lane, now - ran) for i, (lane, ran) in enumerate(in_hand)}
    assert bucket(held, usual_seconds, now) == said


def test_costs_are_in_the_order_of_the_harm() -> None:
    """The ReplicaSet deletes the lowest first; a pod without the annotation counts as idle."""
    assert sorted(COSTS, key=lambda name: COSTS[name]) == ["idle", "short", "long", "stat"]
    assert COSTS["idle"] == 0


@pytest.fixture(scope="module")
def server() -> Iterator[ApiServer]:
    with running_cluster() as running:
        yield running


@pytest.fixture
def api(server: ApiServer) -> ApiServer:
    server.objects.clear()
    server.asked.clear()
    server.faults.clear()
    server.rules = {NAMESPACE: WORKER_RULES}
    server.put("pods", pool_pod("h200", POD))
    return server


def written(api: ApiServer) -> str | None:
    pod = api.get("pods", POD)
    assert pod is not None
    cost: str | None = pod["metadata"].get("annotations", {}).get(DELETION_COST)
    return cost


def counted(outcome: str) -> float:
    value: float = DELETION_COST_WRITES.labels(outcome)._value.get()
    return value


class Bench:
    """A cost whose clock and work are the test's."""

    def __init__(self, connect: Callable[[], Cluster]) -> None:
        self.now = 0.0
        self.held: dict[str, InHand] = {}
        self.cost = DeletionCost(POD, lambda: dict(self.held), connect, clock=lambda: self.now)

    def at(self, seconds: float) -> None:
        self.now = seconds
        self.cost.step()


@pytest.fixture
def bench(api: ApiServer, tmp_path: Path) -> Iterator[Bench]:
    settings = api.settings(tmp_path, timeout_seconds=0.3)
    made = Bench(lambda: open_cluster(settings, manager="onescan-worker"))
    yield made
    made.cost.close()


def test_it_is_written_on_change_of_bucket_only(api: ApiServer, bench: Bench) -> None:
    """The first time too; and under the worker's own name."""
    for second in range(0, 200, 10):
        bench.at(float(second))
    assert written(api) == "0"
    bench.held = {"one": InHand("stat", 200.0)}
    for second in range(200, 400, 10):
        bench.at(float(second))
    assert written(api) == "300"
    assert [(a.verb, a.field_manager) for a in api.asked] == [("patch", "onescan-worker")] * 2


def test_it_is_written_at_most_once_in_thirty_seconds(api: ApiServer, bench: Bench) -> None:
    """However often work comes and goes; the last state is written when its time has come."""
    for second in range(100):
        bench.held = {str(second): InHand("routine", float(second))} if second % 2 else {}
        bench.at(float(second))
    assert len(api.asked) <= 1 + 100 // WRITE_SECONDS
    bench.held = {"last": InHand("stat", 100.0)}
    bench.at(131.0)
    assert written(api) == "300"


def test_it_learns_how_long_screenings_take(api: ApiServer, bench: Bench) -> None:
    """From those that ended: a new one is long until the first has ended, and short after it."""
    bench.held = {"one": InHand("routine", 0.0)}
    bench.at(1.0)
    assert written(api) == "200"
    bench.held = {"two": InHand("routine", 40.0)}  # one has ended after 40 s
    bench.at(40.0)
    bench.at(60.0)  # 20 s are left
    bench.at(71.0)
    assert written(api) == "100"


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        (403, "forbidden"),
        (404, "failed"),
        (409, "failed"),
        (500, "failed"),
        ("html", "failed"),
        ("hang", "unavailable"),
        ("close", "unavailable"),
    ],
)
def test_a_failure_is_counted_and_tried_again_later(
    api: ApiServer, bench: Bench, fault: int | str, outcome: str
) -> None:
    """It disturbs nobody, and a server in trouble is not asked more often than one in health."""
    before = counted(outcome)
    api.faults = {("patch", "pods"): fault}
    for second in range(29):
        bench.at(float(second))
    assert len(api.asked) == 1
    assert counted(outcome) == before + 1
    api.faults = {}
    done = counted("written")
    bench.at(30.0)
    assert written(api) == "0"
    assert counted("written") == done + 1


def test_a_cluster_that_cannot_be_found_is_looked_for_again(api: ApiServer, tmp_path: Path) -> None:
    """As when the package is missing, or the token is not mounted yet."""
    tries = itertools.count()

    def connect() -> Cluster:
        if next(tries) == 0:
            raise ClusterUnavailableError()
        return open_cluster(api.settings(tmp_path))

    bench = Bench(connect)
    before = counted("unavailable")
    bench.at(0.0)
    assert counted("unavailable") == before + 1
    assert written(api) is None
    bench.at(30.0)
    assert written(api) == "0"
    bench.cost.close()


def test_what_the_client_never_meant_to_raise_disturbs_nobody(api: ApiServer) -> None:
    """The thread goes on after any exception."""

    def connect() -> Cluster:
        raise RuntimeError("unforeseen")

    before = counted("failed")
    Bench(connect).at(0.0)
    assert counted("failed") == before + 1


def settings_of(api: ApiServer, tmp_path: Path, pod: str) -> Settings:
    return Settings(
        home=tmp_path,
        cluster=api.settings(tmp_path, namespace="elsewhere"),
        worker=WorkerSettings(pod_name=pod, pod_namespace=NAMESPACE if pod else ""),
    )


def test_a_thread_of_its_own_keeps_it(
    api: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the pod's namespace, whatever the configuration's; it ends with the block."""
    monkeypatch.setattr(deletion_cost, "LOOK_SECONDS", 0.01)
    held = {"one": InHand("stat", time.monotonic())}
    with kept_deletion_cost(settings_of(api, tmp_path, POD), lambda: held):
        until = time.monotonic() + 10
        while written(api) is None and time.monotonic() < until:
            time.sleep(0.01)
        assert written(api) == "300"
        (thread,) = [t for t in threading.enumerate() if t.name == "deletion cost"]
    thread.join(5)
    assert not thread.is_alive()


def test_a_server_that_hangs_holds_up_no_worker(
    api: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The block is left at once, a call under way or not."""
    monkeypatch.setattr(deletion_cost, "LOOK_SECONDS", 0.01)
    api.faults = {("patch", "pods"): "hang"}
    with kept_deletion_cost(settings_of(api, tmp_path, POD), dict):
        until = time.monotonic() + 10
        while not api.asked and time.monotonic() < until:
            time.sleep(0.01)
        assert api.asked
        (thread,) = [t for t in threading.enumerate() if t.name == "deletion cost"]
        began = time.monotonic()
    assert time.monotonic() - began < 0.5
    thread.join(5)  # the call's own deadline ends it
    assert not thread.is_alive()


def test_without_a_pod_there_is_no_thread(api: ApiServer, tmp_path: Path) -> None:
    """Single machines need no Kubernetes."""
    with kept_deletion_cost(settings_of(api, tmp_path, ""), dict):
        assert not [t for t in threading.enumerate() if t.name == "deletion cost"]
    assert not api.asked
