"""A model file with a bad block, and a study that Triton dies of."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from loadtests.chaos import models
from loadtests.chaos.faults.base import Fault
from loadtests.chaos.ledger import Sent
from loadtests.chaos.scene import Scene
from loadtests.chaos.studies import POISON

NETWORK = Path("liver_net") / "1" / "model.onnx"

ISOLATED_SECONDS = 150.0
"""Within which poison has been given up."""


@dataclass(frozen=True)
class Corrupt(Fault):
    """Damage a network's file and have Triton load it."""

    damage: Callable[[Path], bytes] = models.corrupt
    kept: list[bytes] = field(default_factory=list, compare=False, repr=False)

    async def strike(self, scene: Scene) -> None:
        """Damage, and kill Triton, which reads its models only when it starts."""
        self.kept.append(self.damage(scene.server.models / NETWORK))
        _kill_triton(scene)

    async def end(self, scene: Scene) -> list[str]:
        """Repair; a Triton that has loaded the damage is killed."""
        models.repair(scene.server.models / NETWORK, self.kept.pop())
        _kill_triton(scene)
        return []


@dataclass(frozen=True)
class Poison(Fault):
    """Order the screening of a study at which Triton dies every time."""

    sent: list[asyncio.Task[Sent]] = field(default_factory=list, compare=False, repr=False)

    async def strike(self, scene: Scene) -> None:
        """Send it."""
        work = scene.traffic.stow(scene.templates[POISON], "routine")
        self.sent.append(asyncio.create_task(work))

    async def end(self, scene: Scene) -> list[str]:
        """Wait until it is given up."""
        entry = await self.sent.pop()
        seconds = await scene.traffic.ended(entry, ISOLATED_SECONDS)
        if entry.state != "failed" and entry.ordered == "acknowledged":
            return [f"poison is {entry.state or 'not given up'} after {seconds:.0f} s"]
        return []


def _kill_triton(scene: Scene) -> None:
    with contextlib.suppress(LookupError, psutil.NoSuchProcess):
        scene.server.child("triton").kill()


MODELS = (
    Corrupt(
        "corrupt_model",
        "a network's file is no longer one, and Triton is started again",
        "the file is repaired, and Triton is started again",
        (6.0, 10.0),
    ),
    Corrupt(
        "corrupt_weights",
        "a block of a network's weights is another one, which loads, and Triton is started again",
        "the file is repaired, and Triton is started again",
        (12.0, 16.0),
        damage=models.corrupt_weights,
    ),
    Poison(
        "poison_study",
        "a study is ordered at which Triton dies every time",
        "it is failed: crashed",
        may_fail=frozenset({POISON}),
    ),
)
