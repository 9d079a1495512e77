"""One slab in HU → what a network takes, as its recipe says."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from preprocess.arrays import Array, array_namespace, check_volume
from preprocess.exceptions import RecipeError
from preprocess.fused import can_fuse, resample_and_window
from preprocess.grid import Grid
from preprocess.pad import pad, padded_shape
from preprocess.recipe import Recipe
from preprocess.resample import resample
from preprocess.window import window

GRID_OUTPUTS = ("volume", "grid_hu", "grid_geometry")
SCAN_OUTPUTS = ("scan_hu", "scan_geometry")
"""Names of what can be made; ``scan_*`` only where the recipe has a table ``scan``."""

THIN_SHARE = 0.505
"""Slices at half of ``recipe.scan.increment_mm`` or closer, rounding aside, are averaged to it
(pipelines.md §2.4: 1.5 mm and thinner to contiguous 3 mm); others would be blurred by it."""


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """The input of a network, and the grid that its answer lies on; None where not wanted."""

    volume: Array | None = None
    """(1, channels, D, H, W) float32, 0 … 1, padded. The first axis counts tiles."""

    grid_hu: Array | None = None
    """(S, R, C) int16, HU on the unpadded grid."""

    grid_geometry: NDArray[np.float64] | None = None
    """(4, 4), voxel of the grid → LPS mm; the padding is at the far ends, so it holds for both."""

    scan_hu: Array | None = None
    """(S, R, C) int16, HU of the scan's own rows and columns, slices as ``recipe.scan`` says."""

    scan_geometry: NDArray[np.float64] | None = None
    """(4, 4), voxel of `scan_hu` → LPS mm."""


def prepare(
    slab: Array,
    *,
    geometry: NDArray[np.float64],
    roi: Sequence[int],
    recipe: Recipe,
    wanted: Collection[str] = GRID_OUTPUTS,
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
    wanted : collection of str
        Fields of `Prepared` to make; nothing else is computed.

    Raises
    ------
    PreprocessError
        For whatever does not fit; the message names it.
    """
    check_volume(slab)
    region = Grid((slab.shape[0], slab.shape[1], slab.shape[2]), geometry).crop(roi)
    made = {}
    if {"volume", "grid_hu", "grid_geometry"} & set(wanted):
        target = recipe.grid.spacing_mm
        made["grid_geometry"] = region.resampled(target).affine
        if {"volume", "grid_hu"} & set(wanted):
            made |= _on_grid(slab, region, roi, recipe, wanted)
    if {"scan_hu", "scan_geometry"} & set(wanted):
        if recipe.scan is None:
            raise RecipeError("scan_hu is asked for, but the recipe has no table scan.")
        increment, row, column = region.spacing_mm
        thin = increment <= THIN_SHARE * recipe.scan.increment_mm
        target = (recipe.scan.increment_mm if thin else increment, row, column)
        made["scan_geometry"] = region.resampled(target).affine
        made["scan_hu"] = _rounded(slab, region, roi, target)
    return Prepared(**made)


def _on_grid(
    slab: Array, region: Grid, roi: Sequence[int], recipe: Recipe, wanted: Collection[str]
) -> dict[str, Array]:
    """Make ``volume`` and ``grid_hu``, as far as they are wanted."""
    target, made = recipe.grid.spacing_mm, {}
    windows = [channel.clip_hu for channel in recipe.channels if channel.clip_hu is not None]
    if can_fuse(slab) and ("volume" not in wanted or len(windows) == len(recipe.channels)):
        shape = padded_shape(
            region.resampled(target).shape,
            multiple=recipe.grid.multiple,
            minimum=recipe.grid.minimum,
        )
        volume, grid_hu = resample_and_window(
            slab,
            roi=roi,
            spacing_mm=region.spacing_mm,
            target_spacing_mm=target,
            padded=shape,
            windows=windows if "volume" in wanted else (),
            rounded="grid_hu" in wanted,
        )
        return {k: a for k, a in (("volume", volume), ("grid_hu", grid_hu)) if a is not None}
    hu = resample(slab, spacing_mm=region.spacing_mm, target_spacing_mm=target, roi=roi)
    if "grid_hu" in wanted:
        made["grid_hu"] = array_namespace(hu).rint(hu).astype(np.int16)
    if "volume" in wanted:
        made["volume"] = _windowed(hu, recipe)
    return made


def _rounded(slab: Array, region: Grid, roi: Sequence[int], target: Sequence[float]) -> Array:
    """Resample to whole HU."""
    if can_fuse(slab):
        return resample_and_window(
            slab, roi=roi, spacing_mm=region.spacing_mm, target_spacing_mm=target
        )[1]
    hu = resample(slab, spacing_mm=region.spacing_mm, target_spacing_mm=target, roi=roi)
    return array_namespace(hu).rint(hu).astype(np.int16)


def _windowed(hu: Array, recipe: Recipe) -> Array:
    xp = array_namespace(hu)
    padded = pad(hu, multiple=recipe.grid.multiple, minimum=recipe.grid.minimum)
    volume = xp.empty((1, len(recipe.channels), *padded.shape), xp.float32)
    for index, channel in enumerate(recipe.channels):
        low, high = channel.ends(hu)
        window(padded, low_hu=low, high_hu=high, out=volume[0, index])
    return volume
