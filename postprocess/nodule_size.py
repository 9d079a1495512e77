"""Outline a nodule around its mark, on the image: what the lung rules measure.

Half of the way from the lung's HU to the nodule's is its border; vessels are cut off where they
are much thinner than it is, the chest wall where a ball would not roll in. What cannot be outlined
so is not measured: a size that looks measured and is not would be worse than none.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from postprocess.outline import Mask, Outline
from preprocess.arrays import Array, to_host

Floats = NDArray[np.float32]

FINE_MM = (0.3, 1.0)
"""Voxels of the outline: a sixteenth of the diameter, within these limits."""

SMOOTH_MM = 0.6
"""SD of the Gaussian against noise."""

GLASS_SMOOTH_MM = 0.8
"""The same on top of it where little contrast is left."""

REACH = 0.85
"""Of the diameter said: farther from the mark nothing is nodule; `REACH_MM` are added."""

REACH_MM = 3.0

AERATED_HU = -500.0
"""Below it is lung, not vessel, wall or nodule."""

LUNG_VOXELS = 50
"""Fewer aerated voxels around say nothing about the lung's HU."""

SOFT_HU = 50.0
"""A nodule's own HU where calcium is denser: its border lies in soft tissue."""

GLASS_HU = (60.0, -300.0)
"""Ground glass lies at least the first above the lung, and below the second."""

GLASS_SHARE = 0.2
"""Of what is around the mark; less glass than that is none."""

BLURRED_MM = 1.5
"""So far from the border of a solid nodule its own blur looks like glass."""

SOLID_PART_HU = -250.0
"""The solid part of a part-solid nodule, midway between ground glass (about −550) and soft
tissue (about 40)."""

LEAST_CONTRAST_HU = 60.0
"""Between lung and nodule; less than that has no border here."""

ROLLING = (0.8, 5.0)
"""Radius of the ball that rolls along the wall: of the diameter, and at least mm."""

NECK = 0.6
"""What is thinner than this part of the nodule's own half width is a vessel."""

LEAKED = 0.04
"""Share of the outermost shell that may be nodule; more has no border in sight."""

RATIO = (0.5, 2.0)
"""Of the outlined to the diameter said; beyond, the two are not of the same thing."""


def outline_nodule(
    hu: Array,
    voxel: NDArray[np.float64],
    diameter_mm: float,
    spacing_mm: Sequence[float],
    *,
    glassy: bool,
) -> Outline | None:
    """Outline the nodule at a mark.

    Parameters
    ----------
    hu : (S, R, C) array of int16
        HU on the detector's grid.
    voxel : (3,) ndarray
        The mark.
    diameter_mm : float
        As the detector said.
    spacing_mm : three float
        Of the grid.
    glassy : bool
        Whether it is said to be ground-glass or part-solid.

    Returns
    -------
    Outline or None
        None where there is no border in sight: too little contrast, no lung around, grown
        together with something larger, or another size than the detector said.

    Notes
    -----
    On 384 nodules of phantoms of 3 to 30 mm, the mark off by 1 mm and the diameter said by 15 %:
    90 % are outlined (three in four of those at a vessel), their mean diameter is off by −0.1 mm
    in the median, half of them by −0.5 to +0.4 mm; at the pleura by −0.8 mm, half by −1.9 to
    −0.4 mm. Solid parts are off by −0.4 mm, four in five by −1.9 to +0.7 mm. Of patients nothing
    is known.

    References
    ----------
    * Kuhnigk 2006, IEEE Trans Med Imaging 25:417: opening by half of the nodule's own width.
    """
    fine = float(np.clip(diameter_mm / 16, *FINE_MM))
    reach = REACH * diameter_mm + REACH_MM
    spacing = np.asarray(spacing_mm, np.float64)
    sharp, origin, step = _fine(hu, voxel, reach + 2, spacing, fine)
    crop = ndimage.gaussian_filter(sharp, GLASS_SMOOTH_MM / fine) if glassy else sharp
    away = _distance(crop.shape, fine)
    lung = crop[(crop < AERATED_HU) & (away > 0.5 * diameter_mm + 1.5)]
    if lung.size < LUNG_VOXELS:
        return None
    lung_hu = float(np.median(lung))
    own_hu = _own_hu(crop, away, diameter_mm, lung_hu, fine, glassy=glassy)
    border = 0.5 * (lung_hu + own_hu)
    if own_hu - lung_hu < LEAST_CONTRAST_HU:
        return None
    rolled = _rolled(crop < AERATED_HU, max(ROLLING[0] * diameter_mm, ROLLING[1]), fine)
    dense = (crop > border) & (away <= reach) & rolled
    mask = _cut_off(dense, away, diameter_mm, fine)
    if mask is None:
        return None
    shell = (away <= reach) & (away > reach - fine)
    width = (6 * np.count_nonzero(mask) * fine**3 / np.pi) ** (1 / 3)
    low, high = RATIO
    if mask[shell].mean() > LEAKED or not low <= width / diameter_mm <= high:
        return None
    solid = _solid_part(sharp, mask, own_hu) if glassy else mask
    return Outline(mask, solid, origin, step, fine)


def _fine(
    hu: Array,
    voxel: NDArray[np.float64],
    reach_mm: float,
    spacing_mm: NDArray[np.float64],
    fine_mm: float,
) -> tuple[Floats, NDArray[np.float64], NDArray[np.float64]]:
    """Smooth a cube around a mark and interpolate it; its edge goes on beyond the volume."""
    half = int(np.ceil(reach_mm / fine_mm))
    step = fine_mm / spacing_mm
    origin = voxel - half * step
    low = np.floor(origin).astype(int) - 3
    high = np.ceil(voxel + half * step).astype(int) + 4
    index = [np.clip(np.arange(a, b), 0, n - 1) for a, b, n in zip(low, high, hu.shape)]
    cut = tuple(slice(int(axis[0]), int(axis[-1]) + 1) for axis in index)
    part = to_host(hu[cut])[np.ix_(*(axis - axis[0] for axis in index))].astype(np.float32)
    part = ndimage.gaussian_filter(part, SMOOTH_MM / spacing_mm, mode="nearest", truncate=3.0)
    for axis in range(3):
        places = origin[axis] - low[axis] + step[axis] * np.arange(2 * half + 1)
        first = np.floor(places).astype(int)
        share = (places - first).astype(np.float32)
        shape = [1, 1, 1]
        shape[axis] = -1
        share = share.reshape(shape)
        part = (1 - share) * part.take(first, axis) + share * part.take(first + 1, axis)
    return part, origin, step


def _distance(shape: tuple[int, ...], fine_mm: float) -> Floats:
    """Distance of each voxel from the middle one, mm."""
    axes = [(np.arange(n, dtype=np.float32) - n // 2) * fine_mm for n in shape]
    away: Floats = np.sqrt(axes[0][:, None, None] ** 2 + axes[1][:, None] ** 2 + axes[2] ** 2)
    return away


def _own_hu(
    crop: Floats, away: Floats, diameter_mm: float, lung_hu: float, fine_mm: float, *, glassy: bool
) -> float:
    """HU of the nodule, or of its glass where that is in sight."""
    inner = crop[away <= max(0.25 * diameter_mm, 0.8)]
    if glassy:
        least, most = GLASS_HU
        near = away <= 0.45 * diameter_mm
        solid = crop > SOLID_PART_HU
        apart = _away_from(solid, fine_mm) > BLURRED_MM if solid.any() else True
        glass = crop[near & apart & (crop > lung_hu + least) & (crop < most)]
        inner = glass if glass.size >= GLASS_SHARE * np.count_nonzero(near) else inner
    return min(float(np.median(inner)), SOFT_HU)


def _solid_part(sharp: Floats, mask: Mask, glass_hu: float) -> Mask:
    """Outline the largest solid piece in a nodule, by half of the way from its glass.

    All of it where no glass is in sight.
    """
    if glass_hu > SOLID_PART_HU:
        return mask
    highest = min(float(np.percentile(sharp[mask], 99)), SOFT_HU)
    if highest < SOLID_PART_HU:
        return np.zeros_like(mask)
    pieces, count = ndimage.label(mask & (sharp > 0.5 * (glass_hu + highest)))
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)
    sizes[0] = 0
    largest: Mask = pieces == int(sizes.argmax())
    return largest & mask


def _rolled(aerated: Mask, radius_mm: float, fine_mm: float) -> Mask:
    """Fill what a ball cannot roll into: what lies in the lung, or bulges into it."""
    if aerated.all():
        return aerated
    coarse = aerated[::2, ::2, ::2]
    grown = _away_from(coarse, 2 * fine_mm) <= radius_mm
    if grown.all():
        return np.ones_like(aerated)
    rolled: Mask = _away_from(~grown, 2 * fine_mm) > radius_mm
    for axis, size in enumerate(aerated.shape):
        rolled = rolled.repeat(2, axis).take(range(size), axis)
    return rolled | aerated


def _cut_off(dense: Mask, away: Floats, diameter_mm: float, fine_mm: float) -> Mask | None:
    """Keep the piece at the mark without what hangs on it by less than half of its width."""
    depth = ndimage.distance_transform_edt(dense, sampling=fine_mm)
    near = np.where(away <= max(0.35 * diameter_mm, 1.0), depth, 0.0)
    middle = np.unravel_index(int(near.argmax()), near.shape)
    half_width = float(near[middle])
    if half_width <= 0:
        return None
    neck = NECK * half_width
    pieces, _ = ndimage.label(depth >= neck)
    body = pieces == pieces[middle]
    kept: Mask = dense & (_away_from(body, fine_mm) <= neck + 0.5 * fine_mm)
    return kept


def _away_from(mask: Mask, fine_mm: float) -> NDArray[np.float64]:
    """Distance of each voxel to the nearest one of a mask, mm."""
    away: NDArray[np.float64] = ndimage.distance_transform_edt(~mask, sampling=fine_mm)
    return away
