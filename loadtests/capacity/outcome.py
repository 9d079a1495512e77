"""What a run says: latency by lane, pods, GPU-hours; the same scenario gives the same bytes."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from loadtests.capacity.arrivals import LANES
from loadtests.capacity.cluster import Cluster
from loadtests.capacity.scenario import Scenario


@dataclass(frozen=True, slots=True)
class LaneOutcome:
    """Seconds from the acceptance of an order, when its study is indexed, to its result."""

    studies: int
    p50_seconds: float
    p95_seconds: float
    most_seconds: float
    wait_p95_seconds: float
    """Until a worker took it."""

    target_seconds: float

    @property
    def met(self) -> bool:
        """Whether 95 % of the studies were in time."""
        return self.p95_seconds <= self.target_seconds


@dataclass(frozen=True, slots=True)
class Outcome:
    """One simulated day."""

    studies: int
    done: int
    again: int
    """Studies that began again, since their pod died or handed them back."""

    lanes: dict[str, LaneOutcome]
    pods_most: int
    pods_mean: float
    api_pods_most: int
    queue_most: int
    gpu_hours: float
    """Held: nodes from the moment they are asked for, idle or not."""

    gpu_hours_busy: float
    """Seconds of a study on the device × studies."""

    ended_at: float

    @property
    def met(self) -> bool:
        """Whether every study was done and every lane's target kept."""
        return self.done == self.studies and all(lane.met for lane in self.lanes.values())

    def as_json(self) -> str:
        """Give one line; keys in order."""
        return json.dumps(asdict(self), sort_keys=True)


@dataclass(frozen=True, slots=True)
class Run:
    """An outcome with the day's course."""

    outcome: Outcome
    samples: Any
    """float64 (looks, 8): as `Cluster.samples`."""


def simulate(scenario: Scenario) -> Run:
    """Run a scenario."""
    cluster = Cluster(scenario)
    plant = cluster.run()
    queued, started = np.asarray(plant.queued), np.asarray(plant.started)
    ended, lanes = np.asarray(plant.ended), np.asarray(plant.lanes, dtype=np.int64)
    found = {}
    for number, lane in enumerate(LANES):
        if lane not in scenario.profile.lanes:
            continue
        mine = np.flatnonzero((lanes == number) & np.isfinite(ended))
        if not len(mine):
            continue
        taken, waited = ended[mine] - queued[mine], started[mine] - queued[mine]
        p50, p95 = np.quantile(taken, [0.5, 0.95])
        found[lane] = LaneOutcome(
            studies=int((lanes == number).sum()) * scenario.group,
            p50_seconds=round(float(p50), 3),
            p95_seconds=round(float(p95), 3),
            most_seconds=round(float(taken.max()), 3),
            wait_p95_seconds=round(float(np.quantile(waited, 0.95)), 3),
            target_seconds=scenario.profile.lanes[lane].p95_seconds,
        )
    samples = np.asarray(cluster.samples, dtype=np.float64)
    works = np.asarray(plant.works)[np.isfinite(ended)]
    day = samples[:, 0] <= 86_400
    outcome = Outcome(
        studies=len(lanes) * scenario.group,
        done=plant.done * scenario.group,
        again=plant.again * scenario.group,
        lanes=found,
        pods_most=cluster.most_pods,
        pods_mean=round(float(samples[day, 5].mean()), 3),
        api_pods_most=int(samples[:, 7].max()),
        queue_most=int(samples[:, 1:4].sum(axis=1).max()) * scenario.group,
        gpu_hours=round(cluster.nodes.gpu_hours(cluster.ended_at), 3),
        gpu_hours_busy=round(float(works.sum()) * scenario.cost.device_seconds / 3600, 3),
        ended_at=cluster.ended_at,
    )
    return Run(outcome, samples)
