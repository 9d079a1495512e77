"""How well an ideal observer would see a lesion on the scan that is made of it.

d′² = Σ ∫ |ΔS(f)|² / NPS(f) df over the slices: ΔS is the scan of what the lesion adds, NPS that of
the scanner's noise as `acquire` draws it, and of the texture of the tissue around the lesion, which
hides it like noise (pipelines.md §6.3). Slices that share noise or texture are decorrelated first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import fft, linalg

from networks.phantoms.lesion import FineGrid, FloatArray
from networks.phantoms.paint import EDGE_BLUR_VOXELS, TEXTURE_CORRELATION_MM
from networks.phantoms.profiles import EDGE_ENHANCEMENT, ScannerProfile
from networks.phantoms.response import (
    EDGE_BLUR_MM,
    FWHM_PER_SD,
    NOISE_IN_AIR,
    SHARE_STEP,
    body_share,
    mean_power,
    noise_across_slices,
    noise_power,
    noise_sd,
    point_spread,
    size_factor,
    slice_profile,
    spread_mm,
)
from networks.phantoms.scene import Scene
from networks.phantoms.tissue import TISSUE_COUNT

PIXEL_MM = 0.75
"""Pixel of the scan that is judged on: about 380 mm on 512 columns."""

MOST_PIXELS = 192
"""Across a patch; a wider one is judged on larger pixels, since its detail is coarse."""

NPS_FLOOR = 0.05
"""Share of the noise spectrum's peak that is never undercut: electronic noise and the rounding to
whole HU are white, while the model's spectrum vanishes at high frequencies, where an ideal observer
would then see the faintest edge."""

TEXTURE_SD_HU = 6.0
"""Texture where no scene is given: that of soft organs (`hu.py`: liver 4, pancreas 7, muscle 8)."""

TEXTURE_VOXEL_MM = 2.0
"""Voxel that such a texture was painted on."""


@dataclass(frozen=True, kw_only=True)
class Judge:
    """Gives d′ of a patch on one scan.

    Attributes
    ----------
    profile, kernel, thickness_mm, increment_mm, dose
        The scan, as for `networks.phantoms.acquire.acquire`.
    size : float
        Noise of this patient against one of 300 mm, from `response.size_factor`.
    first_slice_mm : float
        z of any slice of the scan, patient mm.
    pixel_mm : float
        Pixel of the scan.
    scene : Scene, optional
        The patient; gives the texture, and the noise at the place, of what is judged.
    texture_sd_hu : float
        SD of the texture where there is no scene.
    """

    profile: ScannerProfile
    kernel: str = "soft"
    thickness_mm: float = 1.0
    increment_mm: float = 1.0
    dose: float = 1.0
    size: float = 1.0
    first_slice_mm: float = 0.0
    pixel_mm: float = PIXEL_MM
    scene: Scene | None = None
    texture_sd_hu: float = TEXTURE_SD_HU

    @classmethod
    def of(
        cls,
        scene: Scene,
        profile: ScannerProfile,
        *,
        kernel: str = "soft",
        thickness_mm: float = 1.0,
        increment_mm: float | None = None,
        dose: float = 1.0,
        first_slice_mm: float = 0.0,
        pixel_mm: float = PIXEL_MM,
    ) -> Judge:
        """Make the judge of a scan of a scene; slices abut by default."""
        return cls(
            profile=profile, kernel=kernel, thickness_mm=thickness_mm,
            increment_mm=thickness_mm if increment_mm is None else increment_mm, dose=dose,
            size=size_factor(scene.hu, scene.spacing_mm), first_slice_mm=first_slice_mm,
            pixel_mm=pixel_mm, scene=scene,
        )  # fmt: skip

    def __call__(self, grid: FineGrid, delta_hu: FloatArray) -> float:
        """Return d′ of what a patch adds.

        Parameters
        ----------
        grid : FineGrid
            Where the patch lies.
        delta_hu : (S, R, C) ndarray of float32
            HU added.
        """
        signal, pixel = self._signal(grid, delta_hu)
        if not len(signal):
            return 0.0
        rows, columns = (fft.next_fast_len(int(1.5 * n) + 16, real=True) for n in signal.shape[1:])
        f_row, f_column = np.fft.fftfreq(rows, pixel), np.fft.rfftfreq(columns, pixel)
        radius = np.hypot(f_row[:, None], f_column[None, :])
        gain = 1 + EDGE_ENHANCEMENT[self.kernel] * (
            1 - np.exp(-2 * (np.pi * EDGE_BLUR_MM * radius) ** 2)
        )
        spectrum = fft.rfft2(signal, s=(rows, columns)) * (gain * pixel**2)
        sd, texture_sd, voxel = self._surroundings(grid, delta_hu)
        noise = self._noise(radius) * sd**2
        blur = spread_mm(self.profile, self.kernel, self.pixel_mm) / FWHM_PER_SD
        texture = (
            texture_sd**2 * _texture_power(f_row, voxel)[:, None]
            * _texture_power(f_column, voxel)[None, :]
            * (gain * np.exp(-2 * (np.pi * blur * radius) ** 2)) ** 2
        )  # fmt: skip
        modes, shares = self._slice_modes(len(signal), voxel)
        apart = np.tensordot(modes.T, spectrum, axes=(1, 0))
        d2 = 0.0
        for part, share in zip(apart, shares, strict=True):
            seen = (part.real**2 + part.imag**2) / (noise + share * texture)
            d2 += mean_power(seen, columns) / pixel**2
        return float(np.sqrt(d2))

    def _signal(self, grid: FineGrid, delta_hu: FloatArray) -> tuple[FloatArray, float]:
        """Return the scan of a patch, (slices, rows, columns), and the pixel used, mm."""
        step = grid.spacing_mm
        axes = [low + step * np.arange(-1, n + 1)
                for low, n in zip(grid.origin_mm, grid.shape, strict=True)]  # fmt: skip
        reach = 0.5 * (self.thickness_mm + step)
        first = np.ceil((axes[0][0] - reach - self.first_slice_mm) / self.increment_mm)
        last = np.floor((axes[0][-1] + reach - self.first_slice_mm) / self.increment_mm)
        places = self.first_slice_mm + self.increment_mm * np.arange(first, last + 1)
        value = np.tensordot(
            slice_profile(axes[0], places, self.thickness_mm)[:, 1:-1], delta_hu, axes=(1, 0)
        )
        width = step * max(grid.shape[1:])
        pixel = max(self.pixel_mm, width / MOST_PIXELS)
        fwhm = spread_mm(self.profile, self.kernel, pixel)
        down, across = (
            point_spread(axis, np.arange(axis[0] - 2 * fwhm, axis[-1] + 2 * fwhm, pixel), fwhm)
            for axis in axes[1:]
        )
        return (down[:, 1:-1] @ value) @ across[:, 1:-1].T, pixel

    def _noise(self, radius: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the noise spectrum of a slice of SD 1 HU at radial frequencies, HU² mm²."""
        size = 256
        f = np.fft.fftfreq(size, self.pixel_mm)
        power = noise_power(np.hypot(f[:, None], f[None, : size // 2 + 1]), self.kernel)
        scale = self.pixel_mm**2 / mean_power(power, size)
        peak = float(power.max())
        return scale * np.maximum(noise_power(radius, self.kernel), NPS_FLOOR * peak)

    def _surroundings(self, grid: FineGrid, delta_hu: FloatArray) -> tuple[float, float, float]:
        """Return SD of noise and of texture in HU, and the texture's voxel in mm, at a patch."""
        sd = noise_sd(self.profile, self.kernel, thickness_mm=self.thickness_mm, dose=self.dose,
                      size=self.size)  # fmt: skip
        if self.scene is None:
            return sd, self.texture_sd_hu, TEXTURE_VOXEL_MM
        weight = delta_hu.astype(np.float64) ** 2
        if not weight.any():
            return sd, self.texture_sd_hu, self.scene.spacing_mm
        tissues = self.scene.tissue_on(grid)
        amount = np.bincount(tissues.ravel(), weight.ravel(), TISSUE_COUNT)
        variance = float(amount @ self.scene.table.sd.astype(np.float64) ** 2 / amount.sum())
        z, y, x = (
            float((axis * weight.sum(axis=tuple(n for n in range(3) if n != a))).sum())
            / float(weight.sum())
            for a, axis in enumerate(grid.axes)
        )
        sd *= NOISE_IN_AIR + (1 - NOISE_IN_AIR) * _share_at(self.scene, (z, y, x))
        return sd, float(np.sqrt(variance)), self.scene.spacing_mm

    def _slice_modes(
        self, count: int, voxel_mm: float
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return combinations of slices, in columns, of unit noise, and the texture that each has.

        They diagonalise the covariance of noise and of texture between slices together.
        """
        apart = np.abs(np.subtract.outer(np.arange(count), np.arange(count)))
        shared = len(noise_across_slices(self.thickness_mm, self.increment_mm))
        noise = np.clip(1 - apart / shared, 0, None)
        step = 0.005 / voxel_mm
        f = step * (np.arange(400) + 0.5)
        power = _texture_power(f, voxel_mm) * np.sinc(f * self.thickness_mm) ** 2
        lags = self.increment_mm * np.arange(count)
        texture = 2 * step * (power * np.cos(2 * np.pi * f * lags[:, None])).sum(axis=1)
        shares, modes = linalg.eigh(texture[apart], noise)
        return modes, np.clip(shares, 0, None)


def _texture_power(f: npt.NDArray[np.float64], voxel_mm: float) -> npt.NDArray[np.float64]:
    """Return the spectrum along one axis, mm, of texture of SD 1 as `paint_labels` leaves it.

    White noise on voxels, smoothed to its correlation, blurred at the edges and read off linearly.
    """
    sigma = TEXTURE_CORRELATION_MM / FWHM_PER_SD / voxel_mm
    offsets = np.arange(-int(3 * sigma + 0.5), int(3 * sigma + 0.5) + 1)
    kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
    kernel /= kernel.sum()
    periodic = f * voxel_mm
    smooth = (kernel * np.cos(2 * np.pi * periodic[:, None] * offsets)).sum(axis=1)
    edges = np.exp(-2 * (np.pi * EDGE_BLUR_VOXELS * periodic) ** 2)
    power: npt.NDArray[np.float64] = (
        voxel_mm * (smooth * edges * np.sinc(periodic) ** 2) ** 2 / (kernel**2).sum()
    )
    return power


def _share_at(scene: Scene, point_mm: tuple[float, float, float]) -> float:
    """Return how deep in the body a point lies, 0 to 1, as the noise of `acquire` takes it."""
    s, r, c = scene.voxel(point_mm)
    plane = min(s // SHARE_STEP, (len(scene.hu) - 1) // SHARE_STEP) * SHARE_STEP
    box = [slice(max(n - 20, 0), n + 21) for n in (r, c)]
    share = body_share(scene.hu[plane : plane + 1, box[0], box[1]])
    return float(share[0, min(r, 20), min(c, 20)])
