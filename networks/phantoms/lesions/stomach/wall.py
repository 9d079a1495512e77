"""The stomach of a scene: its course, its regions, and its wall on a fine grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from networks.phantoms.lesion import FineGrid, FloatArray
from networks.phantoms.lesions import NoPlaceError
from networks.phantoms.lesions.brush import Patch
from networks.phantoms.lesions.centreline import Centreline
from networks.phantoms.lesions.lattice import aligned_around
from networks.phantoms.lesions.surface import Surface, box_of
from networks.phantoms.scene import Scene, occupancy
from networks.phantoms.tissue import Tissue

Point = npt.NDArray[np.float64]

LUMEN = (Tissue.STOMACH_FLUID, Tissue.STOMACH_FOOD, Tissue.STOMACH_GAS)
STOMACH = (Tissue.STOMACH_WALL, *LUMEN)

OUTWARD = (Tissue.VISCERAL_FAT, Tissue.MESENTERIC_VESSEL)
"""What the wall may grow into."""

REGIONS = {"fundus": (0.0, 0.22), "body": (0.22, 0.68), "antrum": (0.68, 1.0)}
"""Region → share of the stomach's length from the upper end (chosen)."""

CARDIA_MM = 26.0
"""What lies this near to the end of the oesophagus is cardia."""

CARDIA_GAP_MM = 110.0
"""The oesophagus, which is drawn without regard to the stomach, may end this far from it."""

MARGIN_MM = 28.0
"""Around the stomach, within which distances to its surfaces are known."""

SMALLEST_ML = 20.0
"""Less stomach than this in view is no place to plant."""

UPPER_END_LIES = (1.0, 0.7, 0.7)
"""Direction (z, y, x) of the fundus from the pylorus: up, back and to the left."""

NORMAL_SMOOTH_MM = 3.0
"""SD of the smoothing before the direction of the wall is read off."""


@dataclass(frozen=True)
class Stomach:
    """The stomach of a scene."""

    scene: Scene
    line: Centreline
    cardia_mm: Point | None
    """Where the oesophagus ends, LPS mm; None where it was not drawn near the stomach."""
    outer: Surface
    lumen: Surface

    @classmethod
    def of(cls, scene: Scene) -> Stomach:
        """Find the stomach; `NoPlaceError` when too little is in view."""
        mask = scene.tissue(*STOMACH)
        if np.count_nonzero(mask) * scene.spacing_mm**3 < SMALLEST_ML * 1000:
            raise NoPlaceError("too little stomach is in view")
        line = Centreline.through(scene, mask, UPPER_END_LIES)
        gullet = np.argwhere(scene.tissue(Tissue.OESOPHAGUS))
        cardia = None
        if len(gullet):
            ends = scene.origin_mm + scene.spacing_mm * gullet[gullet[:, 0] <= gullet[0, 0] + 2]
            places = scene.origin_mm + scene.spacing_mm * np.argwhere(mask)
            end = ends.mean(axis=0)
            away = np.linalg.norm(places - end, axis=1)
            if away.min() < CARDIA_GAP_MM:
                cardia = places[int(away.argmin())]
        box = box_of(scene, mask, MARGIN_MM)
        lumen = scene.tissue(*LUMEN)
        return cls(scene, line, cardia, Surface.of(scene, mask, box), Surface.of(scene, lumen, box))

    def region_at(self, point_mm: npt.ArrayLike) -> str:
        """Name the region of a point of the stomach."""
        if self.cardia_mm is not None:
            gap = float(np.linalg.norm(np.asarray(point_mm, float) - self.cardia_mm))
            if gap < CARDIA_MM:
                return "cardia"
        share = self.line.fraction_of(point_mm)
        return next((name for name, (_, high) in REGIONS.items() if share < high), "antrum")

    def seed(self, rng: np.random.Generator, region: str) -> Point:
        """Draw a point of the inner wall in a region, LPS mm."""
        places = self.lumen.places(0, 1.5 * self.scene.spacing_mm)
        if region == "cardia":
            if self.cardia_mm is None:
                raise NoPlaceError("the oesophagus does not reach the stomach in view")
            near = np.linalg.norm(places - self.cardia_mm, axis=1) < 0.7 * CARDIA_MM
        else:
            low, high = REGIONS[region]
            gaps = np.linalg.norm(places[:, None, :] - self.line.points_mm[None, ::2], axis=2)
            share = self.line.arc_mm[::2][gaps.argmin(axis=1)] / self.line.length_mm
            near = (share >= low + 0.03) & (share <= min(high, 0.97))
        if not near.any():
            raise NoPlaceError(f"the {region} has no lumen in view")
        choice = places[near]
        point: Point = choice[int(rng.integers(len(choice)))]
        return point


class Wall:
    """Distances to the two surfaces of the stomach's wall on a patch.

    Attributes
    ----------
    outer_mm : (S, R, C) ndarray of float32
        Signed distance to the outer surface, negative within the stomach.
    lumen_mm : (S, R, C) ndarray of float32
        Signed distance to the inner surface, negative within the lumen.
    wall : (S, R, C) ndarray of float32
        How much of each voxel is wall as drawn.
    room : (S, R, C) ndarray of float32
        How much of each voxel is stomach, or fat that it may grow into.
    """

    def __init__(self, stomach: Stomach, patch: Patch) -> None:
        self.patch = patch
        self.outer_mm = stomach.outer.on(patch.grid)
        self.lumen_mm = stomach.lumen.on(patch.grid)
        self.wall = patch.share(Tissue.STOMACH_WALL)
        self.room = patch.share(*STOMACH, *OUTWARD)

    @property
    def depth_mm(self) -> float:
        """Distance from the inner surface to the middle of the lumen where it is widest."""
        return max(-float(self.lumen_mm.min()), 0.0)

    @property
    def thickness_mm(self) -> float:
        """Thickness of the wall as drawn."""
        at_inner = (self.lumen_mm > 0) & (self.lumen_mm < 1.5) & (self.outer_mm < 0)
        return float(np.median(-self.outer_mm[at_inner])) if at_inner.any() else 4.0

    def plane(self, seed_mm: Point, along: Point) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return the frame of the wall at a point of it.

        Parameters
        ----------
        along : (z, y, x) ndarray
            Direction of the stomach's axis there.

        Returns
        -------
        along_mm, across_mm : (S, R, C) ndarray of float32
            Distances from the point within the plane of the wall.
        facing : (S, R, C) ndarray of float32
            How far the wall faces as it does there: 1 alike, -1 opposite.
        """
        grid = self.patch.grid
        sigma = NORMAL_SMOOTH_MM / grid.spacing_mm
        smooth = ndimage.gaussian_filter(self.outer_mm, sigma, mode="nearest", truncate=2.0)
        slope = np.stack(np.gradient(smooth))
        slope /= np.maximum(np.sqrt((slope**2).sum(axis=0)), 1e-3)
        at = tuple(
            int(np.clip(np.searchsorted(axis, value), 0, len(axis) - 1))
            for axis, value in zip(grid.axes, seed_mm, strict=True)
        )
        normal = slope[(slice(None), *at)].astype(np.float64)
        facing = np.tensordot(normal.astype(np.float32), slope, axes=(0, 0))
        first = along - normal * (normal @ along)
        first /= max(float(np.linalg.norm(first)), 1e-6)
        second = np.cross(normal, first)
        z, y, x = grid.offsets(seed_mm)
        along_mm, across_mm = (
            (axis[0] * z + axis[1] * y + axis[2] * x).astype(np.float32) for axis in (first, second)
        )
        return along_mm, across_mm, facing.astype(np.float32)

    def coat(
        self, inward_mm: FloatArray, outward_mm: FloatArray | float, extent: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Return how much of each voxel is thickened wall, and how much of that is new.

        Parameters
        ----------
        inward_mm, outward_mm : (S, R, C) ndarray or float
            How far the wall grows into the lumen and into the fat around.
        extent : (S, R, C) ndarray of float32
            1 where it grows, 0 where not.
        """
        distance = np.maximum(-self.lumen_mm - inward_mm, self.outer_mm - outward_mm)
        whole = occupancy(distance, 1.5 * self.patch.grid.spacing_mm) * extent * self.room
        new = whole * (1 - np.clip(self.wall, 0, 1))
        return whole.astype(np.float32), new.astype(np.float32)


def grid_around(scene: Scene, centre_mm: Point, reach_mm: float) -> FineGrid:
    """Return a grid about a point whose voxels get wider with its reach."""
    return aligned_around(scene, centre_mm, reach_mm, 1.0 if reach_mm < 45 else 1.4)
