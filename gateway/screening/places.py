"""Where in the study and in the body a lesion lies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gateway.screening.series_facts import SeriesFacts
from preprocess.organs import OrganMap

NEAR_MM = 12.0
"""A lesion whose centre is in no organ belongs to the nearest one within this: four voxels of the
anatomy grid, more than it errs at a border."""

MIDLINE_MM = 10.0
"""Nearer to the midline than this is on neither side: a vertebra is 40 to 50 mm wide, and the
body's middle is found to within some mm."""

SPINE = "vertebrae"

SPINE_MM = 30.0
"""Slices above and below a lesion in which the spine shows where the middle is; a scoliosis moves
it by some mm within them."""

SIDES = ("left", "right")


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """A volume's frames and organs."""

    facts: SeriesFacts
    affine: npt.NDArray[np.float64]
    """(slice, row, column) of the volume → LPS mm."""

    organs: OrganMap

    def placed(self, lesion: Mapping[str, Any]) -> dict[str, Any]:
        """Add series, instance, frame, slice, site and side to a lesion.

        Parameters
        ----------
        lesion : mapping
            With ``centre_mm``, [x, y, z] in LPS mm.

        Returns
        -------
        dict
            ``slice_index`` counts the slices of the volume from 0; ``sop_instance_uid`` and
            ``frame_number`` are those of the slice nearest by. ``site`` is the organ in which, or
            nearest to which, the centre lies; ``side`` is ``left``, ``right`` or ``midline``.
            None where it cannot be told.
        """
        centre = np.asarray(lesion["centre_mm"], np.float64)
        index = self._slice(centre)
        frame = self.facts.frames[index] if index < len(self.facts.frames) else None
        site = self.site(centre)
        return {
            **lesion,
            "series_instance_uid": self.facts.series_instance_uid,
            "sop_instance_uid": frame.sop_instance_uid if frame else None,
            "frame_number": frame.number if frame else None,
            "slice_index": index,
            "site": site,
            "side": self.side(centre, site),
        }

    def site(self, centre: npt.NDArray[np.float64]) -> str | None:
        """Name the organ at a point, or the nearest one."""
        spacing = np.asarray(self.organs.grid.spacing_mm)
        middle = _voxel(centre, self.organs.grid.affine)
        reach = np.ceil(NEAR_MM / spacing)
        shape = np.asarray(self.organs.labels.shape)
        low = np.clip(np.rint(middle) - reach, 0, shape).astype(int)
        high = np.clip(np.rint(middle) + reach + 1, 0, shape).astype(int)
        part = self.organs.labels[low[0] : high[0], low[1] : high[1], low[2] : high[2]]
        found = np.argwhere(part)
        if not len(found):
            return None
        away = np.linalg.norm((found + low - middle) * spacing, axis=1)
        nearest = int(away.argmin())
        if away[nearest] > NEAR_MM:
            return None
        return self.organs.names[int(part[tuple(found[nearest])])]

    def side(self, centre: npt.NDArray[np.float64], site: str | None) -> str | None:
        """Say on which side a point lies: by its organ where that is of one side."""
        for side in SIDES:
            if site is not None and site.endswith(f"_{side}"):
                return side
        middle = self._midline_mm(centre)
        if middle is None:
            return None
        apart = float(centre[0]) - middle
        return "midline" if abs(apart) <= MIDLINE_MM else "left" if apart > 0 else "right"

    def _midline_mm(self, centre: npt.NDArray[np.float64]) -> float | None:
        """Give x of the spine near a point; of all organs together where there is no spine."""
        grid, labels = self.organs.grid, self.organs.labels
        if SPINE in self.organs.names:
            reach = round(SPINE_MM / grid.spacing_mm[0])
            index = round(float(_voxel(centre, grid.affine)[0]))
            first = max(0, index - reach)
            near = labels[first : max(0, index + reach + 1)] == self.organs.names.index(SPINE)
            if near.any():
                middle = np.argwhere(near).mean(axis=0)
                middle[0] += first
                return _x_mm(middle, grid.affine)
        found = np.argwhere(labels)
        if not len(found):
            return None
        return _x_mm((found.min(axis=0) + found.max(axis=0)) / 2, grid.affine)

    def _slice(self, centre: npt.NDArray[np.float64]) -> int:
        index = round(float(_voxel(centre, self.affine)[0]))
        return min(max(index, 0), max(len(self.facts.frames) - 1, 0))


def placed(lesions: Sequence[Mapping[str, Any]], places: Places) -> tuple[dict[str, Any], ...]:
    """Place every lesion."""
    return tuple(places.placed(lesion) for lesion in lesions)


def _voxel(point: npt.NDArray[np.float64], affine: npt.NDArray[np.float64]) -> Any:
    return np.linalg.solve(affine[:3, :3], point - affine[:3, 3])


def _x_mm(voxel: npt.NDArray[np.float64], affine: npt.NDArray[np.float64]) -> float:
    return float(affine[0, :3] @ voxel + affine[0, 3])
