"""When users begin what they do: drawn from a seed before the clock starts.

The model is open: an arrival does not wait for the answer to the one before it, as a hospital does
not scan more slowly because a server is slow. A user that is late says by how much
(`loadtests.records`), and what it does is timed from when it should have begun.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from loadtests.shapes import Course, Shape

STOW, DIMSE, VISIT = "stow", "dimse", "visit"
"""Ways to come: a study by STOW-RS or by C-STORE, a radiologist who opens the worklist."""


@dataclass(frozen=True)
class Arrival:
    """Something that begins.

    Attributes
    ----------
    at : float
        Second of the run.
    way : str
        ``stow``, ``dimse`` or ``visit``.
    lane : str
        Of a study.
    template : str
        Which phantom a study is.
    """

    at: float
    way: str
    lane: str = ""
    template: str = ""


def poisson(course: Course, rng: random.Random) -> list[float]:
    """Draw the moments of a Poisson process whose rate follows a course.

    Notes
    -----
    By thinning: moments of the greatest rate, each kept with the share that the course has there.

    References
    ----------
    * Lewis and Shedler, Naval Research Logistics Quarterly 26, 1979.
    """
    end, greatest = course.points[-1][0], course.greatest
    moments: list[float] = []
    if greatest <= 0:
        return moments
    now = rng.expovariate(greatest)
    while now < end:
        if rng.random() * greatest < course.at(now):
            moments.append(now)
        now += rng.expovariate(greatest)
    return moments


def schedule(
    shape: Shape,
    *,
    templates: Sequence[str],
    dimse_share: float,
    visits: Course,
    seed: int,
) -> list[Arrival]:
    """Draw everything that begins in a run, in order of time.

    Parameters
    ----------
    dimse_share : float
        Of studies that come by C-STORE; the others come by STOW-RS.
    visits : Course
        Radiologists a second who open the worklist.
    """
    drawn: list[Arrival] = []
    for lane in sorted(shape):
        rng = random.Random(f"{seed}/{lane}")  # so that a lane stays as it is beside others
        for at in poisson(shape[lane], rng):
            way = DIMSE if rng.random() < dimse_share else STOW
            drawn.append(Arrival(at, way, lane, rng.choice(templates)))
    rng = random.Random(f"{seed}/{VISIT}")
    drawn += [Arrival(at, VISIT) for at in poisson(visits, rng)]
    return sorted(drawn, key=lambda arrival: arrival.at)
