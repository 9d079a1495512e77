"""Pieces of the aorta that are painted one by one: each a patch with coordinates in it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from networks.phantoms.lesion import FloatArray
from networks.phantoms.lesions.aorta.course import STEP_MM, AortaCourse
from networks.phantoms.lesions.brush import Patch
from networks.phantoms.lesions.nested import nested_grid
from networks.phantoms.tissue import Tissue

SPACING_MM = 0.8
"""Largest voxel edge of a piece; all pieces share one lattice, so that they join without a seam."""

PIECE_MM = 70.0
"""Longest piece."""

OVERLAP_MM = 4.0
"""Of neighbouring boxes; each voxel is painted in one of them."""

EDGE_HU = 8.0
"""Texture of the blood that is left alone where an old edge is filled: two of its SD."""

EDGE_MM = 4.5
"""How deep inside the wall the anatomy's voxels blur its edge."""

MOVABLE = (
    Tissue.MEDIASTINAL_FAT,
    Tissue.VISCERAL_FAT,
    Tissue.PERICARDIAL_FAT,
    Tissue.LUNG_RIGHT,
    Tissue.LUNG_LEFT,
)
"""What a widening aorta pushes aside."""


@dataclass
class Segment:
    """A piece of the aorta.

    Attributes
    ----------
    patch : Patch
        What is painted on.
    wall_mm : (S, R, C) ndarray of float32
        Distance from the outer wall, negative inside.
    arc_mm : (S, R, C) ndarray of float32
        Length along the axis.
    u_mm, v_mm : (S, R, C) ndarray of float32
        Offsets from the axis along its two normals.
    own : (S, R, C) ndarray of bool
        Voxels that belong to this piece and no other.
    """

    patch: Patch
    wall_mm: FloatArray
    arc_mm: FloatArray
    u_mm: FloatArray
    v_mm: FloatArray
    own: npt.NDArray[np.bool_]

    def turned(self, angle: FloatArray | float) -> tuple[FloatArray, FloatArray]:
        """Return the offsets along a direction across the axis, and across that, mm."""
        cos, sin = np.cos(angle), np.sin(angle)
        along = self.u_mm * cos + self.v_mm * sin
        across = self.v_mm * cos - self.u_mm * sin
        return along.astype(np.float32), across.astype(np.float32)

    @property
    def room(self) -> FloatArray:
        """Where a widening aorta may go, 0 to 1."""
        share = self.patch.share(*MOVABLE, Tissue.AORTA)
        return np.clip(1.6 * share - 0.3, 0, 1).astype(np.float32)

    def widened(self, wall_mm: FloatArray, blood_hu: float) -> FloatArray:
        """Return the HU after the wall has moved out: blood where fat or lung was.

        The blurred edge of the old wall is filled as well.
        """
        patch = self.patch
        inside = patch.inside(wall_mm) * np.maximum(self.room, patch.inside(self.wall_mm))
        moved = np.clip((self.wall_mm - wall_mm) / patch.grid.spacing_mm, 0, 1)
        missing = blood_hu - patch.base
        missing *= np.clip(missing / EDGE_HU - 1, 0, 1) * (self.wall_mm > -EDGE_MM)
        return np.asarray(patch.base + inside * moved * missing, np.float32)

    def paint(self, hu: FloatArray, mask: npt.NDArray[np.bool_]) -> None:
        """Set HU and mask of the piece's own voxels."""
        self.patch.hu = np.where(self.own, hu, self.patch.base).astype(np.float32)
        self.patch.mask = mask & self.own


def segments(
    course: AortaCourse, first_mm: float, last_mm: float, *, margin_mm: float = 8.0
) -> list[Segment]:
    """Cut the aorta between two lengths along its axis into pieces.

    Parameters
    ----------
    first_mm, last_mm : float
        Arc of the ends.
    margin_mm : float
        How far outside the wall the pieces reach.
    """
    count = max(1, int(np.ceil((last_mm - first_mm) / PIECE_MM)))
    cuts = np.linspace(first_mm, last_mm, count + 1)
    return [_piece(course, low, high, margin_mm) for low, high in itertools.pairwise(cuts.tolist())]


def _piece(course: AortaCourse, low_mm: float, high_mm: float, margin_mm: float) -> Segment:
    first = max(course.index(low_mm - OVERLAP_MM), 0)
    last = course.index(high_mm + OVERLAP_MM)
    points = course.points_mm[first : last + 1]
    reach = float(course.radius_mm[first : last + 1].max()) * 1.15 + margin_mm
    grid = nested_grid(
        course.scene, points.min(axis=0) - reach, points.max(axis=0) + reach, SPACING_MM
    )
    arc, u, v = course.coordinates_on(grid)
    own = (arc >= low_mm) & (arc < high_mm)
    return Segment(Patch(course.scene, grid), course.wall_on(grid), arc, u, v, own)


def ramp(arc_mm: FloatArray, first_mm: float, last_mm: float, length_mm: float) -> FloatArray:
    """Return 0 at both ends of an extent and 1 farther inside than a length, without a kink."""
    t = np.clip(np.minimum(arc_mm - first_mm, last_mm - arc_mm) / length_mm, 0, 1)
    return (t * t * (3 - 2 * t)).astype(np.float32)


def wave(rng: np.random.Generator, *lengths_mm: float) -> Callable[[FloatArray], FloatArray]:
    """Draw a smooth function of an offset in mm, of SD 1 and about these wavelengths."""
    phases = rng.uniform(0, 2 * np.pi, len(lengths_mm))
    scale = np.sqrt(2 / len(lengths_mm))

    def at(offset_mm: FloatArray) -> FloatArray:
        total = sum(
            np.sin(2 * np.pi * offset_mm / length + phase)
            for length, phase in zip(lengths_mm, phases, strict=True)
        )
        return np.asarray(scale * total, np.float32)

    return at


def radius_at(course: AortaCourse, arc_mm: FloatArray) -> FloatArray:
    """Return the radius of the axis' cross-section at each arc, mm."""
    places = STEP_MM * np.arange(len(course.radius_mm))
    return np.interp(arc_mm, places, course.radius_mm).astype(np.float32)
