"""The label map of anatomy, by reference, on any other grid."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from preprocess.arrays import Array, array_namespace, like
from preprocess.exceptions import PreprocessError, RegionError
from preprocess.grid import Grid
from preprocess.region import REGION_FOLDER, SLAB_KEYS, open_part

ORGANS_KEYS = SLAB_KEYS | {"geometry", "labels"}
"""What an ORGANS tensor says."""


@dataclass(frozen=True, slots=True, eq=False)
class OrganMap:
    """What anatomy found."""

    labels: Array
    """(S, R, C) of uint8, index of a name; what is asked of it lies where it does."""

    names: tuple[str, ...]
    """The first is the background."""

    grid: Grid
    """Where it lies."""

    def beside(self, array: Array) -> OrganMap:
        """Give the same map where another array lies."""
        if array_namespace(array) is array_namespace(self.labels):
            return self
        return OrganMap(like(array, self.labels), self.names, self.grid)

    def on(self, shape: Sequence[int], geometry: NDArray[np.float64]) -> Array:
        """Give the label of the nearest voxel for each voxel of another grid.

        Parameters
        ----------
        shape : (S, R, C)
        geometry : (4, 4) ndarray of float64
            Voxel of that grid → LPS mm; its axes are parallel to this map's, as those of all
            grids of one volume are.

        Returns
        -------
        (S, R, C) array of uint8
            0 beyond the map.

        Raises
        ------
        RegionError
            When the axes are not parallel.
        """
        step = np.linalg.inv(self.grid.affine) @ geometry
        if np.abs(step[:3, :3] - np.diag(np.diag(step[:3, :3]))).max() > PARALLEL:
            raise RegionError("ORGANS and the volume do not have the same axes.")
        xp = array_namespace(self.labels)
        out = xp.zeros(tuple(shape), xp.uint8)
        inside, taken = [], []
        for axis, (count, held) in enumerate(zip(shape, self.labels.shape)):
            index = np.rint(step[axis, 3] + step[axis, axis] * np.arange(count)).astype(np.int64)
            known = np.flatnonzero((index >= 0) & (index < held))
            # of parallel axes, what is known is one part of each
            inside.append(slice(int(known[0]), int(known[-1]) + 1) if known.size else slice(0))
            taken.append(index[known])
        if all(index.size for index in taken):
            part = xp.ix_(*(xp.asarray(index) for index in taken))
            out[tuple(inside)] = self.labels[part]
        return out

    def mask(
        self, organs: Iterable[str], shape: Sequence[int], geometry: NDArray[np.float64]
    ) -> Array:
        """Give the voxels of another grid that lie in any of some organs; see `on`.

        Raises
        ------
        RegionError
            When anatomy knows no such organ.
        """
        values = []
        for name in organs:
            if name not in self.names[1:]:
                raise RegionError(f"ORGANS has no {name!r}.")
            values.append(self.names.index(name))
        chosen = like(self.labels, np.isin(np.arange(256), values))
        return chosen[self.on(shape, geometry)]


PARALLEL = 1e-3
"""Largest entry off the diagonal, voxels a voxel: half a voxel over 500."""


def open_organs(organs: str | bytes, *, folder: Path = REGION_FOLDER) -> OrganMap:
    """Map the label map that an ORGANS tensor names, without copying it.

    Parameters
    ----------
    organs : str or bytes
        JSON ``{"region": name, "offset": bytes, "shape": [S, R, C], "geometry": 4 × 4 numbers,
        "labels": names}``.
    folder : Path
        Where regions lie.

    Raises
    ------
    RegionError
        As `preprocess.region.open_slab`, and for a geometry or labels that cannot be read.
    """
    try:
        value = json.loads(organs)
    except (ValueError, UnicodeDecodeError):
        raise RegionError("ORGANS is not JSON.") from None
    if not isinstance(value, dict) or set(value) != ORGANS_KEYS:
        raise RegionError(f"ORGANS must have exactly the keys {', '.join(sorted(ORGANS_KEYS))}.")
    names = value["labels"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise RegionError("the labels of ORGANS must be a list of names.")
    labels: NDArray[np.uint8] = open_part(value, np.uint8, "ORGANS", folder=folder)
    try:
        affine = np.array(value["geometry"], np.float64)
        grid = Grid((labels.shape[0], labels.shape[1], labels.shape[2]), affine)
    except (TypeError, ValueError, PreprocessError) as error:
        raise RegionError(f"the geometry of ORGANS: {error}") from None
    return OrganMap(labels, tuple(names), grid)
