"""How busy GPUs are, by NVIDIA's DCGM: from Prometheus, or from its exporters themselves."""

from __future__ import annotations

import http.client
import json
import math
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from gateway.cluster.client import Cluster
from gateway.exceptions import ClusterError, OneScanError
from gateway.settings import ClusterSettings

ENGINE_ACTIVE = "DCGM_FI_PROF_GR_ENGINE_ACTIVE"
"""Share of time in which the graphics or compute engine was active, 0 to 1; known for MIG too."""

GPU_UTIL = "DCGM_FI_DEV_GPU_UTIL"
"""Share of time in which any kernel ran, in percent; not known for MIG."""

MEMORY_USED = "DCGM_FI_DEV_FB_USED"
"""There for every GPU and MIG instance, so counting its samples counts GPU time held."""

METRICS: Mapping[str, float] = {ENGINE_ACTIVE: 1.0, GPU_UTIL: 100.0}
"""Metric → its value of a GPU that is always busy, the better one first."""

OVER = "5m"
"""Prometheus' averages are of the last five minutes; an exporter tells the last moment."""

EXPORTER_SELECTORS = ("app=nvidia-dcgm-exporter", "app.kubernetes.io/name=dcgm-exporter")
"""Of NVIDIA's GPU operator, and of dcgm-exporter's own chart."""

EXPORTER_PORT = 9400

MOST_BYTES = 32 * 1024**2
"""Of one answer of Prometheus."""

PROMETHEUS = f"DCGM in Prometheus, mean of {OVER}"
EXPORTERS = "dcgm-exporter, at this moment"


@dataclass(frozen=True, kw_only=True)
class Utilisation:
    """What is known of the pods' GPUs."""

    busy: Mapping[str, float] = field(default_factory=dict)
    """Pod → share of its GPUs' time, 0 to 1."""

    models: Mapping[str, str] = field(default_factory=dict)
    """Pod → type of its GPU."""

    source: str | None = None
    missing: str | None = None
    """Why there is nothing, in one sentence."""


def read_utilisation(
    settings: ClusterSettings, cluster: Cluster, pods: Collection[str]
) -> Utilisation:
    """Ask Prometheus where it is named, else the exporters; never raises for their absence."""
    try:
        if settings.prometheus_url:
            return _of_prometheus(settings, cluster.namespace, pods)
        return _of_exporters(cluster, settings.dcgm_namespace, pods)
    except OneScanError as error:
        return Utilisation(missing=str(error))


def gpu_hours_held(
    settings: ClusterSettings, namespace: str, deployments: Collection[str], hours: float
) -> dict[str, float]:
    """Give the GPU-hours that Deployments' pods held, idle time included.

    Parameters
    ----------
    settings : ClusterSettings
        With the address of Prometheus.
    namespace : str
        Of the pods.
    deployments : collection of str
        Their names.
    hours : float
        Until now.

    Returns
    -------
    dict
        Pod → GPU-hours; pods that are gone are among them.

    Raises
    ------
    ClusterError
        When Prometheus does not answer as it should.
    """
    if not deployments:
        return {}
    minutes = max(round(hours * 60), 1)
    pattern = "|".join(map(re.escape, sorted(deployments)))
    told = _query(
        settings,
        f"count_over_time({MEMORY_USED}{{selector}}[{minutes}m:1m])",
        namespace,
        f"({pattern})-[a-z0-9]+-[a-z0-9]+",
    )
    held: dict[str, float] = {}
    for pod, _, value in told:
        held[pod] = held.get(pod, 0.0) + value / 60
    return held


def _of_prometheus(settings: ClusterSettings, namespace: str, pods: Collection[str]) -> Utilisation:
    if not pods:
        return Utilisation(source=PROMETHEUS)
    pattern = "|".join(map(re.escape, sorted(pods)))
    samples: list[tuple[str, str, float]] = []
    for metric, full in METRICS.items():
        told = _query(
            settings,
            f"avg_over_time({metric}{{selector}}[{OVER}])",
            namespace,
            pattern,
        )
        known = {pod for pod, _, _ in samples}
        samples += [(pod, model, value / full) for pod, model, value in told if pod not in known]
    if not samples:
        return Utilisation(missing="Prometheus has no DCGM metric of these pods.")
    return _summed(samples, pods, PROMETHEUS)


def _of_exporters(cluster: Cluster, namespace: str, pods: Collection[str]) -> Utilisation:
    exporters = [
        str(item["metadata"]["name"])
        for selector in EXPORTER_SELECTORS
        for item in cluster.pods(selector, namespace)
    ]
    if not exporters:
        return Utilisation(
            missing=f"ONESCAN_CLUSTER__PROMETHEUS_URL is not set, and the namespace {namespace}"
            " has no dcgm-exporter."
        )
    samples: list[tuple[str, str, float]] = []
    for exporter in exporters:
        text = cluster.text_of_pod(namespace, exporter, EXPORTER_PORT, "metrics")
        samples += _samples(text, cluster.namespace)
    return _summed(samples, pods, EXPORTERS)


def _samples(text: str, namespace: str) -> list[tuple[str, str, float]]:
    """Read one exporter's text; of each pod the better metric only."""
    try:
        families = {f.name: f for f in text_string_to_metric_families(text)}
    except ValueError:
        raise ClusterError("dcgm-exporter's answer is not Prometheus' text form.") from None
    found: list[tuple[str, str, float]] = []
    for metric, full in METRICS.items():
        known = {pod for pod, _, _ in found}
        for sample in families[metric].samples if metric in families else ():
            labels = sample.labels
            pod = labels.get("pod", "")
            if labels.get("namespace") != namespace or pod in known:
                continue
            if math.isfinite(sample.value):
                found.append((pod, labels.get("modelName", ""), sample.value / full))
    return found


def _summed(
    samples: Iterable[tuple[str, str, float]], pods: Collection[str], source: str
) -> Utilisation:
    of_pod: dict[str, list[float]] = {}
    models: dict[str, str] = {}
    for pod, model, value in samples:
        if pod in pods:
            of_pod.setdefault(pod, []).append(value)
            if model:
                models[pod] = model
    busy = {pod: sum(values) / len(values) for pod, values in of_pod.items()}
    return Utilisation(busy=busy, models=models, source=source)


def _query(
    settings: ClusterSettings, expression: str, namespace: str, pods: str
) -> list[tuple[str, str, float]]:
    """Ask Prometheus about pods; gives pod, GPU model and value of each series.

    The exporter names the pod that holds the GPU in ``pod``, and a Prometheus that does not honour
    its labels moves that to ``exported_pod``; both are asked for.
    """
    wanted = [
        f'{{{prefix}namespace="{namespace}",{prefix}pod=~"{pods}"}}'.replace("\\", "\\\\")
        for prefix in ("exported_", "")
    ]
    query = " or ".join(expression.replace("{selector}", selector) for selector in wanted)
    try:
        request = urllib.request.Request(
            settings.prometheus_url.rstrip("/") + "/api/v1/query",
            data=urllib.parse.urlencode({"query": query}).encode(),
            headers={"Accept": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=settings.timeout_seconds) as response:
            answer = json.loads(response.read(MOST_BYTES))
    except urllib.error.HTTPError as error:
        raise ClusterError(f"Prometheus answers {error.code}.") from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise ClusterError(f"Prometheus does not answer: {type(error).__name__}.") from None
    try:
        return [told for told in map(_series, _vector(answer)) if math.isfinite(told[2])]
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        raise ClusterError("Prometheus' answer is not a vector.") from None


def _vector(answer: Any) -> list[Any]:
    data = answer["data"]
    if answer["status"] != "success" or data["resultType"] != "vector":
        raise ValueError(answer["status"])
    return list(data["result"])


def _series(item: Any) -> tuple[str, str, float]:
    labels = item["metric"]
    pod = labels.get("exported_pod") or labels["pod"]
    return str(pod), str(labels.get("modelName", "")), float(item["value"][1])
