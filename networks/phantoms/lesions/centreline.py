"""The course of an elongated organ, found from its mask: pancreas and stomach."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage, sparse
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import cKDTree

from networks.phantoms.lesion import FineGrid, FloatArray
from networks.phantoms.lesions import NoPlaceError
from networks.phantoms.scene import Scene

BoolArray = npt.NDArray[np.bool_]
Points = npt.NDArray[np.float64]

STEP_MM = 6.0
"""Length of the pieces of an organ whose centres make the line."""

_HALF = [
    (a, b, c)
    for a in (0, 1)
    for b in (-1, 0, 1)
    for c in (-1, 0, 1)
    if (a, b, c) > (0, 0, 0)
]  # fmt: skip
"""Half of the 26 neighbours of a voxel, so that each pair occurs once."""


@dataclass(frozen=True)
class Centreline:
    """A line through an organ from one end to the other.

    Attributes
    ----------
    points_mm : (n, 3) ndarray of float64
        Points (z, y, x), LPS mm.
    radius_mm : (n,) ndarray of float64
        Radius of the circle that has the area of the organ's cross-section there.
    arc_mm : (n,) ndarray of float64
        Length of the line up to each point.
    """

    points_mm: Points
    radius_mm: npt.NDArray[np.float64]
    arc_mm: npt.NDArray[np.float64]

    @classmethod
    def through(
        cls, scene: Scene, mask: BoolArray, start: tuple[float, float, float]
    ) -> Centreline:
        """Find the line through a mask on the anatomy's grid.

        Parameters
        ----------
        scene : Scene
            Gives the grid.
        mask : (S, R, C) ndarray of bool
            The organ; gaps up to two voxels wide are bridged.
        start : (z, y, x) tuple of float
            Direction in which the first end lies.

        Raises
        ------
        NoPlaceError
            When the organ is absent or shorter than 30 mm.
        """
        voxels, bounds = _largest_part(mask)
        if len(voxels) < 40:
            raise NoPlaceError("the organ is not in view")
        graph = _neighbours(voxels, bounds)
        far = int((voxels @ np.asarray(start, float)).argmax())
        first = _farthest(graph, far)
        distance = dijkstra(graph, directed=False, indices=first) * scene.spacing_mm
        last = int(np.where(np.isfinite(distance), distance, -1).argmax())
        if (voxels[last] - voxels[first]) @ np.asarray(start, float) > 0:
            first, last = last, first
            distance = dijkstra(graph, directed=False, indices=first) * scene.spacing_mm
        distance = np.where(np.isfinite(distance), distance, 0.0)
        if distance.max() < 30:
            raise NoPlaceError("the organ is too short in view")
        edges = np.linspace(0, distance.max() + 1e-6, max(5, round(distance.max() / STEP_MM)) + 1)
        piece = np.digitize(distance, edges) - 1
        count = np.bincount(piece, minlength=len(edges) - 1).astype(float)
        centre = np.stack(
            [np.bincount(piece, voxels[:, a], len(edges) - 1) for a in range(3)], axis=-1
        ) / np.maximum(count, 1)[:, None]  # fmt: skip
        centre = ndimage.gaussian_filter1d(centre[count > 0], 1.0, axis=0, mode="nearest")
        points = scene.origin_mm + centre * scene.spacing_mm
        length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
        area = count[count > 0] * scene.spacing_mm**3 / np.maximum(np.gradient(length), 2.0)
        radius = ndimage.gaussian_filter1d(np.sqrt(area / np.pi), 1.0, mode="nearest")
        return cls._even(points, radius, length)

    @classmethod
    def _even(cls, points: Points, radius: Points, length: Points) -> Centreline:
        arc = np.linspace(0, length[-1], max(8, int(length[-1] / 2)))
        even = np.stack([np.interp(arc, length, points[:, a]) for a in range(3)], axis=-1)
        even = ndimage.gaussian_filter1d(even, 2.0, axis=0, mode="nearest")
        return cls(even, np.interp(arc, length, radius), arc)

    @property
    def length_mm(self) -> float:
        """Length of the line."""
        return float(self.arc_mm[-1])

    def index(self, fraction: float) -> int:
        """Return the number of the point at a share of the length."""
        return int(np.clip(round(fraction * (len(self.arc_mm) - 1)), 0, len(self.arc_mm) - 1))

    def tangent(self, index: int) -> npt.NDArray[np.float64]:
        """Return the direction of the line towards its far end."""
        low, high = max(index - 3, 0), min(index + 3, len(self.arc_mm) - 1)
        along: npt.NDArray[np.float64] = self.points_mm[high] - self.points_mm[low]
        return along / max(float(np.linalg.norm(along)), 1e-6)

    def fraction_of(self, point_mm: npt.ArrayLike) -> float:
        """Return the share of the length at which the line is nearest to a point."""
        gap = np.linalg.norm(self.points_mm - np.asarray(point_mm, float), axis=1)
        return float(self.arc_mm[int(gap.argmin())] / self.length_mm)

    def on(self, grid: FineGrid, where: BoolArray) -> tuple[FloatArray, FloatArray]:
        """Return arc and distance from the line, mm, where asked for; -1 and 99 elsewhere."""
        arc = np.full(grid.shape, -1.0, np.float32)
        away = np.full(grid.shape, 99.0, np.float32)
        index = np.nonzero(where)
        if len(index[0]):
            places = np.stack([axis[i] for axis, i in zip(grid.axes, index, strict=True)], axis=-1)
            distance, nearest = cKDTree(self.points_mm).query(places)
            arc[index], away[index] = self.arc_mm[nearest], distance
        return arc, away


def _largest_part(mask: BoolArray) -> tuple[npt.NDArray[np.intp], tuple[int, int, int]]:
    """Return the voxels of the largest connected part, and the shape of the map."""
    box = ndimage.find_objects(mask.astype(np.uint8))
    if not box or box[0] is None:
        return np.empty((0, 3), np.intp), (0, 0, 0)
    part = tuple(slice(max(s.start - 2, 0), s.stop + 2) for s in box[0])
    joined = ndimage.binary_closing(mask[part], np.ones((3, 3, 3), bool))
    parts, count = ndimage.label(joined, np.ones((3, 3, 3), bool))
    if count > 1:
        joined = parts == 1 + int(np.bincount(parts.ravel())[1:].argmax())
    s, r, c = mask.shape
    return np.argwhere(joined) + np.array([p.start for p in part]), (s, r, c)


def _neighbours(voxels: npt.NDArray[np.intp], shape: tuple[int, int, int]) -> sparse.csr_matrix:
    """Return the graph of voxels that touch, weighted with their distance in voxels."""
    padded = np.array(shape) + 2
    flat = np.ravel_multi_index(tuple((voxels + 1).T), padded)
    rows, columns, weights = [], [], []
    for step in _HALF:
        other = flat + np.ravel_multi_index(tuple(np.add(step, 1)), padded)
        other -= np.ravel_multi_index((1, 1, 1), padded)
        place = np.minimum(np.searchsorted(flat, other), len(flat) - 1)
        hit = np.flatnonzero(flat[place] == other)
        rows.append(hit)
        columns.append(place[hit])
        weights.append(np.full(len(hit), float(np.linalg.norm(step))))
    return sparse.csr_matrix(
        (np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns))),
        shape=(len(flat), len(flat)),
    )


def _farthest(graph: sparse.csr_matrix, start: int) -> int:
    distance = dijkstra(graph, directed=False, indices=start)
    return int(np.where(np.isfinite(distance), distance, -1).argmax())
