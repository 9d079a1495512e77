"""Whose turn it is on the networks that a search asks, and when a search has lost its reader.

A request that a Python model makes carries no priority in Triton 2.51, so all searches would stand
in one queue; and a cancelled or late client is not noticed behind an ensemble.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

POLL_SECONDS = 0.02
"""How often a search that waits looks again; a tile takes several times as long."""


class SearchOver(Exception):
    """Nobody waits for the answer any more."""


class Turns:
    """The searches of all instances of this model, which share nothing but a file.

    Parameters
    ----------
    path : Path
        A file that all of them can read; nothing is written. The lock of a process that dies is
        gone with it. On a file system that cannot lock it, nobody waits for anybody.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def stat(self) -> Iterator[None]:
        """Let no other search begin a request while this lasts."""
        with self._opened() as descriptor:
            with suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_SH)
            yield

    def stat_in_flight(self) -> bool:
        """Tell whether a stat search is under way."""
        with self._opened() as descriptor:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            except OSError:
                return False  # such as NFS, which locks only what may be written
            return False

    @contextmanager
    def _opened(self) -> Iterator[int]:
        descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield descriptor
        finally:
            os.close(descriptor)


class Turn:
    """One search.

    Parameters
    ----------
    turns : Turns
    stat : bool
        Whether it goes before the others.
    timeout_us : int
        Microseconds after which nobody waits for it; 0 for no limit.
    lost : sequence of callable
        Each tells whether the reader is gone.
    """

    def __init__(
        self, turns: Turns, *, stat: bool, timeout_us: int, lost: tuple[Callable[[], bool], ...]
    ) -> None:
        self._turns, self._stat, self._lost = turns, stat, lost
        self._until = time.monotonic() + timeout_us / 1e6 if timeout_us else float("inf")
        self._ended = False

    async def come(self) -> None:
        """Wait until a request may be made.

        Raises
        ------
        SearchOver
            When nobody waits for the answer, or another request of this search has failed.
        """
        while True:
            if self._ended or time.monotonic() > self._until or any(gone() for gone in self._lost):
                raise SearchOver
            if self._stat or not self._turns.stat_in_flight():
                return
            await asyncio.sleep(POLL_SECONDS)

    def end(self) -> None:
        """Let no further request of this search begin."""
        self._ended = True
