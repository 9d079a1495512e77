"""How often, how many at once and at which hours an archive is asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from gateway.dimse.archive import ArchiveProfile
from gateway.exceptions import PacsClosedError


def _now() -> datetime:
    return datetime.now(UTC)


class Pace:
    """The limits of one archive, for all that a process asks of it.

    Parameters
    ----------
    profile : ArchiveProfile
        Whose limits.
    now : callable
        The clock, for tests.
    """

    def __init__(self, profile: ArchiveProfile, *, now: Callable[[], datetime] = _now) -> None:
        self._profile = profile
        self._now = now
        self._room = asyncio.Semaphore(profile.max_associations)
        self._turn = asyncio.Lock()
        self._next = 0.0

    @asynccontextmanager
    async def request(self) -> AsyncIterator[None]:
        """Wait for one's turn; the archive may be asked within the block.

        Raises
        ------
        PacsClosedError
            Outside of its hours, before as after the wait.
        """
        self._refuse_outside_hours()
        async with self._room:
            async with self._turn:
                clock = asyncio.get_running_loop().time
                await asyncio.sleep(max(0.0, self._next - clock()))
                self._next = clock() + 60.0 / self._profile.requests_per_minute
            self._refuse_outside_hours()
            yield

    def _refuse_outside_hours(self) -> None:
        hours = self._profile.hours
        if hours is not None and not hours.contain(self._now()):
            raise PacsClosedError(f"{self._profile.name} may be asked at {hours} only.")
