"""The aorta network: lumen, wall and what an acute syndrome leaves there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from networks.nets.roi_net import RoiShape
from networks.phantoms.lesion import Lesion
from networks.phantoms.region import Axes, share_on
from networks.phantoms.tissue import Tissue
from networks.scenes import Box
from networks.tasks.roi import RoiTask

LUMEN, WALL, LESION = 1, 2, 3

WIDENED = "aneurysm"
"""Part of a finding that is aorta itself."""

THIN_SHARE = 0.3
"""Share of a voxel that a flap or a crescent must fill: a flap is 1–2 mm, a voxel 2 mm wide."""


@dataclass
class AortaTask(RoiTask):
    """Find an acute aortic syndrome in 2 mm voxels."""

    name = "aorta"
    box = Box("aorta", ("aorta",), (9.0, 15.0, 15.0))
    spacing_mm = (2.0, 2.0, 2.0)
    windows_hu = ((-160.0, 240.0), (0.0, 100.0), (0.0, 800.0))
    labels = ("background", "lumen", "wall", "lesion")
    shape = RoiShape(channels=3, classes=4, lesion=LESION, stem=(2, 2, 2))
    crop = (64, 48, 48)
    cut = (0.4, 0.65)  # two scans of three are of the chest or the abdomen alone
    flag_share = 0.002

    @classmethod
    def paint(
        cls, tissues: NDArray[np.uint8], lesions: tuple[Lesion, ...], axes: Axes
    ) -> NDArray[np.uint8]:
        """Label the aorta, its outermost voxels as wall, then flap, haematoma and blood."""
        aorta = tissues == Tissue.AORTA
        found = [lesion for lesion in lesions if lesion.is_finding]
        for lesion in found:
            if lesion.extra.get("part") == WIDENED:
                aorta |= share_on(lesion, axes) >= 0.5
        inner = ndimage.binary_erosion(aorta, np.ones((3, 3, 3), bool), border_value=1)
        labels = np.where(aorta, WALL, 0).astype(np.uint8)
        labels[inner] = LUMEN
        for lesion in found:
            if lesion.extra.get("part") != WIDENED:
                labels[share_on(lesion, axes) >= THIN_SHARE] = LESION
        return labels


TASK = AortaTask
