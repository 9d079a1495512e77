"""Acquire a painted phantom: slice profile, point spread, noise, bias, field of view."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage

from networks.phantoms.artefacts import ArtefactField, Artefacts
from networks.phantoms.lesion import Lesion
from networks.phantoms.profiles import EDGE_ENHANCEMENT, KERNELS, ScannerProfile
from networks.phantoms.response import (
    EDGE_BLUR_MM,
    NOISE_IN_AIR,
    SHARE_STEP,
    body_share,
    cupping,
    noise_across_slices,
    noise_amplitude,
    noise_sd,
    point_spread,
    size_factor,
    slice_profile,
    spread_mm,
)

FloatArray = npt.NDArray[np.float32]

BLOCK_SLICES = 16
"""Slices worked on at a time; bounds the memory above the output."""

MOST_THREADS = 4
"""Slices reconstructed at once; memory bandwidth is the limit beyond."""


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
    lesions: Sequence[Lesion] = (),
    artefacts: Artefacts | None = None,
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
    lesions : sequence of Lesion
        Patches whose HU are added to the phantom's.
    artefacts : Artefacts, optional
        What is wrong with the images; nothing by default.

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
    Not modelled: motion, helical artefacts.
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

    fwhm = spread_mm(profile, kernel, pixel)
    to_rows = point_spread(y_source, y_target, fwhm)
    to_columns = np.ascontiguousarray(point_spread(x_source, x_target, fwhm).T)
    patches = [
        _Patch(lesion, z_target, y_target, x_target, fwhm, thickness_mm,
               (centre[0], float(np.tan(tilt))) if tilt_degrees else None)
        for lesion in lesions
    ]  # fmt: skip
    outside_y = (y_target < y_source[0] - voxel) | (y_target > y_source[-1] + voxel)
    outside_x = (x_target < x_source[0] - voxel) | (x_target > x_source[-1] + voxel)
    circle = np.hypot(grid[:, None], grid[None, :]) <= 0.5 * fov
    beyond = ~circle
    drift = float(np.clip(rng.normal(0, 0.6), -1.2, 1.2))
    bias = profile.bias_hu + drift if bias_hu is None else bias_hu
    cup = np.float32(bias) - cupping(profile, grid, grid)
    sd = noise_sd(
        profile, kernel, thickness_mm=thickness_mm, dose=dose, size=size_factor(hu, voxel)
    )
    amplitude = noise_amplitude(matrix, matrix, pixel, kernel)
    across = noise_across_slices(thickness_mm, increment_mm)
    amplitude *= np.float32(sd)
    coarse = body_share(hu)
    shares: dict[int, FloatArray] = {}
    wrong = artefacts and ArtefactField(artefacts, y_target, x_target, centre, 0.5 * fov, pixel)
    noise_seed = int(rng.integers(2**63))

    out = np.empty((count, matrix, matrix), dtype=np.float32)

    def white(n: int) -> npt.NDArray[np.complex64]:
        return _white_spectrum(matrix, np.random.default_rng([noise_seed, n]))

    def reconstruct(n: int, averaged: FloatArray, whites: list[npt.NDArray[np.complex64]]) -> None:
        image = (to_rows @ averaged) @ to_columns
        image[outside_y] = -1000
        image[:, outside_x] = -1000
        for patch in patches:
            patch.add_to(image, n)
        if EDGE_ENHANCEMENT[kernel]:
            soft = ndimage.gaussian_filter(
                image, EDGE_BLUR_MM / pixel, mode="nearest", truncate=2.5
            )
            image += np.float32(EDGE_ENHANCEMENT[kernel]) * (image - soft)
        mixed = whites[0] * across[0]
        for weight, part in zip(across[1:], whites[1:]):
            mixed += weight * part
        mixed *= amplitude
        noise = fft.irfft2(mixed, s=(matrix, matrix), overwrite_x=True)
        share = shares[_plane(z_source, z_target[n])]
        noise *= NOISE_IN_AIR + (1 - NOISE_IN_AIR) * share
        image += noise
        if wrong:
            image += wrong.at(float(z_target[n]), share)
        image += cup
        np.maximum(image, -1024, out=image)
        np.copyto(image, -1024, where=beyond)
        out[n] = image

    lean = (y_source - centre[0]) * np.tan(tilt)
    with ThreadPoolExecutor(min(MOST_THREADS, len(os.sched_getaffinity(0)))) as pool:
        for start in range(0, count, BLOCK_SLICES):
            block = range(start, min(start + BLOCK_SLICES, count))
            slab = _slab(hu, z_source, z_target[block.start : block.stop], thickness_mm,
                         lean if tilt_degrees else None)  # fmt: skip
            for patch in patches:
                patch.prepare(start, len(block))
            planes = {_plane(z_source, z_target[n]) for n in block}
            shares = {n: (to_rows @ coarse[n]) @ to_columns for n in planes}
            whites = list(pool.map(white, range(start, block.stop + len(across) - 1)))
            parts = [whites[n : n + len(across)] for n in range(len(block))]
            for _ in pool.map(reconstruct, block, slab, parts):
                pass
    matrix_affine = np.eye(4)
    matrix_affine[:3, 0] = (0, 0, increment_mm)
    matrix_affine[:3, 1] = (0, pixel * np.cos(tilt), pixel * np.sin(tilt))
    matrix_affine[:3, 2] = (pixel, 0, 0)
    matrix_affine[:3, 3] = (x_target[0], y_target[0], z_target[0] + grid[0] * np.sin(tilt))
    return Acquisition(
        hu=out, affine=matrix_affine, spacing_mm=(increment_mm, pixel, pixel), circle=circle,
        thickness_mm=thickness_mm, kernel=kernel, bias_hu=float(bias), tilt_degrees=tilt_degrees,
    )  # fmt: skip


def _plane(z_source: npt.NDArray[np.floating], z_mm: float) -> int:
    """Return which plane of `body_share` belongs to a slice."""
    nearest = int(np.clip(np.searchsorted(z_source, z_mm), 0, len(z_source) - 1))
    return nearest // SHARE_STEP


def _white_spectrum(matrix: int, rng: np.random.Generator) -> npt.NDArray[np.complex64]:
    """Draw what rfft2 gives of white noise of SD 1.

    The first and last columns are not made even: irfft2 takes the real part of what they stand for,
    so they have twice the power.
    """
    draws = rng.standard_normal((matrix, matrix // 2 + 1, 2), dtype=np.float32)
    draws *= np.float32(matrix / np.sqrt(2))
    spectrum: npt.NDArray[np.complex64] = draws.view(np.complex64)[..., 0]
    spectrum[:, 0] *= np.float32(np.sqrt(2))
    if matrix % 2 == 0:
        spectrum[:, -1] *= np.float32(np.sqrt(2))
    return spectrum


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
        weights = slice_profile(z_source[low:high], z_block, thickness_mm)
        return np.tensordot(weights, hu[low:high], axes=(1, 0))
    slab = np.empty((len(z_block), *hu.shape[1:]), dtype=np.float32)
    for row, shift in enumerate(lean):
        slab[:, row] = slice_profile(z_source, z_block + shift, thickness_mm) @ hu[:, row]
    return slab


class _Patch:
    """The scan of one lesion: the rows, columns and slices that it touches, and what it adds."""

    def __init__(
        self,
        lesion: Lesion,
        z_target: npt.NDArray[np.floating],
        y_target: npt.NDArray[np.floating],
        x_target: npt.NDArray[np.floating],
        fwhm_mm: float,
        thickness_mm: float,
        tilt: tuple[float, float] | None,
    ) -> None:
        """Take the output's axes; `tilt` is the y it turns about and the slope dz/dy."""
        grid, step = lesion.grid, lesion.grid.spacing_mm
        self._delta = np.pad(lesion.delta_hu, 1)  # beyond the patch nothing is added
        self._z, y, x = (
            low + step * np.arange(-1, count + 1)
            for low, count in zip(grid.origin_mm, grid.shape, strict=True)
        )
        self._lean = None if tilt is None else (y - tilt[0]) * tilt[1]
        self._z_target, self._thickness_mm = z_target, thickness_mm
        lean = np.zeros(1) if self._lean is None else self._lean
        reach = 0.5 * thickness_mm
        self._first = int(np.searchsorted(z_target, self._z[0] - lean.max() - reach))
        self._stop = int(np.searchsorted(z_target, self._z[-1] - lean.min() + reach))
        near = 1.5 * fwhm_mm  # over three SD
        self._rows = slice(*np.searchsorted(y_target, (y[0] - near, y[-1] + near)))
        self._columns = slice(*np.searchsorted(x_target, (x[0] - near, x[-1] + near)))
        self._to_rows = point_spread(y, y_target[self._rows], fwhm_mm)
        self._to_columns = point_spread(x, x_target[self._columns], fwhm_mm).T
        self._start, self._slab = 0, np.empty((0, *self._delta.shape[1:]), np.float32)

    def prepare(self, start: int, count: int) -> None:
        """Average over the thickness of the slices of a block that are touched."""
        first, stop = max(start, self._first), min(start + count, self._stop)
        self._start = first
        self._slab = (
            _slab(self._delta, self._z, self._z_target[first:stop], self._thickness_mm, self._lean)
            if stop > first
            else self._slab[:0]
        )

    def add_to(self, image: FloatArray, n: int) -> None:
        """Add what the n-th slice holds of the lesion."""
        if self._start <= n < self._start + len(self._slab):
            part = self._to_rows @ self._slab[n - self._start] @ self._to_columns
            image[self._rows, self._columns] += part
