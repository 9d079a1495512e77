"""What a pipeline is finished from, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from postprocess.exceptions import OutputError
from preprocess.arrays import Array, array_namespace, to_host
from preprocess.organs import OrganMap


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Given:
    """All that may be known of one request."""

    outputs: Mapping[str, Array]
    """Of the networks, by name; those that this pipeline has."""

    grid_hu: Array
    """(S, R, C) of int16, HU on the unpadded grid."""

    grid_geometry: NDArray[np.float64]
    """(4, 4), voxel of the grid → LPS mm."""

    post: Any
    """The recipe's, of `preprocess.posts`."""

    scan_hu: Array | None = None
    """(S, R, C) of int16, HU of the scan's own rows and columns, where the recipe has a table
    ``scan``."""

    scan_geometry: NDArray[np.float64] | None = None
    """(4, 4), voxel of `scan_hu` → LPS mm."""

    organs: OrganMap | None = None
    """What anatomy found; None where the caller did not say. It lies where `grid_hu` does."""

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Of the grid, mm, axis order."""
        s, r, c = np.linalg.norm(self.grid_geometry[:3, :3], axis=0)
        return float(s), float(r), float(c)

    def on_grid(self, name: str) -> Array:
        """Give an output of a byte a voxel, its padding cut off.

        Returns
        -------
        (S, R, C) array of uint8

        Raises
        ------
        OutputError
            When it is missing or smaller than the grid.
        """
        padded, shape = self.output(name), self.grid_hu.shape
        if (
            padded.ndim != 4
            or len(padded) != 1
            or any(a < b for a, b in zip(padded.shape[1:], shape))
        ):
            raise OutputError(f"{name} of shape {padded.shape} do not hold the grid {shape}.")
        cut = padded[0, : shape[0], : shape[1], : shape[2]]
        return array_namespace(padded).ascontiguousarray(cut)

    def numbers(self, name: str, count: int) -> NDArray[np.float64]:
        """Give an output of so many numbers a study.

        Returns
        -------
        (count,) ndarray of float64

        Raises
        ------
        OutputError
            When it is missing, has another shape or is not finite.
        """
        values = self.small(name)
        if values.shape != (1, count):
            raise OutputError(f"{name} must be (1, {count}); it is {values.shape}.")
        if not np.isfinite(values).all():
            raise OutputError(f"{name} is not finite.")
        return np.asarray(values[0], np.float64)

    def small(self, name: str) -> NDArray[Any]:
        """Give an output of the network on the host: a table; raises as `output`."""
        return to_host(self.output(name))

    def output(self, name: str) -> Array:
        """Give an output of the network.

        Raises
        ------
        OutputError
            When it is missing.
        """
        if name not in self.outputs:
            raise OutputError(
                f"a recipe of kind {self.post.kind} needs the output {name} of its network."
            )
        return self.outputs[name]


@dataclass(frozen=True, slots=True, eq=False)
class Finished:
    """The outer tensors of a pipeline."""

    scores: NDArray[np.float32]
    """(k,), never empty."""

    lesions: str
    """JSON ``{"lesions": [...], "measures": {...}}``."""

    mask: Array
    """(S, R, C) of uint8, label map on the unpadded grid."""

    mask_geometry: NDArray[np.float64]
    """(4, 4), voxel of the mask → LPS mm."""
