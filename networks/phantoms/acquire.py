"""Acquire a painted phantom: slice profile, point spread, noise, bias, field of view."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage

from networks.phantoms.profiles import (
    EDGE_ENHANCEMENT,
    KERNELS,
    MTF_FWHM_MM,
    NOISE_SD_AT_5_MM_HU,
    NPS_CUTOFF_PER_MM,
    ScannerProfile,
)

FloatArray = npt.NDArray[np.float32]

BLOCK_SLICES = 16
"""Slices worked on at a time; bounds the memory above the output."""

FWHM_PER_SD = 2.3548
"""Full width at half maximum of a Gaussian over its SD."""


@dataclass(frozen=True)
class Acquisition:
    """A scan as reconstructed.

    Attributes
    ----------
    hu : (S, R, C) ndarray of float32
        HU; -1024 outside the reconstruction circle.
    affine : (4, 4) ndarray of float64
        Maps (slice, row, column, 1) to LPS mm, shear included when the gantry was tilted.
    spacing_mm : tuple of float
        Along the table between slices, between rows, between columns.
    circle : (R, C) ndarray of bool
        True inside the reconstruction circle.
    """

    hu: FloatArray
    affine: npt.NDArray[np.float64]
    spacing_mm: tuple[float, float, float]
    circle: npt.NDArray[np.bool_]
    thickness_mm: float
    kernel: str
    bias_hu: float
    tilt_degrees: float


def _interpolation(source: npt.NDArray[np.floating], target: npt.NDArray[np.floating],
                   fwhm_mm: float) -> FloatArray:  # fmt: skip
    """Return the (targets, sources) matrix of linear interpolation blurred by a Gaussian.

    Beyond the source the edge value goes on.
    """
    step = float(source[1] - source[0])
    sd = fwhm_mm / FWHM_PER_SD
    reach = int(np.ceil(3 * sd / (0.25 * step)))
    offsets = np.arange(-reach, reach + 1) * 0.25 * step
    weights = np.exp(-0.5 * (offsets / max(sd, 1e-6)) ** 2)
    return _weighted(source, target, offsets, weights / weights.sum())


def _slice_profile(source: npt.NDArray[np.floating], target: npt.NDArray[np.floating],
                   thickness_mm: float) -> FloatArray:  # fmt: skip
    """Return the (targets, sources) matrix that averages over the slice thickness."""
    step = float(source[1] - source[0])
    count = max(1, int(np.ceil(thickness_mm / (0.25 * step))))
    offsets = ((np.arange(count) + 0.5) / count - 0.5) * thickness_mm
    return _weighted(source, target, offsets, np.full(count, 1.0 / count))


def _weighted(
    source: npt.NDArray[np.floating],
    target: npt.NDArray[np.floating],
    offsets: npt.NDArray[np.floating],
    weights: npt.NDArray[np.floating],
) -> FloatArray:
    step = float(source[1] - source[0])
    matrix = np.zeros((len(target), len(source)), dtype=np.float64)
    rows = np.arange(len(target))
    for offset, weight in zip(offsets, weights):
        position = np.clip((target + offset - source[0]) / step, 0, len(source) - 1.000001)
        first = position.astype(np.intp)
        fraction = position - first
        np.add.at(matrix, (rows, first), weight * (1 - fraction))
        np.add.at(matrix, (rows, first + 1), weight * fraction)
    return matrix.astype(np.float32)


def _noise_filter(matrix: int, pixel_mm: float, kernel: str) -> FloatArray:
    """Return the amplitude filter on the rfft2 grid, scaled so that white noise keeps SD 1."""
    f_row = np.fft.fftfreq(matrix, pixel_mm)[:, None]
    f_column = np.fft.rfftfreq(matrix, pixel_mm)[None, :]
    f = np.hypot(f_row, f_column)
    amplitude = np.sqrt(f) * np.exp(-((f / NPS_CUTOFF_PER_MM[kernel]) ** 2))
    double = np.full(f_column.shape[1], 2.0)
    double[0] = 1.0
    if matrix % 2 == 0:
        double[-1] = 1.0
    power = float((amplitude**2 * double).sum()) / matrix**2
    return (amplitude / np.sqrt(power)).astype(np.float32)


def _noise_across_slices(thickness_mm: float, increment_mm: float) -> FloatArray:
    """Return the weights over neighbouring white slices: overlapping slices share their noise."""
    shared = max(1, round(thickness_mm / increment_mm))
    weights = np.ones(shared, dtype=np.float32)
    return weights / np.sqrt(np.float32(shared))


def acquire(
    hu: FloatArray,
    affine: npt.NDArray[np.float64],
    profile: ScannerProfile,
    rng: np.random.Generator,
    *,
    kernel: str = "soft",
    matrix: int = 512,
    fov_mm: float | None = None,
    centre_mm: tuple[float, float] | None = None,
    thickness_mm: float = 1.0,
    increment_mm: float = 1.0,
    slices: int | None = None,
    first_slice_mm: float | None = None,
    tilt_degrees: float = 0.0,
    dose: float = 1.0,
    bias_hu: float | None = None,
) -> Acquisition:
    """Reconstruct a phantom on the scanner's own grid.

    Parameters
    ----------
    hu : (S, R, C) ndarray of float32
        Painted phantom, cubic voxels.
    affine : (4, 4) ndarray
        Maps its (slice, row, column, 1) to LPS mm.
    profile : ScannerProfile
        The scanner.
    rng : Generator
        Draws noise and drift.
    kernel : str
        One of `networks.phantoms.profiles.KERNELS`.
    matrix : int
        Rows and columns of the output.
    fov_mm : float, optional
        Diameter of the reconstruction circle; by default it holds the phantom's grid, 500 at most.
    centre_mm : tuple of float, optional
        (y, x) of the circle's centre; the middle of the phantom's grid by default.
    thickness_mm, increment_mm : float
        Width of the box-shaped slice profile, and table feed between slices.
    slices : int, optional
        Number of slices; what the phantom holds by default.
    first_slice_mm : float, optional
        z of the lowest slice; by default the slices are centred on the phantom.
    tilt_degrees : float
        Gantry tilt: the top of the gantry leans towards the feet when positive.
    dose : float
        Against the standard; noise goes with its inverse square root.
    bias_hu : float, optional
        Overrides the drawn systematic error.

    Returns
    -------
    Acquisition

    Raises
    ------
    ValueError
        For an unknown kernel, or more slices than the phantom holds.

    Notes
    -----
    Resolution is limited by the phantom's own voxels as well as by the kernel.
    Not modelled yet: rings, streaks, metal, motion, helical artefacts.
    """
    if kernel not in KERNELS:
        raise ValueError(f"kernel must be one of {', '.join(KERNELS)}, not {kernel!r}")
    voxel = float(affine[2, 0])
    z_source, y_source, x_source = (
        affine[2 - axis, 3] + voxel * np.arange(hu.shape[axis]) for axis in range(3)
    )
    extent = z_source[-1] - z_source[0]
    most = int(extent // increment_mm) + 1
    count = most if slices is None else slices
    if not 1 <= count <= most:
        raise ValueError(f"slices must lie between 1 and {most} at {increment_mm} mm, not {count}")
    if first_slice_mm is None:
        first_slice_mm = float(0.5 * (z_source[0] + z_source[-1] - (count - 1) * increment_mm))
    z_target = first_slice_mm + increment_mm * np.arange(count)
    width = max(x_source[-1] - x_source[0], y_source[-1] - y_source[0])
    fov = float(fov_mm if fov_mm is not None else np.clip(width, 300, 500))
    centre = centre_mm or (
        float(0.5 * (y_source[0] + y_source[-1])), float(0.5 * (x_source[0] + x_source[-1])),
    )  # fmt: skip
    pixel = fov / matrix
    grid = (np.arange(matrix) - 0.5 * (matrix - 1)) * pixel
    tilt = np.deg2rad(tilt_degrees)
    x_target, y_target = centre[1] + grid, centre[0] + grid * np.cos(tilt)

    fwhm = MTF_FWHM_MM[kernel] * profile.sharpness
    to_rows = _interpolation(y_source, y_target, max(fwhm, 0.5 * pixel))
    to_columns = np.ascontiguousarray(_interpolation(x_source, x_target, max(fwhm, 0.5 * pixel)).T)
    outside_y = (y_target < y_source[0] - voxel) | (y_target > y_source[-1] + voxel)
    outside_x = (x_target < x_source[0] - voxel) | (x_target > x_source[-1] + voxel)
    circle = np.hypot(grid[:, None], grid[None, :]) <= 0.5 * fov
    drift = float(np.clip(rng.normal(0, 0.6), -1.2, 1.2))
    bias = profile.bias_hu + drift if bias_hu is None else bias_hu
    cup = bias - profile.cupping_hu * np.clip(
        1 - (np.hypot(grid[:, None], grid[None, :]) / 150) ** 2, 0, 1
    )
    sd = (
        NOISE_SD_AT_5_MM_HU[kernel] * profile.noise_scale
        * np.sqrt(5.0 / max(thickness_mm, 0.1) / dose) * _size_factor(hu, voxel)
    )  # fmt: skip
    amplitude = _noise_filter(matrix, pixel, kernel)
    across = _noise_across_slices(thickness_mm, increment_mm)
    white: list[FloatArray] = [
        rng.standard_normal((matrix, matrix), dtype=np.float32) for _ in range(len(across) - 1)
    ]
    coarse = _body_share(hu)

    out = np.empty((count, matrix, matrix), dtype=np.float32)
    lean = (y_source - centre[0]) * np.tan(tilt)
    for start in range(0, count, BLOCK_SLICES):
        z_block = z_target[start : start + BLOCK_SLICES]
        slab = _slab(hu, z_source, z_block, thickness_mm, lean if tilt_degrees else None)
        for n in range(len(z_block)):
            image = (to_rows @ slab[n]) @ to_columns
            image[outside_y] = -1000
            image[:, outside_x] = -1000
            if EDGE_ENHANCEMENT[kernel]:
                soft = ndimage.gaussian_filter(image, 1.2 / pixel, mode="nearest", truncate=2.5)
                image += np.float32(EDGE_ENHANCEMENT[kernel]) * (image - soft)
            white.append(rng.standard_normal((matrix, matrix), dtype=np.float32))
            mixed = white[0] * across[0]
            for weight, part in zip(across[1:], white[1:]):
                mixed += weight * part
            white.pop(0)
            noise = fft.irfft2(fft.rfft2(mixed) * amplitude, s=(matrix, matrix))
            nearest = int(np.clip(np.searchsorted(z_source, z_block[n]), 0, len(z_source) - 1))
            share = (to_rows @ coarse[min(nearest // 8, len(coarse) - 1)]) @ to_columns
            noise *= np.float32(sd) * (0.3 + 0.7 * share)
            image += noise
            image += cup
            np.maximum(image, -1024, out=image)
            image[~circle] = -1024
            out[start + n] = image
    matrix_affine = np.eye(4)
    matrix_affine[:3, 0] = (0, 0, increment_mm)
    matrix_affine[:3, 1] = (0, pixel * np.cos(tilt), pixel * np.sin(tilt))
    matrix_affine[:3, 2] = (pixel, 0, 0)
    matrix_affine[:3, 3] = (x_target[0], y_target[0], z_target[0] + grid[0] * np.sin(tilt))
    return Acquisition(
        hu=out, affine=matrix_affine, spacing_mm=(increment_mm, pixel, pixel), circle=circle,
        thickness_mm=thickness_mm, kernel=kernel, bias_hu=float(bias), tilt_degrees=tilt_degrees,
    )  # fmt: skip


def _slab(
    hu: FloatArray,
    z_source: npt.NDArray[np.floating],
    z_block: npt.NDArray[np.floating],
    thickness_mm: float,
    lean: npt.NDArray[np.floating] | None,
) -> FloatArray:
    """Average the phantom over the thickness of each slice of a block, each row at its own z."""
    if lean is None:
        near = thickness_mm + 2 * (z_source[1] - z_source[0])
        low = max(int(np.searchsorted(z_source, z_block[0] - near)), 0)
        high = min(int(np.searchsorted(z_source, z_block[-1] + near)) + 1, len(z_source))
        weights = _slice_profile(z_source[low:high], z_block, thickness_mm)
        return np.tensordot(weights, hu[low:high], axes=(1, 0))
    slab = np.empty((len(z_block), *hu.shape[1:]), dtype=np.float32)
    for row, shift in enumerate(lean):
        slab[:, row] = _slice_profile(z_source, z_block + shift, thickness_mm) @ hu[:, row]
    return slab


def _size_factor(hu: FloatArray, voxel_mm: float) -> float:
    """Return the noise of this patient against one of 300 mm water-equivalent diameter."""
    middle = hu[:: max(1, len(hu) // 12)]
    water = (np.clip(middle, -1000, 1000) + 1000).sum(axis=(1, 2)) / 1000 * voxel_mm**2
    diameter = 2 * float(np.sqrt(np.median(water) / np.pi))
    return float(np.clip((diameter / 300) ** 1.3, 0.6, 1.9))


def _body_share(hu: FloatArray) -> FloatArray:
    """Return, for every eighth slice, a smooth map of how deep in the body a voxel lies, 0 to 1."""
    inside = (hu[::8] > -400).astype(np.float32)
    return ndimage.gaussian_filter(inside, (0.0, 10.0, 10.0), mode="nearest", truncate=2.0)
