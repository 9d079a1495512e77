"""Takes nothing more while an operator has this worker's pod or pool drained."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

FIRST_WORD_SECONDS = 5.0
"""Nothing is taken before the heart has asked whether it may be; then the queue is asked again."""

T = TypeVar("T")


class Cordon:
    """Stands between the queue and the worker.

    Unlike SIGTERM it ends no process and hands nothing back: what is in hand has all the time that
    it needs, and when the drain is lifted the worker goes on.
    """

    def __init__(self) -> None:
        self.drawn = False
        self._told = asyncio.Event()
        self._out = 0

    def tell(self, drawn: bool) -> None:
        """Say, on the event loop, what the database says."""
        self.drawn = drawn
        self._told.set()

    @property
    def drained(self) -> bool:
        """Whether nothing is in hand, a job on its way from the queue among it, and nothing comes.

        Read by the heart, from its thread.
        """
        return self.drawn and self._out == 0

    async def fetch(self, fetch: Callable[[], Awaitable[T | None]]) -> T | None:
        """Fetch a job; None while the cordon is drawn. Each job fetched must be `ended`."""
        try:
            await asyncio.wait_for(self._told.wait(), FIRST_WORD_SECONDS)
        except TimeoutError:
            return None
        if self.drawn:
            return None
        self._out += 1
        job = None
        try:
            job = await fetch()
        finally:
            if job is None:
                self._out -= 1
        return job

    def begin(self) -> None:
        """Say that nothing is in hand, since all takers have ended or have yet to start."""
        self._out = 0

    def ended(self) -> None:
        """Say that a job that was fetched is done with."""
        self._out -= 1
