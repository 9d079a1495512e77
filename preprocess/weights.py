"""How much each input voxel gives to each output voxel, along one axis."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

SAME_SPACING_VOXELS = 0.01
"""Two spacings whose grids drift apart by less than this over the whole axis are the same:
the axis is copied. Voxels; far below what any measure here resolves, and well above the
rounding of a decimal Pixel Spacing."""


@lru_cache(maxsize=64)
def axis_weights(size: int, spacing_mm: float, target_spacing_mm: float) -> NDArray[np.float32]:
    """Build the matrix that resamples one axis.

    Output voxel j has its centre at (size - 1)/2 + (j - (m - 1)/2)·ratio in input voxels, with
    ratio = target/old and m = round(size·old/target): see `preprocess.grid.Grid`.
    When shrinking (ratio > 1) its weights are the overlaps of its box with the input boxes,
    so nothing between two samples is lost. When growing they are linear between the two nearest
    centres, and the outermost value is repeated beyond the first and last centre.

    Returns
    -------
    (m, size) ndarray of float32, read-only
        Each row sums to 1.
    """
    ratio = target_spacing_mm / spacing_mm
    count = max(1, round(size * spacing_mm / target_spacing_mm))
    centre = (size - 1) / 2 + (np.arange(count) - (count - 1) / 2) * ratio
    index = np.arange(size)
    if count == size and abs(ratio - 1) * size < SAME_SPACING_VOXELS:
        weights = np.eye(size)
    elif ratio > 1:
        low = np.maximum(centre - ratio / 2, -0.5)[:, None]
        high = np.minimum(centre + ratio / 2, size - 0.5)[:, None]
        weights = np.clip(np.minimum(high, index + 0.5) - np.maximum(low, index - 0.5), 0, None)
    else:
        inside = np.clip(centre, 0, size - 1)[:, None]
        weights = np.clip(1 - np.abs(inside - index), 0, None)
    matrix: NDArray[np.float32] = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    matrix.setflags(write=False)
    return matrix


@lru_cache(maxsize=64)
def axis_taps(
    size: int, spacing_mm: float, target_spacing_mm: float
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Give `axis_weights` as a kernel reads them: only what is not 0, equally many a voxel.

    Returns
    -------
    first : (m,) ndarray of int32
        Input voxel at which the taps of an output voxel begin; none leaves the axis.
    weights : (m, taps) ndarray of float32
        Padded with 0.
    """
    matrix = axis_weights(size, spacing_mm, target_spacing_mm)
    held = matrix != 0
    begin, end = held.argmax(axis=1), size - held[:, ::-1].argmax(axis=1)
    taps = int((end - begin).max())
    first = np.minimum(begin, size - taps)
    weights = np.take_along_axis(matrix, first[:, None] + np.arange(taps), axis=1)
    return first.astype(np.int32), np.ascontiguousarray(weights)
