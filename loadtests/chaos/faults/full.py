"""A disk, or ``/dev/shm``, without a byte left; those of the cage and no others."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from loadtests.chaos.faults.base import Fault
from loadtests.chaos.scene import Scene
from loadtests.chaos.server import SHM


@dataclass(frozen=True)
class Full(Fault):
    """Fill one of the small disks."""

    disk: str = ""

    async def strike(self, scene: Scene) -> None:
        """Take all room."""
        await asyncio.to_thread(scene.server.disk(_path(scene, self.disk)).fill)

    async def end(self, scene: Scene) -> list[str]:
        """Give it back."""
        await asyncio.to_thread(scene.server.disk(_path(scene, self.disk)).empty)
        return []


FULLS = (
    Full(
        "full_disk",
        "the disk of the objects is full",
        "it is emptied",
        (3.0, 6.0),
        store="folder",
        needs="cage",
        disk="objects",
    ),
    Full(
        "full_database_disk",
        "the disk of PostgreSQL is full",
        "it is emptied",
        (5.0, 10.0),
        needs="cage",
        disk="database",
    ),
    Full("full_shm", "/dev/shm is full", "it is emptied", (3.0, 6.0), needs="cage", disk="shm"),
)


def _path(scene: Scene, disk: str) -> Path:
    return {
        "objects": scene.server.home / "objects",
        "database": scene.server.database_folder,
        "shm": SHM,
    }[disk]
