"""Curves over the time of a load test, counted from what its users met."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from loadtests.records import Found, Study

Steps = tuple[list[float], list[int]]
"""Moments, and how many there are from each of them on."""

BUCKETS = 24
"""Bars of a whole run."""


def bucket_seconds(end: float, buckets: int = BUCKETS) -> float:
    """Give a round width that divides a run into about so many bars."""
    widths = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)
    return float(next((width for width in widths if end / width <= buckets), widths[-1]))


def counts(moments: Iterable[float], width: float, end: float) -> list[int]:
    """Count moments from 0 to the end in bars of a width; those outside are in the outer bars."""
    bars = [0] * max(1, int(-(-end // width)))
    for moment in moments:
        bars[min(len(bars) - 1, max(0, int(moment // width)))] += 1
    return bars


def present(intervals: Iterable[tuple[float | None, float | None]]) -> Steps:
    """Count how many intervals are open over time.

    An interval without a beginning has never been, as has one that ends before it begins: an event
    may outrun the answer that it follows. One without an end is open for good.
    """
    changes = []
    for begin, end in intervals:
        if begin is not None and (end is None or end > begin):
            changes.append((begin, 1))
            if end is not None:
                changes.append((end, -1))
    moments, numbers, open_now = [0.0], [0], 0
    for moment, change in sorted(changes):
        open_now += change
        moments.append(moment)
        numbers.append(open_now)
    return moments, numbers


def sending(studies: Iterable[Study]) -> Steps:
    """Count studies that were due and are not acknowledged yet."""
    return present((study.due, study.acknowledged) for study in studies)


def waiting(studies: Iterable[Study], lane: str) -> Steps:
    """Count screenings of a lane that were accepted and that no worker has taken yet."""
    return present((study.accepted, study.running) for study in studies if study.lane == lane)


def in_hand(studies: Iterable[Study]) -> Steps:
    """Count screenings that a worker has taken and that have not ended."""
    return present((study.running, study.ended) for study in studies)


def peak(steps: Steps) -> int:
    """Give the most that there were at once."""
    return max(steps[1])


def length(found: Found) -> float:
    """Give the second at which the last thing happened; at least 1, so that it can be drawn."""
    moments = [1.0, *(at for at, _, _ in found.refusals)]
    moments += [page.due + page.seconds for page in found.pages]
    for study in found.studies:
        moments += [at for at in (study.due, study.acknowledged, study.fetched) if at is not None]
    return max(moments)


def quantiles(values: Sequence[float]) -> tuple[list[float], list[float]]:
    """Give, for each value in order, the share that is at least as slow; and the values."""
    ordered = sorted(values)
    number = len(ordered)
    return [(number - rank) / number for rank in range(number)], ordered
