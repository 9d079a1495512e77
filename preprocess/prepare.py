"""One slab in HU → what a network takes, as its recipe says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from preprocess.arrays import Array, array_namespace, check_volume
from preprocess.grid import Grid
from preprocess.pad import pad
from preprocess.recipe import Recipe
from preprocess.resample import resample
from preprocess.window import window


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """The input of a network, and the grid that its answer lies on."""

    volume: Array
    """(1, channels, D, H, W) float32, 0 … 1, padded. The first axis counts tiles."""

    grid_hu: Array
    """(S, R, C) int16, HU on the unpadded grid."""

    grid_geometry: NDArray[np.float64]
    """(4, 4), voxel of the grid → LPS mm; the padding is at the far ends, so it holds for both."""


def prepare(
    slab: Array, *, geometry: NDArray[np.float64], roi: Sequence[int], recipe: Recipe
) -> Prepared:
    """Resample a region of a slab to the recipe's grid, pad it and window it.

    Parameters
    ----------
    slab : (S, R, C) array of int16 or float32
        HU.
    geometry : (4, 4) ndarray of float64
        Voxel of the slab → LPS mm.
    roi : six int
        (s0, s1, r0, r1, c0, c1), slab voxels, half-open.
    recipe : Recipe
        Grid and windows.

    Raises
    ------
    PreprocessError
        For whatever does not fit; the message names it.
    """
    check_volume(slab)
    region = Grid((slab.shape[0], slab.shape[1], slab.shape[2]), geometry).crop(roi)
    target = recipe.grid.spacing_mm
    hu = resample(slab, spacing_mm=region.spacing_mm, target_spacing_mm=target, roi=roi)
    xp = array_namespace(hu)
    padded = pad(hu, multiple=recipe.grid.multiple, minimum=recipe.grid.minimum)
    volume = xp.empty((1, len(recipe.channels), *padded.shape), xp.float32)
    for index, channel in enumerate(recipe.channels):
        low, high = channel.clip_hu
        window(padded, low_hu=low, high_hu=high, out=volume[0, index])
    return Prepared(
        volume=volume,
        grid_hu=xp.rint(hu).astype(xp.int16),
        grid_geometry=region.resampled(target).affine,
    )
