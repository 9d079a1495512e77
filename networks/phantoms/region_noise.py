"""The scanner's noise on a network's grid, as resampling a scan would leave it there."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import fft

from networks.phantoms.response import noise_across_slices, noise_power
from preprocess.weights import axis_weights

FloatArray = npt.NDArray[np.float32]


@lru_cache(maxsize=256)
def scan_weights(count: int, spacing_mm: float, old_mm: float) -> tuple[int, FloatArray]:
    """Return how many scan voxels lie under an axis, and the matrix that resamples them.

    There are a few more than needed, so that no edge of the scan is near; of the ways to have them
    that one is taken whose extent the grid's voxels fill best, as they do when a crop is resampled.
    """
    spare = np.arange(max(1, int(np.ceil(2 * old_mm / spacing_mm))), 40)
    exact = (count + 2 * spare) * spacing_mm / old_mm
    for n in np.argsort(np.abs(exact - np.rint(exact)).round(3), kind="stable"):
        size = round(exact[n])
        matrix = axis_weights(size, old_mm, spacing_mm)
        if len(matrix) == count + 2 * spare[n]:
            return size, matrix[spare[n] : spare[n] + count]
    raise ValueError(f"a scan at {old_mm} mm cannot be laid under voxels of {spacing_mm} mm")


def region_noise(
    shape: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
    rng: np.random.Generator,
    kernel: str,
    thickness_mm: float,
    increment_mm: float,
    pixel_mm: float,
) -> FloatArray:
    """Return the scanner's noise, of SD 1 in the scan, as resampling leaves it on a grid.

    Parameters
    ----------
    shape, spacing_mm : three int and float
        The grid, (S, R, C).
    kernel, thickness_mm, increment_mm, pixel_mm
        The scan that is resampled.

    Returns
    -------
    (S, R, C) ndarray of float32
        It repeats itself beyond the rows and columns.
    """
    count, rows, columns = shape
    mixed = _slice_root(count, spacing_mm[0], thickness_mm, increment_mm)
    white = rng.standard_normal((count, rows, columns), dtype=np.float32)
    white = (mixed @ white.reshape(count, -1)).reshape(white.shape)
    spectrum = fft.rfft2(white, axes=(1, 2))
    spectrum *= _resampled_amplitude(
        rows, columns, (spacing_mm[1], spacing_mm[2]), pixel_mm, kernel
    )
    noise: FloatArray = fft.irfft2(spectrum, s=(rows, columns), axes=(1, 2))
    return noise


@lru_cache(maxsize=64)
def _slice_root(
    count: int, spacing_mm: float, thickness_mm: float, increment_mm: float
) -> FloatArray:
    """Return a square root of the noise's covariance between the slices of the grid."""
    size, weights = scan_weights(count, spacing_mm, increment_mm)
    across = noise_across_slices(thickness_mm, increment_mm)
    shared = np.zeros((size, size + len(across) - 1))
    for n, weight in enumerate(across):
        shared[np.arange(size), np.arange(size) + n] = weight
    way = weights @ shared
    values, vectors = np.linalg.eigh(way @ way.T)
    return (vectors * np.sqrt(np.clip(values, 0, None))).astype(np.float32)


@lru_cache(maxsize=64)
def _resampled_amplitude(rows: int, columns: int, spacing_mm: tuple[float, float], pixel_mm: float,
                         kernel: str) -> FloatArray:  # fmt: skip
    """Return the filter on the rfft2 grid that gives white noise the resampled spectrum.

    Resampling takes each frequency of the scan to those of the grid that it folds onto; what it
    leaves of the power is the squared modulus of that linear map, axis by axis.
    """
    (down, n_rows), (across, n_columns) = (
        _power_map(count, step, pixel_mm)
        for count, step in zip((rows, columns), spacing_mm, strict=True)
    )
    f_row, f_column = np.fft.fftfreq(n_rows, pixel_mm), np.fft.fftfreq(n_columns, pixel_mm)
    power = noise_power(np.hypot(f_row[:, None], f_column[None, :]), kernel)
    resampled = down @ (power / power.mean()) @ across[: columns // 2 + 1].T
    return np.sqrt(resampled).astype(np.float32)


def _power_map(
    count: int, spacing_mm: float, pixel_mm: float
) -> tuple[npt.NDArray[np.float64], int]:
    """Return the (grid, scan) matrix from the scan's noise power to the grid's along one axis."""
    size, weights = scan_weights(count, spacing_mm, pixel_mm)
    way = np.fft.fft(np.fft.ifft(weights.astype(np.float64), axis=1), axis=0)
    return np.abs(way) ** 2 * (size / count), size
