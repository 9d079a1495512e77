"""A process that makes objects, one screening after the other, for a process that has no time.

Making takes a second of arithmetic; beside an event loop that would be a second without answers.
The process begins with the first order, ends when it has had none for a while, and at once when
whoever began it ends: it reads its orders from a pipe.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import struct
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO

from gateway.exceptions import OneScanError, ResultMakingError
from gateway.settings import Settings

if TYPE_CHECKING:
    from gateway.results.dicom_file import Made
    from gateway.results.making import Recipe

IDLE_SECONDS = 60.0
"""Then the process ends; it holds 150 MB."""

_LENGTH = struct.Struct(">Q")


class ResultMaker:
    """Makes objects in a child, one order at a time.

    Parameters
    ----------
    settings : Settings
        Where objects lie.
    timeout_seconds : float
        One screening's objects; a child that takes longer is ended.
    """

    def __init__(self, settings: Settings, *, timeout_seconds: float) -> None:
        self._settings = settings
        self._timeout_seconds = timeout_seconds
        self._turn = asyncio.Lock()
        self._child: Process | None = None
        self._idle: asyncio.TimerHandle | None = None
        self.waiting = 0
        """Orders that are in hand or wait."""

    async def make(self, recipe: Recipe) -> list[Made]:
        """Make the objects of a screening.

        Raises
        ------
        OneScanError
            What `gateway.results.making.make` raises.
        ResultMakingError
            When the child ends or takes too long.
        """
        self.waiting += 1
        try:
            async with self._turn:
                return await self._ask(recipe)
        finally:
            self.waiting -= 1

    async def close(self) -> None:
        """End the child."""
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        child, self._child = self._child, None
        if child is not None:
            with suppress(ProcessLookupError):
                child.kill()
            await child.wait()
            child._transport.close()  # type: ignore[attr-defined]  # else its pipes wait for GC

    async def _ask(self, recipe: Recipe) -> list[Made]:
        if self._idle is not None:
            self._idle.cancel()
        try:
            async with asyncio.timeout(self._timeout_seconds):
                answer = await self._exchange(recipe)
        except (TimeoutError, asyncio.IncompleteReadError, ConnectionError) as error:
            await self.close()
            raise ResultMakingError(type(error).__name__) from None
        except asyncio.CancelledError:
            await self.close()  # its answer would be taken for the next order's
            raise
        loop = asyncio.get_running_loop()
        self._idle = loop.call_later(IDLE_SECONDS, self._rest)
        if isinstance(answer, OneScanError):
            raise answer
        if isinstance(answer, str):
            raise ResultMakingError(answer)
        made: list[Made] = answer
        return made

    async def _exchange(self, recipe: Recipe) -> Any:
        if self._child is None or self._child.returncode is not None:
            await self.close()
            self._child = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "gateway.delivery.maker", stdin=PIPE, stdout=PIPE
            )
            await self._write(self._settings)
        await self._write(recipe)
        out = self._child.stdout
        assert out is not None
        [length] = _LENGTH.unpack(await out.readexactly(_LENGTH.size))
        data = await out.readexactly(length)
        return await asyncio.to_thread(pickle.loads, data)

    async def _write(self, said: object) -> None:
        assert self._child is not None
        assert self._child.stdin is not None
        data = pickle.dumps(said)
        self._child.stdin.write(_LENGTH.pack(len(data)) + data)
        await self._child.stdin.drain()

    def _rest(self) -> None:
        if self._child is not None and self._child.stdin is not None:
            self._child.stdin.close()


def _read(pipe: BinaryIO) -> Any:
    """Read what was said; None at the end."""
    head = pipe.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    return pickle.loads(pipe.read(_LENGTH.unpack(head)[0]))


def main() -> None:
    """Make what is asked for until the pipe ends."""
    from gateway.results.making import make
    from gateway.store.open_objects import open_objects

    asked, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints is no answer
    settings = _read(asked)
    if settings is None:
        return
    objects = open_objects(settings)
    while (recipe := _read(asked)) is not None:
        try:
            answer: object = make(recipe, objects)
        except OneScanError as error:
            answer = error
        except Exception as error:  # told by its kind: its words may hold a patient's
            answer = type(error).__name__
        data = pickle.dumps(answer)
        answers.write(_LENGTH.pack(len(data)) + data)
        answers.flush()


if __name__ == "__main__":
    main()
