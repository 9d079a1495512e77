"""Agatston and volume score of coronary calcium."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from postprocess.exceptions import PostprocessError
from preprocess.arrays import Array, array_namespace, counts_of, image_functions

THRESHOLD_HU = 130.0
"""Calcium begins here at 120 kVp (pipelines.md §2.4). At another tube voltage the threshold
differs and no Agatston score is given."""

WEIGHT_CUTS_HU = (200.0, 300.0, 400.0)
"""Where the weight by a lesion's highest HU rises from 1 to 2, 3 and 4."""

MIN_AREA_MM2 = 1.0
"""Smaller lesions are noise and do not count."""

REFERENCE_INCREMENT_MM = 3.0
"""Slice increment for which the score is defined."""

_IN_PLANE = np.zeros((3, 3, 3), np.bool_)
_IN_PLANE[1] = True


@dataclass(frozen=True, slots=True)
class CalciumScore:
    """What the rule gives for one scan, in all or by region."""

    agatston: float
    """Agatston units."""
    volume_mm3: float
    """Volume of the counted lesions: voxels × voxel volume, not interpolated."""
    lesions: int
    """Counted lesions; one that shows in three slices counts three times."""


def calcium_scores(
    hu: Array,
    regions: Array,
    *,
    spacing_mm: tuple[float, float, float],
    count: int = 1,
) -> tuple[CalciumScore, ...]:
    """Score the calcium within the coronary arteries by the Agatston rule.

    Parameters
    ----------
    hu : (S, R, C) array
        Contiguous axial slices at 120 kVp, nominally 3 mm, HU.
        Thinner or overlapping slices must be averaged to contiguous 3 mm first, or noise counts.
    regions : (S, R, C) array of bool or uint8
        The coronary mask, or the number of a territory, 1 to `count`; 0 lies outside.
    spacing_mm : (between_slices, between_rows, between_columns)
        The first is the increment, not the thickness.
    count : int
        Number of territories.

    Returns
    -------
    tuple of CalciumScore
        Of all together, then one a territory. A lesion that lies in two territories belongs to
        the one that holds more of it.

    Raises
    ------
    PostprocessError
        When shapes differ or a spacing is not positive.

    Notes
    -----
    A lesion is an 8-connected component of HU ≥ 130 in one slice, within the mask. It gives
    area · weight · increment/3 if its area is at least 1 mm²; the weight is 1 for a highest HU
    below 200, 2 below 300, 3 below 400, else 4 (pipelines.md §2.4).
    """
    if hu.shape != regions.shape or hu.ndim != 3:
        raise PostprocessError(f"hu and regions differ in shape: {hu.shape} and {regions.shape}")
    if min(spacing_mm) <= 0:
        raise PostprocessError(f"spacing_mm must be positive, not {spacing_mm}")
    increment, row, column = spacing_mm
    xp, label = array_namespace(hu), image_functions(hu).label
    pieces, found = label((hu >= THRESHOLD_HU) & (regions > 0), structure=_IN_PLANE)
    hot = pieces > 0
    dense = hu[hot]
    piece = pieces[hot].astype(xp.int64) - 1
    territory = xp.minimum(regions[hot].astype(xp.int64), count) - 1
    votes = counts_of(piece * count + territory, found * count).reshape(found, count)
    # a piece weighs 1, and 1 more for each limit that a voxel of it reaches
    weight = 1 + sum(
        (counts_of(piece[dense >= limit], found) > 0).astype(np.int64) for limit in WEIGHT_CUTS_HU
    )
    voxels = votes.sum(axis=1)
    area = voxels * (row * column)
    counted = area >= MIN_AREA_MM2 * (1 - 1e-9)  # 4 pixels of 0.5 mm are 1 mm²
    agatston = np.where(counted, area * weight * (increment / REFERENCE_INCREMENT_MM), 0.0)
    volume = np.where(counted, area * increment, 0.0)
    home = votes.argmax(axis=1) if found else np.zeros(0, np.intp)
    parts = [slice(None), *(home == territory for territory in range(count))]
    return tuple(
        CalciumScore(
            agatston=float(agatston[part].sum()),
            volume_mm3=float(volume[part].sum()),
            lesions=int(counted[part].sum()),
        )
        for part in parts
    )
