"""Where the slices of a series lie, and how they become one canonical volume.

Slices are ordered along the normal n = row × column, never along z.
The stack is then turned by whole axes and flips so that slices run inferior → superior,
rows anterior → posterior, columns right → left; what obliquity is left stays in the affine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
import numpy.typing as npt

from gateway.exceptions import (
    DuplicateSlicesError,
    InvalidGeometryError,
    MissingSlicesError,
    MixedGeometryError,
    MixedOrientationError,
    TiltTooLargeError,
    TooFewSlicesError,
)
from gateway.instance import Frame
from gateway.study.stored import check_storable
from gateway.study.volume import Affine

Floats = npt.NDArray[np.float64]

MINIMUM_SLICES = 3
"""Fewer planes are no volume: neither their spacing nor a missing one can be checked."""

ORIENTATION_TOLERANCE = 1e-3
"""Largest difference of a direction cosine within a series, and of a cosine pair from unit length
and a right angle. 0.06°, a quarter of a millimetre at the edge of a 500 mm field; DS values with
six decimals and recomputed cosines stay far below it, a second orientation far above."""

PIXEL_SPACING_TOLERANCE_MM = 1e-3
"""Half a millimetre over 512 pixels; writers that round differ by 1e-5."""

DUPLICATE_TOLERANCE_MM = 0.01
"""Planes nearer than that are the same place: thinnest CT increments are 0.1 mm, positions are
written to 0.001 mm or better."""

GAP_FACTOR = 1.5
"""An increment above 1.5 × the median means that slices are missing; one below 1/1.5 of it means
that the increment changes within the series. Source: pipelines, "Input QC"."""

SPREAD_WARNING_MM = 0.1
"""Increments that differ by more are recorded. Source: pipelines, "Input QC"."""

SHEAR_CORRECTED_DEGREES = 0.5
"""Tilt from which slices are shifted in plane; below, the error is 1 mm in 115 mm."""

SHEAR_REFUSED_DEGREES = 30.0
"""Gantries tilt by at most 30°; more is a wrong header."""

STRAIGHTNESS_TOLERANCE_MM = 1.0
"""In-plane distance of a slice from the straight line through the stack; a tilt keeps to the line,
slices of two reconstructions do not."""

AXIAL_DEGREES = 25.0
"""A stack whose normal is nearer to the body axis than that is read as axial."""

_DIRECTIONS = ("sagittal", "coronal", "axial")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SeriesGeometry:
    """A series as a canonical (S, R, C) array in LPS space."""

    frames: tuple[Frame, ...]
    """Planes in the order of growing position along their normal."""

    permutation: tuple[int, int, int]
    """Canonical axis a is axis ``permutation[a]`` of the (plane, row, column) stack."""

    flips: tuple[bool, bool, bool]
    """Whether the canonical axis runs against that axis of the stack."""

    shape: tuple[int, int, int]
    """(S, R, C) of the canonical array, grown where a tilt is corrected."""

    affine: Affine
    """(slice, row, column, 1) → LPS mm, exact for the canonical array."""

    spacing_mm: tuple[float, float, float]
    """Between slices, rows, columns of the canonical array."""

    increment_mm: float
    """Median distance of neighbouring planes along their normal."""

    increment_spread_mm: float
    """Largest minus smallest such distance."""

    thickness_mm: float | None
    """Nominal slice thickness."""

    orientation: str
    """``axial | coronal | sagittal``: which the planes are nearest to."""

    obliquity_degrees: float
    """Angle between the planes' normal and that axis."""

    shear_degrees: float
    """Angle between the normal and the way from plane to plane (gantry tilt)."""

    shifts: tuple[tuple[float, float], ...] = ()
    """(rows, columns) by which each plane is moved in plane; empty where there is no tilt."""

    @property
    def tilt_corrected(self) -> bool:
        """Whether planes are shifted to undo a gantry tilt."""
        return bool(self.shifts)

    @property
    def native_order(self) -> bool:
        """Whether each plane is, as stored, one slice of the canonical array."""
        return self.permutation == (0, 1, 2) and not (self.flips[1] or self.flips[2])

    @property
    def coverage_mm(self) -> float:
        """Extent from the first to the last slice of the canonical array, slices included."""
        return self.shape[0] * self.spacing_mm[0]

    def to_json(self) -> dict[str, Any]:
        """Give what a person or a result needs as plain values."""
        return {
            "shape": list(self.shape),
            "spacing_mm": [round(x, 6) for x in self.spacing_mm],
            "affine_lps": self.affine.tolist(),
            "increment_mm": round(self.increment_mm, 6),
            "increment_spread_mm": round(self.increment_spread_mm, 6),
            "thickness_mm": self.thickness_mm,
            "coverage_mm": round(self.coverage_mm, 3),
            "orientation": self.orientation,
            "obliquity_degrees": round(self.obliquity_degrees, 3),
            "shear_degrees": round(self.shear_degrees, 3),
            "tilt_corrected": self.tilt_corrected,
            "permutation": list(self.permutation),
            "flips": list(self.flips),
        }


def geometry_of(frames: Sequence[Frame]) -> SeriesGeometry:
    """Place the frames of one volume.

    Parameters
    ----------
    frames : sequence of Frame
        In any order.

    Returns
    -------
    SeriesGeometry

    Raises
    ------
    UnsupportedTransferSyntaxError, LossyCompressionError, MissingAttributeError, \
    ZeroRescaleSlopeError
        When a frame cannot be decoded to HU.
    TooFewSlicesError, MixedGeometryError, MixedOrientationError, InvalidGeometryError, \
    DuplicateSlicesError, MissingSlicesError, TiltTooLargeError
        When the frames are no volume.

    References
    ----------
    * DICOM PS3.3, C.7.6.2.1.1 (Image Position and Image Orientation).
    """
    for frame in frames:
        check_storable(frame)
    if len(frames) < MINIMUM_SLICES:
        count = "one slice" if len(frames) == 1 else f"{len(frames)} slices"
        raise TooFewSlicesError(
            f"The series has {count}; a volume needs at least {MINIMUM_SLICES}."
        )
    spacing = _in_plane_spacing(frames)
    row, column, normal = _directions(frames)
    positions = np.array([f.image_position_patient for f in frames], dtype=np.float64)
    if not np.isfinite(positions).all():
        raise InvalidGeometryError("An Image Position is not a finite number.")

    along = positions @ normal
    order = np.argsort(along, kind="stable")
    frames = [frames[i] for i in order]
    positions, along = positions[order], along[order]
    steps = np.diff(along)
    increment = float(np.median(steps))
    _check_steps(along, steps, increment)

    shear, step, shifts = _stack(positions, row, column, normal, spacing)
    stack = np.eye(4)
    stack[:3, 0], stack[:3, 1], stack[:3, 2] = step, column * spacing[0], row * spacing[1]
    stack[:3, 3] = positions[0]
    rows, columns = frames[0].rows, frames[0].columns
    if shifts is not None:
        first = np.floor(shifts.min(axis=0))
        grown = np.ceil(shifts.max(axis=0) - first).astype(int)
        rows, columns = rows + int(grown[0]), columns + int(grown[1])
        stack[:3, 3] += stack[:3, 1] * first[0] + stack[:3, 2] * first[1]
        shifts = shifts - first

    shape = (len(frames), rows, columns)
    permutation, flips, affine = _canonical(stack, shape)
    axis, angle = _nearest_axis(normal)
    thickness = frames[0].slice_thickness
    return SeriesGeometry(
        frames=tuple(frames),
        permutation=permutation,
        flips=flips,
        shape=(shape[permutation[0]], shape[permutation[1]], shape[permutation[2]]),
        affine=affine,
        spacing_mm=tuple(np.linalg.norm(affine[:3, :3], axis=0).tolist()),
        increment_mm=increment,
        increment_spread_mm=float(np.ptp(steps)),
        thickness_mm=float(thickness) if thickness is not None else None,
        orientation=_DIRECTIONS[axis],
        obliquity_degrees=angle,
        shear_degrees=shear,
        shifts=tuple(map(tuple, shifts.tolist())) if shifts is not None else (),
    )


def _in_plane_spacing(frames: Sequence[Frame]) -> tuple[float, float]:
    first = frames[0]
    spacing = np.array([f.pixel_spacing for f in frames], dtype=np.float64)
    if not np.isfinite(spacing).all() or spacing.min() <= 0:
        raise InvalidGeometryError("Pixel Spacing is not positive.")
    if any((f.rows, f.columns) != (first.rows, first.columns) for f in frames):
        raise MixedGeometryError("Slices of the series have different numbers of rows or columns.")
    if np.ptp(spacing, axis=0).max() > PIXEL_SPACING_TOLERANCE_MM:
        raise MixedGeometryError("Slices of the series have different pixel spacings.")
    return float(spacing[0, 0]), float(spacing[0, 1])


def _directions(frames: Sequence[Frame]) -> tuple[Floats, Floats, Floats]:
    """Give the unit vectors of growing column index, growing row index, and their cross product."""
    cosines = np.array([f.image_orientation_patient for f in frames], dtype=np.float64)
    if not np.isfinite(cosines).all():
        raise InvalidGeometryError("An Image Orientation is not a finite number.")
    if np.abs(cosines - cosines[0]).max() > ORIENTATION_TOLERANCE:
        odd = int((np.abs(cosines - cosines[0]).max(axis=1) > ORIENTATION_TOLERANCE).sum())
        raise MixedOrientationError(
            f"{odd} of {len(frames)} slices have another orientation than the first."
        )
    row, column = cosines[0, :3], cosines[0, 3:]
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if (
        max(abs(lengths[0] - 1), abs(lengths[1] - 1)) > ORIENTATION_TOLERANCE
        or abs(row @ column) > ORIENTATION_TOLERANCE
    ):
        raise InvalidGeometryError("Image Orientation is not a pair of perpendicular unit vectors.")
    row = row / lengths[0]
    normal = np.cross(row, column)
    normal /= np.linalg.norm(normal)
    return row, np.cross(normal, row), normal


def _check_steps(along: Floats, steps: Floats, increment: float) -> None:
    same = np.flatnonzero(steps < DUPLICATE_TOLERANCE_MM)
    if same.size:
        raise DuplicateSlicesError(
            f"{same.size} of {along.size} slices lie where another one lies, the first at "
            f"{along[same[0]]:.2f} mm along the normal."
        )
    gaps = np.flatnonzero(steps > GAP_FACTOR * increment)
    if gaps.size:
        missing = int(np.maximum(np.rint(steps[gaps] / increment) - 1, 1).sum())
        places = ", ".join(f"{along[g]:.2f} and {along[g + 1]:.2f} mm" for g in gaps[:3])
        more = f", and {gaps.size - 3} more" if gaps.size > 3 else ""
        raise MissingSlicesError(
            f"About {missing} of {along.size + missing} slices are missing: between {places}{more} "
            f"along the normal, where the increment is {increment:.2f} mm."
        )
    if steps.min() < increment / GAP_FACTOR:
        raise InvalidGeometryError(
            f"The slice increment changes within the series from {steps.min():.2f} to "
            f"{steps.max():.2f} mm."
        )


def _stack(
    positions: Floats, row: Floats, column: Floats, normal: Floats, spacing: tuple[float, float]
) -> tuple[float, Floats, Floats | None]:
    """Give the tilt in degrees, the step from plane to plane, and in-plane shifts or None.

    The tilt is told from Image Position and Orientation alone: the sign of
    (0018,1120) *Gantry/Detector Tilt* is not to be relied on.
    """
    count = len(positions) - 1
    way = positions[-1] - positions[0]
    shear = float(np.degrees(np.arccos(np.clip(way @ normal / np.linalg.norm(way), -1, 1))))
    if shear > SHEAR_REFUSED_DEGREES:
        raise TiltTooLargeError(
            f"Slices are stacked at {shear:.1f}° to their normal; up to "
            f"{SHEAR_REFUSED_DEGREES:.0f}° is corrected."
        )
    offset = positions - positions[0]
    straight = offset - np.outer(offset @ normal / (way @ normal), way)
    if np.linalg.norm(straight, axis=1).max() > STRAIGHTNESS_TOLERANCE_MM:
        raise InvalidGeometryError("Slices are not stacked along a straight line.")
    if shear <= SHEAR_CORRECTED_DEGREES:
        return shear, way / count, None
    in_plane = np.stack([offset @ column / spacing[0], offset @ row / spacing[1]], axis=1)
    return shear, normal * (way @ normal) / count, in_plane


def _canonical(
    stack: Floats, shape: tuple[int, int, int]
) -> tuple[tuple[int, int, int], tuple[bool, bool, bool], Affine]:
    """Turn (plane, row, column) axes to (z, y, x) by the nearest permutation and flips."""
    cosines = stack[:3, :3] / np.linalg.norm(stack[:3, :3], axis=0)
    toward = cosines[::-1]  # rows z, y, x; columns plane, row, column
    permutation = max(
        permutations(range(3)), key=lambda p: sum(abs(toward[a, p[a]]) for a in range(3))
    )
    flips = tuple(bool(toward[a, permutation[a]] < 0) for a in range(3))
    index = np.zeros((4, 4))
    index[3, 3] = 1.0
    for canonical, (native, flip) in enumerate(zip(permutation, flips)):
        index[native, canonical] = -1.0 if flip else 1.0
        index[native, 3] = shape[native] - 1 if flip else 0.0
    a, b, c = permutation
    return (a, b, c), (flips[0], flips[1], flips[2]), stack @ index


def _nearest_axis(normal: Floats) -> tuple[int, float]:
    """Give which of x, y, z the normal is nearest to, and its angle to it in degrees."""
    axis = int(np.abs(normal).argmax())
    return axis, float(np.degrees(np.arccos(min(1.0, float(abs(normal[axis]))))))
