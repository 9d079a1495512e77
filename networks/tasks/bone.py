"""The bone network: metastases and what is benign in bone, at 2×1.5×1.5 mm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from networks.detection import Tile
from networks.tasks.detection import DetectionTask
from networks.tile_sampling import Scans


@dataclass
class BoneTask(DetectionTask):
    """Find lesions of bone and tell eight kinds apart, of which three are metastases."""

    name: ClassVar[str] = "bone"
    tile: ClassVar[Tile] = Tile((64, 96, 96), (2.0, 1.5, 1.5))
    kinds: ClassVar[tuple[str, ...]] = (
        "blastic_metastasis",
        "lytic_metastasis",
        "mixed_metastasis",
        "bone_island",
        "haemangioma",
        "schmorl_node",
        "endplate_sclerosis",
        "fracture",
    )
    windows_hu: ClassVar[tuple[tuple[float, float], ...]] = ((-150.0, 450.0), (-450.0, 1500.0))
    scans: ClassVar[Scans] = Scans(
        kernels={"soft": 0.4, "standard": 0.4, "sharp": 0.2},
        thicknesses_mm={1.0: 0.3, 1.25: 0.15, 2.0: 0.2, 3.0: 0.2, 5.0: 0.15},
    )


TASK = BoneTask
