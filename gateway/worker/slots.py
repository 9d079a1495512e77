"""Who may work at the same time: many together, or one alone; and how much memory they hold."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.metrics import SHM_BYTES
from gateway.store.queue import LANES

STAT = "stat"


def shares(
    concurrency: int, lanes: tuple[str, ...] = tuple(LANES)
) -> list[tuple[tuple[str, ...], int]]:
    """Share a worker's slots out: which lanes take how many.

    With two and more, one slot takes nothing but the stat lane, so an urgent study never waits
    for a routine one to end. With one there is nothing to share: stat is only taken first. A
    worker of one lane shares nothing either.
    """
    if concurrency < 2 or STAT not in lanes or len(lanes) == 1:
        return [(lanes, max(concurrency, 1))]
    return [(lanes, concurrency - 1), ((STAT,), 1)]


class Room:
    """Lets many in together, or one alone.

    Whoever wants to be alone waits until the others have left, and lets nobody else in
    meanwhile.
    """

    def __init__(self) -> None:
        self._changed = asyncio.Condition()
        self._inside = 0
        self._hermits = 0

    @asynccontextmanager
    async def enter(self, *, alone: bool) -> AsyncIterator[None]:
        """Be inside for a block of code."""
        async with self._changed:
            if alone:
                self._hermits += 1
                try:
                    await self._changed.wait_for(lambda: self._inside == 0)
                except asyncio.CancelledError:
                    self._hermits -= 1
                    self._changed.notify_all()
                    raise
            else:
                await self._changed.wait_for(lambda: self._hermits == 0)
            self._inside += 1
        try:
            yield
        finally:
            async with self._changed:
                self._inside -= 1
                self._hermits -= alone
                self._changed.notify_all()


class MemoryBudget:
    """Bytes that studies in hand may hold together.

    A study larger than the whole budget is let in alone rather than never.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._held = 0
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def hold(self, size_bytes: int) -> AsyncIterator[None]:
        """Hold so many bytes for a block of code, waiting until there is room."""
        async with self._changed:
            await self._changed.wait_for(
                lambda: self._held == 0 or self._held + size_bytes <= self._limit
            )
            self._held += size_bytes
            SHM_BYTES.set(self._held)
        try:
            yield
        finally:
            async with self._changed:
                self._held -= size_bytes
                SHM_BYTES.set(self._held)
                self._changed.notify_all()
