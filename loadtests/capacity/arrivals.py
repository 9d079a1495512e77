"""Arrivals of a day, drawn from a profile by a seed: Poisson, its rate that of the hour."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from loadtests.capacity.profile import LANES, Profile

__all__ = ["LANES", "Arrivals", "draw"]

HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Studies by the time of their coming.

    Attributes
    ----------
    times : float64 (N,)
        Seconds since midnight, never falling.
    lanes : int64 (N,)
        Index into `LANES`.
    works : float64 (N,)
        Work in mean studies.
    """

    times: npt.NDArray[np.float64]
    lanes: npt.NDArray[np.int64]
    works: npt.NDArray[np.float64]


def draw(profile: Profile, studies_per_day: float, seed: int, *, group: int = 1) -> Arrivals:
    """Draw a day.

    Parameters
    ----------
    studies_per_day : float
        Of a mean working day; the profile's weekday has its factor of it.
    group : int
        Draw one study for so many, with their work together: a coarse day, for comparing policies.
    """
    rng = np.random.default_rng(seed)
    times, lanes = [], []
    for number, lane in enumerate(LANES):
        if lane not in profile.lanes:
            continue
        one = profile.lanes[lane]
        rates = np.asarray(one.hourly) / sum(one.hourly)
        counts = rng.poisson(rates * one.share * studies_per_day * profile.factor / group)
        hours = np.repeat(np.arange(24.0), counts)
        times.append((hours + rng.random(len(hours))) * HOUR)
        lanes.append(np.full(len(hours), number, dtype=np.int64))
    all_times, all_lanes = np.concatenate(times), np.concatenate(lanes)
    order = np.argsort(all_times, kind="stable")
    works = np.full(len(order), float(group))
    if profile.spread > 0:
        sigma = np.sqrt(np.log1p(profile.spread**2 / group))
        works *= rng.lognormal(-(sigma**2) / 2, sigma, len(order))
    return Arrivals(all_times[order], all_lanes[order], works)
