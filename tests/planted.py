"""Lesions of known shape, for tests of what becomes of them in a scan."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from networks.phantoms.lesion import FineGrid, Lesion
from networks.phantoms.scene import occupancy


def ball(
    centre_mm: npt.ArrayLike, diameter_mm: float, contrast_hu: float, spacing_mm: float = 0.5
) -> Lesion:
    """A sphere of even contrast."""
    grid = FineGrid.around(centre_mm, 0.5 * diameter_mm + 2 * spacing_mm, spacing_mm)
    z, y, x = grid.offsets(centre_mm)
    share = occupancy(np.sqrt(z * z + y * y + x * x) - 0.5 * diameter_mm, spacing_mm)
    return from_delta(grid, np.float32(contrast_hu) * share, share > 0.5)


def from_delta(
    grid: FineGrid, delta_hu: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_]
) -> Lesion:
    """A lesion made of any HU; what else is true of it does not matter."""
    z, y, x = (float(np.mean(axis)) for axis in grid.axes)
    return Lesion(
        check="nodule", kind="solid", is_finding=True, difficulty="easy", centre_mm=(z, y, x),
        diameter_mm=1.0, contrast_hu=1.0, site="nowhere", grid=grid, delta_hu=delta_hu, mask=mask,
    )  # fmt: skip
