"""The stomach network: content, wall and tumour, and whether there is a tumour."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from networks.nets.roi_net import RoiShape
from networks.phantoms.lesion import Lesion
from networks.phantoms.region import Axes, mask_on
from networks.phantoms.tissue import Tissue
from networks.scenes import Box
from networks.tasks.roi import RoiTask

CONTENT, WALL, LESION = 1, 2, 3


@dataclass
class StomachTask(RoiTask):
    """Find a thickened wall in 3 × 1.5 × 1.5 mm voxels."""

    name = "stomach"
    box = Box("stomach", ("stomach",), (9.0, 12.0, 12.0))
    spacing_mm = (3.0, 1.5, 1.5)
    windows_hu = ((-160.0, 240.0), (-20.0, 100.0))
    labels = ("background", "content", "wall", "lesion")
    shape = RoiShape(channels=2, classes=4, lesion=LESION)
    flag_share = 0.012

    @classmethod
    def paint(
        cls, tissues: NDArray[np.uint8], lesions: tuple[Lesion, ...], axes: Axes
    ) -> NDArray[np.uint8]:
        """Label content and wall, then the tumour."""
        inside = np.isin(tissues, (Tissue.STOMACH_FLUID, Tissue.STOMACH_FOOD, Tissue.STOMACH_GAS))
        labels = np.where(inside, CONTENT, 0).astype(np.uint8)
        labels[tissues == Tissue.STOMACH_WALL] = WALL
        for lesion in lesions:
            if lesion.is_finding and "sign" not in lesion.extra:
                labels[mask_on(lesion, axes)] = LESION
        return labels


TASK = StomachTask
