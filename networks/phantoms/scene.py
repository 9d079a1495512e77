"""A painted patient into which lesions are planted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from networks.labels import ANATOMY_LABELS
from networks.phantoms.anatomy import Anatomy
from networks.phantoms.hu import TissueHu, tissue_hu
from networks.phantoms.lesion import FineGrid, FloatArray, Lesion
from networks.phantoms.paint import paint_labels
from networks.phantoms.tissue import Tissue


class Scene:
    """One patient in HU, what has been planted so far, and questions that planters ask.

    Parameters
    ----------
    anatomy : Anatomy
        Tissue map of the patient.
    table : TissueHu
        The HU that the patient's tissues were drawn with.
    hu : (S, R, C) ndarray of float32
        The map painted with the table, before lesions and scanner.
    """

    def __init__(self, anatomy: Anatomy, table: TissueHu, hu: FloatArray) -> None:
        self.anatomy = anatomy
        self.table = table
        self.hu = hu
        self.lesions: list[Lesion] = []
        self.spacing_mm = anatomy.spacing_mm
        self.origin_mm = np.asarray(anatomy.affine[[2, 1, 0], 3], dtype=np.float64)
        self._depth: dict[tuple[Tissue, ...], FloatArray] = {}

    @classmethod
    def painted(
        cls, anatomy: Anatomy, rng: np.random.Generator, *, pdff_percent: float | None = None
    ) -> Scene:
        """Draw the HU of a patient's tissues, native at 120 kVp, and paint the map with them.

        Parameters
        ----------
        pdff_percent : float, optional
            Fat fraction of the liver; the patient's own by default.
        """
        table = tissue_hu(anatomy.patient, rng, pdff_percent=pdff_percent)
        hu = paint_labels(anatomy.labels, table, rng, spacing_mm=anatomy.spacing_mm)
        return cls(anatomy, table, hu)

    def add(self, lesions: Iterable[Lesion]) -> None:
        """Take planted lesions into the scene."""
        self.lesions.extend(lesions)

    # --- places ---------------------------------------------------------------------------

    def tissue(self, *tissues: Tissue) -> npt.NDArray[np.bool_]:
        """Return the (S, R, C) mask of some tissues on the anatomy's grid."""
        return np.isin(self.anatomy.labels, tissues)

    def organ(self, name: str) -> npt.NDArray[np.bool_]:
        """Return the (S, R, C) mask of an anatomy label on the anatomy's grid."""
        mask: npt.NDArray[np.bool_] = self.anatomy.organ_labels() == ANATOMY_LABELS.index(name)
        return mask

    def depth_mm(self, *tissues: Tissue) -> FloatArray:
        """Return how deep a voxel lies in a region of tissues, mm; 0 outside. Cached."""
        if tissues not in self._depth:
            inside = self.tissue(*tissues)
            depth = np.zeros(inside.shape, np.float32)
            box = ndimage.find_objects(inside.astype(np.uint8))
            if box and box[0] is not None:
                grown = tuple(slice(max(s.start - 1, 0), s.stop + 1) for s in box[0])
                depth[grown] = ndimage.distance_transform_edt(inside[grown]) * self.spacing_mm
            self._depth[tissues] = depth
        return self._depth[tissues]

    def pick(
        self, mask: npt.NDArray[np.bool_], rng: np.random.Generator
    ) -> npt.NDArray[np.float64] | None:
        """Draw a point (z, y, x), LPS mm, within a mask on the anatomy's grid; None if empty."""
        places = np.flatnonzero(mask)
        if not places.size:
            return None
        voxel = np.array(np.unravel_index(places[rng.integers(places.size)], mask.shape))
        return self.origin_mm + (voxel + rng.uniform(-0.5, 0.5, 3)) * self.spacing_mm

    def voxel(self, point_mm: npt.ArrayLike) -> tuple[int, int, int]:
        """Return the anatomy's voxel that holds a point, clipped to the map."""
        index = np.rint((np.asarray(point_mm, float) - self.origin_mm) / self.spacing_mm)
        s, r, c = np.clip(index, 0, np.array(self.anatomy.labels.shape) - 1).astype(int).tolist()
        return s, r, c

    # --- values on a fine grid ------------------------------------------------------------

    def hu_on(self, grid: FineGrid) -> FloatArray:
        """Return HU on a fine grid, linear between voxels, what was planted before included."""
        value = _sample(self.hu, self.origin_mm, self.spacing_mm, grid)
        for lesion in self.lesions:
            if _overlap(lesion.grid, grid):
                origin = np.asarray(lesion.grid.origin_mm)
                value += _sample(lesion.delta_hu, origin, lesion.grid.spacing_mm, grid, outside=0.0)
        return value

    def sampled_on(
        self,
        grid: FineGrid,
        values: npt.NDArray[np.generic],
        corner: tuple[int, int, int] = (0, 0, 0),
    ) -> FloatArray:
        """Return values of the anatomy's grid, linear between voxels, on a fine one.

        `corner` is the voxel of the anatomy that an array of a part of it begins at.
        """
        origin = self.origin_mm + np.asarray(corner) * self.spacing_mm
        return _sample(values, origin, self.spacing_mm, grid)

    def tissue_on(self, grid: FineGrid) -> npt.NDArray[np.uint8]:
        """Return the nearest tissue on a fine grid."""
        index = [
            np.clip(np.rint((axis - low) / self.spacing_mm).astype(int), 0, count - 1)
            for axis, low, count in zip(
                grid.axes, self.origin_mm, self.anatomy.labels.shape, strict=True
            )
        ]
        return self.anatomy.labels[np.ix_(*index)]

    def share_on(self, grid: FineGrid, *tissues: Tissue) -> FloatArray:
        """Return how much of some tissues is there, 0 to 1, smooth, on a fine grid."""
        low = [int(np.floor((a[0] - o) / self.spacing_mm)) - 2
               for a, o in zip(grid.axes, self.origin_mm, strict=True)]  # fmt: skip
        high = [int(np.ceil((a[-1] - o) / self.spacing_mm)) + 3
                for a, o in zip(grid.axes, self.origin_mm, strict=True)]  # fmt: skip
        box = tuple(
            slice(min(max(a, 0), n - 1), max(min(b, n), 1))
            for a, b, n in zip(low, high, self.anatomy.labels.shape, strict=True)
        )
        inside = np.isin(self.anatomy.labels[box], tissues).astype(np.float32)
        smooth = ndimage.gaussian_filter(inside, 0.6, mode="nearest", truncate=2.5)
        origin = self.origin_mm + np.array([s.start for s in box]) * self.spacing_mm
        return _sample(smooth, origin, self.spacing_mm, grid)


def occupancy(signed_distance_mm: npt.NDArray[np.floating], spacing_mm: float) -> FloatArray:
    """Return the share of a voxel inside a surface, from the signed distance (negative inside)."""
    return np.clip(0.5 - signed_distance_mm / spacing_mm, 0.0, 1.0).astype(np.float32)


def _overlap(first: FineGrid, second: FineGrid) -> bool:
    return all(
        a[0] <= b[-1] and b[0] <= a[-1] for a, b in zip(first.axes, second.axes, strict=True)
    )


def _sample(
    values: npt.NDArray[Any],
    origin_mm: npt.NDArray[np.float64],
    spacing_mm: float,
    grid: FineGrid,
    outside: float | None = None,
) -> FloatArray:
    """Interpolate linearly on a fine grid; beyond the edge it goes on, or is `outside`."""
    known, used, ways = [], [], []
    for axis, (places, low) in enumerate(zip(grid.axes, origin_mm, strict=True)):
        count = values.shape[axis]
        position = (places - low) / spacing_mm
        known.append((position > -1) & (position < count))
        position = np.clip(position, 0, max(count - 1.001, 0))
        first = position.astype(np.intp)
        second = np.minimum(first + 1, count - 1)
        start = int(first[0])
        used.append(slice(start, int(second[-1]) + 1))
        shape = [-1 if a == axis else 1 for a in range(3)]
        t = (position - first).astype(np.float32).reshape(shape)
        ways.append((first - start, second - start, t))
    result: npt.NDArray[np.floating] = values[tuple(used)].astype(np.float32, copy=False)
    for axis, (first, second, t) in enumerate(ways):
        result = result.take(first, axis) * (1 - t) + result.take(second, axis) * t
    sampled = result.astype(np.float32, copy=False)
    if outside is not None:
        z, y, x = known
        sampled[~(z[:, None, None] & y[None, :, None] & x[None, None, :])] = outside
    return sampled
