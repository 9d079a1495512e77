"""The scan on which the true calcium score is defined: gated, contiguous 3 mm, without noise."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from networks.phantoms.lesion import FloatArray, Lesion
from networks.phantoms.lesions.calcium.tree import TERRITORIES, course_of
from networks.phantoms.profiles import MTF_FWHM_MM
from networks.phantoms.response import point_spread, slice_profile
from networks.phantoms.scene import Scene
from postprocess.agatston import THRESHOLD_HU, CalciumScore, calcium_scores

SLICE_MM = 3.0
"""Thickness and increment (pipelines.md §2.4)."""

PIXEL_MM = 0.5
"""About 250 mm on 512 columns, as a gated scan is reconstructed."""

WITHIN_MM = 4.0
"""Calcium belongs to an artery up to this far from its lumen: plaque bulges, and the scan blurs."""

MARGIN_MM = 8.0
"""Around the plaques."""


class GatedScan:
    """A box of the noise-free scan around the coronary arteries.

    Parameters
    ----------
    scene : Scene
        The patient; what is planted in it shows on the scan.
    tree : sequence of Lesion
        The coronary arteries, from `coronaries`; they say what is coronary.
    plaques : sequence of Lesion
        What the scene does not hold yet, the tree included where it is not in the scene.
    """

    def __init__(self, scene: Scene, tree: Sequence[Lesion], plaques: Sequence[Lesion]) -> None:
        courses = [course_of(lesion) for lesion in tree]
        points = np.concatenate([course.points_mm for course in courses])
        self._radius = np.concatenate([course.radius_mm for course in courses])
        self._owner = np.concatenate(
            [np.full(len(c.points_mm), TERRITORIES.index(c.territory) + 1) for c in courses]
        )
        self._near = cKDTree(points)
        low, high = points.min(axis=0) - MARGIN_MM, points.max(axis=0) + MARGIN_MM
        bottom = np.floor(low[0] / SLICE_MM) * SLICE_MM  # the table feed does not know the patient
        self.axes = (
            np.arange(bottom, high[0] + SLICE_MM, SLICE_MM),
            np.arange(low[1], high[1], PIXEL_MM),
            np.arange(low[2], high[2], PIXEL_MM),
        )
        self.hu = self._seen(
            scene.hu, scene.origin_mm, scene.spacing_mm, [np.arange(n) for n in scene.hu.shape]
        )
        self._bone = self.hu >= THRESHOLD_HU  # ribs and sternum may lie within reach of an artery
        self.add([*scene.lesions, *plaques])

    def copy(self) -> GatedScan:
        """Return a scan that can be added to without changing this one."""
        other = copy(self)
        other.hu = self.hu.copy()
        return other

    def add(self, lesions: Sequence[Lesion]) -> None:
        """Add the scan of lesions."""
        for lesion in lesions:
            origin, step = np.asarray(lesion.grid.origin_mm), lesion.grid.spacing_mm
            steps = [np.arange(-1, n + 1) for n in lesion.grid.shape]
            if all(
                low + step * places[-1] > axis[0] - SLICE_MM and low < axis[-1] + SLICE_MM
                for low, places, axis in zip(origin, steps, self.axes, strict=True)
            ):
                self._lay(np.pad(lesion.delta_hu, 1), origin, step, steps)

    def _lay(
        self,
        values: FloatArray,
        origin: npt.NDArray[np.float64],
        step: float,
        steps: list[npt.NDArray[np.int_]],
    ) -> None:
        """Add the scan of a patch to the part of the scan that it touches."""
        reach = (0.5 * SLICE_MM, 1.5 * MTF_FWHM_MM["soft"], 1.5 * MTF_FWHM_MM["soft"])
        part = tuple(
            slice(*np.searchsorted(axis, (low + step * n[0] - far, low + step * n[-1] + far)))
            for axis, low, n, far in zip(self.axes, origin, steps, reach, strict=True)
        )
        self.hu[part] += self._seen(values, origin, step, steps, part)

    def _seen(
        self,
        values: FloatArray,
        origin: npt.NDArray[np.float64],
        step: float,
        steps: list[npt.NDArray[np.int_]],
        part: tuple[slice, ...] = (slice(None),) * 3,
    ) -> FloatArray:
        fwhm = MTF_FWHM_MM["soft"]
        source = [low + step * n for low, n in zip(origin, steps, strict=True)]
        z, y, x = (axis[where] for axis, where in zip(self.axes, part, strict=True))
        down = slice_profile(source[0], z, SLICE_MM)
        rows, columns = (point_spread(s, t, fwhm) for s, t in zip(source[1:], (y, x), strict=True))
        slab = np.tensordot(down, values, axes=(1, 0))
        return np.asarray(rows @ slab @ columns.T, np.float32)

    def territories(self) -> npt.NDArray[np.uint8]:
        """Return the number in `TERRITORIES`, from 1, of what may be coronary calcium."""
        regions = np.zeros(self.hu.shape, np.uint8)
        index = np.nonzero((self.hu >= THRESHOLD_HU) & ~self._bone)
        if len(index[0]):
            places = np.stack([axis[i] for axis, i in zip(self.axes, index, strict=True)], axis=-1)
            distance, nearest = self._near.query(places)
            own = distance <= self._radius[nearest] + WITHIN_MM
            regions[index] = np.where(own, self._owner[nearest], 0)
        return regions

    def scores(self) -> tuple[CalciumScore, ...]:
        """Return the score of all arteries, then of each of `TERRITORIES`."""
        return calcium_scores(
            self.hu, self.territories(), spacing_mm=(SLICE_MM, PIXEL_MM, PIXEL_MM),
            count=len(TERRITORIES),
        )  # fmt: skip
