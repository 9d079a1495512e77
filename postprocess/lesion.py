"""One lesion as the answer tells it, whatever found it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from postprocess.diameters import axial_diameters
from preprocess.arrays import Array, to_host

Mask = NDArray[np.bool_]


def lesion_json(
    number: int,
    part: Array,
    place: Sequence[slice],
    *,
    hu: Array,
    geometry: NDArray[np.float64],
    score: float | None,
    classes: Mapping[str, float],
    mask_value: int | None,
    kind: str | None = None,
    measures: Mapping[str, float | None] | None = None,
) -> dict[str, Any]:
    """Describe a lesion of which there is a mask.

    Parameters
    ----------
    number : int
        From 1, in the order of the list.
    part : (s, r, c) array of bool
        The lesion, not empty.
    place : three slices
        Where `part` lies on the grid.
    hu : (S, R, C) array of int16
        HU on the grid.
    geometry : (4, 4) ndarray of float64
        Voxel of the grid → LPS mm.
    score : float or None
        Probability that it is one; None where a rule found it.
    classes : mapping
        Probability of each kind; the likeliest is the lesion's kind unless `kind` is given.
    mask_value : int or None
        Its value in the mask.

    Returns
    -------
    dict
        Plain JSON values; mm, mm³, HU, LPS.
    """
    part, here = to_host(part), to_host(hu[tuple(place)])
    spacing_mm = np.linalg.norm(geometry[:3, :3], axis=0)
    start = np.array([edge.start for edge in place])
    diameters = axial_diameters(part, tuple(float(mm) for mm in spacing_mm))
    assert diameters is not None
    long, short = (round(mm, 1) for mm in diameters)
    first, last = start - 0.5, np.array([edge.stop for edge in place]) - 0.5
    corners = np.sort([in_lps(first, geometry), in_lps(last, geometry)], axis=0)
    if kind is None and classes:
        kind = max(classes, key=lambda name: classes[name])
    return {
        "id": number,
        "kind": kind,
        "classes": {name: round(p, 4) for name, p in classes.items()},
        "score": None if score is None else round(score, 4),
        "centre_mm": _rounded(in_lps(start + middle(part, spacing_mm), geometry)),
        "box_mm": [_rounded(corner) for corner in corners],
        "long_diameter_mm": long,
        "short_diameter_mm": short,
        "mean_diameter_mm": round(sum(diameters) / 2, 1),
        "volume_mm3": round(float(np.count_nonzero(part) * np.prod(spacing_mm)), 1),
        "hu": hu_statistics(here[part]),
        "mask_value": mask_value,
        "measures": dict(measures or {}),
    }


def middle(part: Mask, spacing_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the centroid of a lesion, or where that lies outside it the voxel of it nearest by.

    Returns
    -------
    (3,) ndarray of float64
        Voxels of `part`. A flap or a crescent does not contain its centroid, and a reader who is
        led there would see nothing.
    """
    voxels = np.argwhere(part)
    centre: NDArray[np.float64] = voxels.mean(axis=0)
    if part[tuple(np.rint(centre).astype(np.intp))]:
        return centre
    away = (((voxels - centre) * spacing_mm) ** 2).sum(axis=1)
    nearest: NDArray[np.float64] = voxels[int(away.argmin())].astype(np.float64)
    return nearest


def hu_statistics(hu: NDArray[np.int16]) -> dict[str, float]:
    """Give mean, SD, median, minimum and maximum of some voxels, HU."""
    return {
        "mean": round(float(hu.mean()), 1),
        "sd": round(float(hu.std()), 1),
        "median": round(float(np.median(hu)), 1),
        "min": float(hu.min()),
        "max": float(hu.max()),
    }


def in_lps(voxel: NDArray[np.float64], geometry: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the LPS mm of a place on a grid."""
    point: NDArray[np.float64] = geometry[:3, :3] @ voxel + geometry[:3, 3]
    return point


def _rounded(point: NDArray[np.float64]) -> list[float]:
    return [round(float(mm), 2) for mm in point]
