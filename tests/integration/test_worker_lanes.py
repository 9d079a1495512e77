"""Promise 7 in the worker: a slot for stat, and lanes that an operator suspends."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from gateway.store import suspensions
from gateway.store.queue import LANES
from gateway.store.suspensions import EVERYBODY
from gateway.testing import FakeTriton, anatomy_inference
from gateway.worker.slots import shares
from tests.integration.test_worker_screens import Bench, bench  # noqa: F401 - a fixture

pytestmark = pytest.mark.postgres


def test_routine_never_takes_the_last_slot() -> None:
    """From two slots on; one slot takes every lane."""
    assert shares(1) == [(tuple(LANES), 1)]
    for concurrency in (2, 3, 8):
        slots = shares(concurrency)
        assert sum(number for _, number in slots) == concurrency
        assert sum(number for lanes, number in slots if "routine" in lanes) == concurrency - 1
        assert all("stat" in lanes for lanes, _ in slots)


async def test_promise_7_stat_does_not_wait_for_routine(bench: Bench) -> None:  # noqa: F811
    """Routine studies fill what they may; a stat one begins at once beside them."""
    slow = FakeTriton(delay_seconds=60.0).script("anatomy", anatomy_inference())
    waiting = [await bench.order() for _ in range(3)]
    async with bench.worker(slow):
        await slow.asked.wait()
        stat = await bench.order(lane="stat")
        await bench.until(stat, lambda shown: shown["stage"] == "anatomy")
        states = [(await bench.shown(row))["state"] for row in waiting]
        assert sorted(states) == ["accepted", "accepted", "running"]


@pytest.mark.parametrize("tenant", [EVERYBODY, "default"])
async def test_a_suspended_lane_begins_nothing_and_goes_on_when_resumed(
    bench: Bench,  # noqa: F811
    tenant: str,
) -> None:
    """The other lanes go on; nothing of the suspended one is lost or counted as an attempt."""
    bench.settings = dataclasses.replace(
        bench.settings, worker=dataclasses.replace(bench.settings.worker, concurrency=3)
    )
    quick = FakeTriton().script("anatomy", anatomy_inference())
    async with bench.database.connection() as connection:
        await suspensions.suspend(connection, tenant, "routine", reason="", actor="test")
    async with bench.worker(quick), bench.reaper():
        held = await bench.order()
        stat = await bench.order(lane="stat")
        assert (await bench.ended(stat))["state"] == "done"
        await asyncio.sleep(0.5)  # some looks of the reaper
        assert (await bench.shown(held))["state"] == "accepted"
        async with bench.database.connection() as connection:
            await suspensions.resume(connection, tenant, "routine", actor="test")
        shown = await bench.ended(held)
    assert (shown["state"], shown["attempt"]) == ("done", 1)


async def test_another_tenant_s_suspension_is_none_of_ours(bench: Bench) -> None:  # noqa: F811
    """Suspended for one, the lane goes on for all others."""
    quick = FakeTriton().script("anatomy", anatomy_inference())
    async with bench.database.connection() as connection:
        await suspensions.suspend(connection, "another", "routine", reason="", actor="test")
    async with bench.worker(quick):
        row = await bench.order()
        assert (await bench.ended(row))["state"] == "done"
