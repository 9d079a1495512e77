"""The surface of an organ as a smooth signed distance that can be read off on any grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from networks.phantoms.lesion import FineGrid, FloatArray
from networks.phantoms.lesions import NoPlaceError
from networks.phantoms.scene import Scene, _sample

BoolArray = npt.NDArray[np.bool_]
Box = tuple[slice, slice, slice]

SMOOTH_VOXELS = 0.7
"""SD of the smoothing that takes the steps of the voxels off the distance."""


@dataclass(frozen=True)
class Surface:
    """Signed distance to a surface on a box of the anatomy's grid.

    Attributes
    ----------
    distance_mm : (S, R, C) ndarray of float32
        Negative inside.
    corner_mm : (3,) ndarray
        First voxel of the box (z, y, x), LPS mm.
    spacing_mm : float
        Of the anatomy.
    """

    distance_mm: FloatArray
    corner_mm: npt.NDArray[np.float64]
    spacing_mm: float

    @classmethod
    def of(cls, scene: Scene, mask: BoolArray, box: Box) -> Surface:
        """Work out the distance to the surface of a mask within a box."""
        part = mask[box]
        if part.any():
            signed = ndimage.distance_transform_edt(~part) - ndimage.distance_transform_edt(part)
            signed -= 0.5 * np.sign(signed)
            smooth = ndimage.gaussian_filter(signed, SMOOTH_VOXELS, mode="nearest", truncate=2.5)
            distance = (smooth * scene.spacing_mm).astype(np.float32)
        else:
            distance = np.full(part.shape, 99.0, np.float32)
        corner = scene.origin_mm + scene.spacing_mm * np.array([s.start for s in box])
        return cls(distance, corner, scene.spacing_mm)

    def on(self, grid: FineGrid) -> FloatArray:
        """Return the distance on a fine grid, mm."""
        return _sample(self.distance_mm, self.corner_mm, self.spacing_mm, grid)

    def places(self, low_mm: float, high_mm: float) -> npt.NDArray[np.float64]:
        """Return the voxels (n, 3), LPS mm, whose distance lies between two values."""
        found = np.argwhere((self.distance_mm > low_mm) & (self.distance_mm < high_mm))
        return self.corner_mm + self.spacing_mm * found


def box_of(scene: Scene, mask: BoolArray, margin_mm: float) -> Box:
    """Return the box of the anatomy's grid that holds a mask and a margin."""
    found = ndimage.find_objects(mask.astype(np.uint8))
    if not found or found[0] is None:
        raise NoPlaceError("the organ is not in view")
    reach = int(np.ceil(margin_mm / scene.spacing_mm))
    a, b, c = (slice(max(s.start - reach, 0), s.stop + reach) for s in found[0])
    return a, b, c
