"""The cheapest policy that keeps every target: all on a coarse day, the best on a whole one.

A coarse day simulates groups of studies as one, which ranks policies by their GPU-hours; whether
a policy keeps the targets is said by the whole day only.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from gateway.exceptions import UsageError
from loadtests.capacity.keda import HOUR, Schedule
from loadtests.capacity.outcome import Outcome, Run, simulate
from loadtests.capacity.profile import Profile
from loadtests.capacity.scenario import ApiPolicy, PoolPolicy, Scenario

COARSE = 12_000
"""Studies of a coarse day, about."""

DRAINS = (60.0, 120.0, 300.0, 600.0, 1200.0, 2400.0)
"""``targetDrainSeconds`` that are tried."""

FEW_DRAINS = DRAINS[::2]
"""Of them, where one pod does the busiest hour and little hangs on it."""

COOLDOWNS = (300.0, 600.0, 1800.0)
"""``cooldownPeriod`` that are tried where a pool may go to zero."""

SPARE = 1.5
"""Most pods ÷ pods that the busiest hour needs: two zones of three do its work."""

MOST_PODS = 5000
"""In the busiest hour; a cost or a number of studies that asks for more is a mistake."""

LEAD_SECONDS = 1200.0
"""A schedule begins so long before the hours it is for: a node, an image and a warm Triton."""

LEEWAY = 1.1
"""A policy that holds more GPU-hours than so many times the cheapest so far is not tried."""

WHOLE = 6
"""Policies that are tried on a whole day before giving up."""


@dataclass(frozen=True, slots=True)
class Found:
    """The policy, what it does, and how many were tried."""

    scenario: Scenario
    run: Run
    tried: int
    met: bool


def search(base: Scenario) -> Found:
    """Find the cheapest policy for a scenario's day; its own pools are not looked at.

    Returns
    -------
    Found
        Where no policy keeps every target, the one that comes closest, with ``met`` False.
    """
    base = replace(base, api=_api(base))
    group = max(1, round(base.studies_per_day * base.profile.factor / COARSE))
    slack = group * sum((base.cost.host_core_seconds, base.cost.device_seconds))
    ranked: list[tuple[Rank, PoolPolicy]] = []
    cheapest = math.inf
    for policy in sorted(policies(base), key=_at_least):
        if _at_least(policy) > cheapest * LEEWAY:
            continue
        coarse = simulate(replace(base, pools=(policy,), group=group)).outcome
        ranked.append((_rank(policy, coarse, slack), policy))
        if not ranked[-1][0][0]:
            cheapest = min(cheapest, coarse.gpu_hours)
    ranked.sort(key=lambda one: one[0])
    tried: list[tuple[float, Scenario, Run]] = []
    for _, policy in ranked[:WHOLE]:
        scenario = replace(base, pools=(policy,))
        run = simulate(scenario)
        if run.outcome.met:
            return Found(scenario, run, len(ranked), True)
        tried.append((_lateness(run.outcome), scenario, run))
    _, scenario, run = min(tried, key=lambda one: one[0])
    return Found(scenario, run, len(ranked), False)


def _at_least(policy: PoolPolicy) -> float:
    """GPU-hours that a policy holds whatever comes."""
    when = policy.schedule
    if when is None:
        return 24.0 * policy.least
    hours = (when.end_seconds - when.start_seconds) / HOUR
    return 24.0 * policy.least + hours * max(when.replicas - policy.least, 0)


def policies(base: Scenario) -> Iterator[PoolPolicy]:
    """All policies that are tried."""
    rate = base.profile.peak_rate(base.studies_per_day)
    busy = max(math.ceil(rate / max(base.cost.rates()[-1], 1e-12)), 1)
    if busy > MOST_PODS:
        raise UsageError(f"The busiest hour would take {busy:,} pods, more than {MOST_PODS:,}.")
    most = max(math.ceil(busy * SPARE), 2)
    speed = round(base.cost.speed(), 2) or base.cost.speed()
    plain = PoolPolicy(most=most, speed=speed)
    for least in sorted({0, 1, 2, math.ceil(busy / 4)}):
        for pods in (None, math.ceil(busy / 2), busy):
            if pods is not None and pods <= max(least, 1):
                continue
            when = None if pods is None else day_schedule(base.profile, pods)
            for drain in DRAINS if busy > 1 else FEW_DRAINS:
                for cooldown in COOLDOWNS if least == 0 else COOLDOWNS[1:2]:
                    yield replace(
                        plain,
                        least=least,
                        drain_seconds=drain,
                        cooldown_seconds=cooldown,
                        schedule=when,
                    )


def day_schedule(profile: Profile, pods: int) -> Schedule:
    """Pods for the hours that have more than a third of the busiest one's studies."""
    hours = [
        sum(lane.share * lane.hourly[hour] / sum(lane.hourly) for lane in profile.lanes.values())
        for hour in range(24)
    ]
    busy = [hour for hour in range(24) if hours[hour] > max(hours) / 3]
    start = max(busy[0] * HOUR - LEAD_SECONDS, 0.0)
    return Schedule(start, (busy[-1] + 1) * HOUR, pods)


def _api(base: Scenario) -> ApiPolicy:
    """Allow api pods for the busiest hour at the target utilisation, and half as many besides."""
    profile, daily = base.profile, base.studies_per_day * base.profile.factor
    hours = [
        sum(lane.share * lane.hourly[hour] / sum(lane.hourly) for lane in profile.lanes.values())
        for hour in range(24)
    ]
    cores = daily * max(hours) / HOUR * base.cost.intake_core_seconds
    api = base.api
    wanted = math.ceil(cores / (api.target_percent / 100) * SPARE)
    return replace(api, most=max(api.most, wanted))


Rank = tuple[bool, float, float, float]
"""Late ones last, then by cost, then by the drain time and the cool-down."""


def _rank(policy: PoolPolicy, outcome: Outcome, slack: float) -> Rank:
    """Rank a policy; of those within a percent, that which has more pods soonest when one dies."""
    late = _lateness(outcome, slack)
    cost = round(math.log(max(outcome.gpu_hours, 1e-6)), 2)
    return late > 0, late or cost, policy.drain_seconds, -policy.cooldown_seconds


def _lateness(outcome: Outcome, slack: float = 0.0) -> float:
    """By how much the targets are missed; 0 where none is."""
    late = sum(
        max(lane.p95_seconds - slack - lane.target_seconds, 0.0) / lane.target_seconds
        for lane in outcome.lanes.values()
    )
    return late + (outcome.studies - outcome.done)
