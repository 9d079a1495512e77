"""Shapes are courses of rates; arrivals are drawn from them."""

from __future__ import annotations

import re

import pytest

from loadtests.payloads import ROOT
from loadtests.shapes import HOURLY, LANES, SHAPES, Course, says, shape

SECONDS, RATE, STAT_SHARE = 600.0, 2.0, 0.25

LIVE = RATE * SECONDS
"""Studies that a steady rate brings."""


def made(name: str) -> dict[str, Course]:
    return dict(shape(name, seconds=SECONDS, rate=RATE, stat_share=STAT_SHARE))


def test_a_course_is_straight_between_its_points() -> None:
    """A point twice is a jump, and outside there is nothing."""
    course = Course(((0.0, 1.0), (10.0, 3.0), (10.0, 8.0), (20.0, 8.0)))
    assert course.at(0.0) == 1.0
    assert course.at(5.0) == 2.0
    assert course.at(10.0) == 8.0
    assert course.at(20.0) == course.at(-1.0) == 0.0
    assert course.greatest == 8.0
    assert course.expected == 20.0 + 80.0


@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_lasts_as_long_as_it_is_told(name: str) -> None:
    """Each lane is one that the server knows, and stat studies come throughout."""
    courses = made(name)
    assert set(courses) <= set(LANES)
    assert {course.points[-1][0] for course in courses.values()} == {SECONDS}
    for second in range(0, int(SECONDS), 7):
        assert courses["stat"].at(second) == pytest.approx(RATE * STAT_SHARE)
    assert says(name, SECONDS)


def test_a_day_is_a_monday_with_a_peak_of_three_times_the_mean() -> None:
    """As design.md asks; night is quiet, noon a dent, and evening flows into night."""
    routine = made("day")["routine"]
    mean = RATE * (1 - STAT_SHARE)
    assert routine.greatest / mean == pytest.approx(3.0, abs=0.05)
    assert routine.expected / (mean * SECONDS) == pytest.approx(1.3, abs=0.001)
    hour = SECONDS / 24
    assert routine.at(3 * hour) < 0.1 * routine.greatest
    assert routine.at(12 * hour) < routine.at(10 * hour)
    assert routine.at(12 * hour) < routine.at(14 * hour)
    assert routine.at(23.999 * hour) == pytest.approx(routine.at(0.0), rel=0.01)
    assert len(HOURLY) == 24


def test_a_step_goes_up_to_the_double() -> None:
    """Four steps of the same length, whose mean is a quarter above the rate."""
    routine = made("step")["routine"]
    rates = [routine.at(SECONDS * (number + 0.5) / 4) for number in range(4)]
    assert rates == pytest.approx([0.75, 1.5, 2.25, 3.0])


def test_a_spike_is_ten_times_the_rate_for_a_tenth_of_the_time() -> None:
    """And the rate before and after."""
    routine = made("spike")["routine"]
    high = [at for at in range(int(SECONDS)) if routine.at(at) > 1.5]
    assert len(high) == SECONDS / 10
    assert high == list(range(high[0], high[-1] + 1))
    assert routine.greatest == pytest.approx(10 * routine.at(0.0)) == pytest.approx(15.0)


def test_backfill_comes_beside_the_live_load() -> None:
    """Three times as fast for half of the time; the live lanes are those of a soak."""
    courses = made("backfill")
    soak = made("soak")
    assert {lane: courses[lane] for lane in soak} == soak
    assert courses["backfill"].expected == pytest.approx(1.5 * LIVE)
    assert courses["backfill"].at(0.0) == 0.0
    assert courses["backfill"].at(SECONDS / 2) == pytest.approx(3 * RATE)


def test_stat_comes_among_three_times_as_many_routine_studies() -> None:
    """So that routine studies queue, and stat ones have something to overtake."""
    assert made("stat")["routine"].expected == pytest.approx(3 * LIVE * (1 - STAT_SHARE))


def test_every_shape_is_documented_and_every_user_is_one() -> None:
    """The README has a question for each shape, and the users by the names that they have."""
    folder = ROOT / "loadtests"
    text = (folder / "README.md").read_text(encoding="utf-8")
    asked = set(re.findall(r"--shape (\w+)", text)) | {"day"}
    assert asked == set(SHAPES)
    users = set()
    for path in (folder / "users").glob("*.py"):
        users |= set(re.findall(r"^class (Pacs\w+|Partner|Radiologist)\(", path.read_text(), re.M))
    assert users == {"PacsByStow", "PacsByDimse", "Partner", "Radiologist"}
    assert all(f"`{user}`" in text for user in users)


def test_an_unknown_shape_is_named() -> None:
    """With those that there are."""
    with pytest.raises(ValueError, match=r"'wave'; there are day, step"):
        shape("wave", seconds=1.0, rate=1.0, stat_share=0.0)
