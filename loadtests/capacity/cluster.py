"""The control plane in simpy: autoscalers, pods' lives, nodes and faults around the studies."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

import simpy

from loadtests.capacity.arrivals import LANES, draw
from loadtests.capacity.hpa import SYNC_SECONDS, Hpa, wanted_average, wanted_utilization
from loadtests.capacity.intake import Intake
from loadtests.capacity.keda import DAY, Keda
from loadtests.capacity.nodes import Node, Nodes
from loadtests.capacity.plant import STAT, Plant, Side
from loadtests.capacity.pod import Pod
from loadtests.capacity.scenario import Fault, PoolPolicy, Scenario

Steps = Generator[simpy.Event, Any, None]

LONGEST = 3 * DAY
"""A backlog that is not done by then is told as not done."""

API_REQUEST = 1.0
"""Cores that an api pod requests and has, ``api.resources`` of the chart."""


@dataclass(slots=True, eq=False)
class Life:
    """One pod from its making to its end."""

    pod: Pod
    node: Node | None = None
    ready: bool = False
    ending: bool = False
    """Has its SIGTERM, or its node's death was noticed; it counts no longer."""

    lost: bool = False
    """Its node is dead and Kubernetes does not know yet; it counts still."""

    started_at: float = 0.0


@dataclass(slots=True, eq=False)
class Pool:
    """One Deployment with its ScaledObject."""

    policy: PoolPolicy
    side: Side
    hpa: Hpa
    keda: Keda
    replicas: int
    target_seconds: float
    """GPU-seconds for each pod, the trigger's ``targetQueryValue``."""

    lives: list[Life] = field(default_factory=list)

    def counted(self) -> list[Life]:
        """Pods that the ReplicaSet counts."""
        return [life for life in self.lives if not life.ending]


class Cluster:
    """A run of a scenario.

    Attributes
    ----------
    samples : list of tuple
        At each look of the autoscaler: time; waiting by lane; in hand; ready pods, pods wanted,
        all of each pool; ready api pods.
    """

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.env = simpy.Environment()
        self.nodes = Nodes(scenario.ground)
        self.pools: list[Pool] = []
        for policy in scenario.pools:
            side = Side([LANES.index(lane) for lane in policy.lanes])
            least = max(policy.least, 1)
            hpa = Hpa(least=least, most=policy.most, up=policy.up, down=policy.down)
            keda = Keda(policy.least, policy.cooldown_seconds, 0.0)
            target = policy.drain_seconds * (policy.speed or scenario.cost.speed())
            self.pools.append(Pool(policy, side, hpa, keda, policy.least, target))
        arrivals = draw(
            scenario.profile, scenario.studies_per_day, scenario.seed, group=scenario.group
        )
        api = scenario.api
        self.api_ready = self.api_wanted = api.least
        self._api_hpa = Hpa(least=api.least, most=api.most, up=api.up, down=api.down)
        self.plant = Plant(
            arrivals,
            [pool.side for pool in self.pools],
            Intake(self._cores()),
            scenario.cost.intake_core_seconds,
        )
        self.samples: list[tuple[Any, ...]] = []
        self.most_pods = 0
        self._rates = scenario.cost.rates()
        self._estimate = scenario.cost.estimate_gpu_seconds * scenario.group
        self._number = 0
        self._over = self.env.event()

    def run(self) -> Plant:
        """Simulate the day, and as long after it as studies are left; gives the plant."""
        for pool in self.pools:
            self._reconcile(pool, at_once=True)
            if self.scenario.autoscaled and pool.policy.least == 0:
                self.env.process(self._keda(pool))  # above zero the HPA does all of it
        self.env.process(self._autoscaler())
        for fault in self.scenario.faults:
            self.env.process(self._fault(fault))
        self.env.run(until=self._over)
        return self.plant

    @property
    def ended_at(self) -> float:
        """When the last study was done; a day at least."""
        return max(self.env.now, DAY)

    def _cores(self) -> int:
        return max(int(self.api_ready * API_REQUEST), 1)

    # --- autoscalers --------------------------------------------------------------------

    def _keda(self, pool: Pool) -> Steps:
        while True:
            yield self.env.timeout(pool.policy.polling_seconds)
            now = self.env.now
            self.plant.advance(now)
            active = any(value > 0 for value, _ in self._metrics(pool))
            if pool.policy.schedule is not None:
                active |= pool.policy.schedule.active(now)
            pool.replicas = pool.keda.poll(now, pool.replicas, active=active)
            self._reconcile(pool)

    def _metrics(self, pool: Pool) -> list[tuple[float, float]]:
        """Value and target of each trigger that asks the database."""
        found = [(self.plant.demand(pool.side, self._estimate), pool.target_seconds)]
        if STAT in pool.side.lanes:
            found.append((self.plant.oldest_stat(self.env.now), pool.policy.stat_seconds))
        return found

    def _autoscaler(self) -> Steps:
        used, looked = 0.0, 0.0
        while True:
            yield self.env.timeout(SYNC_SECONDS)
            now = self.env.now
            self.plant.advance(now)
            if self.scenario.autoscaled:
                for pool in self.pools:
                    self._sync(pool, now)
            total = self.plant.intake.settle(now)
            self._sync_api((total - used) / (now - looked))
            used, looked = total, now
            self.nodes.sweep(now)
            self._sample(now)
            if (now >= DAY and self.plant.complete) or now >= LONGEST:
                self._over.succeed()
                return

    def _sync(self, pool: Pool, now: float) -> None:
        current = pool.replicas
        proposals = [wanted_average(v, target, current) for v, target in self._metrics(pool)]
        if pool.policy.schedule is not None:
            proposals.append(wanted_average(pool.policy.schedule.proposal(now), 1.0, current))
        pool.replicas = pool.hpa.sync(now, current, proposals)
        self._reconcile(pool)

    def _sync_api(self, cores_used: float) -> None:
        api = self.scenario.api
        if not self.scenario.autoscaled:
            return
        proposal = wanted_utilization(
            cores_used,
            API_REQUEST,
            api.target_percent,
            ready=self.api_ready,
            unready=max(self.api_wanted - self.api_ready, 0),
        )
        wanted = self._api_hpa.sync(self.env.now, self.api_wanted, [proposal])
        if wanted > self.api_wanted:
            self.env.process(self._api_start(wanted - self.api_wanted))
        elif wanted < self.api_wanted:
            self.api_ready = min(self.api_ready, wanted)
            self.plant.set_cores(self.env.now, self._cores())
        self.api_wanted = wanted

    def _api_start(self, pods: int) -> Steps:
        yield self.env.timeout(self.scenario.ground.api_start_seconds)
        self.plant.advance(self.env.now)
        self.api_ready = min(self.api_ready + pods, self.api_wanted)
        self.plant.set_cores(self.env.now, self._cores())

    # --- pods ---------------------------------------------------------------------------

    def _reconcile(self, pool: Pool, *, at_once: bool = False) -> None:
        """Make or end pods until there are as many as are wanted, as a ReplicaSet does."""
        there = pool.counted()
        for _ in range(pool.replicas - len(there)):
            self._number += 1
            general = self.scenario.cost.concurrency
            stat_alone = STAT in pool.side.lanes and len(pool.side.lanes) > 1 and general > 1
            pod = Pod(
                self._number,
                self._rates,
                general,
                1 if stat_alone else 0,
                stat_first=self.scenario.cost.stat_first,
            )
            life = Life(pod, started_at=self.env.now)
            pool.lives.append(life)
            self.env.process(self._live(pool, life, at_once=at_once))
        if len(there) > pool.replicas:
            there.sort(key=_first_to_go)
            for life in there[: len(there) - pool.replicas]:
                self.env.process(self._end(pool, life))
        self.most_pods = max(self.most_pods, len(pool.counted()))

    def _live(self, pool: Pool, life: Life, *, at_once: bool) -> Steps:
        """Find a node, load, take studies."""
        ground = self.scenario.ground
        while life.node is None:
            spread = [0] * ground.zones
            for other in pool.counted():
                if other.node is not None:
                    spread[other.node.zone] += 1
            life.node = self.nodes.place(self.env.now, spread)
            if life.node is None:
                yield self.env.timeout(SYNC_SECONDS)
                if life.ending:
                    return
        node = life.node
        if at_once:
            node.ready_at, node.warm = self.env.now, True
        else:
            if node.ready_at > self.env.now:
                yield self.env.timeout(node.ready_at - self.env.now)
            if not node.warm:
                yield self.env.timeout(ground.image_pull_seconds)
                node.warm = True
            yield self.env.timeout(ground.model_load_seconds)
        if life.ending or life.lost:
            return
        self.plant.advance(self.env.now)
        life.ready = True
        self.plant.add(self.env.now, life.pod, pool.side)

    def _end(self, pool: Pool, life: Life) -> Steps:
        """Drain: finish what is in hand within the time, or hand it back."""
        life.ending = True
        self.plant.stop(life.pod)
        deadline = self.env.now + self.scenario.ground.drain_seconds
        while not life.lost and life.pod.in_hand and self.env.now < deadline:
            yield self.env.timeout(1.0)
            self.plant.advance(self.env.now)
        if not life.lost:
            self.plant.lose(self.env.now, life.pod, 0.0)
            if life.node is not None:
                self.nodes.leave(self.env.now, life.node)
        pool.lives.remove(life)

    # --- faults and samples -------------------------------------------------------------

    def _fault(self, fault: Fault) -> Steps:
        yield self.env.timeout(fault.at)
        now = self.env.now
        self.plant.advance(now)
        if fault.whole_zone:
            self.nodes.kill_zone(now, fault.zone)
        else:
            alive = [n for n in self.nodes.nodes if n.zone == fault.zone and n.gone_at is None]
            for node in alive[:1]:
                self.nodes.kill(now, node)
        for pool in self.pools:
            for life in list(pool.lives):
                if life.node is not None and life.node.dead and not life.lost:
                    life.lost = True
                    life.ready = False
                    self.plant.lose(now, life.pod, self.scenario.ground.stalled_seconds)
        yield self.env.timeout(self.scenario.ground.eviction_seconds)
        self.plant.advance(self.env.now)
        for pool in self.pools:
            for life in [one for one in pool.lives if one.lost and not one.ending]:
                life.ending = True
                pool.lives.remove(life)
            self._reconcile(pool)
        if fault.whole_zone and fault.until > self.env.now:
            yield self.env.timeout(min(fault.until, LONGEST + 1) - self.env.now)
        self.nodes.closed.discard(fault.zone)

    def _sample(self, now: float) -> None:
        ready = [sum(life.ready and not life.ending for life in p.lives) for p in self.pools]
        in_hand = sum(life.pod.in_hand for pool in self.pools for life in pool.lives)
        wanted = [pool.replicas for pool in self.pools]
        waiting = [len(line) for line in self.plant.waiting]
        self.samples.append((now, *waiting, in_hand, sum(ready), sum(wanted), self.api_ready))


def _first_to_go(life: Life) -> tuple[int, int, int, float]:
    """Order of ending: not placed, not ready, the lowest deletion cost, the youngest."""
    bucket = 0
    if life.pod.in_hand:
        bucket = 2 if life.pod.urgent else 1
    return (life.node is not None, life.ready, bucket, -life.started_at)
