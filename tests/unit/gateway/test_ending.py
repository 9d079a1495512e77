"""A task in the background has ended when it was told to end."""

from __future__ import annotations

import asyncio

import pytest

from gateway import ending
from gateway.ending import end


async def test_a_task_that_swallows_a_cancellation_is_told_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As psycopg's pool does when it lends a connection at that moment."""
    monkeypatch.setattr(ending, "CANCEL_AGAIN_SECONDS", 0.01)
    swallowed = 0

    async def work() -> None:
        nonlocal swallowed
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                swallowed += 1
                if swallowed == 3:
                    raise

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await end(task)
    assert task.cancelled()
    assert swallowed == 3


async def test_what_a_task_failed_with_is_raised() -> None:
    async def work() -> None:
        raise ValueError("broken")

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    with pytest.raises(ValueError, match="broken"):
        await end(task)


async def test_a_task_that_is_done_is_no_error() -> None:
    task = asyncio.create_task(asyncio.sleep(0))
    await task
    await end(task)
