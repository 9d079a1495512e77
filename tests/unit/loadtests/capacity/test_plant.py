"""The way of the studies: nothing is lost, nobody overtakes, and queueing theory agrees."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtests.capacity.arrivals import LANES, Arrivals
from loadtests.capacity.intake import Intake
from loadtests.capacity.plant import STAT, Plant, Side
from loadtests.capacity.pod import NEVER, Pod

STUDY = st.tuples(
    st.floats(0, 100, allow_nan=False), st.integers(0, len(LANES) - 1), st.floats(0.1, 5)
)
"""When, lane, work."""

FAR = 1e6


def arrivals(studies: Sequence[tuple[float, int, float]]) -> Arrivals:
    ordered = sorted(studies)
    times, lanes, works = zip(*ordered, strict=True)
    return Arrivals(
        np.asarray(times, dtype=np.float64),
        np.asarray(lanes, dtype=np.int64),
        np.asarray(works, dtype=np.float64),
    )


def plant(
    studies: Sequence[tuple[float, int, float]], pods: int, slots: int, cores: int = 10**6
) -> tuple[Plant, list[Pod]]:
    side = Side(range(len(LANES)))
    made = Plant(arrivals(studies), [side], Intake(cores), 1e-9)
    rates = [0.0, *(1 + 0.25 * number for number in range(slots))]
    held = [Pod(number, rates, slots, 1 if slots > 1 else 0) for number in range(pods)]
    for pod in held:
        made.add(0.0, pod, side)
    return made, held


@given(st.lists(STUDY, min_size=1, max_size=40), st.integers(1, 3), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_work_is_conserved(studies: list[tuple[float, int, float]], pods: int, slots: int) -> None:
    """Every study ends once, and no sooner than its work allows on a pod of its own."""
    made, held = plant(studies, pods, slots)
    made.advance(FAR)
    assert made.complete
    assert made.arrived == made.done == len(studies)
    assert made.open == [0, 0, 0]
    assert not any(made.waiting)
    assert not any(pod.in_hand for pod in held)
    for study, work in enumerate(made.works):
        assert made.queued[study] <= made.started[study]
        assert made.ended[study] >= made.started[study] + work - 1e-6  # rate 1 when it is alone
    together = sum(made.works) / (pods * held[0].rates[-1])
    assert max(made.ended) - min(made.queued) >= together - 1e-6


@given(st.lists(STUDY, min_size=1, max_size=40), st.integers(1, 2), st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_no_lane_overtakes_a_more_urgent_one(
    studies: list[tuple[float, int, float]], pods: int, slots: int
) -> None:
    """While a study waits none of a less urgent lane is begun, nor a later one of its own."""
    made, _ = plant(studies, pods, slots)
    made.advance(FAR)
    for one, lane in enumerate(made.lanes):
        for other, other_lane in enumerate(made.lanes):
            waited = made.queued[one] < made.started[other] < made.started[one]
            if waited and other_lane >= lane and made.queued[other] > made.queued[one]:
                raise AssertionError(f"{LANES[other_lane]} overtook {LANES[lane]}")


@given(st.lists(STUDY, min_size=2, max_size=40), st.floats(0, 120), st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_a_dead_pod_loses_no_study(
    studies: list[tuple[float, int, float]], dies_at: float, slots: int
) -> None:
    """What it had in hand begins anew elsewhere, once it is noticed."""
    made, (first, _) = plant(studies, 2, slots)
    made.advance(dies_at)
    held = made.lose(dies_at, first, 18.0)
    made.advance(FAR)
    assert made.complete
    assert made.again == held
    assert made.done == len(studies)


def test_a_draining_pod_finishes_and_takes_nothing() -> None:
    """It ends what it has; the next study waits for another pod."""
    made, (pod,) = plant([(0.0, 1, 5.0), (1.0, 1, 1.0)], 1, 1)
    made.advance(0.5)
    made.stop(pod)
    made.advance(100.0)
    assert made.ended[0] == 5.0 + made.queued[0]
    assert made.started[1] == NEVER
    made.add(100.0, Pod(9, [0.0, 1.0], 1, 0), made.sides[0])
    made.advance(FAR)
    assert made.started[1] == 100.0


def test_a_slot_is_kept_for_the_stat_lane() -> None:
    """A worker of two has one routine study in hand; a stat study does not wait."""
    made, (pod,) = plant([(0.0, 1, 9.0), (0.1, 1, 9.0), (0.2, STAT, 1.0)], 1, 2)
    made.advance(0.3)
    assert (len(pod.normal), len(pod.urgent)) == (1, 1)
    assert made.started[2] == made.queued[2]
    made.advance(FAR)
    assert abs(made.ended[2] - made.queued[2] - 1.0) < 1e-6  # as if it were alone


def test_studies_share_a_pod_alike() -> None:
    """Two of the same work, begun together on a pod of rate 1.25, take 2 ÷ 1.25 of one's time."""
    made, _ = plant([(0.0, 1, 1.0), (0.0, 1, 1.0)], 1, 3)
    made.advance(FAR)
    assert all(abs(end - 1.6) < 1e-6 for end in made.ended)


def test_intake_is_first_come_first_served() -> None:
    """One core, a second a study: three that come together are queued one after the other."""
    side = Side(range(len(LANES)))
    made = Plant(arrivals([(0.0, 1, 1.0)] * 3), [side], Intake(1), 1.0)
    made.advance(FAR)
    assert made.queued == [1.0, 2.0, 3.0]
    assert made.intake.settle(FAR) == 3.0


def erlang_c(servers: int, load: float) -> float:
    """Give the probability that a customer of M/M/c waits (load = λ ÷ μ)."""
    last = load**servers / math.factorial(servers) * servers / (servers - load)
    return last / (sum(load**k / math.factorial(k) for k in range(servers)) + last)


def test_the_mean_wait_is_that_of_erlang() -> None:
    """M/M/3 at 80 %: C(3, 2.4) ÷ (3 − 2.4) within the 99 % interval of twenty runs."""
    servers, rate, count = 3, 2.4, 6000
    means = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        times = np.cumsum(rng.exponential(1 / rate, count))
        works = rng.exponential(1.0, count)
        made, _ = plant([(float(t), 1, float(w)) for t, w in zip(times, works)], servers, 1)
        made.advance(FAR)
        waits = np.asarray(made.started) - np.asarray(made.queued)
        means.append(float(waits[500:].mean()))  # the first ones find an empty system
    expected = erlang_c(servers, rate) / (servers - rate)
    error = float(np.std(means, ddof=1)) / math.sqrt(len(means))
    student = 2.861  # 99 %, 19 degrees of freedom
    assert abs(float(np.mean(means)) - expected) < student * error
    assert student * error < 0.15 * expected  # an interval that says something
