"""The voxel grid an anatomy is drawn on, with the few drawing operations everything uses.

Arrays are (S, R, C): slices inferior to superior, rows anterior to posterior, columns right to
left.
Points are (z, y, x). Two frames of reference occur:

* *body* millimetres of a standard torso (170 cm tall; z = 0 at the disc T12/L1, y = 0 in the middle
  of the trunk, x = 0 at the midline), in which landmarks are written;
* *patient* millimetres, which the voxel grid spans: body × size, then bent by the body warp and,
  for the viscera, by the visceral warp.

Shapes are implicit functions evaluated at the voxel centres, so a seed gives the same patient at
any spacing. What is drawn first stays: a later organ takes free voxels only and so is displaced.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.interpolate import CubicSpline

from networks.phantoms.fields import EXTENT_MM, FloatArray, SmoothField, Warp
from networks.phantoms.tissue import Tissue

Box = tuple[slice, slice, slice]
Points = npt.NDArray[np.floating]

WARP_MARGIN_MM = 38.0
"""Added around an organ's reach when its bounding box is cut, for what the warp may do."""

THORAX, ABDOMEN = 1, 2
"""Values of `Canvas.room`: free for thoracic or for abdominal organs; 0 is taken."""


class _WarpTable:
    """A warp tabulated every 10 mm of `EXTENT_MM`, read off linearly for single points."""

    STEP_MM = 10.0

    def __init__(self, warp: Warp) -> None:
        self._low = np.array([low for low, _ in EXTENT_MM])
        z, y, x = (np.arange(low, high + 1, self.STEP_MM, np.float32) for low, high in EXTENT_MM)
        self._table = np.stack(warp.on_grid((z, y, x)), axis=-1)
        self._last = np.array(self._table.shape[:3]) - 1.001

    def at(self, places: Points) -> Points:
        """Return the (n, 3) displacement at (n, 3) patient points."""
        position = np.clip((places - self._low) / self.STEP_MM, 0.0, self._last)
        first = position.astype(np.intp)
        t = position - first
        a, b, c = first.T
        (tz, ty, tx), table = t.T[:, :, None], self._table
        near, far = (
            (table[a + n, b, c] * (1 - ty) + table[a + n, b + 1, c] * ty) * (1 - tx)
            + (table[a + n, b, c + 1] * (1 - ty) + table[a + n, b + 1, c + 1] * ty) * tx
            for n in (0, 1)
        )
        return near * (1 - tz) + far * tz


class Canvas:
    """Voxel axes, warped coordinates, tissue map and what of it is still free."""

    def __init__(
        self,
        axes: tuple[FloatArray, FloatArray, FloatArray],
        *,
        size: tuple[float, float, float],
        body_warp: Warp,
        visceral_warp: Warp,
        prone: bool = False,
    ) -> None:
        self.axes = axes
        self.down = np.float32(-1.0 if prone else 1.0)
        """Sign of y towards the table: fluid sinks there, gas rises from it."""
        self.spacing_mm = float(axes[0][1] - axes[0][0])
        self.shape = (len(axes[0]), len(axes[1]), len(axes[2]))
        self.size = np.asarray(size, dtype=np.float64)
        self._tables = (_WarpTable(body_warp), _WarpTable(visceral_warp))
        body = body_warp.on_grid(axes)
        visceral = visceral_warp.on_grid(axes)
        grid = (axes[0][:, None, None], axes[1][None, :, None], axes[2][None, None, :])
        self.body: list[FloatArray] = []
        self.viscera: list[FloatArray] = []
        for axis in range(3):
            scale = np.float32(1 / self.size[axis])
            value = body[axis]
            value += grid[axis]
            value *= scale
            self.body.append(value)
            bent = visceral[axis]
            bent *= scale
            bent += value
            self.viscera.append(bent)
        self.labels = np.zeros(self.shape, dtype=np.uint8)
        self.room = np.zeros(self.shape, dtype=np.uint8)

    # --- places ---------------------------------------------------------------------------

    def to_patient(self, points: npt.ArrayLike, *, visceral: float = 1.0) -> Points:
        """Map (n, 3) body points to patient mm; `visceral` is the share of the visceral warp."""
        target = np.asarray(points, dtype=np.float64).reshape(-1, 3) * self.size
        place = target.copy()
        for _ in range(4):
            shift = self._tables[0].at(place)
            if visceral:
                shift = shift + visceral * self._tables[1].at(place)
            place = target - shift
        return place

    def box(self, centre: Sequence[float], reach_mm: Sequence[float]) -> Box:
        """Cut the bounding box of what reaches `reach_mm` around a body point."""
        place = self.to_patient([centre])[0]
        return self.box_around(place, np.asarray(reach_mm) * self.size + WARP_MARGIN_MM)

    def box_around(self, place: Points, reach_mm: npt.ArrayLike) -> Box:
        """Cut the bounding box (at least one voxel) around a point in patient mm."""
        reach = np.broadcast_to(np.asarray(reach_mm, dtype=np.float64), (3,))
        parts = []
        for axis, values in enumerate(self.axes):
            low = int(np.searchsorted(values, place[axis] - reach[axis]))
            high = int(np.searchsorted(values, place[axis] + reach[axis], side="right"))
            low = min(low, len(values) - 1)
            parts.append(slice(low, max(high, low + 1)))
        return parts[0], parts[1], parts[2]

    def offset(
        self, box: Box, centre: Sequence[float], rotation: npt.ArrayLike | None = None
    ) -> list[FloatArray]:
        """Return visceral coordinates relative to `centre`, along the rows of `rotation`."""
        delta = [self.viscera[axis][box] - np.float32(centre[axis]) for axis in range(3)]
        if rotation is None:
            return delta
        matrix = np.asarray(rotation, dtype=np.float32)
        return [row[0] * delta[0] + row[1] * delta[1] + row[2] * delta[2] for row in matrix]

    def field(self, box: Box, field: SmoothField) -> FloatArray:
        """Evaluate a smooth field on a box."""
        return field.on_grid((self.axes[0][box[0]], self.axes[1][box[1]], self.axes[2][box[2]]))

    # --- drawing --------------------------------------------------------------------------

    def grow(
        self,
        box: Box,
        level: FloatArray,
        tissue: Tissue,
        *,
        volume_ml: float,
        room: int = ABDOMEN,
        rind: float | FloatArray = 0.0,
        limit: float = 2.2,
    ) -> tuple[npt.NDArray[np.bool_], float]:
        """Fill the free voxels of lowest `level` until the volume is reached.

        Parameters
        ----------
        box : Box
            Where to draw.
        level : ndarray of float32
            Implicit function on the box, about 1 at the surface, growing outwards.
        volume_ml : float
            Volume to fill; less is filled when too little is free below `limit`.
        rind : float or ndarray
            What of the level beyond the surface stays fat: later organs keep off it.

        Returns
        -------
        mask : ndarray of bool
            What was filled, on the box.
        surface : float
            The level at the surface.
        """
        free = (self.room[box] == room) & (level < limit)
        candidates = level[free]
        wanted = round(volume_ml * 1000.0 / self.spacing_mm**3)
        if candidates.size == 0 or wanted == 0:
            return np.zeros(level.shape, dtype=bool), 1.0
        if wanted >= candidates.size:
            surface = float(candidates.max()) + 1e-6
        else:
            surface = float(np.partition(candidates, wanted)[wanted])
        mask = free & (level < surface)
        self.labels[box][mask] = tissue
        taken = self.room[box]
        taken[(taken == room) & (level < surface + rind)] = 0
        return mask, surface

    def tube(
        self,
        points: npt.ArrayLike,
        radii_mm: npt.ArrayLike,
        *,
        visceral: float = 1.0,
        reach_mm: float = 4.0,
        stretch: tuple[float, float, float] = (1.0, 1.0, 1.0),
        smooth: bool = True,
        index: bool = False,
    ) -> tuple[Box, FloatArray, npt.NDArray[np.int16] | None]:
        """Return the signed distance (mm, negative inside) to a tube along body points.

        Parameters
        ----------
        points : (n, 3) array
            Course of the axis in body mm.
        radii_mm : (n,) array or float
            Radius at each point, patient mm.
        reach_mm : float
            How far outside the surface the distance is worked out; beyond it is 999.
        stretch : tuple of float
            Half-axes of the cross-section relative to the radius, along z, y, x.
        smooth : bool
            Join the points by a spline instead of straight lines.
        index : bool
            Also return which of the points is nearest (-1 beyond reach).
        """
        place = self.to_patient(points, visceral=visceral)
        radius = np.broadcast_to(np.asarray(radii_mm, dtype=np.float64), (len(place),))
        knot = np.arange(len(place), dtype=np.float64)
        step = max(0.45 * float(radius.min()), 0.55 * self.spacing_mm)
        if len(place) > 1:
            length = np.concatenate(
                [[0.0], np.cumsum(np.linalg.norm(np.diff(place, axis=0), axis=1) + 1e-6)]
            )
            fine = np.linspace(0.0, length[-1], max(2, int(np.ceil(length[-1] / step)) + 1))
            radius = np.interp(fine, length, radius)
            knot = np.interp(fine, length, knot)
            if smooth and len(place) > 2:
                place = CubicSpline(length, place, bc_type="natural")(fine)
            else:
                place = np.stack(
                    [np.interp(fine, length, place[:, axis]) for axis in range(3)], axis=-1
                )
        axes, scale = self.axes, np.asarray(stretch)
        extent = (radius[:, None] + reach_mm) * np.maximum(scale, 1.0)[None, :]
        low = np.empty((len(place), 3), dtype=np.intp)
        high = np.empty((len(place), 3), dtype=np.intp)
        for axis in range(3):
            low[:, axis] = np.searchsorted(axes[axis], place[:, axis] - extent[:, axis])
            high[:, axis] = np.searchsorted(axes[axis], place[:, axis] + extent[:, axis])
        corner, end = low.min(axis=0), high.max(axis=0)
        corner = np.minimum(corner, np.asarray(self.shape) - 1)
        end = np.maximum(end, corner + 1)
        box = (slice(corner[0], end[0]), slice(corner[1], end[1]), slice(corner[2], end[2]))
        distance = np.full(end - corner, 999.0, dtype=np.float32)
        nearest = np.full(end - corner, -1, dtype=np.int16) if index else None
        relative = [
            ((axes[axis][None, :] - place[:, axis, None].astype(np.float32)) / scale[axis]) ** 2
            for axis in range(3)
        ]
        low_box, high_box = low - corner, high - corner
        for n in np.flatnonzero((high > low).all(axis=1)):
            (a, b, c), (d, e, f) = low_box[n], high_box[n]
            part = (
                relative[0][n, low[n, 0] : high[n, 0], None, None]
                + relative[1][n, low[n, 1] : high[n, 1], None]
                + relative[2][n, low[n, 2] : high[n, 2]]
            )
            np.sqrt(part, out=part)
            part -= np.float32(radius[n])
            target = distance[a:d, b:e, c:f]
            if nearest is None:
                np.minimum(target, part, out=target)
            else:
                closer = part < target
                target[closer] = part[closer]
                nearest[a:d, b:e, c:f][closer] = round(knot[n])
        return box, distance, nearest

    def put(
        self,
        box: Box,
        mask: npt.NDArray[np.bool_],
        tissue: Tissue,
        *,
        over: Sequence[Tissue] | None = None,
    ) -> None:
        """Set a tissue, only over the named ones if given, and mark the voxels as taken."""
        labels = self.labels[box]
        if over is not None:
            mask = mask & np.isin(labels, over)
        labels[mask] = tissue
        self.room[box][mask] = 0

    def draw_tube(
        self,
        points: npt.ArrayLike,
        radii_mm: npt.ArrayLike,
        tissue: Tissue,
        *,
        over: Sequence[Tissue] | None = None,
        visceral: float = 1.0,
        stretch: tuple[float, float, float] = (1.0, 1.0, 1.0),
        smooth: bool = True,
    ) -> None:
        """Draw a tube of one tissue."""
        box, distance, _ = self.tube(
            points, radii_mm, visceral=visceral, reach_mm=0.0, stretch=stretch, smooth=smooth
        )
        self.put(box, distance < 0, tissue, over=over)


def rotation(degrees_z: float, degrees_y: float, degrees_x: float) -> npt.NDArray[np.float64]:
    """Return the rotation matrix, in (z, y, x) order, of turns about the z, y and x axes."""
    a, b, c = np.deg2rad([degrees_z, degrees_y, degrees_x])
    about_z = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_y = np.array([[np.cos(b), 0, -np.sin(b)], [0, 1, 0], [np.sin(b), 0, np.cos(b)]])
    about_x = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def moved(point: npt.ArrayLike, z: float, y: float, x: float) -> Points:
    """Return the point, or every point of a path, shifted by millimetres."""
    return np.asarray(point, dtype=np.float64) + np.array([z, y, x])
