"""A chest of a few centimetres, so that the chest's network is tested without drawing anybody."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from networks.chest_scenes import Planting
from networks.phantoms.lesion import Lesion
from networks.scene_file import Case, Variant
from networks.tasks.chest import ChestTask
from tests.ball_case import ball, ball_case

PLACES = {"mass": (8.0, -2.0, 6.0), "bulla": (-8.0, 4.0, -20.0)}

PLANTED = (("mass",), ("bulla", "mass"), ())


def chest_ball(kind: str, centre: tuple[float, float, float]) -> Lesion:
    """Return a ball of 10 mm that is a finding of the chest."""
    return replace(ball(centre=centre), check="chest", kind=kind, is_finding=True)


class TinyChestPool:
    """Three plantings of each seed; stands for a `networks.chest_scenes.ChestPool`."""

    planted, healthy = 2, 1

    def told(self, seed: int) -> dict[str, Any]:
        """Return fat and marrow; every third patient has a fatty liver."""
        return {
            "labels": [list(kinds) for kinds in PLANTED],
            "pdff_percent": 20.0 if seed % 3 == 0 else 3.0,
            "marrow_hu": 200.0,
        }

    def plantings(self, seed: int) -> list[Planting]:
        """Return a mass, a mass with a bulla, and nothing."""
        return [Planting(seed, number, kinds) for number, kinds in enumerate(PLANTED)]

    def get(self, seed: int, number: int) -> Case:
        """Return one of them."""
        lesions = tuple(chest_ball(kind, PLACES[kind]) for kind in PLANTED[number])
        return replace(ball_case(seed), variants=(Variant(bool(lesions), lesions),))


@dataclass
class TinyChestTask(ChestTask):
    """The chest's task on such chests."""

    def prepare(self) -> None:
        """Nothing is drawn beforehand."""

    def plantings(self, **counts: int) -> TinyChestPool:  # type: ignore[override]
        """Return patients that need no drawing."""
        return TinyChestPool()


def tiny_task(folder: Path) -> TinyChestTask:
    """Return the task with four patients."""
    return TinyChestTask(folder, pool_first=4, pool_size=4, judged=2)
