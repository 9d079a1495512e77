"""Median, mean and SD of HU of an organ, from its histogram."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from preprocess.arrays import Array, array_namespace, counts_of

HU_MIN, HU_MAX = -1024, 3071
"""Range of the volume after padding is masked, HU."""

METAL_HU = 2500.0
"""Denser than bone and plaque: metal. Source: clinical contract, quality of input."""

MAD_TO_SD = 1.4826
"""SD of a normal distribution ÷ its median absolute deviation."""

QUANTISATION_HU = 0.5
"""Least robust SD. HU is in whole numbers, so an organ without noise has a MAD of 0."""


@dataclass(frozen=True, slots=True)
class Attenuation:
    """HU of the tissue of an organ."""

    median_hu: float
    mean_hu: float
    sd_hu: float
    voxels: int
    """That were measured, the outliers left out."""


def histograms(labels: Array, hu: Array, where: Array, count: int) -> NDArray[np.int64]:
    """Count the voxels of each label by HU.

    Parameters
    ----------
    labels, hu, where : (S, R, C) array of uint8, int16, bool
        Label map, HU, and which voxels to count.
    count : int
        Number of labels, the background included.

    Returns
    -------
    (count, HU_MAX - HU_MIN + 1) ndarray of int64
        On the host. The background's row is empty.
    """
    width = HU_MAX - HU_MIN + 1
    xp = array_namespace(labels)
    chosen = where & (labels > 0)
    bins = labels[chosen].astype(xp.int32) * width
    bins += xp.clip(hu[chosen], HU_MIN, HU_MAX).astype(xp.int32) - HU_MIN
    return counts_of(bins, count * width).reshape(count, width)


def attenuation(histogram: NDArray[np.int64], *, outlier_sds: float) -> Attenuation | None:
    """Measure one organ, without what is not its tissue.

    Parameters
    ----------
    histogram : (HU_MAX - HU_MIN + 1,) ndarray of int64
        Voxels by HU.
    outlier_sds : float
        Voxels farther than this many robust SDs (1.4826 · MAD) from the median are left out:
        vessels, calcium, gas, cysts. Noise keeps 99.7 % of its voxels at 3.

    Returns
    -------
    Attenuation or None
        None for an empty histogram. Of an even number of voxels the lower median.
    """
    if not histogram.any():
        return None
    hu = np.arange(HU_MIN, HU_MAX + 1)
    median = _median(hu, histogram)
    distance = np.abs(hu - median)
    order = np.argsort(distance, kind="stable")
    mad = _median(distance[order], histogram[order])
    reach = outlier_sds * max(MAD_TO_SD * mad, QUANTISATION_HU)
    kept = np.where(distance <= reach, histogram, 0)
    voxels = int(kept.sum())
    mean = float((kept * hu).sum() / voxels)
    variance = float((kept * (hu - mean) ** 2).sum() / voxels)
    return Attenuation(
        median_hu=float(_median(hu, kept)), mean_hu=mean, sd_hu=variance**0.5, voxels=voxels
    )


def _median(values: NDArray[np.int64], counts: NDArray[np.int64]) -> int:
    """Lower median of sorted values with counts."""
    cumulative = counts.cumsum()
    return int(values[int(np.searchsorted(cumulative, (cumulative[-1] + 1) // 2))])
