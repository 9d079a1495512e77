"""The aorta's axis from the root to the bifurcation, and coordinates along and across it."""

from __future__ import annotations

import copy
import itertools

import numpy as np
import numpy.typing as npt
from scipy import ndimage, sparse
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import cKDTree

from networks.phantoms.lesion import FineGrid, FloatArray
from networks.phantoms.lesions import NoPlaceError
from networks.phantoms.scene import Scene
from networks.phantoms.tissue import Tissue

Points = npt.NDArray[np.float64]

STEP_MM = 2.0
"""Between the points of the axis."""

SUBCLAVIAN_AFTER_TOP_MM = 14.0
"""The left subclavian artery leaves the arch about this far behind its highest point; what is
dissected from there on only is Stanford type B."""

REACH_MM = 30.0
"""How far outside the wall the coordinates are worked out."""

END_POINTS = 7
"""At each end of the axis, whose cross-section is that of the next point."""

LEAST_LENGTH_MM = 120.0
"""Of a shorter piece of aorta in view no course is made."""

_HALF = [step for step in itertools.product((-1, 0, 1), repeat=3) if step > (0, 0, 0)]
"""Half of the 26 neighbours of a voxel, so that each pair occurs once."""


class AortaCourse:
    """The axis of the aorta, from the root on.

    Parameters
    ----------
    scene : Scene
        The patient; the axis follows the mask of its aorta.

    Attributes
    ----------
    points_mm : (n, 3) ndarray
        Points (z, y, x) LPS mm, `STEP_MM` apart.
    radius_mm : (n,) ndarray
        Radius of the circle that has the area of the cross-section.
    first_normal, second_normal : (n, 3) ndarray
        Unit vectors across the axis, turning as little as they can along it.
    top : int
        Index of the highest point of the arch; 0 where the arch is not in view.

    Raises
    ------
    NoPlaceError
        When less than `LEAST_LENGTH_MM` of the aorta is in view.
    """

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        mask = scene.tissue(Tissue.AORTA)
        step = scene.spacing_mm
        box = ndimage.find_objects(mask.astype(np.uint8))
        if not box or box[0] is None:
            raise NoPlaceError("the aorta is not in view")
        margin = int(np.ceil(REACH_MM / step))
        self._part = tuple(
            slice(max(s.start - margin, 0), min(s.stop + margin, n))
            for s, n in zip(box[0], mask.shape, strict=True)
        )
        self._corner = (self._part[0].start, self._part[1].start, self._part[2].start)
        inside = mask[self._part]
        pieces, count = ndimage.label(inside, np.ones((3, 3, 3)))
        if count > 1:
            inside = pieces == 1 + int(np.bincount(pieces.ravel())[1:].argmax())
        self._origin = scene.origin_mm + np.array([s.start for s in self._part]) * step
        depth = ndimage.distance_transform_edt(inside)
        away = (ndimage.distance_transform_edt(~inside) - depth) * step
        self._wall = ndimage.gaussian_filter(away.astype(np.float32), 0.7)
        voxels = np.argwhere(inside)
        path = _through(voxels, depth[inside])
        places = self._origin + voxels * step
        points = _even(_smooth(self._origin + path * step, 3.0), STEP_MM)
        for _ in range(2):
            points = _even(_smooth(_centred(points, places), 5.0), STEP_MM)
        length = STEP_MM * len(points)
        if length < LEAST_LENGTH_MM:
            raise NoPlaceError(f"only {length:.0f} mm of the aorta are in view")
        self.points_mm = points
        share = np.bincount(cKDTree(points).query(places)[1], minlength=len(points))
        area = ndimage.gaussian_filter1d(share * step**3 / STEP_MM, 3.0, mode="nearest")
        radius = np.sqrt(area / np.pi)
        radius[:END_POINTS] = radius[END_POINTS]  # the ends' voxels are nearest to the last point
        radius[-END_POINTS:] = radius[-END_POINTS - 1]
        self.radius_mm = radius
        self.first_normal, self.second_normal = _normals(points)
        # the root end comes first: the path has one end on the spine and one in front of it
        self.top = int(points[:, 0].argmax())
        if self.top in (0, len(points) - 1):
            self.top = 0
        self._coordinates: tuple[FloatArray, FloatArray, FloatArray] | None = None

    def within(self, scene: Scene) -> AortaCourse:
        """Return the same course in a scene of the same patient that holds more lesions."""
        other = copy.copy(self)
        other.scene = scene
        return other

    @property
    def length_mm(self) -> float:
        """Length of the axis."""
        return STEP_MM * (len(self.points_mm) - 1)

    @property
    def subclavian_mm(self) -> float:
        """Arc at which the left subclavian artery leaves; 0 where the arch is not in view."""
        return STEP_MM * self.top + SUBCLAVIAN_AFTER_TOP_MM if self.top else 0.0

    def index(self, arc_mm: float) -> int:
        """Return the point at a length along the axis."""
        return int(np.clip(round(arc_mm / STEP_MM), 0, len(self.points_mm) - 1))

    def arc_at_height(self, z_mm: float) -> float:
        """Return the arc at which the descending aorta crosses a height."""
        below = np.flatnonzero(self.points_mm[self.top :, 0] < z_mm)
        return STEP_MM * (self.top + int(below[0])) if below.size else self.length_mm

    def wall_on(self, grid: FineGrid) -> FloatArray:
        """Return the distance from the aorta's wall on a fine grid, mm, negative inside."""
        return self.scene.sampled_on(grid, self._wall, self._corner)

    def wall_mm(self, points: Points) -> npt.NDArray[np.float64]:
        """Return the distance of (n, 3) points from the wall, negative inside."""
        index = ((points - self._origin) / self.scene.spacing_mm).T
        sampled: npt.NDArray[np.float64] = ndimage.map_coordinates(
            self._wall, index, order=1, mode="nearest", output=np.float64
        )
        return sampled

    def coordinates_on(self, grid: FineGrid) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return arc, and the offsets along the two normals, on a fine grid, mm.

        Beyond `REACH_MM` from the wall the arc is -999.
        """
        if self._coordinates is None:
            self._coordinates = self._worked_out()
        arc, u, v = (
            self.scene.sampled_on(grid, values, self._corner) for values in self._coordinates
        )
        return arc, u, v

    def _worked_out(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        near = self._wall < REACH_MM
        places = self._origin + np.argwhere(near) * self.scene.spacing_mm
        _, nearest = cKDTree(self.points_mm).query(places)
        gap = places - self.points_mm[nearest]
        tangent = np.cross(self.first_normal, self.second_normal)[nearest]
        values = (
            STEP_MM * nearest + np.einsum("ij,ij->i", gap, tangent) * _sense(self, nearest),
            np.einsum("ij,ij->i", gap, self.first_normal[nearest]),
            np.einsum("ij,ij->i", gap, self.second_normal[nearest]),
        )
        result = []
        for value, outside in zip(values, (-999.0, 99.0, 99.0), strict=True):
            part = np.full(near.shape, outside, np.float32)
            part[near] = value
            result.append(part)
        return result[0], result[1], result[2]


def _sense(course: AortaCourse, nearest: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
    """Return 1 where the cross product of the normals points along the axis, else -1."""
    along = np.gradient(course.points_mm, axis=0)
    cross = np.cross(course.first_normal, course.second_normal)
    return np.sign(np.einsum("ij,ij->i", along, cross))[nearest]


def _through(voxels: npt.NDArray[np.intp], depth: npt.NDArray[np.float64]) -> Points:
    """Return the path of voxels from the root to the lowest end that keeps off the wall."""
    shape = voxels.max(axis=0) + 3
    flat = np.ravel_multi_index(tuple((voxels + 1).T), shape)
    rows, columns, costs = [], [], []
    shy = 1 + 12 * np.exp(-0.5 * (depth / (0.35 * depth.max())) ** 2)
    for move in _HALF:
        other = flat + np.ravel_multi_index(tuple(np.add(move, 1)), shape)
        other -= np.ravel_multi_index((1, 1, 1), shape)
        place = np.minimum(np.searchsorted(flat, other), len(flat) - 1)
        hit = np.flatnonzero(flat[place] == other)
        rows.append(hit)
        columns.append(place[hit])
        costs.append(np.linalg.norm(move) * 0.5 * (shy[hit] + shy[place[hit]]))
    graph = sparse.csr_matrix(
        (np.concatenate(costs), (np.concatenate(rows), np.concatenate(columns))),
        shape=(len(flat), len(flat)),
    )
    bottom = int(voxels[:, 0].argmin())
    cost, before = dijkstra(graph, directed=False, indices=bottom, return_predecessors=True)
    last = int(np.where(np.isfinite(cost), cost, -1).argmax())
    path = [last]
    while path[-1] != bottom:
        path.append(int(before[path[-1]]))
    return voxels[path].astype(np.float64)


def _smooth(points: Points, sigma: float) -> Points:
    return ndimage.gaussian_filter1d(points, min(sigma, len(points) / 8), axis=0, mode="nearest")


def _even(points: Points, step_mm: float) -> Points:
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    fine = np.linspace(0, length[-1], max(4, round(length[-1] / step_mm) + 1))
    return np.stack([np.interp(fine, length, points[:, axis]) for axis in range(3)], axis=-1)


def _centred(points: Points, places: Points) -> Points:
    """Move each point to the middle of the voxels that are nearest to it."""
    _, nearest = cKDTree(points).query(places)
    count = np.bincount(nearest, minlength=len(points)).astype(float)
    total = np.stack(
        [np.bincount(nearest, places[:, axis], len(points)) for axis in range(3)], axis=-1
    )
    wide = 3.0
    count, total = (ndimage.gaussian_filter1d(a, wide, axis=0, mode="nearest")
                    for a in (count, total))  # fmt: skip
    return np.asarray(total / np.maximum(count, 1e-3)[:, None])


def _normals(points: Points) -> tuple[Points, Points]:
    """Return two unit vectors across a path that turn as little as they can along it."""
    along = np.gradient(points, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    first = np.empty_like(points)
    start = np.cross(along[0], [0.0, 1.0, 0.0])
    first[0] = start / np.linalg.norm(start)
    for n in range(1, len(points)):
        turned = first[n - 1] - along[n] * (first[n - 1] @ along[n])
        first[n] = turned / np.linalg.norm(turned)
    return first, np.cross(along, first)
