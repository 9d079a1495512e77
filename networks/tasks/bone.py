"""The bone network: metastases and what is benign in bone, at 2×1.5×1.5 mm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from networks.detection import Tile
from networks.phantoms.lesion import DIFFICULTIES, Lesion
from networks.phantoms.lesions.bone import KINDS, METASTASES
from networks.tasks.detection import DetectionTask
from networks.tile_sampling import Scans
from postprocess.detections import Peaks, wanted_scores


@dataclass
class BoneTask(DetectionTask):
    """Find lesions of bone and tell eight kinds apart, of which three are metastases."""

    name: ClassVar[str] = "bone"
    tile: ClassVar[Tile] = Tile((64, 96, 96), (2.0, 1.5, 1.5))
    kinds: ClassVar[tuple[str, ...]] = KINDS
    windows_hu: ClassVar[tuple[tuple[float, float], ...]] = ((-150.0, 450.0), (-450.0, 1500.0))
    scans: ClassVar[Scans] = Scans(
        kernels={"soft": 0.4, "standard": 0.4, "sharp": 0.2},
        thicknesses_mm={1.0: 0.3, 1.25: 0.15, 2.0: 0.2, 3.0: 0.2, 5.0: 0.15},
    )
    spared: ClassVar[tuple[str, ...]] = METASTASES
    false_marks: ClassVar[float] = 1.4
    flag_share: ClassVar[float] = 0.007
    blob_hu: ClassVar[tuple[float, float]] = (-100.0, 900.0)
    dark_blobs: ClassVar[bool] = True

    @classmethod
    def groups(cls) -> dict[str, Callable[[Lesion], bool]]:
        """Return all metastases, and those of each difficulty; marks on benign bone are false."""
        groups: dict[str, Callable[[Lesion], bool]] = {
            "metastasis": lambda lesion: lesion.kind in METASTASES
        }
        for difficulty in DIFFICULTIES:
            groups[difficulty] = partial(_is, difficulty)
        return groups

    @classmethod
    def ranked(cls, peaks: Peaks) -> NDArray[np.float64]:
        """Return the probability of a metastasis."""
        return wanted_scores(peaks, range(len(METASTASES)))


def _is(difficulty: str, lesion: Lesion) -> bool:
    return lesion.kind in METASTASES and lesion.difficulty == difficulty


TASK = BoneTask
