"""The label map of anatomy, by reference, on any other grid."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from preprocess.exceptions import PreprocessError, RegionError
from preprocess.grid import Grid
from preprocess.region import REGION_FOLDER, SLAB_KEYS, open_part

ORGANS_KEYS = SLAB_KEYS | {"geometry", "labels"}
"""What an ORGANS tensor says."""


@dataclass(frozen=True, slots=True, eq=False)
class OrganMap:
    """What anatomy found."""

    labels: NDArray[np.uint8]
    """(S, R, C), index of a name."""

    names: tuple[str, ...]
    """The first is the background."""

    grid: Grid
    """Where it lies."""

    def on(self, shape: Sequence[int], geometry: NDArray[np.float64]) -> NDArray[np.uint8]:
        """Give the label of the nearest voxel for each voxel of another grid.

        Parameters
        ----------
        shape : (S, R, C)
        geometry : (4, 4) ndarray of float64
            Voxel of that grid → LPS mm; its axes are parallel to this map's, as those of all
            grids of one volume are.

        Returns
        -------
        (S, R, C) ndarray of uint8
            0 beyond the map.

        Raises
        ------
        RegionError
            When the axes are not parallel.
        """
        step = np.linalg.inv(self.grid.affine) @ geometry
        if np.abs(step[:3, :3] - np.diag(np.diag(step[:3, :3]))).max() > PARALLEL:
            raise RegionError("ORGANS and the volume do not have the same axes.")
        out = np.zeros(tuple(shape), np.uint8)
        inside, taken = [], []
        for axis, (count, held) in enumerate(zip(shape, self.labels.shape)):
            index = np.rint(step[axis, 3] + step[axis, axis] * np.arange(count)).astype(np.int64)
            known = np.flatnonzero((index >= 0) & (index < held))
            inside.append(known)
            taken.append(index[known])
        if all(known.size for known in inside):
            out[np.ix_(*inside)] = self.labels[np.ix_(*taken)]
        return out

    def mask(
        self, organs: Iterable[str], shape: Sequence[int], geometry: NDArray[np.float64]
    ) -> NDArray[np.bool_]:
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
        return np.isin(self.on(shape, geometry), values)


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
