"""A lesion, or what looks like one: HU on a fine grid of its own, and the truth about it.

The anatomy's voxels are 2 or 3 mm wide, a nodule can be 3 mm and an intimal flap 1 mm. So what is
planted brings its own grid of 0.4–1 mm and the HU that it adds there; a scan is linear in HU, and
the acquisition adds the scan of each patch to the scan of the anatomy.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]

DIFFICULTIES = ("easy", "medium", "hard")
"""By the detectability of an ideal observer: d′ ≥ 12, 6–12, 3–6 (pipelines.md §6.3)."""


@dataclass(frozen=True)
class FineGrid:
    """A box of cubic voxels in patient mm.

    Attributes
    ----------
    origin_mm : (z, y, x) tuple of float
        LPS mm of the centre of voxel (0, 0, 0): z superior, y posterior, x left.
    spacing_mm : float
        Edge of the voxels.
    shape : (S, R, C) tuple of int
        Slices inferior to superior, rows anterior to posterior, columns right to left.
    """

    origin_mm: tuple[float, float, float]
    spacing_mm: float
    shape: tuple[int, int, int]

    @classmethod
    def around(
        cls, centre_mm: npt.ArrayLike, reach_mm: npt.ArrayLike, spacing_mm: float
    ) -> FineGrid:
        """Make the grid that holds `reach_mm` (one number, or one an axis) around a point."""
        centre = np.asarray(centre_mm, dtype=np.float64)
        reach = np.broadcast_to(np.asarray(reach_mm, dtype=np.float64), (3,))
        half = np.ceil(reach / spacing_mm).astype(int)
        z, y, x = centre - half * spacing_mm
        s, r, c = (2 * half + 1).tolist()
        return cls((float(z), float(y), float(x)), spacing_mm, (s, r, c))

    @property
    def axes(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Voxel centres along z, y and x, mm."""
        z, y, x = (
            (origin + self.spacing_mm * np.arange(count)).astype(np.float32)
            for origin, count in zip(self.origin_mm, self.shape, strict=True)
        )
        return z, y, x

    def offsets(self, point_mm: npt.ArrayLike) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return z, y, x minus a point as (S, 1, 1), (1, R, 1) and (1, 1, C) arrays, mm."""
        z, y, x = (
            axis - np.float32(value)
            for axis, value in zip(self.axes, np.asarray(point_mm, float), strict=True)
        )
        return z[:, None, None], y[None, :, None], x[None, None, :]


@dataclass(frozen=True, kw_only=True)
class Lesion:
    """What was planted in one place.

    Attributes
    ----------
    check : str
        pancreas, stomach, liver, bone, aorta, nodule, calcium or chest.
    kind : str
        The lesion's type (``pdac``, ``solid_nodule``), or the confounder's.
    is_finding : bool
        False for a confounder: what a negative may hold.
    difficulty : str or None
        One of `DIFFICULTIES`; None for a confounder or where it does not apply.
    centre_mm : (z, y, x) tuple of float
        LPS mm.
    diameter_mm : float
        Mean of the long and the short axis in the axial plane of the largest section.
    contrast_hu : float
        Mean HU that the lesion adds within its mask, against what was there.
    site : str
        Where it is, in words of the field (``pancreas_head``, ``right_upper_lobe``, ``T11``).
    grid, delta_hu, mask
        The patch: HU added (S, R, C float32) and the lesion's own voxels (bool), on one grid.
    dprime : float or None
        Detectability by an ideal observer on the scan that was made; filled by the acquisition.
    extra : dict
        Further truth as plain values, such as ``agatston`` or ``solid_part_mm``.
    """

    check: str
    kind: str
    is_finding: bool
    difficulty: str | None
    centre_mm: tuple[float, float, float]
    diameter_mm: float
    contrast_hu: float
    site: str
    grid: FineGrid
    delta_hu: FloatArray
    mask: npt.NDArray[np.bool_]
    dprime: float | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def volume_mm3(self) -> float:
        """Volume of the mask."""
        return float(np.count_nonzero(self.mask)) * self.grid.spacing_mm**3

    def truth(self) -> dict[str, Any]:
        """Give what truth.json holds of it, without the arrays."""
        z, y, x = self.centre_mm
        return {
            "check": self.check,
            "kind": self.kind,
            "is_finding": self.is_finding,
            "difficulty": self.difficulty,
            "centre_lps_mm": [round(x, 2), round(y, 2), round(z, 2)],
            "diameter_mm": round(self.diameter_mm, 2),
            "volume_mm3": round(self.volume_mm3, 1),
            "contrast_hu": round(self.contrast_hu, 1),
            "site": self.site,
            "dprime": None if self.dprime is None else round(self.dprime, 2),
            **self.extra,
        }
