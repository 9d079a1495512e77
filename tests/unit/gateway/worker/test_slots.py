"""Who may work at the same time."""

from __future__ import annotations

import asyncio

from gateway.worker.slots import MemoryBudget, Room


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


class Visit:
    """Somebody who enters a room and leaves when told."""

    def __init__(self, room: Room, *, alone: bool = False) -> None:
        self.inside = False
        self.leave = asyncio.Event()
        self.task = asyncio.create_task(self._go(room, alone))

    async def _go(self, room: Room, alone: bool) -> None:
        async with room.enter(alone=alone):
            self.inside = True
            await self.leave.wait()
        self.inside = False


async def test_many_are_inside_together() -> None:
    """Nobody waits for anybody."""
    room = Room()
    visits = [Visit(room), Visit(room)]
    await settle()
    assert all(visit.inside for visit in visits)
    for visit in visits:
        visit.leave.set()
        await visit.task


async def test_one_alone_waits_for_the_others_and_keeps_them_out() -> None:
    """And lets them in again when it leaves."""
    room = Room()
    first = Visit(room)
    await settle()
    hermit = Visit(room, alone=True)
    await settle()
    later = Visit(room)
    await settle()
    assert (first.inside, hermit.inside, later.inside) == (True, False, False)
    first.leave.set()
    await settle()
    assert (hermit.inside, later.inside) == (True, False)
    hermit.leave.set()
    await settle()
    assert later.inside
    later.leave.set()
    await later.task


async def test_a_hermit_who_gives_up_waiting_opens_the_door() -> None:
    """Cancellation leaves nobody locked out."""
    room = Room()
    first = Visit(room)
    await settle()
    hermit = Visit(room, alone=True)
    await settle()
    hermit.task.cancel()
    await asyncio.wait({hermit.task})
    later = Visit(room)
    await settle()
    assert later.inside
    for visit in (first, later):
        visit.leave.set()
        await visit.task


async def test_memory_is_bounded() -> None:
    """The third study waits until there is room."""
    budget = MemoryBudget(100)
    order: list[str] = []

    async def study(name: str, size: int, leave: asyncio.Event) -> None:
        async with budget.hold(size):
            order.append(name)
            await leave.wait()

    leave = asyncio.Event()
    tasks = [asyncio.create_task(study(n, 50, leave)) for n in "abc"]
    await settle()
    assert order == ["a", "b"]
    leave.set()
    await asyncio.gather(*tasks)
    assert order == ["a", "b", "c"]


async def test_a_study_larger_than_the_budget_goes_alone() -> None:
    """Rather than never."""
    budget = MemoryBudget(100)
    async with asyncio.timeout(5), budget.hold(500):
        waiting = asyncio.create_task(budget.hold(1).__aenter__())
        await settle()
        assert not waiting.done()
        waiting.cancel()
        await asyncio.wait({waiting})
