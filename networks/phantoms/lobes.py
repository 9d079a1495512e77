"""The lobes of the lungs, which the anatomy does not draw, by the position of their fissures."""

from __future__ import annotations

from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from networks.phantoms.scene import Scene
from networks.phantoms.tissue import Tissue

RIGHT = (Tissue.LUNG_RIGHT, Tissue.LUNG_RIGHT_VESSEL)
LEFT = (Tissue.LUNG_LEFT, Tissue.LUNG_LEFT_VESSEL)
LUNG = (*RIGHT, *LEFT)
"""Both lungs with their vessels."""

VESSEL = (Tissue.LUNG_RIGHT_VESSEL, Tissue.LUNG_LEFT_VESSEL)

LOBES = (
    "right_upper_lobe",
    "right_middle_lobe",
    "right_lower_lobe",
    "left_upper_lobe",
    "left_lower_lobe",
)

OBLIQUE = (0.08, 0.72)
"""Height of the oblique fissure at the front and at the back, as shares of the lung's height:
from the diaphragm behind the sixth rib's cartilage to the spine at T4."""

HORIZONTAL = 0.50
"""Height of the right horizontal fissure, at the fourth rib's cartilage."""


class Lung(NamedTuple):
    """One lung's bounds, LPS mm."""

    z: tuple[float, float]
    y: tuple[float, float]
    is_right: bool

    def oblique_mm(
        self, z: npt.NDArray[np.floating], y: npt.NDArray[np.floating]
    ) -> npt.NDArray[np.floating]:
        """Return how far points lie above the oblique fissure, mm; negative in the lower lobe."""
        height, depth = self.z[1] - self.z[0], self.y[1] - self.y[0]
        t = (y - self.y[0]) / depth
        front, back = OBLIQUE
        # bowed a little: the upper half is steeper
        fissure = self.z[0] + height * (front + (back - front) * (t + 0.06 * np.sin(np.pi * t)))
        slope = height * (back - front) / depth
        return np.asarray((z - fissure) / np.sqrt(1 + slope**2))

    def horizontal_mm(self, z: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
        """Return how far points lie above the horizontal fissure, mm."""
        return np.asarray(z - (self.z[0] + HORIZONTAL * (self.z[1] - self.z[0])))


_bounds: WeakKeyDictionary[Scene, dict[bool, Lung | None]] = WeakKeyDictionary()


def lung_of(scene: Scene, *, right: bool) -> Lung | None:
    """Return the bounds of a lung, None where the field of view holds too little. Cached."""
    known = _bounds.setdefault(scene, {})
    if right not in known:
        known[right] = _measured(scene, right)
    return known[right]


def _measured(scene: Scene, right: bool) -> Lung | None:
    mask = scene.tissue(*(RIGHT if right else LEFT))
    slices, rows = (np.flatnonzero(mask.any(axis=axes)) for axes in ((1, 2), (0, 2)))
    if slices.size < 2 or rows.size < 2:
        return None
    z, y = (
        (
            float(scene.origin_mm[axis] + found[0] * scene.spacing_mm),
            float(scene.origin_mm[axis] + found[-1] * scene.spacing_mm),
        )
        for axis, found in enumerate((slices, rows))
    )
    return Lung(z, y, right)


def side_of(scene: Scene, point_mm: npt.ArrayLike) -> bool:
    """Return True for the right side: by the lung there, or by the midline."""
    tissue = scene.anatomy.labels[scene.voxel(point_mm)]
    if tissue in RIGHT or tissue in LEFT:
        return bool(tissue in RIGHT)
    return bool(np.asarray(point_mm)[2] < 0)


def lobe_of(scene: Scene, point_mm: npt.ArrayLike) -> str:
    """Return which of `LOBES` a point (z, y, x) LPS mm lies in.

    Outside the lungs, the lobe that would be there.
    """
    right = side_of(scene, point_mm)
    lung = lung_of(scene, right=right)
    side = "right" if right else "left"
    if lung is None:
        return f"{side}_upper_lobe"
    z, y, _ = np.asarray(point_mm, float)
    if lung.oblique_mm(z, y) < 0:
        return f"{side}_lower_lobe"
    if right and lung.horizontal_mm(z) < 0:
        return "right_middle_lobe"
    return f"{side}_upper_lobe"
