"""End tasks in the background so that they have ended when the caller goes on."""

from __future__ import annotations

import asyncio

CANCEL_AGAIN_SECONDS = 0.5
"""A task that has not ended by then is told again."""


async def end(task: asyncio.Task[None]) -> None:
    """Cancel a task until it has ended.

    Once is not enough: what is cancelled in the very moment in which it is given what it waited
    for (a connection of psycopg's pool, a result within `asyncio.timeout`) may go on with it.

    Raises
    ------
    Exception
        With which the task ended.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=CANCEL_AGAIN_SECONDS)
    if not task.cancelled() and (error := task.exception()) is not None:
        raise error
