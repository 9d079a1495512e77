"""Shapes of a load: how many studies a second arrive in each lane, over time.

A shape is data, a course a lane, straight between its points; nothing here looks at a clock.
Times are seconds of the run, rates studies a second.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

LANES = ("stat", "routine", "backfill")

DAY_SECONDS = 86400.0

HOURLY = (
    *(0.25, 0.2, 0.2, 0.2, 0.25, 0.4),
    *(0.8, 1.3, 1.9, 2.3, 2.25, 1.9),
    *(1.3, 1.5, 1.9, 1.8, 1.5, 1.1),
    *(0.8, 0.65, 0.5, 0.4, 0.35, 0.25),
)
"""Routine studies at each full hour to the day's mean: two peaks with a noon between them.

An assumption, as the weekday below; design.md asks that the week's peak is three times its mean.
"""

MONDAY = 1.3
"""Studies of a Monday to those of the week's mean day: what the weekend has put off."""


@dataclass(frozen=True)
class Course:
    """A rate over time.

    Attributes
    ----------
    points : sequence of (float, float)
        Second of the run and rate, in order; two of the same second are a jump.
    """

    points: tuple[tuple[float, float], ...]

    def at(self, seconds: float) -> float:
        """Give the rate at a moment; nothing arrives outside of the points."""
        for (begin, first), (end, last) in pairwise(self.points):
            if begin <= seconds < end:
                return first + (last - first) * (seconds - begin) / (end - begin)
        return 0.0

    @property
    def greatest(self) -> float:
        """The highest rate."""
        return max(rate for _, rate in self.points)

    @property
    def expected(self) -> float:
        """Arrivals to be expected: the area below the course."""
        return sum(
            (end - begin) * (first + last) / 2
            for (begin, first), (end, last) in pairwise(self.points)
        )


Shape = Mapping[str, Course]
"""Lane → its course; a lane that is missing has no arrivals."""


def shape(name: str, *, seconds: float, rate: float, stat_share: float) -> Shape:
    """Make a shape by its name.

    Parameters
    ----------
    seconds : float
        How long studies arrive.
    rate : float
        Of an ordinary moment: studies a second, stat and routine together.
    stat_share : float
        Of these, those that are stat.

    Raises
    ------
    ValueError
        When there is no such shape.
    """
    if name not in SHAPES:
        raise ValueError(f"No shape {name!r}; there are {', '.join(SHAPES)}.")
    return SHAPES[name](seconds, rate * (1 - stat_share), rate * stat_share)


def says(name: str, seconds: float) -> str:
    """Say in a sentence what a shape is."""
    return SAYS[name].format(factor=f"{DAY_SECONDS / seconds:.0f}", seconds=f"{seconds:.0f}")


def day(seconds: float, routine: float, stat: float) -> Shape:
    """Compress a Monday: routine studies by the hour, stat ones around the clock."""
    mean = sum(HOURLY) / len(HOURLY)
    hours = [*HOURLY, HOURLY[0]]
    points = tuple(
        (seconds * hour / 24, routine * MONDAY * share / mean) for hour, share in enumerate(hours)
    )
    return {"routine": Course(points), "stat": _steady(seconds, stat)}


def step(seconds: float, routine: float, stat: float) -> Shape:
    """Go up in four steps, to the double."""
    return {
        "routine": _steps(seconds, [routine * share for share in (0.5, 1.0, 1.5, 2.0)]),
        "stat": _steady(seconds, stat),
    }


def spike(seconds: float, routine: float, stat: float) -> Shape:
    """Ten times the rate for a tenth of the time."""
    shares = (1.0, 1.0, 1.0, 10.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
    return {
        "routine": _steps(seconds, [routine * share for share in shares]),
        "stat": _steady(seconds, stat),
    }


def soak(seconds: float, routine: float, stat: float) -> Shape:
    """Keep the rate; what grows shows in a long run."""
    return {"routine": _steady(seconds, routine), "stat": _steady(seconds, stat)}


def backfill(seconds: float, routine: float, stat: float) -> Shape:
    """Send an archive's old studies three times as fast as the live ones, for half of the time."""
    old = 3 * (routine + stat)
    shares = (0.0, 1.0, 1.0, 0.0)
    return {
        "routine": _steady(seconds, routine),
        "stat": _steady(seconds, stat),
        "backfill": _steps(seconds, [old * share for share in shares]),
    }


def stat(seconds: float, routine: float, stat: float) -> Shape:
    """Send routine studies three times as fast, so that they queue, and stat ones among them."""
    return {"routine": _steady(seconds, 3 * routine), "stat": _steady(seconds, stat)}


def _steady(seconds: float, rate: float) -> Course:
    return Course(((0.0, rate), (seconds, rate)))


def _steps(seconds: float, rates: Sequence[float]) -> Course:
    """Jump from rate to rate, each as long as the others."""
    width = seconds / len(rates)
    points: list[tuple[float, float]] = []
    for number, rate in enumerate(rates):
        points += [(number * width, rate), ((number + 1) * width, rate)]
    return Course(tuple(points))


SHAPES: Mapping[str, Callable[[float, float, float], Shape]] = {
    "day": day,
    "step": step,
    "spike": spike,
    "soak": soak,
    "backfill": backfill,
    "stat": stat,
}

SAYS: Mapping[str, str] = {
    "day": "a national day, a Monday, {factor} times as fast: its peak is 3 times the week's mean",
    "step": "half of the rate, the rate, 1.5 times and twice of it, each a quarter of {seconds} s",
    "spike": "the rate for {seconds} s, and ten times of it for a tenth of them",
    "soak": "the rate for {seconds} s",
    "backfill": "the rate for {seconds} s; for half of them three times as many old studies beside",
    "stat": "three times the rate of routine studies for {seconds} s, and stat ones among them",
}
