"""What a mass does to the gland around it: contour, calcification, duct, atrophy, bile duct.

Each sign is a patch of its own with ``extra["sign"]``. A mass patch holds its contrast against
parenchyma alone, so that its d′ says how far its attenuation gives it away; what it does to the
gland's outline and to the fat between the lobules is the sign ``contour``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from networks.phantoms.lesion import FineGrid, FloatArray, Lesion
from networks.phantoms.lesions import NoPlaceError
from networks.phantoms.lesions.brush import Patch, cloud, near, tube
from networks.phantoms.lesions.lattice import aligned
from networks.phantoms.lesions.pancreas.gland import ROOM, Gland
from networks.phantoms.lesions.pancreas.shape import Lump
from networks.phantoms.scene import occupancy
from networks.phantoms.tissue import Tissue

Points = npt.NDArray[np.float64]

TEXTURE_SD_HU = 5.0
"""SD of what replaces parenchyma, over about 3 mm."""

DUCT_HU = (7.0, 14.0)
"""Pancreatic juice and bile."""

CALCIUM_HU = (150.0, 750.0)
"""Stones and calcified scars at the resolution of a scan."""

ATROPHY_FAT = 0.92
"""Share of fat in what has wasted away."""


class Shape(Protocol):
    """What can be evaluated on any grid."""

    def distance(self, grid: FineGrid) -> FloatArray:
        """Return the signed distance, mm, negative inside."""
        ...


@dataclass
class Report:
    """What the lesions of one finding or confounder have in common."""

    kind: str
    site: str
    is_finding: bool = True
    difficulty: str | None = None

    def lesion(
        self,
        patch: Patch,
        sign: str | None = None,
        *,
        site: str | None = None,
        dprime: float | None = None,
        **extra: Any,
    ) -> Lesion:
        """Cut a lesion from a patch."""
        patch.site = site or self.site
        patch.extra = {**extra, "sign": sign} if sign else dict(extra)
        return patch.lesion(
            check="pancreas", kind=self.kind, is_finding=self.is_finding,
            difficulty=self.difficulty, dprime=dprime,
        )  # fmt: skip


def parenchyma_and_fat(patch: Patch) -> FloatArray:
    """Return how much of each voxel a mass may take."""
    return patch.share(*ROOM)


def contour(mass: Patch, share: FloatArray, rng: np.random.Generator, reference_hu: float) -> Patch:
    """Even out lobules and fat where a mass lies, to what its contrast is compared with."""
    patch = Patch(mass.scene, mass.grid)
    texture = cloud(patch.grid, rng, 2.5) * np.float32(TEXTURE_SD_HU)
    patch.lay(share, np.float32(reference_hu) + texture)
    return patch


def calcification(
    mass: Patch,
    where: FloatArray,
    rng: np.random.Generator,
    *,
    count: int,
    radius_mm: tuple[float, float] = (0.6, 1.8),
) -> Patch:
    """Scatter calcifications over the places where `where` exceeds one half."""
    patch = Patch(mass.scene, mass.grid)
    places = np.argwhere(where > 0.5)
    if not len(places):
        raise NoPlaceError("nothing is left to calcify")
    for voxel in places[rng.integers(0, len(places), count)]:
        point = np.array([axis[i] for axis, i in zip(patch.grid.axes, voxel, strict=True)])
        radius = float(rng.uniform(*radius_mm))
        box, (z, y, x) = near(patch.grid, point, radius + 1.5)
        if box is None:
            continue
        squash = np.exp(rng.normal(0, 0.3, 3)).astype(np.float32)
        away = np.sqrt((z * squash[0]) ** 2 + (y * squash[1]) ** 2 + (x * squash[2]) ** 2)
        share = occupancy(away - radius, patch.grid.spacing_mm)
        patch.hu[box] += share * np.maximum(rng.uniform(*CALCIUM_HU) - patch.hu[box], 0)
        patch.mask[box] |= share > 0.3
    return patch


def beyond(gland: Gland, from_arc_mm: float, spacing_mm: float = 1.0) -> FineGrid:
    """Return a grid over the gland from a point along it to the end of the tail."""
    line = gland.line
    part = line.arc_mm >= min(from_arc_mm, line.length_mm - 10)
    course = line.points_mm[part]
    margin = 4.0 + float(line.radius_mm[part].max())
    low, high = course.min(axis=0) - margin, course.max(axis=0) + margin
    return aligned(gland.scene, low, high, spacing_mm)


def kept_by(lump: Shape, grid: FineGrid) -> FloatArray:
    """Return how much of each voxel lies outside a mass."""
    return 1 - occupancy(lump.distance(grid), 2.0)


def waste(
    gland: Gland,
    grid: FineGrid,
    rng: np.random.Generator,
    *,
    from_arc_mm: float,
    atrophy: float,
    core_mm: float,
    kept: FloatArray | float = 1.0,
) -> Patch:
    """Turn the outer part of the gland beyond a point to fat.

    Parameters
    ----------
    from_arc_mm : float
        Where it begins, along the gland from the head.
    atrophy : float
        Share of the gland's radius that goes.
    core_mm : float
        Radius about the duct that stays.
    kept : (S, R, C) ndarray or float
        How much of each voxel may change.
    """
    patch = Patch(gland.scene, grid)
    line = gland.line
    pancreas = patch.share(Tissue.PANCREAS)
    arc, away = line.on(grid, pancreas > 0.02)
    radius = np.interp(arc, line.arc_mm, line.radius_mm).astype(np.float32)
    core = np.maximum(radius * (1 - atrophy), core_mm)
    core += 0.25 * radius * cloud(grid, rng, 7.0)
    start = np.clip((arc - from_arc_mm) / 10, 0, 1)
    lost = occupancy(core - away, 2.0) * start * pancreas * kept
    fat = float(gland.scene.table.mean[Tissue.VISCERAL_FAT])
    fill = ATROPHY_FAT * fat + (1 - ATROPHY_FAT) * gland.parenchyma_hu
    patch.lay(lost.astype(np.float32), fill + 9 * cloud(grid, rng, 3.0))
    return patch


def over(patch: Patch) -> Patch:
    """Open a patch that is painted on top of another one."""
    upper = Patch(patch.scene, patch.grid)
    upper.base = patch.hu.copy()
    upper.hu = patch.hu.copy()
    return upper


def duct_course(
    gland: Gland,
    rng: np.random.Generator,
    *,
    from_arc_mm: float,
    duct_mm: float,
    taper: float = 0.45,
    beads: float = 0.0,
) -> tuple[Points, Points]:
    """Return points (n, 3) along a duct to the tail, LPS mm, and the radius there.

    Parameters
    ----------
    duct_mm : float
        Diameter where it is widest.
    taper : float
        How much narrower it is at the tail, as a share.
    beads : float
        How far the calibre goes up and down, as a share.
    """
    line = gland.line
    part = (line.arc_mm >= from_arc_mm) & (line.arc_mm <= 0.97 * line.length_mm)
    if np.count_nonzero(part) < 6:
        raise NoPlaceError("the gland ends here")
    course = line.points_mm[part]
    run = np.linspace(0, 1, len(course))
    radius = 0.5 * duct_mm * (1 - taper * run)
    length = float(line.arc_mm[part][-1] - line.arc_mm[part][0])
    turns = rng.uniform(0, 2 * np.pi) + 2 * np.pi * run * length / rng.uniform(9, 15)
    radius *= 1 - beads * (0.5 + 0.5 * np.sin(turns + 1.5 * np.sin(0.37 * turns)))
    sway = np.stack([np.sin(turns * f + rng.uniform(0, 6)) for f in (0.31, 0.43, 0.37)], axis=-1)
    course = course + sway * min(1.2, 0.12 * float(line.radius_mm.mean()))
    return course, np.maximum(radius, 0.6)


def bile_duct(gland: Gland, lump: Lump, rng: np.random.Generator) -> Patch:
    """Widen the bile duct from a mass in the head up towards the porta of the liver."""
    steps = np.array([(0, 0, 0), (14, 2, -3), (28, 0, -8), (42, -4, -14)], float)
    course = lump.centre_mm + steps + np.cumsum(rng.normal(0, 1.5, steps.shape), axis=0)
    radius = float(rng.uniform(4.5, 9.0))
    low, high = course.min(axis=0) - radius - 4, course.max(axis=0) + radius + 4
    patch = Patch(gland.scene, aligned(gland.scene, low, high, 1.0))
    bore = tube(patch.grid, course, np.array([0.7, 1.0, 1.0, 0.7]) * radius)
    room = patch.share(Tissue.PANCREAS, Tissue.VISCERAL_FAT)
    room = room * kept_by(lump, patch.grid)
    wall = patch.inside(bore - 1.0) * room
    patch.lay(wall, 34.0)
    patch.lay(patch.inside(bore) * room, float(rng.uniform(*DUCT_HU)))
    return patch
