"""How a scanner responds: sampling matrices along each axis, and the spectrum of its noise."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from networks.phantoms.profiles import (
    MTF_FWHM_MM,
    NOISE_SD_AT_5_MM_HU,
    NPS_CUTOFF_PER_MM,
    ScannerProfile,
)

FloatArray = npt.NDArray[np.float32]
Places = npt.NDArray[np.floating]

FWHM_PER_SD = 2.3548
"""Full width at half maximum of a Gaussian over its SD."""

EDGE_BLUR_MM = 1.2
"""SD of the blurred image that an edge-enhancing kernel subtracts."""

NOISE_IN_AIR = 0.3
"""Noise far from the body against that in it: fewer quanta are lost on the way."""

SHARE_STEP = 8
"""Phantom slices between two planes of `body_share`."""


def point_spread(source: Places, target: Places, fwhm_mm: float) -> FloatArray:
    """Return the (targets, sources) matrix of linear interpolation blurred by a Gaussian.

    Beyond the source the edge value goes on.
    """
    step = float(source[1] - source[0])
    sd = fwhm_mm / FWHM_PER_SD
    reach = int(np.ceil(3 * sd / (0.25 * step)))
    offsets = np.arange(-reach, reach + 1) * 0.25 * step
    weights = np.exp(-0.5 * (offsets / max(sd, 1e-6)) ** 2)
    return _weighted(source, target, offsets, weights / weights.sum())


def slice_profile(source: Places, target: Places, thickness_mm: float) -> FloatArray:
    """Return the (targets, sources) matrix that averages over the slice thickness."""
    step = float(source[1] - source[0])
    count = max(1, int(np.ceil(thickness_mm / (0.25 * step))))
    offsets = ((np.arange(count) + 0.5) / count - 0.5) * thickness_mm
    return _weighted(source, target, offsets, np.full(count, 1.0 / count))


def _weighted(
    source: Places, target: Places, offsets: Places, weights: npt.NDArray[np.floating]
) -> FloatArray:
    step = float(source[1] - source[0])
    target = np.asarray(target, np.float64)  # in float32 the last place may round out of reach
    matrix = np.zeros((len(target), len(source)), dtype=np.float64)
    rows = np.arange(len(target))
    for offset, weight in zip(offsets, weights):
        position = np.clip((target + offset - source[0]) / step, 0, len(source) - 1.000001)
        first = position.astype(np.intp)
        fraction = position - first
        np.add.at(matrix, (rows, first), weight * (1 - fraction))
        np.add.at(matrix, (rows, first + 1), weight * fraction)
    return matrix.astype(np.float32)


def spread_mm(profile: ScannerProfile, kernel: str, pixel_mm: float) -> float:
    """Return the in-plane FWHM of a kernel class on a scanner; at least half a pixel."""
    return max(MTF_FWHM_MM[kernel] * profile.sharpness, 0.5 * pixel_mm)


def noise_power(frequency_per_mm: npt.NDArray[np.floating], kernel: str) -> npt.NDArray[np.float64]:
    """Return the shape of the noise power spectrum at radial frequencies, in no unit yet."""
    f = np.asarray(frequency_per_mm, dtype=np.float64)
    return f * np.exp(-2 * (f / NPS_CUTOFF_PER_MM[kernel]) ** 2)


def noise_amplitude(rows: int, columns: int, pixel_mm: float, kernel: str) -> FloatArray:
    """Return the filter on the rfft2 grid of (rows, columns) that keeps white noise at SD 1."""
    f_row = np.fft.fftfreq(rows, pixel_mm)[:, None]
    f_column = np.fft.rfftfreq(columns, pixel_mm)[None, :]
    power = noise_power(np.hypot(f_row, f_column), kernel)
    return np.sqrt(power / mean_power(power, columns)).astype(np.float32)


def mean_power(power: npt.NDArray[np.floating], columns: int) -> float:
    """Return the mean of an even spectrum given on the rfft2 grid of `columns` columns."""
    double = np.full(power.shape[1], 2.0)
    double[0] = 1.0
    if columns % 2 == 0:
        double[-1] = 1.0
    return float((power * double).sum()) / (power.shape[0] * columns)


def noise_across_slices(thickness_mm: float, increment_mm: float) -> FloatArray:
    """Return the weights over neighbouring white slices: overlapping slices share their noise."""
    shared = max(1, round(thickness_mm / increment_mm))
    weights = np.ones(shared, dtype=np.float32)
    return weights / np.sqrt(np.float32(shared))


def noise_sd(
    profile: ScannerProfile, kernel: str, *, thickness_mm: float, dose: float, size: float
) -> float:
    """Return the SD of the noise in the middle of the body, HU.

    Parameters
    ----------
    thickness_mm : float
        Slice thickness; the noise goes with its inverse square root.
    dose : float
        Against the standard; likewise.
    size : float
        From `size_factor`.
    """
    scale = np.sqrt(5.0 / max(thickness_mm, 0.1) / dose)
    return float(NOISE_SD_AT_5_MM_HU[kernel] * profile.noise_scale * scale * size)


def size_factor(hu: FloatArray, voxel_mm: float) -> float:
    """Return the noise of this patient against one of 300 mm water-equivalent diameter."""
    middle = hu[:: max(1, len(hu) // 12)]
    water = (np.clip(middle, -1000, 1000) + 1000).sum(axis=(1, 2)) / 1000 * voxel_mm**2
    diameter = 2 * float(np.sqrt(np.median(water) / np.pi))
    return float(np.clip((diameter / 300) ** 1.3, 0.6, 1.9))


def body_share(hu: FloatArray) -> FloatArray:
    """Return, for every eighth slice, a smooth map of how deep in the body a voxel lies, 0 to 1."""
    inside = (hu[::SHARE_STEP] > -400).astype(np.float32)
    return ndimage.gaussian_filter(inside, (0.0, 10.0, 10.0), mode="nearest", truncate=2.0)


def cupping(
    profile: ScannerProfile, y_mm: npt.NDArray[np.floating], x_mm: npt.NDArray[np.floating]
) -> FloatArray:
    """Return the HU missing at places relative to the centre of the field, an (R, C) array."""
    radius = np.hypot(y_mm[:, None], x_mm[None, :])
    return (profile.cupping_hu * np.clip(1 - (radius / 150) ** 2, 0, 1)).astype(np.float32)
