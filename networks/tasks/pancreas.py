"""The pancreas network: gland, lesion and duct, whether there is a lesion, and of which kind."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from networks.nets.roi_net import RoiShape
from networks.phantoms.lesion import Lesion
from networks.phantoms.lesions.pancreas import KINDS
from networks.phantoms.region import Axes, mask_on, share_on
from networks.phantoms.tissue import Tissue
from networks.scenes import Box
from networks.tasks.roi import RoiTask

PANCREAS, LESION, DUCT = 1, 2, 3

DUCT_SHARE = 0.35
"""Share of a voxel that a duct must fill: one of 3 mm never fills half of a voxel 3 mm thick."""


@dataclass
class PancreasTask(RoiTask):
    """Find a lesion of the pancreas in 3 × 1.5 × 1.5 mm voxels."""

    name = "pancreas"
    box = Box("pancreas", ("pancreas",), (12.0, 20.0, 20.0))
    spacing_mm = (3.0, 1.5, 1.5)
    windows_hu = ((-160.0, 240.0), (-30.0, 90.0))
    labels = ("background", "pancreas", "lesion", "duct")
    kinds = KINDS
    shape = RoiShape(channels=2, classes=4, lesion=LESION, kinds=len(KINDS))
    flag_share = 0.003

    @classmethod
    def paint(
        cls, tissues: NDArray[np.uint8], lesions: tuple[Lesion, ...], axes: Axes
    ) -> NDArray[np.uint8]:
        """Label the gland, then the duct, then the mass; other signs of it have no label."""
        labels = np.where(tissues == Tissue.PANCREAS, PANCREAS, 0).astype(np.uint8)
        found = [lesion for lesion in lesions if lesion.is_finding]
        for lesion in found:
            if lesion.extra.get("sign") == "duct":
                labels[share_on(lesion, axes) >= DUCT_SHARE] = DUCT
        for lesion in found:
            if "sign" not in lesion.extra:
                labels[mask_on(lesion, axes)] = LESION
        return labels


TASK = PancreasTask
