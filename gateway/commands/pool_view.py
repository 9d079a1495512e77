"""What ``onescan pool`` shows, gathered from the cluster, PostgreSQL and DCGM.

The cluster has to answer. For everything else a figure that cannot be had is null, and ``missing``
says why; ``sources`` says where each figure comes from.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import psycopg

from gateway.cluster.client import Cluster, open_cluster
from gateway.cluster.pools import Pod, Pool, read_pools
from gateway.cluster.prices import Prices
from gateway.cluster.utilisation import Utilisation, gpu_hours_held, read_utilisation
from gateway.commands.operator import on_database
from gateway.exceptions import ClusterNotFoundError, OneScanError
from gateway.settings import Settings
from gateway.store.database import Connection
from gateway.store.drains import list_drains
from gateway.store.pools import demand, spent
from gateway.store.workers import seen_lately

STUDIES = 1000
"""Cost is told for so many."""

SOURCES = {
    "pods": "Kubernetes",
    "workers": "table workers, as they report themselves",
    "queue": "table screenings: what the pool may take whole; other pools may take it too",
    "gpu_seconds_queued": "the manifests' estimates, waiting and in hand, as the autoscaler reads",
    "gpu_seconds_spent": "the manifests' estimates for what ended, retries and failures left out",
    "gpu_hours_held": "DCGM in Prometheus: GPU time of the pool's pods, idle time included",
    "price": "--gpu-hour-price and ONESCAN_CLUSTER__GPU_HOUR_PRICES",
    "cost_used": "price × GPU-seconds spent: what the studies themselves needed",
    "cost_held": "price × GPU-hours held: what the pool costs, idle time included",
}


def view_pools(
    settings: Settings, prices: Prices, *, hours: float, only: str | None = None
) -> dict[str, Any]:
    """Gather it.

    Raises
    ------
    ClusterError
        When the cluster does not answer, or has no pool of that name.
    """
    missing: dict[str, str] = {}
    cluster = open_cluster(settings.cluster)
    try:
        pools, pods = read_pools(cluster, settings.cluster.release)
        if only is not None:
            pools = [pool for pool in pools if pool.name == only]
            pods = [pod for pod in pods if pod.pool == only]
            if not pools and not pods:
                raise ClusterNotFoundError(f"The namespace {cluster.namespace} has no pool {only}.")
        usage = _usage(settings, cluster, pods, missing)
        held = _held(settings, cluster, pools, hours, missing)
    finally:
        cluster.close()
    known = _database(settings, pools, hours, missing)
    return {
        "namespace": cluster.namespace,
        "hours": hours,
        "pools": [_pool(pool, pods, known, usage, held, prices, missing) for pool in pools],
        "pods": [_pod(pod, known["workers"], known["drains"], usage) for pod in pods],
        "sources": {**SOURCES, "utilisation": usage.source},
        "missing": missing,
    }


def _usage(
    settings: Settings, cluster: Cluster, pods: list[Pod], missing: dict[str, str]
) -> Utilisation:
    names = {pod.name for pod in pods if pod.gpu}
    if not names:
        missing["utilisation"] = "No pod with a GPU runs."
        return Utilisation()
    usage = read_utilisation(settings.cluster, cluster, names)
    if usage.missing:
        missing["utilisation"] = usage.missing
    return usage


def _held(
    settings: Settings,
    cluster: Cluster,
    pools: list[Pool],
    hours: float,
    missing: dict[str, str],
) -> dict[str, float] | None:
    """GPU-hours by pool; None where there is no Prometheus to ask."""
    if not settings.cluster.prometheus_url:
        missing["gpu_hours_held"] = "ONESCAN_CLUSTER__PROMETHEUS_URL is not set."
        return None
    with_gpu = [pool for pool in pools if pool.gpu]
    try:
        of_pod = gpu_hours_held(
            settings.cluster, cluster.namespace, [p.deployment for p in with_gpu], hours
        )
    except OneScanError as error:
        missing["gpu_hours_held"] = str(error)
        return None
    if with_gpu and not of_pod:
        missing["gpu_hours_held"] = "Prometheus has no DCGM metric of these pools."
        return None
    return {
        pool.name: sum(value for pod, value in of_pod.items() if pool.owns(pod))
        for pool in with_gpu
    }


def _database(
    settings: Settings, pools: list[Pool], hours: float, missing: dict[str, str]
) -> dict[str, Any]:
    """Ask PostgreSQL; everything is None where it cannot be asked."""
    nothing: dict[str, Any] = {"workers": None, "drains": [], "demand": {}, "spent": None}
    if not settings.store.database_url:
        missing["database"] = "DATABASE_URL is not set."
        return nothing

    async def work(connection: Connection) -> dict[str, Any]:
        workers = await seen_lately(connection, settings.worker.stalled_seconds)
        of_pool = {}
        for pool in pools:
            serves = _serves(pool, workers)
            of_pool[pool.name] = None if serves is None else await demand(connection, *serves)
        return {
            "workers": workers,
            "drains": await list_drains(connection),
            "demand": of_pool,
            "spent": await spent(connection, hours),
        }

    try:
        return on_database(settings, work)
    except (OneScanError, psycopg.Error) as error:
        code = error.code if isinstance(error, OneScanError) else type(error).__name__
        missing["database"] = f"The database cannot be asked: {code}."
        return nothing


def _serves(pool: Pool, workers: list[Any]) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """Find checks and lanes of a pool, by its Deployment or else by one of its workers."""
    one = next((w for w in workers if w["pool"] == pool.name), None)
    checks, lanes = pool.checks, pool.lanes
    if one is not None:
        checks = tuple(one["checks"]) if checks is None else checks
        lanes = tuple(one["lanes"]) if lanes is None else lanes
    return None if checks is None or lanes is None else (checks, lanes)


def _pool(
    pool: Pool,
    pods: list[Pod],
    known: dict[str, Any],
    usage: Utilisation,
    held: dict[str, float] | None,
    prices: Prices,
    missing: dict[str, str],
) -> dict[str, Any]:
    own = [pod for pod in pods if pod.pool == pool.name]
    model = next((usage.models[pod.name] for pod in own if pod.name in usage.models), None)
    busy = [usage.busy[pod.name] for pod in own if pod.name in usage.busy]
    workers = None
    if known["workers"] is not None:
        workers = [w for w in known["workers"] if w["pool"] == pool.name]
    queue = known["demand"].get(pool.name) or {}
    serves = _serves(pool, known["workers"] or [])
    ended = None if known["spent"] is None else known["spent"].get(pool.name) or {}
    studies = None if ended is None else ended.get("studies", 0)
    used_seconds = None if ended is None or not pool.gpu else ended.get("gpu_seconds", 0.0)
    held_hours = None if held is None or not pool.gpu else held.get(pool.name)
    price = prices.of(pool.gpu, model)
    if pool.gpu and price is None:
        missing["price"] = "No price is known for the GPU of some pool; see --gpu-hour-price."
    return {
        "pool": pool.name,
        "deployment": pool.deployment,
        "pods_wanted": pool.wanted,
        "pods_ready": pool.ready,
        "scaled_by": pool.scaled_object,
        "drained": any(d["scope"] == "pool" and d["name"] == pool.name for d in known["drains"]),
        "gpu": None if pool.gpu is None else {**asdict(pool.gpu), "model": model},
        "checks": None if serves is None else list(serves[0]),
        "lanes": None if serves is None else list(serves[1]),
        "workers": None if workers is None else len(workers),
        "models_ready": None if workers is None else sum(w["triton_ready"] for w in workers),
        "in_flight": None if workers is None else sum(w["in_flight"] for w in workers),
        "slots": None if workers is None else sum(w["slots"] for w in workers),
        "waiting": queue.get("waiting"),
        "oldest_seconds": queue.get("oldest_seconds"),
        "gpu_seconds_queued": queue.get("gpu_seconds"),
        "utilisation": sum(busy) / len(busy) if busy else None,
        "studies": studies,
        "gpu_seconds_spent": used_seconds,
        "gpu_hours_held": held_hours,
        "price": price,
        "cost_used": _cost(price, None if used_seconds is None else used_seconds / 3600, studies),
        "cost_held": _cost(price, held_hours, studies),
    }


def _cost(price: float | None, gpu_hours: float | None, studies: int | None) -> float | None:
    """EUR per thousand studies."""
    if price is None or gpu_hours is None or not studies:
        return None
    return price * gpu_hours / studies * STUDIES


def _pod(
    pod: Pod, workers: list[Any] | None, drains: list[Any], usage: Utilisation
) -> dict[str, Any]:
    worker = next((w for w in workers or () if w["pod"] == pod.name), None)
    shown = asdict(pod)
    shown["pod"] = shown.pop("name")
    return {
        **shown,
        "model": usage.models.get(pod.name),
        "drain_asked": any(
            d["name"] == (pod.name if d["scope"] == "pod" else pod.pool) for d in drains
        ),
        "worker": None if worker is None else worker["worker"],
        "models_ready": None if worker is None else worker["triton_ready"],
        "draining": None if worker is None else worker["draining"],
        "drained": None if worker is None else worker["drained"],
        "in_flight": None if worker is None else worker["in_flight"],
        "slots": None if worker is None else worker["slots"],
        "utilisation": usage.busy.get(pod.name),
    }
