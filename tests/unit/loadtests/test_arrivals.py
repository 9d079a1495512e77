"""Arrivals are a Poisson process of the rate that a shape gives, the same from the same seed."""

from __future__ import annotations

import random
import statistics
from itertools import pairwise

import pytest

from loadtests.arrivals import DIMSE, STOW, VISIT, Arrival, poisson, schedule
from loadtests.shapes import Course, shape

STEADY = Course(((0.0, 5.0), (2000.0, 5.0)))

NO_VISITS = Course(((0.0, 0.0), (600.0, 0.0)))

DEVIATIONS = 4.0
"""Standard deviations that a count of a fixed seed may be from its mean."""


def drawn(
    name: str, *, seed: int = 1, dimse_share: float = 0.5, visits: Course = NO_VISITS
) -> list[Arrival]:
    """Ten minutes of a shape at two studies a second."""
    return schedule(
        shape(name, seconds=600.0, rate=2.0, stat_share=0.25),
        templates=["healthy", "fatty"],
        dimse_share=dimse_share,
        visits=visits,
        seed=seed,
    )


def test_a_steady_course_makes_exponential_pauses() -> None:
    """Mean and standard deviation of the pauses are both one over the rate."""
    moments = poisson(STEADY, random.Random(1))
    pauses = [after - before for before, after in pairwise(moments)]
    assert len(moments) == pytest.approx(10_000, abs=DEVIATIONS * 100)
    assert statistics.mean(pauses) == pytest.approx(0.2, rel=0.05)
    assert statistics.stdev(pauses) == pytest.approx(0.2, rel=0.05)


def test_counts_follow_the_course() -> None:
    """In each part of a spike as many as its area says, within what chance allows."""
    course = shape("spike", seconds=6000.0, rate=1.0, stat_share=0.0)["routine"]
    moments = poisson(course, random.Random(2))
    for begin, end, expected in ((0, 1800, 1800), (1800, 2400, 6000), (2400, 6000, 3600)):
        count = sum(begin <= moment < end for moment in moments)
        assert count == pytest.approx(expected, abs=DEVIATIONS * expected**0.5)


def test_counts_vary_as_those_of_a_poisson_process() -> None:
    """Variance and mean of counts in equal intervals are the same."""
    moments = poisson(STEADY, random.Random(3))
    counts = [sum(at <= moment < at + 10 for moment in moments) for at in range(0, 2000, 10)]
    assert statistics.variance(counts) / statistics.mean(counts) == pytest.approx(1.0, abs=0.4)


def test_no_rate_makes_no_arrival() -> None:
    """And does not wait for one."""
    assert poisson(NO_VISITS, random.Random(1)) == []


def test_the_same_seed_draws_the_same_day() -> None:
    """Another one another."""
    assert drawn("day", seed=5) == drawn("day", seed=5) != drawn("day", seed=6)


def test_a_lane_stays_as_it_is_beside_others() -> None:
    """The live studies of a backfill are those of a soak of the same seed."""

    def live(name: str) -> list[Arrival]:
        return [one for one in drawn(name) if one.lane in ("stat", "routine")]

    assert live("backfill") == live("soak")


def test_everything_is_in_order_of_time() -> None:
    """Studies of both ways and visits, each in its share."""
    visits = Course(((0.0, 1.0), (600.0, 1.0)))
    arrivals = drawn("soak", dimse_share=0.25, visits=visits)
    assert [one.at for one in arrivals] == sorted(one.at for one in arrivals)
    ways = [one.way for one in arrivals]
    assert ways.count(VISIT) == pytest.approx(600, abs=DEVIATIONS * 25)
    assert ways.count(DIMSE) / (ways.count(DIMSE) + ways.count(STOW)) == pytest.approx(
        0.25, abs=0.06
    )
    assert {one.template for one in arrivals if one.way != VISIT} == {"healthy", "fatty"}


def test_without_a_listener_everything_comes_by_stow() -> None:
    """As many studies, by another way."""
    assert {one.way for one in drawn("soak", dimse_share=0.0)} == {STOW}
    assert len(drawn("soak", dimse_share=0.0)) == len(drawn("soak"))
