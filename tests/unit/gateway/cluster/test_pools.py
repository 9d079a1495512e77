"""Pods and pools are read from the API server's JSON as kubectl would show them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.cluster.access import OPERATOR_RULES
from gateway.cluster.client import Cluster, open_cluster
from gateway.cluster.pools import DELETION_COST, Gpu, Pod, Pool, read_pools
from gateway.exceptions import ClusterError
from tests.cluster_server import NAMESPACE, ApiServer, pool_deployment, pool_pod, running_cluster


@pytest.fixture(scope="module")
def server() -> Iterator[ApiServer]:
    with running_cluster() as running:
        running.rules = {NAMESPACE: OPERATOR_RULES}
        yield running


@pytest.fixture
def api(server: ApiServer) -> ApiServer:
    server.objects.clear()
    return server


@pytest.fixture
def cluster(api: ApiServer, tmp_path: Path) -> Iterator[Cluster]:
    opened = open_cluster(api.settings(tmp_path))
    yield opened
    opened.close()


def only_pod(api: ApiServer, cluster: Cluster, item: dict[str, Any]) -> Pod:
    api.put("pods", item)
    (pod,) = read_pools(cluster)[1]
    return pod


def only_pool(api: ApiServer, cluster: Cluster, item: dict[str, Any]) -> Pool:
    api.put("deployments", item)
    (pool,) = read_pools(cluster)[0]
    return pool


def test_a_pod_is_read_whole(api: ApiServer, cluster: Cluster) -> None:
    """The sidecar's restarts and readiness count too, and the annotation is a number."""
    item = pool_pod("h200", "pod-1", resource="nvidia.com/mig-1g.18gb", gpus=2, gpu="NVIDIA-H200")
    item["metadata"]["annotations"] = {DELETION_COST: "-1000"}
    pod = only_pod(api, cluster, item)
    assert pod.uid
    assert pod == Pod(
        name="pod-1",
        uid=pod.uid,
        pool="h200",
        phase="Running",
        node="node-of-pod-1",
        ready=True,
        triton_ready=True,
        restarts=3,
        gpu=Gpu(resource="nvidia.com/mig-1g.18gb", count=2, type="NVIDIA-H200"),
        deletion_cost=-1000,
    )


def test_a_pending_pod_has_next_to_nothing(api: ApiServer, cluster: Cluster) -> None:
    """No node, no condition, no container."""
    item = pool_pod("h200", "pod-1")
    item["status"] = {"phase": "Pending"}
    del item["spec"]["nodeName"]
    pod = only_pod(api, cluster, item)
    assert (pod.phase, pod.node, pod.ready, pod.triton_ready) == ("Pending", None, False, None)


def test_the_phase_is_what_holds_the_pod_up(api: ApiServer, cluster: Cluster) -> None:
    """Why a container waits, or that the pod goes; not that it is initializing."""
    item = pool_pod("h200", "pod-1", ready=False)
    triton, worker = (item["status"][k][0] for k in ("initContainerStatuses", "containerStatuses"))
    worker["state"] = {"waiting": {"reason": "PodInitializing"}}
    item["status"]["phase"] = "Pending"
    assert only_pod(api, cluster, item).phase == "Pending"
    triton["state"] = {"waiting": {"reason": "CrashLoopBackOff"}}
    assert only_pod(api, cluster, item).phase == "CrashLoopBackOff"
    item["metadata"]["deletionTimestamp"] = "2026-11-21T12:00:00Z"
    assert only_pod(api, cluster, item).phase == "Terminating"


def test_a_gpu_s_type_comes_from_selector_or_affinity(api: ApiServer, cluster: Cluster) -> None:
    """Whichever chooses the nodes; a pool without a GPU has none."""
    item = pool_deployment("h200")
    assert only_pool(api, cluster, item).gpu == Gpu(resource="nvidia.com/gpu", count=1, type=None)
    item["spec"]["template"]["spec"]["affinity"] = {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [
                    {
                        "matchExpressions": [
                            {"key": "zone", "operator": "Exists"},
                            {
                                "key": "nvidia.com/gpu.product",
                                "operator": "In",
                                "values": ["NVIDIA-L4", "NVIDIA-L40S"],
                            },
                        ]
                    }
                ]
            }
        }
    }
    gpu = only_pool(api, cluster, item).gpu
    assert gpu is not None
    assert gpu.type == "NVIDIA-L4|NVIDIA-L40S"
    assert only_pool(api, cluster, pool_deployment("h200", gpus=0)).gpu is None


def test_a_pool_says_what_its_workers_run(api: ApiServer, cluster: Cluster) -> None:
    """Empty means all; where the Deployment does not say it, it is not known."""
    pool = only_pool(api, cluster, pool_deployment("h200"))
    assert (pool.checks, pool.lanes) == (None, None)
    env = {"ONESCAN_WORKER__CHECKS": "liver, aorta", "ONESCAN_WORKER__LANES": ""}
    pool = only_pool(api, cluster, pool_deployment("h200", replicas=3, ready=2, env=env))
    assert (pool.checks, pool.lanes) == (("liver", "aorta"), ())
    assert (pool.wanted, pool.ready) == (3, 2)


def test_a_pool_at_zero_is_a_pool(api: ApiServer, cluster: Cluster) -> None:
    """Its Deployment has no ready replica in its status then."""
    item = pool_deployment("backfill", replicas=0)
    item["status"] = {}
    pool = only_pool(api, cluster, item)
    assert (pool.wanted, pool.ready) == (0, 0)


def test_a_pool_knows_its_pods_by_name() -> None:
    """Those that are gone too, and none of a pool whose name begins alike."""
    pool = Pool(
        name="a",
        deployment="onescan-pool-a",
        wanted=1,
        ready=1,
        gpu=None,
        checks=None,
        lanes=None,
        scaled_object=None,
    )
    assert pool.owns("onescan-pool-a-6c9f5d-x7k2p")
    assert not pool.owns("onescan-pool-a-b-6c9f5d-x7k2p")


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("spec",), 7),
        (("spec", "replicas"), "many"),
        (("spec", "template", "spec", "containers"), [7]),
        (("spec", "template", "spec", "containers"), 7),
        (("spec", "template", "spec", "containers"), [{"resources": {"limits": {"x/gpu": "a"}}}]),
        (("spec", "template", "spec", "nodeSelector"), ["zone"]),
        (("status",), [1]),
    ],
    ids=str,
)
def test_what_is_no_pool_is_one_error(
    api: ApiServer, cluster: Cluster, where: tuple[str, ...], value: Any
) -> None:
    """Never a traceback."""
    item = pool_deployment("h200")
    inner = item
    for key in where[:-1]:
        inner = inner[key]
    inner[where[-1]] = value
    api.put("deployments", item)
    with pytest.raises(ClusterError, match="form of pods"):
        read_pools(cluster)
