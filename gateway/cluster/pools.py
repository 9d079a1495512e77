"""Pods and pools, as the cluster shows them: JSON of the API server in, frozen values out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.cluster.client import Cluster, Json
from gateway.exceptions import ClusterError, ClusterForbiddenError

POOL_LABEL = "onescan.io/pool"

SELECTOR = "app.kubernetes.io/part-of=onescan,app.kubernetes.io/component=pool"
"""Deployments and pods of all pools, whatever name the chart was given."""

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"

GPU_TYPE_LABELS = (
    "nvidia.com/gpu.product",
    "cloud.google.com/gke-accelerator",
    "karpenter.k8s.aws/instance-gpu-name",
    "k8s.amazonaws.com/accelerator",
)
"""Labels of nodes by which a pool chooses its GPU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """What a pod asks of a node."""

    resource: str
    """Such as ``nvidia.com/gpu`` or ``nvidia.com/mig-1g.18gb``."""

    count: int

    type: str | None
    """By the node selector; None where it chooses none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """One pod of a pool."""

    name: str
    uid: str
    pool: str
    phase: str
    """As kubectl shows it: ``Terminating``, or why a container waits, or the phase."""

    node: str | None
    ready: bool
    triton_ready: bool | None
    """Of Triton's container; None where there is none."""

    restarts: int
    gpu: Gpu | None
    deletion_cost: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """One pool: a Deployment."""

    name: str
    deployment: str
    wanted: int
    ready: int
    gpu: Gpu | None
    checks: tuple[str, ...] | None
    """That its workers run; empty means all, None that the Deployment does not say it."""

    lanes: tuple[str, ...] | None
    scaled_object: str | None
    """KEDA's object that scales it; None where nothing does, or we may not see it."""

    def owns(self, pod_name: str) -> bool:
        """Say whether a pod of this name would be of the Deployment: its name and two hashes."""
        return pod_name.rsplit("-", 2)[0] == self.deployment


def read_pools(cluster: Cluster, release: str = "") -> tuple[list[Pool], list[Pod]]:
    """Read the pools of the namespace, or of one Helm release in it, and their pods, by name.

    Raises
    ------
    ClusterError
        When the API server cannot be asked, or answers what is no pool.
    """
    selector = f"{SELECTOR},app.kubernetes.io/instance={release}" if release else SELECTOR
    try:
        scalers = {_text(_at(i, "spec", "scaleTargetRef"), "name"): i for i in _scalers(cluster)}
        pools = [_pool(item, scalers) for item in cluster.deployments(selector)]
        pods = [_pod(item) for item in cluster.pods(selector)]
    except (TypeError, ValueError, AttributeError, KeyError):
        raise ClusterError("The cluster's answer is not of the form of pods.") from None
    return sorted(pools, key=lambda p: p.name), sorted(pods, key=lambda p: (p.pool, p.name))


def _scalers(cluster: Cluster) -> list[Json]:
    try:
        return cluster.scaled_objects()
    except ClusterForbiddenError:
        return []


def _pool(item: Json, scalers: Mapping[str, Json]) -> Pool:
    name = _text(_at(item, "metadata"), "name")
    spec = _at(item, "spec", "template", "spec")
    environ = _environ(spec)
    return Pool(
        name=_pool_name(item),
        deployment=name,
        wanted=int(_at(item, "spec").get("replicas", 1)),
        ready=int(_at(item, "status").get("readyReplicas") or 0),
        gpu=_gpu(spec),
        checks=_words(environ.get("ONESCAN_WORKER__CHECKS")),
        lanes=_words(environ.get("ONESCAN_WORKER__LANES")),
        scaled_object=_text(_at(scalers[name], "metadata"), "name") if name in scalers else None,
    )


def _pod(item: Json) -> Pod:
    metadata, spec, status = (_at(item, key) for key in ("metadata", "spec", "status"))
    statuses = [
        *(status.get("initContainerStatuses") or ()),
        *(status.get("containerStatuses") or ()),
    ]
    triton = next((s for s in statuses if s["name"] == "triton"), None)
    conditions = {c["type"]: c["status"] for c in status.get("conditions") or ()}
    cost = (metadata.get("annotations") or {}).get(DELETION_COST)
    return Pod(
        name=_text(metadata, "name"),
        uid=_text(metadata, "uid"),
        pool=_pool_name(item),
        phase=_phase(metadata, status, statuses),
        node=spec.get("nodeName"),
        ready=conditions.get("Ready") == "True",
        triton_ready=None if triton is None else bool(triton["ready"]),
        restarts=sum(int(s["restartCount"]) for s in statuses),
        gpu=_gpu(spec),
        deletion_cost=None if cost is None else int(cost),
    )


def _phase(metadata: Json, status: Json, statuses: list[Json]) -> str:
    if metadata.get("deletionTimestamp"):
        return "Terminating"
    for item in statuses:
        waiting = (item.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") not in (None, "PodInitializing"):
            return str(waiting["reason"])
    return str(status.get("phase") or "Unknown")


def _gpu(spec: Json) -> Gpu | None:
    """Find the GPU that a container of the pod has a limit of."""
    for container in _containers(spec):
        limits = (container.get("resources") or {}).get("limits") or {}
        for resource, count in limits.items():
            if resource.startswith("nvidia.com/") or resource.endswith("/gpu"):
                return Gpu(resource=resource, count=int(count), type=_gpu_type(spec))
    return None


def _gpu_type(spec: Json) -> str | None:
    chosen = dict(spec.get("nodeSelector") or {})
    required = (_at(spec, "affinity", "nodeAffinity")).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    ) or {}
    for term in required.get("nodeSelectorTerms") or ():
        for rule in term.get("matchExpressions") or ():
            if rule["operator"] == "In":
                chosen.setdefault(rule["key"], "|".join(rule["values"]))
    return next((chosen[key] for key in GPU_TYPE_LABELS if key in chosen), None)


def _environ(spec: Json) -> dict[str, str]:
    return {
        item["name"]: item["value"]
        for container in _containers(spec)
        if container["name"] == "worker"
        for item in container.get("env") or ()
        if "value" in item
    }


def _containers(spec: Json) -> Iterator[Json]:
    yield from spec.get("containers") or ()
    yield from spec.get("initContainers") or ()


def _words(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _pool_name(item: Json) -> str:
    return str((_at(item, "metadata").get("labels") or {}).get(POOL_LABEL) or "default")


def _at(item: Any, *keys: str) -> Json:
    """Follow keys into objects; what is absent is empty."""
    for key in keys:
        item = item.get(key) or {}
    if not isinstance(item, dict):
        raise TypeError(keys)
    return item


def _text(item: Json, key: str) -> str:
    value = item[key]
    if not isinstance(value, str) or not value:
        raise ValueError(key)
    return value
