"""The calibration's arithmetic, on a server that is known: the simulation itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from loadtests.capacity.calibration import Service, compare, fit, replay
from loadtests.capacity.real_run import Recorded, Screened, poisson, recorded

TRUTH = Service(0.4, 0.002, (0.9, 1.0, 1.1), (0.0, 1.0, 1.4, 1.6), 0.0)
SLICES = (100, 160, 240)


def known(seed: int) -> Recorded:
    """Make a run as the true service would have made it."""
    rng = np.random.default_rng(seed + 100)  # not the numbers that replay draws

    def through(times: list[float], lanes: list[str]) -> list[Screened]:
        slices = [int(n) for n in rng.choice(SLICES, len(times))]
        orders = [Screened(*one, 0.0, 0.0) for one in zip(lanes, slices, times)]
        return replay(Recorded([], [], orders, 1.0), TRUTH, seed=seed)

    alone = through([60.0 * n for n in range(60)], ["routine"] * 60)
    busy = through([0.5 * n for n in range(200)], ["routine", "stat"] * 100)
    arriving = poisson(0.6 * 1.4 / 0.73, 900.0, 3, seed)
    return Recorded(
        alone, busy, through([o.at for o in arriving], [o.lane for o in arriving]), 1.15
    )


def test_the_service_is_found_again() -> None:
    """Seconds alone, seconds a slice, and the speed with two and three in hand."""
    found = fit(known(1))
    assert found.base_seconds == pytest.approx(0.4, rel=0.15)
    assert found.seconds_per_slice == pytest.approx(0.002, rel=0.15)
    assert found.rates == pytest.approx(TRUTH.rates, rel=0.1)


def test_the_same_service_agrees_and_another_does_not() -> None:
    """Every figure within 15 %; a service a third slower misses them."""
    run = known(2)
    service = fit(run)
    rows = compare(run.open_loop, [replay(run, service, seed=9 + turn) for turn in range(5)])
    assert [row["figure"] for row in rows if not row["met"]] == []
    slower = replace(TRUTH, base_seconds=0.55, seconds_per_slice=0.0027)
    assert not all(row["met"] for row in compare(run.open_loop, [replay(run, slower)]))


def test_a_run_is_read_as_it_was_written() -> None:
    """Into JSON and back."""
    run = known(3)
    assert recorded(run.as_json()) == run


def test_arrivals_are_seeded() -> None:
    """The same seed the same orders, in time, of every study."""
    orders = poisson(2.0, 300.0, 3, 5)
    assert orders == poisson(2.0, 300.0, 3, 5) != poisson(2.0, 300.0, 3, 6)
    assert abs(len(orders) - 600) < 100
    assert {order.study for order in orders} == {0, 1, 2}
    assert [order.at for order in orders] == sorted(order.at for order in orders)
