"""Fine grids whose voxels divide those of the anatomy.

What lies between the anatomy's voxels is read off linearly, so a patch that takes something away
does so exactly only if the anatomy's voxel centres are among its own; elsewhere a faint seam of
what was there would remain, tens of HU where it was gas.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from networks.phantoms.lesion import FineGrid
from networks.phantoms.lesions.brush import MOST_VOXELS
from networks.phantoms.scene import Scene


def aligned(
    scene: Scene,
    low_mm: npt.ArrayLike,
    high_mm: npt.ArrayLike,
    spacing_mm: float,
    *,
    most_voxels: int = MOST_VOXELS,
) -> FineGrid:
    """Return the grid that holds a box.

    Parameters
    ----------
    low_mm, high_mm : (z, y, x) array
        Corners of the box, LPS mm.
    spacing_mm : float
        About how wide the voxels shall be.
    most_voxels : int
        Wider ones are taken for a box that needs more than this.
    """
    low, high = np.asarray(low_mm, float), np.asarray(high_mm, float)
    parts = max(1, round(scene.spacing_mm / spacing_mm))
    while parts > 1 and np.prod((high - low) * parts / scene.spacing_mm + 2) > most_voxels:
        parts -= 1
    step = scene.spacing_mm / parts
    first = np.floor((low - scene.origin_mm) / step)
    last = np.ceil((high - scene.origin_mm) / step)
    z, y, x = (scene.origin_mm + first * step).tolist()
    s, r, c = (last - first + 1).astype(int).tolist()
    return FineGrid((z, y, x), step, (s, r, c))


def aligned_around(
    scene: Scene, centre_mm: npt.ArrayLike, reach_mm: npt.ArrayLike, spacing_mm: float
) -> FineGrid:
    """Return the grid that holds `reach_mm` (one number, or one an axis) around a point."""
    centre = np.asarray(centre_mm, float)
    return aligned(scene, centre - np.asarray(reach_mm), centre + np.asarray(reach_mm), spacing_mm)
