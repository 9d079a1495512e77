"""A wall clock that is set while the server runs, and set right again."""

from __future__ import annotations

from dataclasses import dataclass

from loadtests.chaos.faults.base import Fault
from loadtests.chaos.scene import Scene


@dataclass(frozen=True)
class Jump(Fault):
    """Set the clock of all processes, or of the worker alone."""

    needs: str = "clock"
    by_seconds: int = 0
    only: str = ""

    async def strike(self, scene: Scene) -> None:
        """Jump."""
        scene.server.clock.set(self.by_seconds, only=self.only)

    async def end(self, scene: Scene) -> list[str]:
        """Jump back."""
        scene.server.clock.set(0)
        return []


RIGHT = "they are set right, which is a jump too"

CLOCKS = (
    Jump("clock_forward", "all clocks jump an hour ahead", RIGHT, (4.0, 8.0), by_seconds=3600),
    Jump("clock_back", "all clocks jump an hour back", RIGHT, (4.0, 8.0), by_seconds=-3600),
    Jump(
        "clock_skew",
        "the worker's clock alone jumps ten minutes back",
        RIGHT,
        (4.0, 8.0),
        by_seconds=-600,
        only="worker",
    ),
)
