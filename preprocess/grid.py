"""Where the voxels of an array lie in the patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from preprocess.exceptions import GeometryError, RoiError

Roi = tuple[int, int, int, int, int, int]
"""(s0, s1, r0, r1, c0, c1), voxels, half-open."""


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """Shape and affine of a volume.

    A voxel is a box whose *centre* has the integer index, so a grid of n voxels covers the
    indices -0.5 … n - 0.5. Changing the spacing keeps the centre of that extent where it is:
    the new grid has round(n·old/new) voxels, at least one, and its middle is the old middle.
    What it covers differs from the old extent by at most a quarter of a new voxel at each end.
    """

    shape: tuple[int, int, int]
    """(S, R, C), voxels."""

    affine: NDArray[np.float64]
    """(4, 4), (slice, row, column, 1) → LPS mm."""

    def __post_init__(self) -> None:
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise GeometryError(f"a grid needs three axes of at least one voxel, not {self.shape}.")
        affine = np.asarray(self.affine)
        if affine.shape != (4, 4) or affine.dtype != np.float64:
            raise GeometryError(
                f"affine must be (4, 4) float64; it is {affine.shape} {affine.dtype}."
            )
        if not np.isfinite(affine).all():
            raise GeometryError("affine has values that are not finite.")
        if not np.array_equal(affine[3], [0.0, 0.0, 0.0, 1.0]):
            raise GeometryError(f"the last row of affine must be 0 0 0 1; it is {affine[3]}.")
        if abs(np.linalg.det(affine[:3, :3])) < 1e-9:
            raise GeometryError("affine is singular: two axes of the volume are parallel.")

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between voxel centres, mm, in axis order."""
        s, r, c = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(s), float(r), float(c)

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel, ml."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000.0

    def crop(self, roi: Sequence[int]) -> Grid:
        """Give the grid of a region.

        Parameters
        ----------
        roi : six int
            (s0, s1, r0, r1, c0, c1), voxels of this grid, half-open.

        Raises
        ------
        RoiError
            When the region is empty or leaves the grid.
        """
        s0, s1, r0, r1, c0, c1 = check_roi(roi, self.shape)
        affine = self.affine.copy()
        affine[:3, 3] += affine[:3, :3] @ np.array([s0, r0, c0], np.float64)
        return Grid((s1 - s0, r1 - r0, c1 - c0), affine)

    def resampled(self, spacing_mm: Sequence[float]) -> Grid:
        """Give the grid of the same extent at another spacing, mm in axis order.

        Raises
        ------
        GeometryError
            When a spacing is not a positive number.
        """
        ratio = np.array(check_spacing(spacing_mm)) / np.array(self.spacing_mm)
        shape = resampled_shape(
            self.shape, spacing_mm=self.spacing_mm, target_spacing_mm=spacing_mm
        )
        start = (np.array(self.shape) - 1) / 2 - (np.array(shape) - 1) / 2 * ratio
        step = np.eye(4)
        step[:3, :3] = np.diag(ratio)
        step[:3, 3] = start
        return Grid(shape, self.affine @ step)


def resampled_shape(
    shape: Sequence[int], *, spacing_mm: Sequence[float], target_spacing_mm: Sequence[float]
) -> tuple[int, int, int]:
    """Count the voxels of a volume at another spacing: round(n·old/new), at least one."""
    s, r, c = (
        max(1, round(n * old / new)) for n, old, new in zip(shape, spacing_mm, target_spacing_mm)
    )
    return s, r, c


def check_spacing(spacing_mm: Sequence[float]) -> tuple[float, float, float]:
    """Refuse a spacing that is not three positive, finite numbers of mm."""
    values = tuple(float(value) for value in spacing_mm)
    if len(values) != 3 or not all(np.isfinite(value) and value > 0 for value in values):
        raise GeometryError(f"spacing must be three positive numbers of mm, not {values}.")
    return values[0], values[1], values[2]


def check_roi(roi: Sequence[int], shape: Sequence[int]) -> Roi:
    """Refuse a region that is empty or leaves a volume of this shape."""
    values = tuple(int(value) for value in roi)
    if len(values) != 6:
        raise RoiError(f"roi must be (s0, s1, r0, r1, c0, c1); it has {len(values)} numbers.")
    for axis, name in enumerate(("slices", "rows", "columns")):
        start, stop = values[2 * axis], values[2 * axis + 1]
        if not 0 <= start < stop <= shape[axis]:
            raise RoiError(
                f"roi takes {name} {start} to {stop}, which is empty or outside 0 to {shape[axis]}."
            )
    s0, s1, r0, r1, c0, c1 = values
    return s0, s1, r0, r1, c0, c1
