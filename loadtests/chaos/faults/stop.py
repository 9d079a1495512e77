"""SIGSTOP: a process that hangs and does not die; SIGCONT, and it goes on where it was."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field

import psutil

from loadtests.chaos.faults.base import Fault
from loadtests.chaos.faults.kill import STUB, victim
from loadtests.chaos.scene import Scene
from loadtests.chaos.server import CHILDREN

SECONDS = (2.0, 8.0)
"""Shorter and longer than the silence after which the reaper takes a screening away."""


@dataclass(frozen=True)
class Stop(Fault):
    """Stop a child with all below it, or one stub."""

    target: str = ""
    stopped: list[psutil.Process] = field(default_factory=list, compare=False, repr=False)

    async def strike(self, scene: Scene) -> None:
        """Stop it."""
        with suppress(LookupError, psutil.NoSuchProcess):
            self.stopped.extend(victim(scene, self.target))
        for process in self.stopped:
            with suppress(psutil.NoSuchProcess):
                process.suspend()

    async def end(self, scene: Scene) -> list[str]:
        """Let it go on; psutil knows a process by its start, not by its number alone."""
        while self.stopped:
            with suppress(psutil.NoSuchProcess):
                self.stopped.pop().resume()
        return []


STOPS = tuple(
    Stop(f"stop_{target}", f"SIGSTOP of {target}", "SIGCONT", SECONDS, target=target)
    for target in (*CHILDREN, STUB)
)
