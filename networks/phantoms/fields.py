"""Smooth random fields that are the same function at any voxel spacing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]

EXTENT_MM = ((-460.0, 460.0), (-340.0, 340.0), (-380.0, 380.0))
"""Range of (z, y, x) that a field is defined on; beyond it the edge value goes on."""

_SPLINE_GAIN = (151.0 / 315.0) ** 1.5
"""SD of a 3-D cubic B-spline of independent unit coefficients: the mean of the sum of squared
weights along one axis is 151/315."""


def _weights(
    position: npt.NDArray[np.floating], count: int
) -> tuple[npt.NDArray[np.intp], FloatArray]:
    """Return the first of four coefficient indices and the (n, 4) cubic B-spline weights."""
    position = np.clip(position, 1.0, count - 2.001)
    first = np.floor(position).astype(np.intp)
    t = (position - first).astype(np.float32)
    u = 1 - t
    weights = np.stack(
        [u**3 / 6, (3 * t**3 - 6 * t**2 + 4) / 6, (3 * u**3 - 6 * u**2 + 4) / 6, t**3 / 6], axis=-1
    )
    return first - 1, weights.astype(np.float32)


@dataclass(frozen=True)
class SmoothField:
    """A cubic B-spline field of given standard deviation over a grid of given step."""

    coefficients: FloatArray
    """(kz, ky, kx) spline coefficients."""

    step_mm: float

    @classmethod
    def draw(cls, rng: np.random.Generator, *, sd: float, step_mm: float) -> SmoothField:
        """Draw a field of standard deviation `sd` whose grid step is `step_mm`."""
        shape = [int(np.ceil((high - low) / step_mm)) + 4 for low, high in EXTENT_MM]
        noise = rng.standard_normal(shape, dtype=np.float32)
        return cls(noise * np.float32(sd / _SPLINE_GAIN), step_mm)

    def _position(self, axis: int, millimetres: npt.ArrayLike) -> npt.NDArray[np.floating]:
        low = EXTENT_MM[axis][0]
        return (np.asarray(millimetres, dtype=np.float64) - low) / self.step_mm + 1.0

    def on_grid(self, axes: tuple[FloatArray, FloatArray, FloatArray]) -> FloatArray:
        """Evaluate on the grid spanned by the (z, y, x) axes in mm; returns (S, R, C) float32."""
        value = self.coefficients
        for axis, millimetres in enumerate(axes):
            count = self.coefficients.shape[axis]
            first, weights = _weights(self._position(axis, millimetres), count)
            matrix = np.zeros((len(millimetres), count), dtype=np.float32)
            rows = np.arange(len(millimetres))
            for offset in range(4):
                matrix[rows, first + offset] = weights[:, offset]
            value = np.moveaxis(np.tensordot(matrix, value, axes=(1, axis)), 0, axis)
        return np.ascontiguousarray(value)


@dataclass(frozen=True)
class Warp:
    """A displacement in mm: the sum of vector fields of several scales."""

    layers: tuple[tuple[SmoothField, SmoothField, SmoothField], ...]

    @classmethod
    def draw(cls, rng: np.random.Generator, *scales: tuple[float, float]) -> Warp:
        """Draw one layer for each (sd_mm, step_mm)."""
        return cls(
            tuple(
                (
                    SmoothField.draw(rng, sd=sd, step_mm=step),
                    SmoothField.draw(rng, sd=sd, step_mm=step),
                    SmoothField.draw(rng, sd=sd, step_mm=step),
                )
                for sd, step in scales
            )
        )

    def on_grid(self, axes: tuple[FloatArray, FloatArray, FloatArray]) -> list[FloatArray]:
        """Return the z, y and x displacement on a grid, each (S, R, C) float32 in mm."""
        parts = []
        for component in range(3):
            total = self.layers[0][component].on_grid(axes)
            for layer in self.layers[1:]:
                total += layer[component].on_grid(axes)
            parts.append(total)
        return parts
