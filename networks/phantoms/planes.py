"""How a volume lies in a series: orientation and position of each plane, and stored values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from networks.phantoms.acquire import Acquisition
from networks.phantoms.profiles import ScannerProfile

_SIGNS = {"HFS": (1, 1), "HFP": (-1, -1), "FFS": (-1, 1), "FFP": (1, -1)}
"""Sign of the x of a row's direction and of the y of a column's, by patient position."""


@dataclass(frozen=True)
class PlaneGeometry:
    """Where the planes of a series lie, in the order they are written."""

    order: npt.NDArray[np.intp]
    """Index into the volume's slices."""

    positions: npt.NDArray[np.float64]
    """(n, 3) *Image Position (Patient)*, LPS mm."""

    orientation: npt.NDArray[np.float64]
    """(6,) *Image Orientation (Patient)*."""

    flip_rows: bool
    flip_columns: bool
    pixel_spacing_mm: tuple[float, float]
    between_slices_mm: float
    """Along the normal."""


def plane_geometry(scan: Acquisition, position: str) -> PlaneGeometry:
    """Lay out a scan as a scanner does for a patient position.

    Head first is written from the head down, feet first from the feet up.
    """
    row_sign, column_sign = _SIGNS[position]
    flip_columns, flip_rows = row_sign < 0, column_sign < 0
    count, rows, columns = scan.hu.shape
    corner = np.array([0.0, rows - 1 if flip_rows else 0, columns - 1 if flip_columns else 0, 1.0])
    order = np.arange(count)
    if position.startswith("HF"):
        order = order[::-1]
    at = np.tile(corner, (count, 1))
    at[:, 0] = order
    positions = at @ scan.affine[:3].T
    along_row = scan.affine[:3, 2] / np.linalg.norm(scan.affine[:3, 2]) * row_sign
    along_column = scan.affine[:3, 1] / np.linalg.norm(scan.affine[:3, 1]) * column_sign
    normal = np.cross(along_row, along_column)
    return PlaneGeometry(
        order=order,
        positions=positions,
        orientation=np.concatenate([along_row, along_column]),
        flip_rows=flip_rows,
        flip_columns=flip_columns,
        pixel_spacing_mm=(scan.spacing_mm[1], scan.spacing_mm[2]),
        between_slices_mm=float(abs(normal @ scan.affine[:3, 0])),
    )


def stored_values(
    plane: npt.NDArray[np.float32],
    geometry: PlaneGeometry,
    profile: ScannerProfile,
    circle: npt.NDArray[np.bool_],
    *,
    slope: float = 1.0,
) -> npt.NDArray[np.int16] | npt.NDArray[np.uint16]:
    """Turn one (R, C) plane of HU into the profile's stored values, padding and flips included.

    A slope of zero, which makes the header useless on purpose, stores as if it were one.
    """
    scaled = (plane - profile.rescale_intercept) / (slope or 1.0)
    signed = profile.pixel_representation == 1
    low, high = (-32768, 32767) if signed else (0, 2**profile.bits_stored - 1)
    value = np.clip(np.rint(scaled), low, high).astype(np.int16 if signed else np.uint16)
    if profile.padding_stored is not None:
        value[~circle] = profile.padding_stored
    if geometry.flip_rows:
        value = value[::-1]
    if geometry.flip_columns:
        value = value[:, ::-1]
    return np.ascontiguousarray(value)
