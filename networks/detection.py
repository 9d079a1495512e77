"""What a detector learns and how it is counted: targets, peaks, hits.

Pure NumPy. A tile is (D, H, W) voxels; its answer lies on cells of `STRIDE` voxels an axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from networks.metrics import MarkedCase, match_marks
from networks.phantoms.lesion import Lesion

STRIDE = 4
"""Voxels of a cell of the heat map, along each axis."""

ROWS = 24
"""Lesions of a tile that its targets can tell of; a tile holds fewer."""

NOTHING, TARGET, IGNORED = 0.0, 1.0, 2.0
"""What a row of targets is: a lesion that is cut off is neither to be found nor to be missed."""

ROW = 6
"""Columns of a row: z, y, x (voxels), diameter (mm on the nominal grid), kind, what it is."""

DILATION_MM = 3.0
"""A mark this far outside the true mask still hits (pipelines.md §7.3)."""


@dataclass(frozen=True)
class Tile:
    """Size and grid of what a detector sees at once.

    Attributes
    ----------
    shape : three int
        Voxels, multiples of 16.
    spacing_mm : three float
    """

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]

    @property
    def cells(self) -> tuple[int, int, int]:
        """Shape of the heat map."""
        d, h, w = (size // STRIDE for size in self.shape)
        return d, h, w


def rows_of(
    places: NDArray[np.float64],
    diameters_mm: NDArray[np.float64],
    kinds: NDArray[np.int64],
    tile: Tile,
) -> NDArray[np.float32]:
    """Return the rows of the targets of a tile.

    Parameters
    ----------
    places : (n, 3) ndarray
        Centres (z, y, x) of lesions in and around the tile, voxels.
    diameters_mm : (n,) ndarray
        On the nominal grid.
    kinds : (n,) ndarray of int
        Index of the kind.
    tile : Tile

    Returns
    -------
    (ROWS, ROW) ndarray of float32
        Lesions centred in the tile are targets, those that only reach into it are ignored.
    """
    rows = np.zeros((ROWS, ROW), np.float32)
    shape, spacing = np.asarray(tile.shape), np.asarray(tile.spacing_mm)
    inside = ((places > -0.5) & (places < shape - 0.5)).all(axis=1)
    outside = np.maximum(np.maximum(-0.5 - places, places - shape + 0.5), 0) * spacing
    reaching = np.linalg.norm(outside, axis=1) < 0.5 * diameters_mm
    chosen = np.flatnonzero(inside | reaching)
    chosen = chosen[np.argsort(~inside[chosen], kind="stable")][:ROWS]
    count = len(chosen)
    rows[:count, :3] = places[chosen]
    rows[:count, 3] = diameters_mm[chosen]
    rows[:count, 4] = kinds[chosen]
    rows[:count, 5] = np.where(inside[chosen], TARGET, IGNORED)
    return rows


def heat_of(
    rows: NDArray[np.float32], tile: Tile
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Draw the heat map that a detector is to give, and where it has a say.

    Parameters
    ----------
    rows : (ROWS, ROW) ndarray
    tile : Tile

    Returns
    -------
    heat : (d, h, w) ndarray of float32
        1 in the cell of each centre, falling off as a Gaussian of SD max(1 cell, r/3).
    weight : (d, h, w) ndarray of float32
        0 over lesions that are ignored, else 1.
    """
    cells = tile.cells
    cell_mm = np.asarray(tile.spacing_mm) * STRIDE
    heat, weight = np.zeros(cells, np.float32), np.ones(cells, np.float32)
    for z, y, x, diameter_mm, _, what in rows[rows[:, 5] > NOTHING]:
        centre = np.floor((np.array([z, y, x]) + 0.5) / STRIDE)
        if what == TARGET:
            sigma = np.maximum(1.0, diameter_mm / 6 / cell_mm)
            fall = [
                np.exp(-0.5 * ((np.arange(size) - middle) / spread) ** 2)
                for size, middle, spread in zip(cells, centre, sigma, strict=True)
            ]
            drawn = fall[0][:, None, None] * fall[1][:, None] * fall[2]
            np.maximum(heat, drawn.astype(np.float32), out=heat)
        else:
            reach = 0.5 * diameter_mm / cell_mm + 1
            away = [
                ((np.arange(size) - middle) / far) ** 2
                for size, middle, far in zip(cells, centre, reach, strict=True)
            ]
            weight[away[0][:, None, None] + away[1][:, None] + away[2] <= 1] = 0
    weight[heat == 1] = 1
    return heat, weight


def spared_case(
    scores: NDArray[np.float64],
    diameters_mm: NDArray[np.float64],
    points_mm: NDArray[np.float64],
    wanted: Sequence[Lesion],
    spared: Sequence[Lesion] = (),
) -> MarkedCase:
    """Count the marks of one patient.

    Parameters
    ----------
    scores, diameters_mm : (n,) ndarray
        Of the marks.
    points_mm : (n, 3) ndarray
        Their centres (z, y, x), LPS mm.
    wanted : sequence of Lesion
        What is to be found.
    spared : sequence of Lesion
        A mark in one of these that hits none of the wanted is left out.

    Returns
    -------
    MarkedCase
        A mark hits when its centre lies in the mask dilated by `DILATION_MM` and its diameter is
        between half and twice the lesion's; each lesion is hit once (pipelines.md §7.3).
    """
    inside = np.zeros((len(scores), len(wanted)), bool)
    ratio = np.ones((len(scores), len(wanted)))
    for place, lesion in enumerate(wanted):
        inside[:, place] = within(points_mm, lesion, DILATION_MM)
        ratio[:, place] = diameters_mm / lesion.diameter_mm
    case = match_marks(scores, inside, ratio)
    counted = np.ones(len(scores), bool)
    for lesion in spared:
        counted &= ~within(points_mm, lesion, DILATION_MM)
    counted |= case.hits >= 0
    return MarkedCase(case.scores[counted], case.hits[counted], case.lesions)


def within(points_mm: NDArray[np.float64], lesion: Lesion, reach_mm: float) -> NDArray[np.bool_]:
    """Return which points (n, 3) lie in a lesion's mask dilated by a distance, (n,) bool."""
    places = np.argwhere(lesion.mask) * lesion.grid.spacing_mm + np.asarray(lesion.grid.origin_mm)
    found = np.zeros(len(points_mm), bool)
    if len(places) and len(points_mm):
        distance, _ = cKDTree(places).query(points_mm)
        found = distance <= reach_mm + 0.5 * lesion.grid.spacing_mm
    return found
