"""The capacity simulation speaks of the product as it is, and the chart's values come from it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.exceptions import UsageError
from gateway.screening.manifest_reader import load_manifests
from gateway.settings import WorkerSettings
from gateway.store.queue import LANES as PRIORITIES
from gateway.worker.slots import shares
from loadtests.capacity.answer import Question, answer
from loadtests.capacity.arrivals import LANES, draw
from loadtests.capacity.cluster import Cluster
from loadtests.capacity.cost import read_cost
from loadtests.capacity.hpa import Rules
from loadtests.capacity.nodes import read_ground
from loadtests.capacity.profile import read_profile
from loadtests.capacity.scenario import (
    API_DOWN,
    API_UP,
    POOL_DOWN,
    POOL_UP,
    ApiPolicy,
    PoolPolicy,
    Scenario,
)

ROOT = Path(__file__).resolve().parents[2]
VALUES: dict[str, Any] = yaml.safe_load(
    (ROOT / "helm" / "onescan" / "values.yaml").read_text(encoding="utf-8")
)
STUDIES = 10_000
"""That the comment in values.yaml names."""


def rules(values: dict[str, Any]) -> dict[str, Any]:
    """Behaviour as the chart writes it, without what is Kubernetes' default."""
    return {"selectPolicy": "Max", **values}


def as_values(one: Rules) -> dict[str, Any]:
    return {
        "stabilizationWindowSeconds": one.window_seconds,
        "policies": [
            {"type": p.kind, "value": p.value, "periodSeconds": p.period_seconds}
            for p in one.policies
        ],
        "selectPolicy": one.select,
    }


def test_lanes_are_the_queue_s() -> None:
    """In the order of their priorities."""
    assert list(LANES) == sorted(PRIORITIES, key=lambda lane: -PRIORITIES[lane])


@pytest.mark.parametrize("concurrency", [1, 2, 3, 6])
def test_slots_are_the_worker_s(concurrency: int) -> None:
    """One of two and more is kept for the stat lane."""
    cost = replace(read_cost("h200"), concurrency=concurrency)
    day = Scenario(
        profile=read_profile("national"),
        studies_per_day=10,
        cost=cost,
        ground=read_ground(),
        pools=(PoolPolicy(),),
    )
    cluster = Cluster(day)
    cluster._reconcile(cluster.pools[0], at_once=True)
    (life,) = cluster.pools[0].lives
    expected = [slots for _, slots in shares(concurrency)]
    assert [n for n in (life.pod.general, life.pod.reserved) if n] == expected


def test_the_autoscalers_are_the_chart_s() -> None:
    """Behaviour, intervals and targets of the simulation are those of values.yaml."""
    pool, api = VALUES["poolDefaults"]["autoscaling"], VALUES["api"]["autoscaling"]
    assert as_values(POOL_UP) == rules(pool["scaleUp"])
    assert as_values(POOL_DOWN) == rules(pool["scaleDown"])
    assert as_values(API_UP) == rules(api["behavior"]["scaleUp"])
    assert as_values(API_DOWN) == rules(api["behavior"]["scaleDown"])
    assert PoolPolicy().polling_seconds == pool["pollingInterval"]
    assert PoolPolicy().stat_seconds == pool["statSeconds"]
    assert ApiPolicy().target_percent == api["targetCPUUtilizationPercentage"]
    assert read_cost("h200").cores == int(
        VALUES["poolDefaults"]["worker"]["resources"]["requests"]["cpu"]
    )
    assert VALUES["api"]["resources"]["requests"]["cpu"] == "1"


def test_the_ground_is_the_product_s_where_it_is() -> None:
    """Drain, heartbeat and start-up stay within what chart and settings say."""
    ground, worker = read_ground(), WorkerSettings()
    assert ground.drain_seconds == VALUES["worker"]["drainSeconds"]
    assert ground.stalled_seconds == worker.stalled_seconds + worker.reap_seconds
    assert ground.model_load_seconds < VALUES["triton"]["startTimeoutSeconds"]


def test_the_gpu_s_cost_is_the_manifests_estimate() -> None:
    """The sum over the checks of a CT, and marked as not measured."""
    cost = read_cost("h200")
    manifests = load_manifests(ROOT / "model_repository")
    ct = [m.cost["gpu_seconds"] for m in manifests.values() if m.name != "bone_age"]
    assert sum(ct) == pytest.approx(cost.estimate_gpu_seconds)
    assert cost.device_seconds == pytest.approx(cost.estimate_gpu_seconds)
    assert not cost.measured
    assert cost.source.startswith("ASSUMPTION")


def test_the_chart_s_defaults_are_what_the_command_prints() -> None:
    """`onescan pool capacity --studies-per-day 10000`, as the comment in values.yaml says."""
    printed = answer(Question(studies_per_day=STUDIES)).values()
    defaults, main = VALUES["poolDefaults"], printed["pools"]["main"]
    assert main["replicas"] == defaults["replicas"]
    assert main["concurrency"] == defaults["concurrency"]
    for key, value in main["autoscaling"].items():
        assert defaults["autoscaling"][key] == value
    api = VALUES["api"]["autoscaling"]
    for key, value in printed["api"]["autoscaling"].items():
        assert api[key] == value


@pytest.mark.parametrize("name", ["national", "hospital", "backfill"])
def test_profiles_that_come_with_onescan_draw_their_day(name: str) -> None:
    """As many studies as asked for, by the weekday, within what chance allows."""
    profile = read_profile(name)
    arrivals = draw(profile, 20_000, seed=3)
    expected = 20_000 * profile.factor
    assert abs(len(arrivals.times) - expected) < 5 * expected**0.5
    assert arrivals.works.mean() == pytest.approx(1.0, abs=0.02)
    assert bool((arrivals.times[1:] >= arrivals.times[:-1]).all())
    assert "ASSUMPTION" in profile.source


@pytest.mark.parametrize("studies", [0, -1, 5_000_001, float("nan")])
def test_nonsense_is_refused(studies: float) -> None:
    """A day has from one to five million studies."""
    with pytest.raises(UsageError):
        Question(studies_per_day=studies)
