"""Whole days: the same seed gives the same bytes, pods stay in bounds, faults cost time only."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtests.capacity.cluster import Cluster
from loadtests.capacity.cost import read_cost
from loadtests.capacity.keda import HOUR, Schedule
from loadtests.capacity.nodes import read_ground
from loadtests.capacity.outcome import simulate
from loadtests.capacity.profile import read_profile
from loadtests.capacity.scenario import Fault, PoolPolicy, Scenario

DAY = Scenario(
    profile=read_profile("national"),
    studies_per_day=400,
    cost=replace(read_cost("h200"), device_seconds=60.0),
    ground=read_ground(),
    pools=(PoolPolicy(least=1, most=4, drain_seconds=120.0, speed=0.5),),
)
"""A small day of slow studies, so that pods come and go."""


def test_the_same_seed_gives_the_same_bytes() -> None:
    """And another one another day."""
    assert simulate(DAY).outcome.as_json() == simulate(DAY).outcome.as_json()
    assert simulate(replace(DAY, seed=2)).outcome.as_json() != simulate(DAY).outcome.as_json()


@given(
    least=st.integers(0, 3),
    more=st.integers(0, 4),
    drain=st.sampled_from([30.0, 600.0]),
    schedule=st.booleans(),
    seed=st.integers(0, 99),
)
@settings(max_examples=10, deadline=None)
def test_never_more_pods_than_the_maximum(
    least: int, more: int, drain: float, schedule: bool, seed: int
) -> None:
    """Whatever the triggers ask for, also while a zone is lost; and every study is done."""
    most = max(least + more, 1)
    policy = PoolPolicy(
        least=least,
        most=most,
        drain_seconds=drain,
        schedule=Schedule(6 * HOUR, 9 * HOUR, 50) if schedule else None,
    )
    fault = Fault(9.5 * HOUR, 0, 11 * HOUR)
    cluster = Cluster(replace(DAY, pools=(policy,), faults=(fault,), seed=seed))
    plant = cluster.run()
    assert cluster.most_pods <= most
    assert all(sample[5] <= most and least <= sample[6] <= most for sample in cluster.samples)
    assert plant.complete


def test_a_pool_goes_to_zero_and_comes_back() -> None:
    """With a minimum of zero nights are empty, and whoever comes then waits for a node."""
    quiet = replace(DAY, studies_per_day=30.0, pools=(PoolPolicy(least=0, most=2),))
    run = simulate(quiet)
    assert run.samples[:, 5].min() == 0
    assert run.outcome.done == run.outcome.studies
    start = quiet.ground.node_start_seconds + quiet.ground.model_load_seconds
    assert run.outcome.lanes["routine"].most_seconds > start
    assert run.outcome.gpu_hours < 24


def test_a_lost_zone_costs_time_and_no_study() -> None:
    """Studies in hand begin anew, pods come back in the other zones."""
    policy = PoolPolicy(least=3, most=6, drain_seconds=60.0)
    whole = replace(DAY, pools=(policy,), studies_per_day=1500)
    lost = replace(whole, faults=(Fault(9 * HOUR, 0, 11 * HOUR),))
    before, after = simulate(whole).outcome, simulate(lost).outcome
    assert after.done == after.studies == before.studies
    assert after.again > 0 == before.again
    assert after.lanes["routine"].p95_seconds > before.lanes["routine"].p95_seconds


def test_a_lost_node_is_replaced() -> None:
    """Its one pod is evicted after Kubernetes' time-outs, and another takes its place."""
    policy = PoolPolicy(least=2, most=2)
    fault = Fault(9 * HOUR, 0, whole_zone=False)
    cluster = Cluster(replace(DAY, pools=(policy,), faults=(fault,)))
    cluster.run()
    ready = {sample[0]: sample[5] for sample in cluster.samples}
    ground = DAY.ground
    back = (
        ground.eviction_seconds
        + ground.node_start_seconds
        + ground.image_pull_seconds
        + ground.model_load_seconds
    )
    assert ready[9 * HOUR + 15] == 1
    assert ready[9 * HOUR + (back // 15) * 15] == 1
    assert ready[9 * HOUR + (back // 15 + 2) * 15] == 2


def test_a_schedule_has_pods_there_before_the_work() -> None:
    """As many as it names, from its start and the time that a node takes on."""
    policy = PoolPolicy(least=1, most=5, schedule=Schedule(6 * HOUR, 9 * HOUR, 5))
    run = simulate(replace(DAY, studies_per_day=50, pools=(policy,)))
    at = {int(sample[0]): sample[5] for sample in run.samples}
    assert at[int(5.9 * HOUR)] == 1
    assert at[int(6.5 * HOUR)] == 5
    assert at[int(10 * HOUR)] == 1


def test_a_pool_of_one_lane_leaves_the_others() -> None:
    """Two pools: the one of the backfill lane never takes a stat study."""
    pools = (
        PoolPolicy(least=1, most=2, lanes=("stat", "routine")),
        PoolPolicy(least=0, most=2, lanes=("backfill",)),
    )
    day = replace(DAY, profile=read_profile("backfill"), studies_per_day=200, pools=pools)
    outcome = simulate(day).outcome
    assert outcome.done == outcome.studies
    assert outcome.lanes["stat"].p95_seconds < outcome.lanes["backfill"].p95_seconds


@pytest.mark.parametrize("group", [5, 20])
def test_a_coarse_day_costs_about_the_same(group: int) -> None:
    """It ranks policies: its work is the whole day's within five percent."""
    whole = replace(DAY, studies_per_day=4000, cost=read_cost("h200"))
    fine, coarse = simulate(whole).outcome, simulate(replace(whole, group=group)).outcome
    assert coarse.gpu_hours_busy == pytest.approx(fine.gpu_hours_busy, rel=0.05)
    assert coarse.gpu_hours == pytest.approx(fine.gpu_hours, rel=0.05)


def test_a_national_day_of_a_million_takes_less_than_a_minute() -> None:
    """On one core; shown by a tenth of it in a tenth of the processor time."""
    policy = PoolPolicy(least=2, most=40, drain_seconds=120.0)
    day = replace(DAY, cost=read_cost("h200"), studies_per_day=1e5, pools=(policy,))
    day = replace(day, api=replace(day.api, most=100))
    started = time.process_time()
    outcome = simulate(day).outcome
    assert time.process_time() - started < 6
    assert outcome.done == outcome.studies > 1e5
