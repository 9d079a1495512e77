"""The nodule network: pulmonary nodules of 3 to 30 mm, at 1.5×1×1 mm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from networks.detection import Tile
from networks.phantoms.lesion import Lesion
from networks.tasks.detection import DetectionTask
from networks.tile_sampling import Scans
from postprocess.detections import Peaks

FOLLOW_UP_MM = 6.0
"""Smaller nodules need no follow-up by Lung-RADS and Fleischner."""


@dataclass
class NoduleTask(DetectionTask):
    """Find nodules, measure them and tell solid, part-solid, ground-glass and calcified apart."""

    name: ClassVar[str] = "nodule"
    tile: ClassVar[Tile] = Tile((64, 96, 96), (1.5, 1.0, 1.0))
    kinds: ClassVar[tuple[str, ...]] = (
        "solid_nodule",
        "part_solid_nodule",
        "ground_glass_nodule",
        "calcified_nodule",
    )
    windows_hu: ClassVar[tuple[tuple[float, float], ...]] = ((-1024.0, 300.0), (-100.0, 900.0))
    scans: ClassVar[Scans] = Scans(
        kernels={"soft": 0.3, "standard": 0.3, "sharp": 0.4},
        thicknesses_mm={1.0: 0.45, 1.25: 0.2, 1.5: 0.15, 2.0: 0.1, 3.0: 0.1},
    )
    spared: ClassVar[tuple[str, ...]] = kinds
    false_marks: ClassVar[float] = 1.0
    flag_share: ClassVar[float] = 0.01
    blob_hu: ClassVar[tuple[float, float]] = (-1000.0, 200.0)

    @classmethod
    def groups(cls) -> dict[str, Callable[[Lesion], bool]]:
        """Return nodules of 6 mm and more, and smaller ones."""
        return {
            "from_6_mm": lambda lesion: lesion.diameter_mm >= FOLLOW_UP_MM,
            "below_6_mm": lambda lesion: lesion.diameter_mm < FOLLOW_UP_MM,
        }

    @classmethod
    def flaggable(cls, peaks: Peaks) -> NDArray[np.bool_]:
        """Return which marks are large enough for a follow-up."""
        return peaks.diameters_mm >= FOLLOW_UP_MM


TASK = NoduleTask
