"""The queries about GPUs, answered by a real Prometheus with DCGM's series in it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.cluster.access import OPERATOR_RULES
from gateway.cluster.client import Cluster, open_cluster
from gateway.cluster.utilisation import PROMETHEUS, gpu_hours_held, read_utilisation
from gateway.settings import ClusterSettings
from tests.cluster_server import NAMESPACE, ApiServer, running_cluster
from tests.prometheus_server import Series, running_prometheus

A = "onescan-pool-a-5c9d-x7k2p"
"""Two GPUs, seen for 90 minutes by a Prometheus that honours the exporter's labels."""

B = "onescan-pool-b.c-77f-q9z4d"
"""A slice of a GPU, of a Prometheus that does not: our pod is in exported_pod."""

GONE = "onescan-pool-a-1111-zzzzz"
"""Held a GPU an hour ago for 30 minutes."""


def series(now: float) -> list[Series]:
    def minutes(begin: int, end: int, value: float) -> list[tuple[float, float]]:
        return [(now - 60.0 * ago, value) for ago in range(begin, end, -1)]

    def ours(pod: str, gpu: int, namespace: str = NAMESPACE) -> str:
        return f'{{gpu="{gpu}",modelName="NVIDIA H200",namespace="{namespace}",pod="{pod}"}}'

    def moved(pod: str) -> str:
        return (
            '{gpu="0",GPU_I_ID="3",modelName="NVIDIA H200",namespace="gpu-operator",'
            f'pod="nvidia-dcgm-exporter-1",exported_namespace="{NAMESPACE}",exported_pod="{pod}"}}'
        )

    return [
        ("DCGM_FI_DEV_GPU_UTIL" + ours(A, 0), [*minutes(90, 6, 0.0), *minutes(6, -1, 90.0)]),
        ("DCGM_FI_DEV_GPU_UTIL" + ours(A, 1), minutes(90, -1, 30.0)),
        ("DCGM_FI_DEV_GPU_UTIL" + ours(A, 2, "training"), minutes(90, -1, 100.0)),
        ("DCGM_FI_PROF_GR_ENGINE_ACTIVE" + moved(B), minutes(20, -1, 0.25)),
        *(
            ("DCGM_FI_DEV_FB_USED" + labels, pairs)
            for labels, pairs in [
                (ours(A, 0), minutes(90, -1, 900.0)),
                (ours(A, 1), minutes(90, -1, 900.0)),
                (ours(A, 2, "training"), minutes(90, -1, 900.0)),
                (ours(GONE, 3), minutes(100, 70, 900.0)),
                (ours("onescan-api-5c9d-x7k2p", 4), minutes(90, -1, 900.0)),
                (moved(B), minutes(20, -1, 900.0)),
            ]
        ),
    ]


@pytest.fixture(scope="module")
def address(
    need_tool: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("prometheus")
    with running_prometheus(need_tool, folder, series(time.time())) as url:
        yield url


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[ApiServer, Cluster]]:
    with running_cluster() as api:
        api.rules = {NAMESPACE: OPERATOR_RULES}
        opened = open_cluster(api.settings(tmp_path))
        yield api, opened
        opened.close()


def test_utilisation_is_the_mean_of_five_minutes(
    address: str, cluster: tuple[ApiServer, Cluster]
) -> None:
    """Of each pod's GPUs, whichever way Prometheus names the pod; other namespaces are not ours."""
    api, opened = cluster
    usage = read_utilisation(ClusterSettings(prometheus_url=address), opened, {A, B, "unknown"})
    assert usage.missing is None
    assert usage.source == PROMETHEUS
    assert usage.busy == {A: pytest.approx(0.6), B: pytest.approx(0.25)}
    assert usage.models == {A: "NVIDIA H200", B: "NVIDIA H200"}
    assert not api.asked  # the exporters are not asked as well


def test_pods_without_a_gpu_s_series_are_told(
    address: str, cluster: tuple[ApiServer, Cluster]
) -> None:
    """An empty answer is no utilisation of zero."""
    usage = read_utilisation(ClusterSettings(prometheus_url=address), cluster[1], {"unknown"})
    assert usage.busy == {}
    assert usage.missing == "Prometheus has no DCGM metric of these pods."


def test_gpu_hours_count_every_gpu_that_a_pool_held(address: str) -> None:
    """Two GPUs for 90 minutes are 3 hours, idle or not; pods that are gone count too."""
    settings = ClusterSettings(prometheus_url=address)
    held = gpu_hours_held(settings, NAMESPACE, ["onescan-pool-a", "onescan-pool-b.c"], 24.0)
    minute = pytest.approx  # a minute more or less, as the minutes fall
    assert held == {
        A: minute(3.0, abs=2.5 / 60),
        GONE: minute(0.5, abs=6.5 / 60),  # a series is seen for five minutes after its last sample
        B: minute(1 / 3, abs=1.5 / 60),
    }
    last_hour = gpu_hours_held(settings, NAMESPACE, ["onescan-pool-a"], 1.0)
    assert last_hour == {A: minute(2.0, abs=2.5 / 60)}
    assert gpu_hours_held(settings, NAMESPACE, [], 1.0) == {}
