"""The volume: HU, where it lies, and how it came about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

HU_MIN, HU_MAX = -1024, 3071
"""HU that a volume may hold: what 12 bits with intercept −1024 can say. Padding is −1024."""

VolumeArray = npt.NDArray[np.int16]
"""(S, R, C) int16 HU, C order."""

Affine = npt.NDArray[np.float64]
"""4×4: (slice, row, column, 1) → LPS mm."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Volume:
    """One decoded series."""

    array: VolumeArray
    """(S, R, C) int16 HU."""

    affine: Affine
    """(slice, row, column, 1) → LPS mm."""

    region: str = ""
    """Name of the shared-memory region that holds the array; empty for private memory."""

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distances between slices, rows and columns."""
        return spacing_of(self.affine)


def spacing_of(affine: npt.NDArray[Any]) -> tuple[float, float, float]:
    """Give the voxel size of an affine.

    Returns
    -------
    tuple of float
        mm between slices, rows, columns.
    """
    s, r, c = np.linalg.norm(np.asarray(affine, dtype=np.float64)[:3, :3], axis=0)
    return float(s), float(r), float(c)
