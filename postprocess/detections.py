"""Peaks of a detector's tiles → one list of marks a scan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from postprocess.exceptions import OutputError
from preprocess.arrays import Array, array_namespace

Floats = NDArray[np.float64]

FIXED_COLUMNS = 5
"""Columns of a row before the kinds: score, z, y, x and diameter."""

LEAST_APART_MM = 3.0
"""Two peaks nearer than this are one lesion, however small."""

APART_SHARE = 0.5
"""Two peaks nearer than this share of the larger diameter are one lesion."""

LEAST_CHANCE = 1e-6
"""Keeps the log odds of a score finite."""


@dataclass(frozen=True, slots=True, eq=False)
class Peaks:
    """Marks on one grid, by falling score."""

    scores: Floats
    """(n,), 0 to 1."""

    voxels: Floats
    """(n, 3), centre (slice, row, column) on the grid; whole numbers are voxel centres."""

    diameters_mm: Floats
    """(n,)."""

    kinds: Floats
    """(n, kinds), probability of each kind given that there is a lesion."""

    def __len__(self) -> int:
        """Return how many marks there are."""
        return len(self.scores)

    def take(self, chosen: NDArray[Any]) -> Peaks:
        """Return some of the marks, by index or by mask."""
        return Peaks(
            self.scores[chosen], self.voxels[chosen], self.diameters_mm[chosen], self.kinds[chosen]
        )

    def points_mm(self, affine: Floats) -> Floats:
        """Return the centres, (n, 3) as (x, y, z) LPS mm, by the grid's (4, 4) affine."""
        points: Floats = self.voxels @ affine[:3, :3].T + affine[:3, 3]
        return points


def gather(
    rows: NDArray[np.floating[Any]],
    starts: Sequence[Sequence[int]],
    cores: Sequence[Sequence[int]],
    *,
    least_score: float = 0.0,
) -> Peaks:
    """Bring the peaks of all tiles onto the grid that the tiles were cut from.

    Parameters
    ----------
    rows : (N, K, 5 + kinds) ndarray
        Of each tile: score, z, y, x (voxels of the tile), diameter in mm, probability of each kind.
    starts : N times three int
        First voxel of each tile on the grid; may be negative where it was padded.
    cores : N times six int
        (s0, s1, r0, r1, c0, c1) of the grid, half-open: what each tile answers for. Peaks
        elsewhere in the tile belong to its neighbour or to the padding.
    least_score : float
        Peaks below it are dropped.

    Returns
    -------
    Peaks
        By falling score.

    Raises
    ------
    OutputError
        When the rows do not fit the tiles or are not finite.
    """
    if rows.ndim != 3 or len(rows) != len(starts) or rows.shape[2] < FIXED_COLUMNS:
        raise OutputError(f"peaks of shape {rows.shape} do not fit {len(starts)} tiles.")
    if not np.isfinite(rows).all():
        raise OutputError("peaks have values that are not finite.")
    kinds = rows.shape[2] - FIXED_COLUMNS
    flat = rows.reshape(-1, rows.shape[2]).astype(np.float64)
    places = flat[:, 1:4] + np.repeat(
        np.asarray(starts, np.float64).reshape(-1, 3), rows.shape[1], 0
    )
    core = np.repeat(np.asarray(cores, np.float64).reshape(-1, 6), rows.shape[1], 0)
    kept = (flat[:, 0] >= least_score) & (flat[:, 0] > 0)
    for axis in range(3):
        kept &= (places[:, axis] >= core[:, 2 * axis] - 0.5) & (
            places[:, axis] < core[:, 2 * axis + 1] - 0.5
        )
    order = np.flatnonzero(kept)
    order = order[np.argsort(-flat[order, 0], kind="stable")]
    return Peaks(
        flat[order, 0],
        places[order],
        flat[order, 4],
        flat[order, FIXED_COLUMNS:].reshape(-1, kinds),
    )


def suppress(peaks: Peaks, spacing_mm: Sequence[float], *, most: int = 0) -> Peaks:
    """Keep the strongest of peaks that are one lesion.

    Parameters
    ----------
    peaks : Peaks
        By falling score.
    spacing_mm : three float
        Of the grid.
    most : int
        No more than so many are kept; 0 for all.
    """
    points = peaks.voxels * np.asarray(spacing_mm, np.float64)
    open_ = np.ones(len(peaks), np.bool_)
    kept: list[int] = []
    for index in range(len(peaks)):
        if not open_[index]:
            continue
        kept.append(index)
        if len(kept) == most:
            break
        apart = np.linalg.norm(points - points[index], axis=1)
        wide = np.maximum(peaks.diameters_mm, peaks.diameters_mm[index])
        open_ &= apart > np.maximum(LEAST_APART_MM, APART_SHARE * wide)
    return peaks.take(np.array(kept, np.intp))


def crops(hu: Array, voxels: Floats, size: int) -> Array:
    """Cut a cube around each mark.

    Parameters
    ----------
    hu : (S, R, C) array
        HU on the detector's grid.
    voxels : (n, 3) ndarray
        Centres; rounded to the nearest voxel.
    size : int
        Voxels of the cube's edge, even; the centre is voxel size/2.

    Returns
    -------
    (n, size, size, size) array of the same dtype
        Beyond the grid its edge goes on.
    """
    offsets = np.arange(size) - size // 2
    xp = array_namespace(hu)
    cut = xp.empty((len(voxels), size, size, size), hu.dtype)
    for place, voxel in enumerate(np.rint(voxels).astype(np.int64)):
        index = [xp.asarray(np.clip(m + offsets, 0, n - 1)) for m, n in zip(voxel, hu.shape)]
        cut[place] = hu[xp.ix_(*index)]
    return cut


def rescored(
    peaks: Peaks, chances: NDArray[np.floating[Any]], kinds: NDArray[np.floating[Any]]
) -> Peaks:
    """Join what a crop classifier says of each mark with what the detector said.

    Parameters
    ----------
    peaks : Peaks
    chances : (n,) or (n, 1) ndarray
        Probability that the mark is a lesion.
    kinds : (n, kinds) ndarray
        Probability of each kind; replaces the detector's.

    Returns
    -------
    Peaks
        By falling score; its log odds are the mean of the two.

    Raises
    ------
    OutputError
        When the classifier's answers do not fit the marks or are not finite.
    """
    second = np.asarray(chances, np.float64).reshape(-1)
    told = np.asarray(kinds, np.float64)
    if len(second) != len(peaks) or told.shape[:1] != second.shape or told.ndim != 2:
        raise OutputError(f"the classifier answered for {len(second)} of {len(peaks)} marks.")
    if not (np.isfinite(second).all() and np.isfinite(told).all()):
        raise OutputError("the classifier's answers are not finite.")
    odds = 0.5 * (_log_odds(peaks.scores) + _log_odds(second))
    joined = Peaks(1 / (1 + np.exp(-odds)), peaks.voxels, peaks.diameters_mm, told)
    return joined.take(np.argsort(-joined.scores, kind="stable"))


def wanted_scores(peaks: Peaks, wanted: Sequence[int]) -> Floats:
    """Return each mark's score times its probability to be of one of some kinds, (n,)."""
    shares: Floats = peaks.kinds[:, list(wanted)].sum(axis=1)
    return peaks.scores * shares


def _log_odds(chance: Floats) -> Floats:
    clipped = np.clip(chance, LEAST_CHANCE, 1 - LEAST_CHANCE)
    odds: Floats = np.log(clipped / (1 - clipped))
    return odds
