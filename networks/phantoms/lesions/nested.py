"""Fine grids whose voxels nest in the anatomy's.

What a patch adds is linear between its voxels, and so is the anatomy between its own. Where a
patch replaces something, the two cancel exactly only if each voxel of the anatomy is one of the
patch's: at the edge of a lung, 900 HU steep, a grid that does not nest leaves a seam.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from networks.phantoms.lesion import FineGrid
from networks.phantoms.scene import Scene


def nested_grid(
    scene: Scene, low_mm: npt.ArrayLike, high_mm: npt.ArrayLike, spacing_mm: float
) -> FineGrid:
    """Return the grid over a box whose voxels are a whole part of the anatomy's.

    Parameters
    ----------
    scene : Scene
        Gives the anatomy's grid.
    low_mm, high_mm : (3,) array_like
        Corners (z, y, x), LPS mm; the grid reaches up to a voxel farther.
    spacing_mm : float
        Largest edge of the voxels.

    Returns
    -------
    FineGrid
        All grids of one scene and spacing share one lattice.
    """
    spacing = scene.spacing_mm / np.ceil(scene.spacing_mm / spacing_mm - 1e-6)
    first = np.floor((np.asarray(low_mm, float) - scene.origin_mm) / spacing)
    last = np.ceil((np.asarray(high_mm, float) - scene.origin_mm) / spacing)
    z, y, x = (scene.origin_mm + first * spacing).tolist()
    s, r, c = (last - first + 1).astype(int).tolist()
    return FineGrid((z, y, x), float(spacing), (s, r, c))


def nested_around(
    scene: Scene, centre_mm: npt.ArrayLike, reach_mm: npt.ArrayLike, spacing_mm: float
) -> FineGrid:
    """Return the nested grid that holds `reach_mm` (one number, or one an axis) around a point."""
    centre = np.asarray(centre_mm, float)
    reach = np.asarray(reach_mm, float)
    return nested_grid(scene, centre - reach, centre + reach, spacing_mm)
