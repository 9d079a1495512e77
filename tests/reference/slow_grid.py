"""Slow, obvious float64 twins of `preprocess` and `postprocess`: the judges of the quick ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


def resample_axis(values: NDArray[Any], *, old_mm: float, new_mm: float) -> NDArray[np.float64]:
    """Resample one line, output by output.

    Lengths are in mm from the middle of the line, where the two grids agree.
    """
    size = len(values)
    count = max(1, round(size * old_mm / new_mm))
    centres = [(i - (size - 1) / 2) * old_mm for i in range(size)]
    out = []
    for j in range(count):
        at = (j - (count - 1) / 2) * new_mm
        out.append(
            _area(values, centres, at, old_mm, new_mm)
            if new_mm > old_mm
            else _linear(values, centres, at)
        )
    return np.array(out, np.float64)


def resample(
    volume: NDArray[Any], *, spacing_mm: Sequence[float], target_spacing_mm: Sequence[float]
) -> NDArray[np.float64]:
    """Resample line by line, one axis after the other."""
    out: NDArray[np.float64] = volume.astype(np.float64)
    for axis in range(3):
        out = np.apply_along_axis(
            resample_axis, axis, out, old_mm=spacing_mm[axis], new_mm=target_spacing_mm[axis]
        )
    return out


def erode_by_distance(
    labels: NDArray[np.uint8], *, distance_mm: float, spacing_mm: Sequence[float]
) -> NDArray[np.bool_]:
    """Erode each label by the Euclidean distance to the nearest voxel of another."""
    out = np.zeros(labels.shape, np.bool_)
    for value in np.unique(labels):
        mask = labels == value
        if mask.all():
            return np.ones(labels.shape, np.bool_)
        distance = ndimage.distance_transform_edt(mask, sampling=spacing_mm)
        out |= mask & (distance > distance_mm)
    return out


def tissue_hu(values: NDArray[Any], *, outlier_sds: float) -> tuple[float, float, float, int]:
    """Give lower median, mean, SD and count of values near their median."""
    values = np.sort(values.astype(np.float64).ravel())
    median = values[(len(values) - 1) // 2]
    deviations = np.sort(np.abs(values - median))
    sd = max(1.4826 * deviations[(len(values) - 1) // 2], 0.5)
    kept = values[np.abs(values - median) <= outlier_sds * sd]
    return float(kept[(len(kept) - 1) // 2]), float(kept.mean()), float(kept.std()), len(kept)


def _area(
    values: NDArray[Any], centres: Sequence[float], at: float, old_mm: float, new_mm: float
) -> float:
    total = weight = 0.0
    for value, centre in zip(values, centres):
        low = max(at - new_mm / 2, centre - old_mm / 2)
        high = min(at + new_mm / 2, centre + old_mm / 2)
        overlap = max(0.0, high - low)
        total += overlap * float(value)
        weight += overlap
    return total / weight


def _linear(values: NDArray[Any], centres: Sequence[float], at: float) -> float:
    return float(np.interp(at, centres, values))
