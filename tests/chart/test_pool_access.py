"""The chart's Roles let `onescan pool` and workers do what they do and no more.

Rendered Deployments and ScaledObjects are put behind an API server that judges by the rendered
Roles, and the commands' own code is run against it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.cluster.access import OPERATOR_RULES, WORKER_RULES, Rule
from gateway.cluster.client import Cluster, open_cluster
from gateway.cluster.pools import DELETION_COST, read_pools
from gateway.exceptions import ClusterForbiddenError
from gateway.settings import Settings
from tests.chart.rendering import PROFILES, of_kind, profile
from tests.cluster_server import ApiServer, running_cluster

NAMESPACE = "screening"

WITH_POOLS = [name for name in PROFILES if of_kind(profile(name), "Deployment")]


def rules_of(documents: Any, ending: str) -> tuple[Rule, ...] | None:
    found = [d for d in of_kind(documents, "Role") if d["metadata"]["name"].endswith(ending)]
    if not found:
        return None
    (role,) = found
    return tuple({key: tuple(words) for key, words in rule.items()} for rule in role["rules"])


def rights(rules: tuple[Rule, ...]) -> set[tuple[str, str, str]]:
    return {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


@pytest.mark.parametrize("name", WITH_POOLS)
def test_roles_are_the_rules_of_the_code(name: str) -> None:
    """Right by right; no rule names an object or a path beside."""
    documents = profile(name)
    for ending, rules in (("-pool", WORKER_RULES), ("-operator", OPERATOR_RULES)):
        rendered = rules_of(documents, ending)
        if rendered is None:
            continue
        assert rights(rendered) == rights(rules)
        assert all(set(rule) == {"apiGroups", "resources", "verbs"} for rule in rendered)


def test_some_profile_has_both_roles() -> None:
    """Else the test above would compare nothing."""
    for ending in ("-pool", "-operator"):
        assert [name for name in WITH_POOLS if rules_of(profile(name), ending)]


@pytest.fixture(params=WITH_POOLS)
def rendered(request: pytest.FixtureRequest) -> tuple[Any, ...]:
    documents: tuple[Any, ...] = profile(request.param)
    return documents


@pytest.fixture
def api(rendered: tuple[Any, ...]) -> Iterator[ApiServer]:
    """A cluster as `helm install` leaves it, a pod for each pool in it."""
    with running_cluster() as server:
        server.rules = {NAMESPACE: rules_of(rendered, "-operator") or OPERATOR_RULES}
        kinds: Mapping[str, str] = {"Deployment": "deployments", "ScaledObject": "scaledobjects"}
        for document in of_kind(rendered, *kinds):
            server.put(kinds[document["kind"]], dict(document), NAMESPACE)
        for document in pools_of(rendered):
            template = document["spec"]["template"]
            pod = {
                "metadata": {
                    **template["metadata"],
                    "name": document["metadata"]["name"] + "-5c9d7-x7k2p",
                },
                "spec": template["spec"],
                "status": {"phase": "Pending"},
            }
            server.put("pods", pod, NAMESPACE)
        yield server


@pytest.fixture
def cluster(api: ApiServer, tmp_path: Path) -> Iterator[Cluster]:
    opened = open_cluster(api.settings(tmp_path, namespace=NAMESPACE))
    yield opened
    opened.close()


def pools_of(documents: tuple[Any, ...]) -> list[Any]:
    """Deployments whose container runs `onescan worker`."""
    return [
        d
        for d in of_kind(documents, "Deployment")
        if "worker" in [c["name"] for c in d["spec"]["template"]["spec"]["containers"]]
    ]


def test_every_pool_is_found_with_its_pods(rendered: tuple[Any, ...], cluster: Cluster) -> None:
    """By the labels that the chart gives; of a release, and of all releases."""
    expected = {d["metadata"]["name"] for d in pools_of(rendered)}
    assert expected
    for release in ("", "onescan"):
        pools, pods = read_pools(cluster, release)
        assert {pool.deployment for pool in pools} == expected
        assert {pod.pool for pod in pods} == {pool.name for pool in pools}
        assert all(pool.owns(pod.name) for pool in pools for pod in pods if pod.pool == pool.name)
    assert read_pools(cluster, "another") == ([], [])


def test_checks_lanes_and_gpus_are_read_off_the_pool(
    rendered: tuple[Any, ...], cluster: Cluster
) -> None:
    """So a pool at zero shows its queue; a ScaledObject is seen to scale it."""
    scaled = {d["spec"]["scaleTargetRef"]["name"] for d in of_kind(rendered, "ScaledObject")}
    for pool in read_pools(cluster)[0]:
        assert pool.checks is not None
        assert pool.lanes is not None
        assert (pool.scaled_object is not None) == (pool.deployment in scaled)
        (document,) = [d for d in pools_of(rendered) if d["metadata"]["name"] == pool.deployment]
        spec = document["spec"]["template"]["spec"]
        limits = {
            resource: int(count)
            for container in [*spec["containers"], *spec.get("initContainers", ())]
            for resource, count in container.get("resources", {}).get("limits", {}).items()
            if resource not in ("cpu", "memory", "ephemeral-storage")
        }
        assert limits == ({pool.gpu.resource: pool.gpu.count} if pool.gpu else {})


def test_a_worker_in_a_pod_may_write_its_cost_and_nothing_else(
    rendered: tuple[Any, ...], api: ApiServer, cluster: Cluster
) -> None:
    """Under the rendered Role, with the name and namespace that the downward API gives."""
    rules = rules_of(rendered, "-pool")
    if rules is None:
        pytest.fail("this profile keeps no deletion cost")
    name = read_pools(cluster)[1][0].name
    api.rules = {NAMESPACE: rules}
    cluster.annotate_pod(name, {DELETION_COST: "100"})
    for forbidden in (
        lambda: cluster.pods(""),
        lambda: cluster.delete_pod(name, "any"),
        lambda: cluster.scale(pools_of(rendered)[0]["metadata"]["name"], 0),
    ):
        with pytest.raises(ClusterForbiddenError):
            forbidden()
    for document in pools_of(rendered):
        (worker,) = [
            c for c in document["spec"]["template"]["spec"]["containers"] if c["name"] == "worker"
        ]
        fields = {
            item["name"]: item["valueFrom"]["fieldRef"]["fieldPath"]
            for item in worker["env"]
            if "fieldRef" in item.get("valueFrom", {})
        }
        assert fields["ONESCAN_WORKER__POD_NAME"] == "metadata.name"
        assert fields["ONESCAN_WORKER__POD_NAMESPACE"] == "metadata.namespace"
        given = {item["name"]: item["value"] for item in worker["env"] if "value" in item}
        ours = {name: value for name, value in given.items() if name.startswith("ONESCAN_")}
        assert Settings.from_environ({"HOME": "/tmp", **ours}).worker.pool
