"""Curves over time, counted from recorded studies."""

from __future__ import annotations

import pytest

from loadtests import series
from loadtests.records import Found
from tests.unit.loadtests.recorded_run import recorded, study


def test_intervals_are_counted_while_they_are_open() -> None:
    """One without a beginning never is, one without an end is for good."""
    moments, numbers = series.present([(1.0, 4.0), (2.0, 3.0), (None, 9.0), (5.0, None)])
    assert list(zip(moments, numbers, strict=True)) == [
        (0.0, 0),
        (1.0, 1),
        (2.0, 2),
        (3.0, 1),
        (4.0, 0),
        (5.0, 1),
    ]
    assert series.peak((moments, numbers)) == 2


def test_an_event_that_outran_its_answer_counts_as_no_wait() -> None:
    """A worker may take a screening before the partner has read that it was accepted."""
    assert series.present([(2.0, 1.9), (3.0, 3.0)]) == ([0.0], [0])


def test_a_study_is_sent_then_waits_then_is_in_hand() -> None:
    """Each of it in its own time."""
    one = study(10, wait=4.0)
    assert series.sending([one])[0] == [0.0, one.due, one.acknowledged]
    assert series.waiting([one], "routine")[0] == [0.0, one.accepted, one.running]
    assert series.waiting([one], "stat") == ([0.0], [0])
    assert series.in_hand([one])[0] == [0.0, one.running, one.ended]


def test_bars_count_everything_once() -> None:
    """What comes before or after the run is in the outer bars."""
    assert series.counts([-1.0, 0.0, 9.9, 10.0, 35.0, 99.0], 10.0, 40.0) == [3, 1, 0, 2]
    assert series.counts([], 10.0, 0.0) == [0]


@pytest.mark.parametrize(("end", "width"), [(20, 1), (120, 5), (900, 60), (86400, 3600)])
def test_bars_have_a_round_width(end: float, width: float) -> None:
    """About two dozen of them."""
    assert series.bucket_seconds(end) == width


def test_a_run_is_as_long_as_the_last_that_happened() -> None:
    """Also when that was a refusal."""
    found = recorded()
    last = max(one.fetched or 0.0 for one in found.studies)
    assert series.length(found) == last
    found.refusals.append((last + 5, "/v1/screenings", 429))
    assert series.length(found) == last + 5
    assert series.length(Found()) == 1.0


def test_quantiles_begin_with_everything_and_end_with_the_slowest() -> None:
    """The share is of those that are at least as slow."""
    assert series.quantiles([3.0, 1.0, 2.0, 4.0]) == ([1.0, 0.75, 0.5, 0.25], [1.0, 2.0, 3.0, 4.0])
