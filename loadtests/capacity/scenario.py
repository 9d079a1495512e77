"""What is simulated: a day, a pool's policy, a cluster, and what goes wrong in it."""

from __future__ import annotations

from dataclasses import dataclass

from loadtests.capacity.cost import Cost
from loadtests.capacity.hpa import Policy, Rules
from loadtests.capacity.keda import Schedule
from loadtests.capacity.nodes import Ground
from loadtests.capacity.profile import LANES, Profile

POOL_UP = Rules(0.0, (Policy("Percent", 100, 30.0), Policy("Pods", 4, 30.0)))
POOL_DOWN = Rules(600.0, (Policy("Percent", 25, 60.0), Policy("Pods", 1, 60.0)))
"""The chart's ``poolDefaults.autoscaling.scaleUp`` and ``scaleDown``; a test holds them to it."""

API_UP = Rules(0.0, (Policy("Percent", 100, 30.0),))
API_DOWN = Rules(600.0, (Policy("Pods", 1, 120.0),))
"""Likewise ``api.autoscaling.behavior``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolPolicy:
    """How one pool is scaled: the chart's values."""

    least: int = 1
    most: int = 1
    drain_seconds: float = 600.0
    """``targetDrainSeconds``."""

    speed: float = 0.0
    """The chart's ``speed``; 0 takes the cost file's."""

    stat_seconds: float = 30.0
    cooldown_seconds: float = 600.0
    polling_seconds: float = 15.0
    schedule: Schedule | None = None
    up: Rules = POOL_UP
    down: Rules = POOL_DOWN
    lanes: tuple[str, ...] = LANES


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiPolicy:
    """How the api is scaled: the chart's ``api.autoscaling``."""

    least: int = 2
    most: int = 10
    target_percent: int = 70
    up: Rules = API_UP
    down: Rules = API_DOWN


@dataclass(frozen=True, slots=True)
class Fault:
    """A zone that is away for a while; or one node of it, which is then replaced."""

    at: float
    zone: int
    until: float = float("inf")
    whole_zone: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Everything that a run depends on; the same scenario gives the same bytes."""

    profile: Profile
    studies_per_day: float
    cost: Cost
    ground: Ground
    pools: tuple[PoolPolicy, ...]
    api: ApiPolicy = ApiPolicy()
    faults: tuple[Fault, ...] = ()
    seed: int = 1
    group: int = 1
    """Studies that are simulated as one, to compare policies quickly; 1 for figures."""

    autoscaled: bool = True
    """False keeps the least number of pods, as the chart does without KEDA."""
