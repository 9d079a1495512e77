"""The outline of a lesion on a fine grid of its own, and on that of its volume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from preprocess.arrays import Array, to_host

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Outline:
    """A lesion on a fine grid of its own."""

    mask: Mask
    """(S, R, C)."""

    solid: Mask
    """The same of its solid part; all of it but for part-solid and ground-glass nodules."""

    origin: NDArray[np.float64]
    """(3,) voxel of the volume in which voxel (0, 0, 0) of the mask has its centre."""

    step: NDArray[np.float64]
    """(3,) voxels of the volume between those of the mask."""

    spacing_mm: float
    """Of the mask, along each axis."""

    def geometry(self, affine: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give the (4, 4) of the mask's voxels → LPS mm, from that of the volume's."""
        inner = np.diag([*self.step, 1.0])
        inner[:3, 3] = self.origin
        placed: NDArray[np.float64] = affine @ inner
        return placed

    def nearest(self, hu: Array) -> NDArray[np.int16]:
        """Give the HU of the volume's nearest voxel for each voxel of the mask."""
        index = [
            np.clip(np.rint(first + by * np.arange(size)).astype(int), 0, count - 1)
            for first, by, size, count in zip(self.origin, self.step, self.mask.shape, hu.shape)
        ]
        # the nearest voxels lie side by side, or are the same one several times
        cut = tuple(slice(int(axis[0]), int(axis[-1]) + 1) for axis in index)
        values: NDArray[np.int16] = to_host(hu[cut])[np.ix_(*(a - a[0] for a in index))]
        return values

    def on_grid(self, shape: Sequence[int]) -> tuple[NDArray[np.intp], Mask]:
        """Give the mask on the volume's own voxels, within their box.

        Returns
        -------
        first : (3,) ndarray of int
            Voxel of the volume at which the box starts.
        part : (s, r, c) ndarray of bool
            Not empty: the voxel at the middle is part of it where no other is.
        """
        last = self.origin + self.step * (np.array(self.mask.shape) - 1)
        top = np.array(shape) - 1
        low = np.clip(np.ceil(self.origin), 0, top).astype(np.intp)
        high = np.clip(np.floor(last), 0, top).astype(np.intp)
        index = [
            np.clip(np.rint((np.arange(a, b + 1) - first) / by).astype(int), 0, size - 1)
            for a, b, first, by, size in zip(low, high, self.origin, self.step, self.mask.shape)
        ]
        part = self.mask[np.ix_(*index)]
        if not part.any():
            deep = np.argwhere(self.mask).mean(axis=0) * self.step + self.origin
            part[tuple(np.clip(np.rint(deep) - low, 0, np.array(part.shape) - 1).astype(int))] = 1
        box = [
            np.flatnonzero(part.any(axis=tuple(other for other in range(3) if other != axis)))
            for axis in range(3)
        ]
        inner = tuple(slice(held[0], held[-1] + 1) for held in box)
        return low + np.array([held[0] for held in box]), part[inner]
