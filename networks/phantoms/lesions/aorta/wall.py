"""Calcium in the aorta's wall."""

from __future__ import annotations

import numpy as np

from networks.phantoms.lesion import FineGrid
from networks.phantoms.lesions import NoPlaceError
from networks.phantoms.lesions.aorta.course import AortaCourse, Points
from networks.phantoms.lesions.brush import Patch, ball, cloud, frame_along

SPACING_MM = 0.45
"""Voxel edge of a plaque's patch."""

TRIES = 12
"""Drawings before a place is given up."""

LEAST_VOXELS = 4
"""Of a smaller plaque nothing would show."""

BENEATH_MM = 0.6
"""Depth of intimal calcium beneath the outer surface of a wall that is not dissected."""


def wall_point(course: AortaCourse, index: int, degrees: float) -> tuple[Points, Points]:
    """Return the point of the wall at an angle around the axis, and the direction outwards."""
    angle = np.deg2rad(degrees)
    out = (np.cos(angle) * course.first_normal[index]
           + np.sin(angle) * course.second_normal[index])  # fmt: skip
    t = np.arange(0, 2.2 * course.radius_mm[index], 0.4)
    inside = course.wall_mm(course.points_mm[index] + t[:, None] * out) < 0
    last = t[np.flatnonzero(~inside)[0]] if not inside.all() else course.radius_mm[index]
    return course.points_mm[index] + last * out, out


def wall_plaque(
    course: AortaCourse, rng: np.random.Generator, index: int, *, calibre: float = 1.0
) -> Patch:
    """Draw a plaque of calcium in the wall: a curved plate, seen from the side a bright arc.

    Parameters
    ----------
    index : int
        Point of the axis.
    calibre : float
        Size against the usual 2 to 9 mm.
    """
    for _ in range(TRIES):
        place, out = wall_point(course, index, float(rng.uniform(0, 360)))
        reach = calibre * float(np.exp(rng.uniform(np.log(1.1), np.log(4.5))))
        thick = float(rng.uniform(0.9, 1.9)) * min(1.0, 0.6 + 0.2 * reach)
        patch = Patch(course.scene, FineGrid.around(place, 1.35 * reach + 3, SPACING_MM))
        depth = course.wall_on(patch.grid) + BENEATH_MM
        radii = reach * np.exp(rng.normal(0, 0.25, 3))
        foot = ball(patch.grid, place, radii, frame_along(out, rng))
        foot += np.float32(0.3 * reach) * cloud(patch.grid, rng, max(1.5, 0.8 * reach))
        depth = np.abs(depth + 0.3 * cloud(patch.grid, rng, 3.0))
        plate = np.maximum(depth - 0.5 * thick, foot)
        hu = float(np.exp(rng.uniform(np.log(220), np.log(950))))
        patch.raise_to(patch.inside(plate), hu * (1 + 0.1 * cloud(patch.grid, rng, 1.6)))
        if patch.mask.sum() >= LEAST_VOXELS:
            return patch
    raise NoPlaceError("no plaque was left in the wall")
