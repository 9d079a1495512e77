"""Draining a pod or a pool: ask, wait until nothing is in hand, then delete or scale."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import psycopg

from gateway.cluster.client import Cluster, open_cluster
from gateway.cluster.pools import DELETION_COST, Pod, Pool, read_pools
from gateway.commands.operator import actor
from gateway.exceptions import (
    ClusterNotFoundError,
    DrainTimeoutError,
    NotFoundError,
    StoreUnavailableError,
    UsageError,
)
from gateway.settings import Settings
from gateway.store import drains
from gateway.store.database import Connection

LOOK_SECONDS = 1.0
"""How often the workers are looked at; they report themselves every two seconds."""

PAUSED_REPLICAS = "autoscaling.keda.sh/paused-replicas"
"""KEDA's annotation: scale to so many, and stay there."""

FIRST_TO_GO = -1000
"""Deletion cost of a pod that is to be the one that goes."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What is drained."""

    scope: str
    name: str
    pool: Pool | None
    """Its pool; None where its Deployment is gone."""

    pods: tuple[Pod, ...]

    def __str__(self) -> str:
        return f"{self.scope} {self.name}"


def drain(
    settings: Settings,
    name: str,
    *,
    timeout_seconds: float,
    then: str | None,
    tell: Callable[[str], None],
) -> dict[str, Any]:
    """Drain, and say what was done.

    Parameters
    ----------
    settings : Settings
        With cluster and database.
    name : str
        Of a pod or a pool, ``pod/`` or ``pool/`` before it where both have it.
    timeout_seconds : float
        Of the wait. What is drained stays drained after it.
    then : str or None
        ``delete``, ``scale`` or ``leave``; None deletes a pod and scales a pool.
    tell : callable
        Takes a line on each change while waiting.

    Raises
    ------
    ClusterError
        When the cluster does not do its part; `DrainTimeoutError` when work is left.
    UsageError
        When the pod's pool is scaled by KEDA, which would undo a scaling by one.
    """
    _need_database(settings)
    cluster = open_cluster(settings.cluster)
    try:
        target = _find(cluster, settings, name)
        then = then or ("delete" if target.scope == drains.POD else "scale")
        _check(target, then)
        waited = _in_database(_wait(settings, target, timeout_seconds, tell))
        target = _as_it_is_now(cluster, settings, target)
        done = [
            f"The {target} has nothing in hand after {waited:.0f} s.",
            *_end(cluster, target, then),
        ]
        if then == "delete":
            _in_database(_lift(settings, target))
    finally:
        cluster.close()
    return {
        "scope": target.scope,
        "name": target.name,
        "then": then,
        "waited_seconds": round(waited, 1),
        "done": done,
    }


def resume(settings: Settings, name: str) -> dict[str, Any]:
    """Let a pod or pool take screenings again, and scale a pool back as it was.

    Raises
    ------
    NotFoundError
        When it is not drained.
    """
    _need_database(settings)
    cluster = open_cluster(settings.cluster)
    try:
        target = _find(cluster, settings, name, gone_too=True)
        replicas = _in_database(_lift(settings, target, must=True))
        done = [f"The {target} takes screenings again."]
        pool = target.pool
        if target.scope == drains.POOL and pool is not None:
            if pool.scaled_object is not None:
                cluster.annotate_scaled_object(pool.scaled_object, {PAUSED_REPLICAS: None})
                done.append(f"KEDA scales it again, by {pool.scaled_object}.")
            elif replicas and not pool.wanted:
                cluster.scale(pool.deployment, replicas)
                done.append(f"The Deployment {pool.deployment} wants {replicas} pods.")
        elif any(pod.deletion_cost == FIRST_TO_GO for pod in target.pods):
            cluster.annotate_pod(target.name, {DELETION_COST: None})
    finally:
        cluster.close()
    return {"scope": target.scope, "name": target.name, "done": done}


def _need_database(settings: Settings) -> None:
    if not settings.store.database_url:
        raise UsageError("DATABASE_URL is not set; workers learn from it that they are drained.")


def _find(cluster: Cluster, settings: Settings, name: str, *, gone_too: bool = False) -> Target:
    """Find the pod or pool of a name.

    Raises
    ------
    ClusterNotFoundError
        When there is none.
    UsageError
        When there are both.
    """
    pools, pods = read_pools(cluster, settings.cluster.release)
    kind, _, bare = name.rpartition("/")
    if kind not in ("", drains.POD, drains.POOL) or not bare:
        raise UsageError(f"{name!r} is neither pod/NAME nor pool/NAME.")
    pod = next((p for p in pods if p.name == bare and kind != drains.POOL), None)
    pool = next((p for p in pools if p.name == bare and kind != drains.POD), None)
    if pod and pool:
        raise UsageError(f"{bare} is a pod and a pool; write pod/{bare} or pool/{bare}.")
    if pod:
        owner = next((p for p in pools if p.name == pod.pool), None)
        return Target(scope=drains.POD, name=bare, pool=owner, pods=(pod,))
    if pool:
        own = tuple(p for p in pods if p.pool == bare)
        return Target(scope=drains.POOL, name=bare, pool=pool, pods=own)
    if gone_too:
        return Target(scope=kind or drains.POD, name=bare, pool=None, pods=())
    raise ClusterNotFoundError(
        f"The namespace {cluster.namespace} has no pod and no pool of the name {bare}."
    )


def _as_it_is_now(cluster: Cluster, settings: Settings, target: Target) -> Target:
    """Look again after the wait: pods may have come or gone, and the pool may want another number.

    A pod of the same name that is another one is not the target's.
    """
    pools, pods = read_pools(cluster, settings.cluster.release)
    uids = {pod.uid for pod in target.pods}
    own = [
        pod
        for pod in pods
        if (pod.pool == target.name if target.scope == drains.POOL else pod.uid in uids)
    ]
    pool = target.pool and next((p for p in pools if p.name == target.pool.name), target.pool)
    return replace(target, pool=pool, pods=tuple(own))


def _check(target: Target, then: str) -> None:
    """Refuse, before anything is drained, what would not come to be."""
    if then != "scale" or target.scope == drains.POOL:
        return
    if target.pool is None:
        raise UsageError(f"The {target} belongs to no pool that could be scaled.")
    if target.pool.scaled_object is not None:
        raise UsageError(
            f"KEDA scales the pool {target.pool.name} and would undo it;"
            " use --then delete, or drain the pool."
        )


async def _wait(
    settings: Settings, target: Target, timeout_seconds: float, tell: Callable[[str], None]
) -> float:
    """Ask the workers to take nothing, and wait until they have nothing; give the seconds."""
    from gateway.runtime.database import reached

    async with reached(settings) as connection:
        wanted = target.pool.wanted if target.pool and target.scope == drains.POOL else None
        await drains.request(
            connection, target.scope, target.name, actor=actor(), replicas=wanted or None
        )
        await connection.commit()
        began = time.monotonic()
        told = ""
        while True:
            busy = await drains.still_busy(
                connection, target.scope, target.name, settings.worker.stalled_seconds
            )
            await connection.commit()  # else the time of the next look is that of this one
            waited = time.monotonic() - began
            if not busy:
                return waited
            in_flight = sum(row["in_flight"] for row in busy)
            line = f"The {target}: {in_flight} in flight on {len(busy)} workers."
            if line != told:
                tell(line)
                told = line
            if waited >= timeout_seconds:
                raise DrainTimeoutError(
                    f"The {target} still has {in_flight} screenings in flight on {len(busy)}"
                    f" workers after {waited:.0f} s; it takes nothing more until"
                    f" `onescan pool resume {target.scope}/{target.name}`."
                )
            await asyncio.sleep(min(LOOK_SECONDS, max(timeout_seconds - waited, 0.01)))


def _end(cluster: Cluster, target: Target, then: str) -> list[str]:
    """Delete, scale or leave; say what was done."""
    if then == "leave":
        again = f"onescan pool resume {target.scope}/{target.name}"
        return [f"It stays, and takes nothing until `{again}`."]
    if then == "delete":
        gone = [pod.name for pod in target.pods if cluster.delete_pod(pod.name, pod.uid)]
        return [f"Deleted the pod {name}." for name in gone] or ["No pod was left to delete."]
    pool = target.pool
    assert pool is not None  # of a pool, or as `_check` has seen to
    if target.scope == drains.POOL:
        if pool.scaled_object is not None:
            cluster.annotate_scaled_object(pool.scaled_object, {PAUSED_REPLICAS: "0"})
            return [f"KEDA holds the pool at 0 pods ({pool.scaled_object}) until it is resumed."]
        cluster.scale(pool.deployment, 0)
        return [f"The Deployment {pool.deployment} wants 0 pods until it is resumed."]
    if not target.pods:
        return ["The pod was gone already; nothing was scaled."]
    cluster.annotate_pod(target.name, {DELETION_COST: str(FIRST_TO_GO)})
    cluster.scale(pool.deployment, max(pool.wanted - 1, 0))
    return [f"The Deployment {pool.deployment} wants {max(pool.wanted - 1, 0)} pods."]


def _in_database(work: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(work)
    except psycopg.OperationalError as error:
        raise StoreUnavailableError(f"The database: {error}") from None


async def _lift(settings: Settings, target: Target, *, must: bool = False) -> int | None:
    from gateway.runtime.database import reached

    async def lift(connection: Connection) -> int | None:
        try:
            return await drains.lift(connection, target.scope, target.name, actor=actor())
        except NotFoundError:
            if must:
                raise
            return None

    async with reached(settings) as connection:
        return await lift(connection)
