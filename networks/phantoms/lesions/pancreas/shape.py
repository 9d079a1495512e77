"""A lobulated ball that can be evaluated on any grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from networks.phantoms.lesion import FineGrid, FloatArray
from networks.phantoms.lesions.brush import ball, frame_along

WAVES = 9
"""Waves that make the surface uneven."""


@dataclass(frozen=True)
class Lump:
    """An ellipsoid whose surface is bent by a few waves; lengths in mm."""

    centre_mm: npt.NDArray[np.float64]
    radii_mm: npt.NDArray[np.float64]
    frame: npt.NDArray[np.float64]
    waves: npt.NDArray[np.float64]
    """(n, 5): wave vector z, y, x in rad/mm, phase, amplitude in mm."""

    @classmethod
    def draw(
        cls,
        rng: np.random.Generator,
        centre_mm: npt.ArrayLike,
        radius_mm: float,
        *,
        uneven: float,
        slender: float = 0.2,
        wavelength: tuple[float, float] = (0.9, 2.2),
    ) -> Lump:
        """Draw a lump.

        Parameters
        ----------
        radius_mm : float
            Of the ball of the same volume.
        uneven : float
            SD of the surface as a share of the radius.
        slender : float
            SD of the logarithm of the axes.
        wavelength : tuple of float
            Of the unevenness, in radii.
        """
        axes = np.exp(rng.normal(0, slender, 3))
        axes *= radius_mm / np.prod(axes) ** (1 / 3)
        direction = rng.standard_normal((WAVES, 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        wave = 2 * np.pi / (radius_mm * rng.uniform(*wavelength, (WAVES, 1)))
        phase = rng.uniform(0, 2 * np.pi, (WAVES, 1))
        height = np.full((WAVES, 1), uneven * radius_mm * np.sqrt(2 / WAVES))
        return cls(
            np.asarray(centre_mm, float),
            axes,
            frame_along(rng.standard_normal(3), rng),
            np.concatenate([direction * wave, phase, height], axis=1),
        )

    @property
    def reach_mm(self) -> float:
        """Radius of a ball that holds the lump."""
        return float(self.radii_mm.max() + 1.6 * self.waves[:, 4].sum() / np.sqrt(WAVES))

    def distance(self, grid: FineGrid) -> FloatArray:
        """Return the signed distance on a grid, about in mm, negative inside."""
        result = ball(grid, self.centre_mm, self.radii_mm, self.frame)
        z, y, x = grid.offsets(self.centre_mm)
        for a, b, c, phase, height in self.waves.astype(np.float32):
            result += height * np.sin(a * z + b * y + c * x + phase)
        return result


@dataclass(frozen=True)
class Cluster:
    """Balls that touch, like grapes; lengths in mm."""

    centres_mm: npt.NDArray[np.float64]
    """(n, 3)."""
    radii_mm: npt.NDArray[np.float64]

    @classmethod
    def draw(cls, rng: np.random.Generator, centre_mm: npt.ArrayLike, width_mm: float) -> Cluster:
        """Draw a cluster about `width_mm` wide: one cyst if small, more if large."""
        count = 1 + int(rng.integers(0, 3)) + int(width_mm // 7)
        share = 0.5 * width_mm / max(count, 1) ** (1 / 3)
        radii = share * rng.uniform(0.75, 1.25, count)
        centres = np.zeros((count, 3))
        for n in range(1, count):
            step = rng.standard_normal(3)
            beside = int(rng.integers(0, n))
            reach = 0.8 * (radii[n] + radii[beside])
            centres[n] = centres[beside] + step / np.linalg.norm(step) * reach
        centres -= centres.mean(axis=0)
        return cls(np.asarray(centre_mm, float) + centres, radii)

    @property
    def reach_mm(self) -> float:
        """Radius of a ball about the mean centre that holds the cluster."""
        away = np.linalg.norm(self.centres_mm - self.centres_mm.mean(axis=0), axis=1)
        return float((away + self.radii_mm).max())

    def distance(self, grid: FineGrid) -> FloatArray:
        """Return the signed distance on a grid, mm, negative inside."""
        result = np.full(grid.shape, 99.0, np.float32)
        for centre, radius in zip(self.centres_mm, self.radii_mm, strict=True):
            np.minimum(result, ball(grid, centre, radius), out=result)
        return result

    def between(self, grid: FineGrid) -> FloatArray:
        """Return how far a voxel is from the plane where two cysts meet, mm; 99 if alone."""
        ranked = np.full((2, *grid.shape), 99.0, np.float32)
        for centre, radius in zip(self.centres_mm, self.radii_mm, strict=True):
            value = ball(grid, centre, radius)
            ranked[1] = np.clip(value, ranked[0], ranked[1])
            np.minimum(ranked[0], value, out=ranked[0])
        return 0.5 * (ranked[1] - ranked[0])
