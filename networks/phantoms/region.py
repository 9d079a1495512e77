"""Scan a box of a scene straight onto a network's grid.

What `acquire` and then `preprocess.resample` would give there, in milliseconds and without the
scan in between: both are linear and separable, so each axis is one matrix, and the noise is drawn
on the small grid with the spectrum that the resampled noise would have.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from networks.phantoms.artefacts import ArtefactField, Artefacts
from networks.phantoms.lesion import FineGrid, Lesion
from networks.phantoms.profiles import EDGE_ENHANCEMENT, KERNELS, ScannerProfile
from networks.phantoms.region_noise import region_noise, scan_weights
from networks.phantoms.response import (
    EDGE_BLUR_MM,
    NOISE_IN_AIR,
    SHARE_STEP,
    body_share,
    cupping,
    noise_sd,
    point_spread,
    size_factor,
    slice_profile,
    spread_mm,
)
from networks.phantoms.scene import Scene

FloatArray = npt.NDArray[np.float32]
Axes = tuple[FloatArray, FloatArray, FloatArray]

PIXEL_MM = 0.75
"""Pixel of the scan that is left out: about 380 mm on 512 columns."""

SHARE_REACH = 20
"""Phantom voxels over which `response.body_share` looks around."""


@dataclass(frozen=True)
class RegionGrid:
    """A box of voxels in patient mm, the edges along each axis its own.

    Attributes
    ----------
    origin_mm : (z, y, x) tuple of float
        LPS mm of the centre of voxel (0, 0, 0): z superior, y posterior, x left.
    spacing_mm : (z, y, x) tuple of float
        Between voxel centres.
    shape : (S, R, C) tuple of int
        Slices inferior to superior, rows anterior to posterior, columns right to left.
    """

    origin_mm: tuple[float, float, float]
    spacing_mm: tuple[float, float, float]
    shape: tuple[int, int, int]

    @classmethod
    def over(cls, low_mm: npt.ArrayLike, high_mm: npt.ArrayLike, spacing_mm: npt.ArrayLike,
             *, multiple: int = 1) -> RegionGrid:  # fmt: skip
        """Lay voxels over the box between two corners (z, y, x), LPS mm.

        The count along each axis is rounded up to a multiple; the middle stays in the middle.
        """
        low, high = np.asarray(low_mm, float), np.asarray(high_mm, float)
        return cls.around(
            0.5 * (low + high),
            np.ceil((high - low) / np.asarray(spacing_mm, float) / multiple).astype(int) * multiple,
            spacing_mm,
        )

    @classmethod
    def around(
        cls, centre_mm: npt.ArrayLike, shape: npt.ArrayLike, spacing_mm: npt.ArrayLike
    ) -> RegionGrid:
        """Lay a given number of voxels around a point (z, y, x), LPS mm."""
        count = np.maximum(np.asarray(shape, int), 1)
        spacing = np.asarray(spacing_mm, float)
        z, y, x = (np.asarray(centre_mm, float) - 0.5 * (count - 1) * spacing).tolist()
        (s, r, c), (dz, dy, dx) = count.tolist(), spacing.tolist()
        return cls((z, y, x), (dz, dy, dx), (s, r, c))

    @property
    def axes(self) -> Axes:
        """Voxel centres along z, y and x, mm."""
        z, y, x = (
            (low + step * np.arange(count)).astype(np.float32)
            for low, step, count in zip(self.origin_mm, self.spacing_mm, self.shape, strict=True)
        )
        return z, y, x

    @property
    def affine(self) -> npt.NDArray[np.float64]:
        """Map (slice, row, column, 1) to LPS mm, (4, 4)."""
        matrix = np.zeros((4, 4))
        matrix[[2, 1, 0], [0, 1, 2]] = self.spacing_mm
        matrix[:3, 3] = self.origin_mm[::-1]
        matrix[3, 3] = 1.0
        return matrix


def acquire_region(
    scene: Scene,
    profile: ScannerProfile,
    rng: np.random.Generator,
    grid: RegionGrid,
    *,
    kernel: str = "soft",
    thickness_mm: float = 1.0,
    increment_mm: float | None = None,
    dose: float = 1.0,
    bias_hu: float | None = None,
    pixel_mm: float = PIXEL_MM,
    artefacts: Artefacts | None = None,
) -> FloatArray:
    """Return what a network would be given of a scan of this scene.

    Parameters
    ----------
    scene : Scene
        The patient with all that was planted.
    profile : ScannerProfile
        The scanner.
    rng : Generator
        Draws drift and noise.
    grid : RegionGrid
        The network's grid.
    kernel : str
        One of `networks.phantoms.profiles.KERNELS`.
    thickness_mm, increment_mm : float
        Of the scan's slices; they abut by default.
    dose : float
        Against the standard; noise goes with its inverse square root.
    bias_hu : float, optional
        Overrides the drawn systematic error.
    pixel_mm : float
        Pixel of the scan; its field of view is 512 of them.
    artefacts : Artefacts, optional
        What is wrong with the images; nothing by default.

    Returns
    -------
    (S, R, C) ndarray of float32
        HU. Beyond the phantom its edge goes on.
    """
    if kernel not in KERNELS:
        raise ValueError(f"kernel must be one of {', '.join(KERNELS)}, not {kernel!r}")
    step = thickness_mm if increment_mm is None else increment_mm
    drift = float(np.clip(rng.normal(0, 0.6), -1.2, 1.2))
    bias = profile.bias_hu + drift if bias_hu is None else bias_hu
    look = _Look(grid, profile, kernel, thickness_mm, step, pixel_mm)
    hu = look.at(scene.hu, FineGrid(_triple(scene.origin_mm), scene.spacing_mm, scene.hu.shape))
    for lesion in scene.lesions:
        look.add(hu, lesion)
    middle = scene.origin_mm + 0.5 * (np.array(scene.hu.shape) - 1) * scene.spacing_mm
    _, y, x = grid.axes
    hu += np.float32(bias) - cupping(profile, y - middle[1], x - middle[2])
    sd = noise_sd(profile, kernel, thickness_mm=thickness_mm, dose=dose,
                  size=size_factor(scene.hu, scene.spacing_mm))  # fmt: skip
    noise = region_noise(grid.shape, grid.spacing_mm, rng, kernel, thickness_mm, step, pixel_mm)
    share = _share(scene, grid)
    noise *= np.float32(sd) * (NOISE_IN_AIR + (1 - NOISE_IN_AIR) * share)
    hu += noise
    if artefacts is not None:
        wrong = ArtefactField(artefacts, y, x, (float(middle[1]), float(middle[2])),
                              256 * pixel_mm, max(grid.spacing_mm[1:]))  # fmt: skip
        for n, place in enumerate(grid.axes[0]):
            hu[n] += wrong.at(float(place), share[n])
    return np.maximum(hu, -1024, out=hu)


def share_on(lesion: Lesion, axes: Axes) -> FloatArray:
    """Return how much of each voxel of a grid a lesion's mask fills, (S, R, C), 0 to 1."""
    parts = []
    for places, low, count in zip(axes, lesion.grid.origin_mm, lesion.grid.shape, strict=True):
        source = low + lesion.grid.spacing_mm * np.arange(-1, count + 1)
        width = float(places[1] - places[0]) if len(places) > 1 else lesion.grid.spacing_mm
        parts.append(slice_profile(source, places, width)[:, 1:-1])
    return _through(lesion.mask.astype(np.float32), parts)


def mask_on(lesion: Lesion, axes: Axes) -> npt.NDArray[np.bool_]:
    """Return the voxels of a grid that a lesion's mask half fills, (S, R, C).

    A lesion too small for that has the one voxel that it fills most.
    """
    share = share_on(lesion, axes)
    mask: npt.NDArray[np.bool_] = share >= 0.5
    if not mask.any() and share.max() > 0:
        mask[np.unravel_index(share.argmax(), share.shape)] = True
    return mask


class _Look:
    """The way from a source grid through a scan to a network's grid, axis by axis."""

    def __init__(self, grid: RegionGrid, profile: ScannerProfile, kernel: str,
                 thickness_mm: float, increment_mm: float, pixel_mm: float) -> None:  # fmt: skip
        self._thickness_mm = thickness_mm
        self._fwhm_mm = spread_mm(profile, kernel, pixel_mm)
        self._enhancement = EDGE_ENHANCEMENT[kernel]
        self._pixel_mm = pixel_mm
        self._shape = grid.shape
        self._scan = [
            _scan_axis(axis, spacing, old)
            for axis, spacing, old in zip(
                grid.axes, grid.spacing_mm, (increment_mm, pixel_mm, pixel_mm), strict=True
            )
        ]

    def _ways(self, source: FineGrid, inner: slice) -> list[list[FloatArray]]:
        """Return the three matrices of the scan, and those of what edge enhancement subtracts."""
        plain: list[FloatArray] = []
        soft: list[FloatArray] = []
        for n, (places, weights) in enumerate(self._scan):
            low, step, count = source.origin_mm[n], source.spacing_mm, source.shape[n]
            pad = 0 if inner == slice(None) else 1
            axis = low + step * np.arange(-pad, count + pad)
            seen = (
                point_spread(axis, places, self._fwhm_mm)
                if n
                else slice_profile(axis, places, self._thickness_mm)
            )[:, inner]
            plain.append(weights @ seen)
            if self._enhancement:
                sigma = EDGE_BLUR_MM / self._pixel_mm
                blurred = (
                    ndimage.gaussian_filter1d(seen, sigma, axis=0, mode="nearest", truncate=2.5)
                    if n
                    else seen
                )
                soft.append(weights @ blurred)
        return [plain, soft] if soft else [plain]

    def at(self, values: FloatArray, source: FineGrid, inner: slice = slice(None)) -> FloatArray:
        """Return the scan of values on a source grid; `inner` drops a border of nothing."""
        plain, *soft = self._ways(source, inner)
        result = _through(values, plain)
        if soft:
            edge = np.float32(self._enhancement)
            result = (1 + edge) * result - edge * _through(values, soft[0])
        return result

    def add(self, hu: FloatArray, lesion: Lesion) -> None:
        """Add the scan of a lesion where it touches the grid."""
        if self._touches(lesion.grid):
            hu += self.at(lesion.delta_hu, lesion.grid, slice(1, -1))

    def _touches(self, patch: FineGrid) -> bool:
        reach = 3 * EDGE_BLUR_MM + 0.5 * self._thickness_mm
        return all(
            axis[0] - reach <= places[-1] and axis[-1] + reach >= places[0]
            for axis, (places, _) in zip(patch.axes, self._scan, strict=True)
        )


def _through(values: FloatArray, matrices: list[FloatArray]) -> FloatArray:
    """Apply one (targets, sources) matrix an axis; only what they touch is read and written."""
    used = [_span(m.any(axis=0)) for m in matrices]
    made = [_span(m.any(axis=1)) for m in matrices]
    z, y, x = (m[rows, columns] for m, rows, columns in zip(matrices, made, used, strict=True))
    part = np.tensordot(z, values[tuple(used)], axes=(1, 0))
    result = np.zeros([len(m) for m in matrices], np.float32)
    result[tuple(made)] = (y @ part) @ x.T
    return result


def _span(used: npt.NDArray[np.bool_]) -> slice:
    places = np.flatnonzero(used)
    return slice(int(places[0]), int(places[-1]) + 1) if places.size else slice(0, 0)


def _scan_axis(
    places: FloatArray, spacing_mm: float, old_mm: float
) -> tuple[npt.NDArray[np.float64], FloatArray]:
    """Return the centres of the scan's voxels under an axis, mm, and the resampling matrix."""
    size, matrix = scan_weights(len(places), spacing_mm, old_mm)
    middle = 0.5 * (float(places[0]) + float(places[-1]))
    return middle + old_mm * (np.arange(size) - 0.5 * (size - 1)), matrix


def _share(scene: Scene, grid: RegionGrid) -> FloatArray:
    """Return how deep in the body each voxel of a grid lies, 0 to 1, as `acquire` takes it."""
    z, y, x = grid.axes
    index = np.rint((z - scene.origin_mm[0]) / scene.spacing_mm).astype(int)
    index = np.clip(index, 0, len(scene.hu) - 1) // SHARE_STEP
    first, last = int(index.min()), int(index.max())
    planes = scene.hu[first * SHARE_STEP : last * SHARE_STEP + 1]
    boxes, places = [], []
    for n, axis in ((1, y), (2, x)):
        position = (axis - scene.origin_mm[n]) / scene.spacing_mm
        low = int(np.clip(np.floor(position[0]) - SHARE_REACH, 0, scene.hu.shape[n] - 2))
        high = int(np.clip(np.ceil(position[-1]) + SHARE_REACH, low + 1, scene.hu.shape[n] - 1))
        boxes.append(slice(low, high + 1))
        places.append(position - low)
    share = body_share(planes[:, boxes[0], boxes[1]])
    down, across = (
        slice_profile(np.arange(count, dtype=float), position, 0.1)
        for count, position in zip(share.shape[1:], places, strict=True)
    )
    return np.asarray((down @ share @ across.T)[index - first], np.float32)


def _triple(values: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    z, y, x = (float(value) for value in values)
    return z, y, x
