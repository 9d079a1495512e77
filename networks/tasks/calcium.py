"""The calcium network: the heart, and where calcium would be that of a coronary artery.

The network says where; the score is the rule's, on the scan's own pixels of 130 HU and more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from networks.nets.roi_net import RoiShape
from networks.phantoms.lesion import Lesion
from networks.phantoms.lesions.calcium import TERRITORIES, TREE
from networks.phantoms.lesions.calcium.gated import WITHIN_MM
from networks.phantoms.lesions.calcium.tree import course_of
from networks.phantoms.region import Axes
from networks.phantoms.tissue import Tissue
from networks.scenes import Box
from networks.tasks.roi import RoiTask

HEART = 1

BONES = (Tissue.BONE_CORTEX, Tissue.BONE_MARROW, Tissue.COSTAL_CARTILAGE)
"""As dense as calcium, and within reach of an artery where the apex touches ribs and sternum; no
territory holds them, nor the voxel beside them, into which they are blurred."""


@dataclass
class CalciumTask(RoiTask):
    """Draw the coronary territories in 3 × 1 × 1 mm voxels.

    The heart's box of a phantom, 175 × 190 mm across, is larger than pipelines.md §7.2 counts
    with: at 0.7 mm it would cost twice the budget, and territories are several millimetres wide.
    """

    name = "calcium"
    box = Box("calcium", ("heart",), (9.0, 10.0, 10.0))
    spacing_mm = (3.0, 1.0, 1.0)
    windows_hu = ((-160.0, 240.0), (0.0, 800.0))
    labels = ("background", "heart", *TERRITORIES)
    crop = (32, 96, 96)
    shape = RoiShape(
        channels=2,
        classes=2 + len(TERRITORIES),
        widths=(24, 40, 64),
        stem=(1, 4, 4),
        strides=((2, 2, 2), (2, 2, 2)),
    )

    @classmethod
    def paint(
        cls, tissues: NDArray[np.uint8], lesions: tuple[Lesion, ...], axes: Axes
    ) -> NDArray[np.uint8]:
        """Label the heart, then what lies within reach of each artery."""
        muscle = np.isin(tissues, (Tissue.RIGHT_HEART, Tissue.LEFT_HEART, Tissue.MYOCARDIUM))
        labels = np.where(muscle, HEART, 0).astype(np.uint8)
        nearest = np.full(labels.shape, np.float32(WITHIN_MM))
        for lesion in lesions:
            if lesion.kind == TREE:
                course = course_of(lesion)
                value = HEART + 1 + TERRITORIES.index(course.territory)
                for point, radius in zip(course.points_mm, course.radius_mm, strict=True):
                    stamp(labels, nearest, axes, point, float(radius), value)
        bone = ndimage.binary_dilation(np.isin(tissues, BONES), np.ones((1, 3, 3), bool))
        labels[bone] = 0
        return labels

    def evaluate(
        self, model: Path, thresholds: Mapping[str, float], *, cases: int, workers: int = 0
    ) -> dict[str, Any]:
        """Judge the Agatston score that an exported file leads to, on unseen patients."""
        from networks.evaluation.calcium import evaluate_calcium

        return evaluate_calcium(self, model, cases=cases)


def stamp(
    labels: NDArray[np.uint8],
    nearest: NDArray[np.float32],
    axes: Axes,
    point_mm: NDArray[np.float64],
    radius_mm: float,
    value: int,
) -> None:
    """Give voxels around a point of an artery to it, where none is nearer, in place.

    Parameters
    ----------
    labels : (S, R, C) ndarray of uint8
    nearest : (S, R, C) ndarray of float32
        Distance from the surface of the nearest artery so far, mm.
    axes : three ndarray
        Voxel centres, mm.
    point_mm, radius_mm
        The artery's axis and radius.
    """
    part, squares = [], []
    for number, (axis, middle) in enumerate(zip(axes, point_mm, strict=True)):
        reach = radius_mm + WITHIN_MM
        low, high = np.searchsorted(axis, (middle - reach, middle + reach))
        part.append(slice(int(low), int(high)))
        squares.append(
            ((axis[low:high] - middle) ** 2).reshape([-1 if n == number else 1 for n in range(3)])
        )
    away = np.sqrt(squares[0] + squares[1] + squares[2]).astype(np.float32) - np.float32(radius_mm)
    box = tuple(part)
    closer = away < nearest[box]
    nearest[box][closer] = away[closer]
    labels[box][closer] = value


TASK = CalciumTask
