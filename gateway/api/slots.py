"""Threads for work on pixels and headers: few at once, a limited number waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from aiohttp import web

from gateway.exceptions import OverloadedError

P = ParamSpec("P")
T = TypeVar("T")


class Slots:
    """Runs blocking work of retrieval beside the event loop.

    Parameters
    ----------
    limit : int
        Pieces of work at once.
    pending_limit : int
        Pieces that wait; a request that comes then is refused.
    """

    def __init__(self, limit: int, pending_limit: int) -> None:
        self._slots = asyncio.Semaphore(limit)
        self._pending_limit = pending_limit
        self.pending_count = 0

    def admit(self) -> None:
        """Refuse a request when too many wait already.

        Raises
        ------
        OverloadedError
        """
        if self.pending_count >= self._pending_limit:
            raise OverloadedError

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a piece of work in a thread and give its result."""
        self.pending_count += 1
        try:
            await self._slots.acquire()
        finally:
            self.pending_count -= 1
        work = asyncio.ensure_future(asyncio.to_thread(function, *args, **kwargs))
        work.add_done_callback(self._done)
        return await asyncio.shield(work)  # a thread cannot be cancelled, so it keeps its slot

    def _done(self, work: asyncio.Future[T]) -> None:
        self._slots.release()
        if not work.cancelled():
            work.exception()  # told to the request, if that is still there


SLOTS: web.AppKey[Slots] = web.AppKey("slots", Slots)
"""Those of the application."""
