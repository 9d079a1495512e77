"""Whether the simulation says what a real server does: the same arrivals, p50, p95 and queue.

The simulated pod gets what was measured on other studies: seconds of a study alone by its slices,
how much slower each becomes with two and three in hand, and the time from order to start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from loadtests.capacity.arrivals import LANES, Arrivals
from loadtests.capacity.intake import Intake
from loadtests.capacity.plant import Plant, Side
from loadtests.capacity.pod import Pod
from loadtests.capacity.real_run import GENERAL, Recorded, Screened

REPLAYS = 20
"""Of the simulation."""

GOAL = 0.15
"""By how much the simulation may differ from the server."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Service:
    """How a worker works, as measured."""

    base_seconds: float
    seconds_per_slice: float
    residuals: tuple[float, ...]
    """Measured ÷ fitted seconds, of each study that was alone."""

    rates: tuple[float, ...]
    """Seconds of lonely work done in a second with 0, 1, 2, 3 in hand."""

    pick_up_seconds: float

    def alone_seconds(self, slices: Floats) -> Floats:
        """Seconds of a study alone."""
        return self.base_seconds + self.seconds_per_slice * slices


def fit(run: Recorded) -> Service:
    """Fit the service to the part of the run in which studies were kept in hand."""
    slices = np.array([one.slices for one in run.alone], dtype=np.float64)
    took = np.array([one.ended - one.started for one in run.alone])
    design = np.stack([np.ones_like(slices), slices], axis=1)
    (base, each), *_ = np.linalg.lstsq(design, took, rcond=None)
    residuals = took / (base + each * slices)
    slowness = _speeds(run.together, base, each, residuals.mean())
    rates = [0.0, 1.0, *(number * speed for number, speed in enumerate(slowness, start=2))]
    waits = [one.started - one.created for one in (*run.alone, *run.together)]
    return Service(
        float(base),
        float(each),
        tuple(float(one) for one in residuals),
        tuple(float(rate) for rate in rates),
        float(np.median(waits)),
    )


def _speeds(together: Sequence[Screened], base: float, each: float, mean: float) -> Floats:
    """Speed of each study with two and with three in hand, by least squares.

    Each study's lonely seconds are its time with n in hand × its speed then, summed over n.
    """
    starts = np.array([one.started for one in together])
    ends = np.array([one.ended for one in together])
    edges = np.sort(np.concatenate([starts, ends]))
    middles = (edges[1:] + edges[:-1]) / 2
    lengths = np.diff(edges)
    inside = (starts[:, None] <= middles) & (middles < ends[:, None])
    in_hand = np.minimum(inside.sum(axis=0), 3)
    spent = np.stack([(inside * (lengths * (in_hand == n))).sum(axis=1) for n in (1, 2, 3)], axis=1)
    work = (base + each * np.array([one.slices for one in together])) * mean
    found, *_ = np.linalg.lstsq(spent[:, 1:], work - spent[:, 0], rcond=None)
    return np.asarray(np.clip(found, 0.05, 1.0), dtype=np.float64)


def replay(run: Recorded, service: Service, *, seed: int = 1) -> list[Screened]:
    """Simulate the arrivals of the run with the service that was fitted.

    Studies share a CPU alike: stat studies are taken first and are not quicker in hand.
    """
    rng = np.random.default_rng(seed)
    real = run.open_loop
    slices = np.array([one.slices for one in real], dtype=np.float64)
    works = service.alone_seconds(slices) * rng.choice(service.residuals, len(real))
    origin = real[0].created
    times = np.array([one.created - origin + service.pick_up_seconds for one in real])
    lanes = np.array([LANES.index(one.lane) for one in real], dtype=np.int64)
    side = Side(range(len(LANES)))
    plant = Plant(Arrivals(times, lanes, works), [side], Intake(10**6), 1e-9)
    pod = Pod(1, service.rates, GENERAL + 1, 1, stat_first=False)
    plant.add(0.0, pod, side)
    plant.advance(float(times[-1]) + 1e6)
    return [
        Screened(one.lane, one.slices, one.created, origin + started, origin + ended)
        for one, started, ended in zip(real, plant.started, plant.ended, strict=True)
    ]


def compare(
    real: Sequence[Screened], simulated: Sequence[Sequence[Screened]]
) -> list[dict[str, Any]]:
    """Give each figure of both sides, and whether they agree within `GOAL`.

    The simulated figure is the mean over several replays, which draw the residuals anew.
    """
    rows = []
    for name, lane in (("all", None), *((lane, lane) for lane in ("stat", "routine"))):
        if not any(lane in (None, one.lane) for one in real):
            continue
        for share in (50, 95):
            mine, *theirs = (_percentile(side, lane, share) for side in (real, *simulated))
            rows.append(_row(f"{name}: p{share}, s", mine, float(np.mean(theirs))))
    for name, last in (("in the system", "ended"), ("waiting", "started")):
        mine, *theirs = (_mean_length(side, last) for side in (real, *simulated))
        rows.append(_row(f"mean number {name}", mine, float(np.mean(theirs))))
    return rows


def _percentile(side: Sequence[Screened], lane: str | None, share: float) -> float:
    took = [one.ended - one.created for one in side if lane in (None, one.lane)]
    return float(np.percentile(took, share))


def _row(name: str, real: float, simulated: float) -> dict[str, Any]:
    error = simulated / real - 1 if real else float(simulated > 0)
    return {
        "figure": name,
        "real": round(real, 4),
        "simulated": round(simulated, 4),
        "error": round(error, 4),
        "met": abs(error) <= GOAL,
    }


def _mean_length(side: Sequence[Screened], last: str) -> float:
    """Mean over time of how many there are from their order to one of their times.

    The pauses between the turns of the run are in the span, of both sides alike.
    """
    span = max(one.created for one in side) - min(one.created for one in side)
    return float(sum(getattr(one, last) - one.created for one in side)) / span
