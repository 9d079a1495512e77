"""Undoes a gantry tilt: moves a slice in its own plane by a fraction of a pixel."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from gateway.study.volume import HU_MIN

NEGLIGIBLE_PIXELS = 1e-3
"""A fraction of a pixel that is not worth an interpolation: 1 HU at an edge of 1,000 HU."""


def shift_plane(
    hu: npt.NDArray[np.int16], shift: tuple[float, float], shape: tuple[int, ...]
) -> npt.NDArray[np.int16]:
    """Move a plane by (rows, columns) into a plane of another shape.

    Parameters
    ----------
    hu : (R, C) ndarray of int16
        HU.
    shift : tuple of float
        Rows and columns, not negative; fractions are interpolated linearly, which lowers noise.
    shape : tuple of int
        (R', C') of the result, large enough for the shifted plane.

    Returns
    -------
    (R', C') ndarray of int16
        HU; −1024 where there was nothing.
    """
    plane = hu.astype(np.float32)
    whole: list[int] = []
    for axis, distance in enumerate(shift):
        cells = math.floor(distance + NEGLIGIBLE_PIXELS)
        fraction = max(distance - cells, 0.0)
        whole.append(cells)
        if fraction > NEGLIGIBLE_PIXELS and cells + hu.shape[axis] < shape[axis]:
            before = np.concatenate([plane.take([0], axis), plane], axis)
            after = np.concatenate([plane, plane.take([-1], axis)], axis)
            plane = before * np.float32(fraction) + after * np.float32(1 - fraction)
    out = np.full(shape, HU_MIN, np.int16)
    top, left = whole
    out[top : top + plane.shape[0], left : left + plane.shape[1]] = np.rint(plane)
    return out
