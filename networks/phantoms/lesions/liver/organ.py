"""The liver of a scene, and lesions that have no place of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from networks.phantoms.lesion import FineGrid, FloatArray, Lesion
from networks.phantoms.lesions import NoPlaceError
from networks.phantoms.lesions.lattice import aligned
from networks.phantoms.lesions.surface import Surface, box_of
from networks.phantoms.scene import Scene
from networks.phantoms.tissue import Tissue

BoolArray = npt.NDArray[np.bool_]
Point = npt.NDArray[np.float64]

LIVER = (Tissue.LIVER, Tissue.LIVER_VESSEL)

SMALLEST_ML = 150.0
"""Less liver than this in view shows no diffuse disease."""

MARGIN_MM = 20.0
"""Around the liver, within which distances to its surface are known."""

MOST_VOXELS = 3_600_000
"""Largest patch over the whole liver: 15 MB of float32."""


@dataclass(frozen=True)
class Liver:
    """The liver of a scene."""

    scene: Scene
    mask: BoolArray
    surface: Surface
    hu: float
    """Mean HU of the parenchyma as painted."""

    @classmethod
    def of(cls, scene: Scene) -> Liver:
        """Find the liver; `NoPlaceError` when too little is in view."""
        mask = scene.tissue(*LIVER)
        if np.count_nonzero(mask) * scene.spacing_mm**3 < SMALLEST_ML * 1000:
            raise NoPlaceError("too little liver is in view")
        surface = Surface.of(scene, mask, box_of(scene, mask, MARGIN_MM))
        return cls(scene, mask, surface, float(scene.table.mean[Tissue.LIVER]))

    def grid(self, spacing_mm: float, margin_mm: float = 6.0) -> FineGrid:
        """Return a grid over the whole liver."""
        places = np.nonzero(self.surface.distance_mm < 0)
        low = np.array([axis.min() for axis in places]) * self.scene.spacing_mm
        high = np.array([axis.max() for axis in places]) * self.scene.spacing_mm
        corner = self.surface.corner_mm
        return aligned(
            self.scene, corner + low - margin_mm, corner + high + margin_mm, spacing_mm,
            most_voxels=MOST_VOXELS,
        )  # fmt: skip

    def inner_point(self, rng: np.random.Generator, depth_mm: float) -> Point:
        """Draw a point at least so deep in the liver, or as deep as there is."""
        places = self.surface.places(-999, -depth_mm)
        if not len(places):
            places = self.surface.places(-999, 0.8 * float(self.surface.distance_mm.min()))
        point: Point = places[int(rng.integers(len(places)))]
        return point

    def facing_fat(self, grid: FineGrid) -> FloatArray:
        """Return where abdominal fat lies against the liver, 0 to 1, on a grid."""
        near = self.scene.share_on(grid, Tissue.VISCERAL_FAT)
        near = ndimage.gaussian_filter(near, 3.0 / grid.spacing_mm, mode="nearest", truncate=2.0)
        return np.clip(2.2 * near, 0, 1).astype(np.float32)


def diffuse(
    kind: str,
    grid: FineGrid,
    delta_hu: FloatArray,
    mask: BoolArray,
    *,
    site: str = "liver",
    is_finding: bool = True,
    difficulty: str | None = None,
    dprime: float | None = None,
    extra: dict[str, Any] | None = None,
) -> Lesion:
    """Make a lesion of the whole organ; its mask may be empty, its diameter is 0.

    The centre is that of what was changed.
    """
    weight = np.abs(delta_hu)
    total = float(weight.sum())
    if total <= 0:
        raise NoPlaceError(f"nothing of {kind} was left to paint")
    centre = [
        float((axis * weight.sum(axis=tuple(n for n in range(3) if n != a))).sum()) / total
        for a, axis in enumerate(grid.axes)
    ]
    where = mask if mask.any() else weight > 0.5 * float(weight.max())
    return Lesion(
        check="liver",
        kind=kind,
        is_finding=is_finding,
        difficulty=difficulty,
        centre_mm=(centre[0], centre[1], centre[2]),
        diameter_mm=0.0,
        contrast_hu=float(delta_hu[where].mean()),
        site=site,
        grid=grid,
        delta_hu=delta_hu.astype(np.float32),
        mask=mask,
        dprime=dprime,
        extra=dict(extra or {}),
    )
