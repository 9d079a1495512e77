"""Quality control from pixels: air, field of view, metal, noise, and the side of the table.

Everything is read from a coarse sample of the volume, so that it costs milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from gateway.study.flags import Flag, Quality
from gateway.study.geometry import SeriesGeometry
from gateway.study.hounsfield import outside_circle
from gateway.study.volume import HU_MAX, HU_MIN, VolumeArray

AIR_HU = (-1030.0, -950.0)
"""Air outside the body; beyond, HU are not to be trusted. Source: pipelines, "Input QC"."""

AIR_VOXELS = 200
"""Fewer sampled voxels of air have no most frequent value worth judging."""

AIR_SMOOTHING_HU = 6.0
"""SD of the smoothing of air's histogram: below the noise of any scan."""

BODY_HU = -300.0
"""Between lung and fat: what is denser and encloses the rest is body or table."""

TRUNCATED_FRACTION = 0.05
"""Share of the body's contour on the edge of the field of view. Source: pipelines, "Input QC"."""

METAL_HU = 2500.0
"""Denser than cortical bone and enamel at 120 kVp. Source: pipelines, "Input QC"."""

METAL_ML = 0.2
"""A screw or a clip group; single calcified voxels stay below."""

SOFT_TISSUE_HU = (0.0, 100.0)
"""Mean of the tiles that noise is read from. Source: Christianson et al., AJR 2015;205:W93."""

NOISE_TILE_MM = 6.0
"""Side of a tile; same source."""

NOISE_TILES = 50
"""Fewer tiles give no histogram."""

SAMPLE_MM = 3.0
"""In-plane distance of sampled voxels."""

SAMPLE_SLICES = 40
NOISE_SLICES = 8

_TABLE_SIDES = {"S": "posterior", "P": "anterior", "DR": "right", "DL": "left"}
"""(0018,5100) *Patient Position* after HF or FF → where the table is, seen from the patient."""

TABLE_VOXELS = 100
"""Fewer sampled voxels beside the body are no table."""


def pixel_quality(
    volume: VolumeArray, geometry: SeriesGeometry, *, patient_position: str = ""
) -> Quality:
    """Judge a decoded volume.

    Parameters
    ----------
    volume : (S, R, C) ndarray of int16
        HU, canonical axes, padding −1024.
    geometry : SeriesGeometry
        Its spacing is read.
    patient_position : str
        (0018,5100) *Patient Position*, compared with the side on which the table is seen.

    Returns
    -------
    Quality
        Only air out of range refuses.
    """
    spacing = geometry.spacing_mm
    steps = (
        max(1, volume.shape[0] // SAMPLE_SLICES),
        max(1, round(SAMPLE_MM / spacing[1])),
        max(1, round(SAMPLE_MM / spacing[2])),
    )
    sample = np.ascontiguousarray(volume[:: steps[0], :: steps[1], :: steps[2]])
    voxel_ml = float(np.prod(np.multiply(spacing, steps))) / 1000
    outside, body = body_of(sample)
    flags: list[Flag] = []
    measures: dict[str, float | str | None] = {"body_fraction": round(float(body.mean()), 4)}
    if not body.any():
        flags.append(Flag("no_body", "warn", f"Nothing is denser than {BODY_HU:g} HU."))

    air = air_hu(sample, outside)
    measures["air_hu"] = air
    if air is None:
        message = "Too little air around the body to check the HU scale."
        flags.append(Flag("air_unmeasured", "warn", message))
    elif not AIR_HU[0] <= air <= AIR_HU[1]:
        message = f"Air around the body has {air:.0f} HU, so the HU scale cannot be trusted."
        flags.append(Flag("air_out_of_range", "refuse", message, air))

    truncated = _truncated(sample, body)
    measures["fov_truncated_fraction"] = round(truncated, 4)
    if truncated > TRUNCATED_FRACTION:
        message = f"{truncated:.0%} of the body's contour lies on the edge of the field of view."
        flags.append(Flag("fov_truncated", "warn", message, round(truncated, 4)))

    metal = float(np.count_nonzero(sample > METAL_HU)) * voxel_ml
    measures["metal_ml"] = round(metal, 3)
    if metal >= METAL_ML:
        message = f"About {metal:.1f} ml are denser than {METAL_HU:g} HU: metal."
        flags.append(Flag("metal", "warn", message, round(metal, 3)))
        clipped = float(np.count_nonzero(sample >= HU_MAX)) * voxel_ml
        measures["clipped_ml"] = round(clipped, 3)

    measures["noise_hu"] = noise_hu(volume, spacing)
    side = _table_side(outside, body)
    measures["table_side"] = side
    flags += _table_flags(side, patient_position)
    return Quality(flags=tuple(flags), measures=measures)


def body_of(
    sample: npt.NDArray[np.int16],
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Tell outside air and the body apart.

    Parameters
    ----------
    sample : (S, R, C) ndarray of int16
        HU, some 3 mm in plane.

    Returns
    -------
    outside : (S, R, C) ndarray of bool
        Air and padding that reach the image's border within their slice.
    body : (S, R, C) ndarray of bool
        The largest connected rest, lungs included.
    """
    in_plane = np.zeros((3, 3, 3), bool)
    in_plane[1] = ndimage.generate_binary_structure(2, 1)
    gas, count = ndimage.label(sample < BODY_HU, in_plane)
    border = np.zeros(count + 1, bool)
    for edge in (gas[:, 0], gas[:, -1], gas[:, :, 0], gas[:, :, -1]):
        border[edge.ravel()] = True
    border[0] = False
    outside = border[gas]
    parts, count = ndimage.label(~outside)
    if not count:
        return outside, np.zeros_like(outside)
    largest = int(np.bincount(parts.ravel())[1:].argmax()) + 1
    body: npt.NDArray[np.bool_] = parts == largest
    if not (sample[body] > BODY_HU).any():
        body = np.zeros_like(outside)
    return outside, body


def air_hu(sample: npt.NDArray[np.int16], outside: npt.NDArray[np.bool_]) -> float | None:
    """Give the most frequent HU of the air around the body; None where there is too little.

    Voxels next to something denser are left out, and those of exactly −1024, which are padding
    or noise that was clipped. The most frequent value, since blankets and clothes, which are
    mostly air, may take up more of the field of view than the air.
    """
    far = outside[:, 2:-2, 2:-2].copy()
    for rows, columns in ((0, 2), (4, 2), (2, 0), (2, 4)):
        height, width = far.shape[1:]
        far &= outside[:, rows : rows + height, columns : columns + width]
    air = sample[:, 2:-2, 2:-2][far]
    air = air[air > HU_MIN]
    if air.size < AIR_VOXELS:
        return None
    histogram = np.bincount(air.astype(np.int64) - HU_MIN).astype(np.float64)
    smooth = ndimage.gaussian_filter1d(histogram, AIR_SMOOTHING_HU, mode="nearest")
    return float(smooth.argmax() + HU_MIN)


def noise_hu(volume: VolumeArray, spacing_mm: tuple[float, float, float]) -> float | None:
    """Estimate the noise: the most frequent SD of small tiles of soft tissue.

    Returns
    -------
    float or None
        SD in HU; None where there is too little soft tissue.

    References
    ----------
    * Christianson et al., "Automated technique to measure noise in clinical CT examinations",
      AJR 2015;205:W93-W99 (global noise level).
    """
    slices, rows, columns = volume.shape
    side = max(4, round(NOISE_TILE_MM / spacing_mm[1]))
    if rows < side or columns < side:
        return None
    index = np.unique(np.linspace(slices * 0.1, slices * 0.9, NOISE_SLICES).astype(int))
    tall, wide = rows // side, columns // side
    tiles = volume[index.clip(0, slices - 1), : tall * side, : wide * side].astype(np.float32)
    tiles = tiles.reshape(-1, tall, side, wide, side)
    mean = tiles.mean(axis=(2, 4))
    soft = (mean >= SOFT_TISSUE_HU[0]) & (mean <= SOFT_TISSUE_HU[1])
    if np.count_nonzero(soft) < NOISE_TILES:
        return None
    chosen = tiles.transpose(0, 1, 3, 2, 4)[soft]
    spread = chosen.reshape(len(chosen), -1).std(axis=1, ddof=1)
    width = 0.5
    histogram = np.bincount((spread / width).astype(int)).astype(np.float64)
    smooth = ndimage.uniform_filter1d(histogram, 5, mode="constant")
    return float((smooth.argmax() + 0.5) * width)


def _truncated(sample: npt.NDArray[np.int16], body: npt.NDArray[np.bool_]) -> float:
    """Give the share of the body's contour that lies on the image's edge or circle."""
    cross = ndimage.generate_binary_structure(2, 1)[None]
    contour = body & ~ndimage.binary_erosion(body, cross, border_value=0)
    total = int(np.count_nonzero(contour))
    if not total:
        return 0.0
    rows, columns = body.shape[1:]
    edge = np.zeros((rows, columns), bool)
    edge[[0, -1]] = edge[:, [0, -1]] = True
    corners = sample[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    if np.count_nonzero(corners == HU_MIN) > corners.size / 2:
        edge |= ndimage.binary_dilation(outside_circle(rows, columns), iterations=2)
    return float(np.count_nonzero(contour & edge)) / total


def _table_side(outside: npt.NDArray[Any], body: npt.NDArray[Any]) -> str | None:
    """Tell from which side something dense lies beside the body; None where nothing does."""
    if not body.any():
        return None
    rows, columns = (np.flatnonzero(body.any(axis=axes)) for axes in ((0, 2), (0, 1)))
    other = ~(outside | body)
    middle_row, middle_column = int(np.median(rows)), int(np.median(columns))
    counts = {
        "posterior": np.count_nonzero(other[:, middle_row:, columns[0] : columns[-1]]),
        "anterior": np.count_nonzero(other[:, :middle_row, columns[0] : columns[-1]]),
        "left": np.count_nonzero(other[:, rows[0] : rows[-1], middle_column:]),
        "right": np.count_nonzero(other[:, rows[0] : rows[-1], :middle_column]),
    }
    side = max(counts, key=lambda name: counts[name])
    rest = sorted(counts.values())[-2]
    return side if counts[side] >= TABLE_VOXELS and counts[side] > 2 * rest else None


def _table_flags(side: str | None, patient_position: str) -> Iterable[Flag]:
    position = patient_position.upper()
    expected = _TABLE_SIDES.get(position[2:])
    if expected not in (None, "posterior"):
        yield Flag("not_supine", "note", f"The patient lies {position}.", position)
    if side is not None and expected is not None and side != expected:
        message = f"The table lies {side} and Patient Position {position} says {expected}."
        yield Flag("table_side_conflict", "warn", message, side)
