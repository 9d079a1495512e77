"""How long, how wide and how thick: sizes of a mask, in its slices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull

from preprocess.arrays import Array, to_host
from preprocess.objects import find_boxes

_MIDPOINTS = np.array([[-0.5, 0.0], [0.5, 0.0], [0.0, -0.5], [0.0, 0.5]])
"""Middles of a pixel's edges, pixels from its centre. Through them a row of n pixels is n long,
and a disc is at most a pixel too large; through the corners it would be still larger."""


def axial_diameters(
    mask: NDArray[np.bool_], spacing_mm: Sequence[float]
) -> tuple[float, float] | None:
    """Measure a lesion as a reader does, in the slice where its section is the largest.

    Parameters
    ----------
    mask : (S, R, C) ndarray of bool
        One lesion.
    spacing_mm : three float
        mm, axis order.

    Returns
    -------
    (long, short) or None
        mm: the largest distance within the section, and its extent at right angles to that.
        None for an empty mask.
    """
    areas = mask.sum(axis=(1, 2))
    if not areas.any():
        return None
    pixels = _ends(mask[int(areas.argmax())])
    points = (pixels[:, None, :] + _MIDPOINTS).reshape(-1, 2) * np.asarray(spacing_mm[1:])
    points = _hull(points)  # four points of one pixel already span an area
    apart = points[:, None, :] - points[None, :, :]
    squares = (apart**2).sum(axis=2)
    first, last = np.unravel_index(int(squares.argmax()), squares.shape)
    long = float(np.sqrt(squares[first, last]))
    along = apart[first, last] / long
    across = points @ np.array([-along[1], along[0]])
    return long, float(np.ptp(across))


def inscribed_diameter(mask: Array, spacing_mm: Sequence[float]) -> float:
    """Measure the calibre of a tube: the largest circle within any of its sections.

    Parameters
    ----------
    mask : (S, R, C) ndarray of bool
        A vessel, a duct, or a wall, whose thickness it is.
    spacing_mm : three float
        mm, axis order.

    Returns
    -------
    float
        mm; 0 for an empty mask. However a plane cuts a round tube, the section is as wide as the
        tube; where tubes join or touch it is wider.

    Notes
    -----
    Exact for a band along an axis. Within the steps of a round border the circle is up to a pixel
    and a half too small.
    """
    (box,) = find_boxes(mask.astype(np.uint8), 1)
    if box is None:
        return 0.0
    inside = to_host(mask[box])
    row, column = float(spacing_mm[1]), float(spacing_mm[2])
    rough = [_reach(section, (row, column)) for section in inside]
    # a rough radius is too large by up to a pixel
    worth = max(rough) - max(row, column)
    radii = [
        _reach(_edges(section), (row / 2, column / 2))
        for section, radius in zip(inside, rough)
        if radius >= worth
    ]
    return 2.0 * max(radii)


def _ends(section: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Give the first and the last pixel of each row, (n, 2): what lies between is no corner."""
    rows = np.flatnonzero(section.any(axis=1))
    held = section[rows]
    first, last = held.argmax(axis=1), held.shape[1] - 1 - held[:, ::-1].argmax(axis=1)
    return np.concatenate([np.column_stack([rows, first]), np.column_stack([rows, last])])


def _hull(points: NDArray[np.float64]) -> NDArray[np.float64]:
    corners: NDArray[np.float64] = points[ConvexHull(points).vertices]
    return corners


def _reach(section: NDArray[np.bool_], spacing_mm: tuple[float, float]) -> float:
    """Give the largest distance to the nearest point outside, mm."""
    if not section.any():
        return 0.0
    away = ndimage.distance_transform_edt(np.pad(section, 1), sampling=spacing_mm)
    return float(away.max())


def _edges(section: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Give a section on points half a pixel apart, of which those on its edge are outside.

    So a row of n pixels is n wide, whether n is odd or even.
    """
    padded = np.pad(section, 1)
    fine = padded.repeat(2, 0).repeat(2, 1)
    inner: NDArray[np.bool_] = fine[:-1, :-1] & fine[1:, :-1] & fine[:-1, 1:] & fine[1:, 1:]
    return inner
