"""kill -9 of one process; the supervisor brings it back."""

from __future__ import annotations

from dataclasses import dataclass

import psutil

from loadtests.chaos.faults.base import Fault
from loadtests.chaos.scene import Scene
from loadtests.chaos.server import CHILDREN

STUB = "stub"
"""One of Triton's Python processes."""

BY_ITSELF = "the supervisor starts it again"


@dataclass(frozen=True)
class Kill(Fault):
    """SIGKILL to a child, or to one stub."""

    target: str = ""

    async def strike(self, scene: Scene) -> None:
        """Kill it; one that is just being started again is dead as it is."""
        try:
            victim(scene, self.target)[0].kill()
        except (LookupError, psutil.NoSuchProcess):
            return


def victim(scene: Scene, target: str) -> list[psutil.Process]:
    """Find a child and all below it, the child first, or one stub.

    Raises
    ------
    LookupError
        When it does not run.
    """
    if target == STUB:
        stubs = scene.server.stubs()
        if not stubs:
            raise LookupError("Triton has no stub")
        return [scene.random.choice(sorted(stubs, key=lambda stub: stub.pid))]
    return scene.server.session(target)


KILLS = tuple(
    Kill(f"kill_{target}", f"kill -9 of {target}", BY_ITSELF, target=target)
    for target in (*CHILDREN, STUB)
)
