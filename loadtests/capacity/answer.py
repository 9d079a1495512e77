"""The answer to "how many GPUs": pools, GPU-hours, cost, latency, and the chart's values."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

from gateway.exceptions import UsageError
from gateway.settings import ApiSettings
from loadtests.capacity.cost import Cost, read_cost
from loadtests.capacity.keda import HOUR, Schedule
from loadtests.capacity.nodes import Ground, read_ground
from loadtests.capacity.outcome import Outcome, simulate
from loadtests.capacity.prices import read_price
from loadtests.capacity.profile import Profile, read_profile
from loadtests.capacity.scenario import Fault, Scenario
from loadtests.capacity.search import Found, search

MOST_STUDIES = 5_000_000
"""A day; beyond it the simulation takes minutes and nobody has asked."""

QUEUE_SPARE = 1.5
"""Screenings that may wait ÷ the most that did."""

AWAY_SECONDS = 2 * HOUR
"""How long the zone of the question "what if a zone is lost" is away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked; files by the names that come with OneScan, or by their paths."""

    studies_per_day: float
    profile: str = "national"
    gpu: str = "h200"
    prices: str = "prices"
    cluster: str = "cluster"
    seed: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.studies_per_day <= MOST_STUDIES:
            raise UsageError(f"--studies-per-day takes a number from 1 to {MOST_STUDIES:,}.")
        if self.seed < 0:
            raise UsageError("--seed takes a number from 0 on.")


@dataclass(frozen=True, slots=True)
class Answer:
    """What was found."""

    question: Question
    profile: Profile
    cost: Cost
    ground: Ground
    price: float | None
    found: Found
    zone_lost: Outcome
    twice_the_cost: Outcome

    @property
    def met(self) -> bool:
        """Whether the policy keeps every target on a day without faults."""
        return self.found.met

    def per_thousand(self, outcome: Outcome) -> float | None:
        """EUR for a thousand studies, idle time included."""
        if self.price is None or not outcome.studies:
            return None
        return self.price * outcome.gpu_hours / outcome.studies * 1000

    def as_json(self) -> dict[str, Any]:
        """Give it all, for a program."""
        days = {
            "day": self.found.run.outcome,
            "zone_lost": self.zone_lost,
            "twice_the_cost": self.twice_the_cost,
        }
        return {
            "studies_per_day": self.question.studies_per_day,
            "profile": {"title": self.profile.title, "source": self.profile.source},
            "cost": {
                "title": self.cost.title,
                "source": self.cost.source,
                "measured": self.cost.measured,
                "seconds_per_study": round(1 / self.cost.rates()[-1], 3),
            },
            "seed": self.question.seed,
            "eur_per_gpu_hour": self.price,
            "policies_tried": self.found.tried,
            "met": self.met,
            "values": self.values(),
            **{
                name: {
                    **asdict(outcome),
                    "met": outcome.met,
                    "eur_per_thousand": _rounded(self.per_thousand(outcome)),
                }
                for name, outcome in days.items()
            },
        }

    def values(self) -> dict[str, Any]:
        """Give the chart's values."""
        (policy,) = self.found.scenario.pools
        autoscaling: dict[str, Any] = {
            "speed": policy.speed,
            "targetDrainSeconds": int(policy.drain_seconds),
            "cooldownPeriod": int(policy.cooldown_seconds),
        }
        if policy.schedule is not None:
            autoscaling["schedules"] = {"day": _schedule(policy.schedule)}
        longest = max(self.found.run.outcome.queue_most, self.zone_lost.queue_most)
        limit = ApiSettings().queue_limit
        settings = {}
        if longest * QUEUE_SPARE > limit:
            rounded = math.ceil(longest * QUEUE_SPARE / limit) * limit
            settings["settings"] = {"ONESCAN_API__QUEUE_LIMIT": str(rounded)}
        return {
            **settings,
            "autoscaling": {"enabled": True},
            "api": {
                "autoscaling": {
                    "minReplicas": self.found.scenario.api.least,
                    "maxReplicas": self.found.scenario.api.most,
                }
            },
            "pools": {
                "main": {
                    "replicas": {"min": policy.least, "max": policy.most},
                    "concurrency": self.cost.concurrency,
                    "autoscaling": autoscaling,
                }
            },
        }


def answer(question: Question) -> Answer:
    """Search, and ask what a lost zone and a dearer model do to what was found.

    Raises
    ------
    CapacityFileError
        When a file is not there or something in it is wrong.
    """
    profile, cost = read_profile(question.profile), read_cost(question.gpu)
    ground = read_ground(question.cluster)
    base = Scenario(
        profile=profile,
        studies_per_day=question.studies_per_day,
        cost=cost,
        ground=ground,
        pools=(),
        seed=question.seed,
    )
    price = read_price(cost.gpu_type, question.prices)
    found = search(base)
    fault = Fault(busiest(profile), 0, busiest(profile) + AWAY_SECONDS)
    return Answer(
        question,
        profile,
        cost,
        ground,
        price,
        found,
        simulate(replace(found.scenario, faults=(fault,))).outcome,
        simulate(replace(found.scenario, cost=cost.dearer(2.0))).outcome,
    )


def busiest(profile: Profile) -> float:
    """Give the second at which the busiest hour begins."""
    lanes = profile.lanes.values()
    hours = [
        sum(lane.share * lane.hourly[hour] / sum(lane.hourly) for lane in lanes)
        for hour in range(24)
    ]
    return hours.index(max(hours)) * HOUR


def _schedule(schedule: Schedule) -> dict[str, Any]:
    def cron(seconds: float) -> str:
        minutes = int(seconds // 60) % 1440
        return f"{minutes % 60} {minutes // 60} * * 1-5"

    return {
        "timezone": "Etc/UTC",
        "start": cron(schedule.start_seconds),
        "end": cron(schedule.end_seconds),
        "replicas": schedule.replicas,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
