"""Search a volume with a detector: which tiles to ask about, and what the answers come to.

The networks are asked by whoever calls, between these steps: a server lets other studies take
their turn there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from postprocess.detections import (
    FIXED_COLUMNS,
    Floats,
    Peaks,
    crops,
    gather,
    rescored,
    suppress,
)
from postprocess.exceptions import OutputError
from preprocess.arrays import Array, array_namespace, image_functions
from preprocess.organs import OrganMap
from preprocess.posts import DetectionsPost
from preprocess.recipe import Channel
from preprocess.tiles import TilePlan, cut_tiles, plan_tiles
from preprocess.window import window

CROPS_TOGETHER = 32
"""Crops of one request: as many voxels as two tiles of 64×96×96."""


@dataclass(frozen=True, slots=True, eq=False)
class Search:
    """One volume, and what is asked about it."""

    hu: Array
    """(S, R, C) of int16, on the detector's grid; tiles and crops lie where it does."""

    plan: TilePlan
    spacing_mm: tuple[float, float, float]
    channels: tuple[Channel, ...]
    post: DetectionsPost

    @property
    def tile_parts(self) -> list[slice]:
        """Give the tiles that are asked about together."""
        return _parts(len(self.plan.starts), self.post.chunk)

    def tiles(self, part: slice) -> Array:
        """Cut and window some tiles, (n, channels, D, H, W)."""
        cut = cut_tiles(self.hu, self.plan.starts[part], self.plan.shape)
        return self._windows(cut)

    def candidates(self, rows: Sequence[NDArray[np.float32]]) -> Peaks:
        """Join what the detector said of all parts, on the grid, each lesion once.

        Parameters
        ----------
        rows : sequence of (n, K, 5 + kinds) ndarray
            One a part, in order.

        Raises
        ------
        OutputError
            When the rows do not fit the tiles or the recipe's kinds, or are not finite.
        """
        width = FIXED_COLUMNS + len(self.post.kinds)
        if not rows:
            return _no_peaks(len(self.post.kinds))
        if any(part.ndim != 3 or part.shape[2] != width for part in rows):
            raise OutputError(f"peaks must have {width} columns for {len(self.post.kinds)} kinds.")
        peaks = gather(
            np.concatenate(rows),
            self.plan.starts,
            self.plan.cores,
            least_score=self.post.least_score,
        )
        return suppress(peaks, self.spacing_mm, most=self.post.candidates)

    def crop_parts(self, peaks: Peaks) -> list[slice]:
        """Give the marks whose crops are asked about together."""
        return _parts(len(peaks), CROPS_TOGETHER)

    def crops(self, peaks: Peaks, part: slice) -> Array:
        """Cut and window the cubes around some marks, (n, channels, crop, crop, crop)."""
        return self._windows(crops(self.hu, peaks.voxels[part], self.post.crop))

    def marks(
        self,
        peaks: Peaks,
        chances: Sequence[NDArray[np.float32]],
        kinds: Sequence[NDArray[np.float32]],
    ) -> Peaks:
        """Join the candidates with what the classifier said of all parts.

        Raises
        ------
        OutputError
            When that does not fit the marks or the recipe's kinds, or is not finite.
        """
        if not len(peaks):
            return peaks
        told = np.concatenate(kinds)
        if told.ndim != 2 or told.shape[1] != len(self.post.kinds):
            raise OutputError(f"the classifier must tell {len(self.post.kinds)} kinds apart.")
        return rescored(peaks, np.concatenate(chances), told)

    def _windows(self, hu: Array) -> Array:
        xp = array_namespace(hu)
        out = xp.empty((len(hu), len(self.channels), *hu.shape[1:]), xp.float32)
        for index, channel in enumerate(self.channels):
            low, high = channel.ends(hu)
            window(hu, low_hu=low, high_hu=high, out=out[:, index])
        return out


def start_search(
    hu: Array,
    geometry: Floats,
    organs: OrganMap,
    *,
    channels: tuple[Channel, ...],
    post: DetectionsPost,
) -> Search:
    """Lay tiles over some organs.

    Parameters
    ----------
    hu : (S, R, C) array of int16
        HU on the detector's grid.
    geometry : (4, 4) ndarray of float64
        Voxel of the grid → LPS mm.
    organs : OrganMap
        What anatomy found.
    channels, post
        Of the recipe.

    Returns
    -------
    Search
        Without tiles where none of the organs is in the volume.

    Raises
    ------
    RegionError
        When anatomy knows no such organ or lies on other axes.
    """
    mask = _grown(organs.beside(hu), post).on(hu.shape, geometry) > 0
    spacing = np.linalg.norm(geometry[:3, :3], axis=0)
    return Search(
        hu=hu,
        plan=plan_tiles(mask, shape=post.tile, margin=post.margin),
        spacing_mm=(float(spacing[0]), float(spacing[1]), float(spacing[2])),
        channels=channels,
        post=post,
    )


def to_rows(peaks: Peaks) -> NDArray[np.float32]:
    """Write marks as rows of score, slice, row, column, diameter and kinds.

    Returns
    -------
    (n, 5 + kinds) ndarray of float32
        One row of zeros where there is no mark: an empty tensor is not safe everywhere.
    """
    if not len(peaks):
        return np.zeros((1, FIXED_COLUMNS + peaks.kinds.shape[1]), np.float32)
    columns = (peaks.scores[:, None], peaks.voxels, peaks.diameters_mm[:, None], peaks.kinds)
    rows: NDArray[np.float32] = np.concatenate(columns, axis=1).astype(np.float32)
    return rows


def from_rows(rows: NDArray[Any], kinds: int) -> Peaks:
    """Read what `to_rows` wrote.

    Raises
    ------
    OutputError
        When it has another number of columns or is not finite.
    """
    if rows.ndim != 2 or rows.shape[1] != FIXED_COLUMNS + kinds:
        raise OutputError(f"peaks of shape {rows.shape} do not hold {kinds} kinds.")
    if not np.isfinite(rows).all():
        raise OutputError("peaks have values that are not finite.")
    kept = rows[rows[:, 0] > 0].astype(np.float64)
    return Peaks(kept[:, 0], kept[:, 1:4], kept[:, 4], kept[:, FIXED_COLUMNS:])


def _grown(organs: OrganMap, post: DetectionsPost) -> OrganMap:
    """Give the organs as one label, and what lies around them."""
    mask = organs.mask(post.organs, organs.labels.shape, organs.grid.affine)
    steps = round(post.around_mm / min(organs.grid.spacing_mm))
    if steps:
        mask = image_functions(mask).binary_dilation(mask, iterations=steps)
    return OrganMap(mask.astype(np.uint8), ("background", "looked_at"), organs.grid)


def _parts(count: int, size: int) -> list[slice]:
    return [slice(first, min(first + size, count)) for first in range(0, count, size)]


def _no_peaks(kinds: int) -> Peaks:
    return Peaks(np.empty(0), np.empty((0, 3)), np.empty(0), np.empty((0, kinds)))
