"""How far a scanner's HU lie from where air, fat and blood should be.

Estimated and recorded with every study; added to the volume only where that is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from gateway.study.volume import HU_MAX, HU_MIN, VolumeArray

USUAL_HU = {"air": (-1010.0, -985.0), "fat": (-120.0, -80.0), "blood": (30.0, 60.0)}
"""Usual HU of air around the body, fat and native aortic blood at 120 kVp (pipelines, "Input QC").
People differ within these ranges, so a reference that lies in its own asks for nothing."""

WEIGHTS = {"air": 0.5, "fat": 1.0, "blood": 1.0}
"""Air is far from soft tissue on the scale, so its drift says least about an offset there."""

MAX_OFFSET_HU = 10.0
"""Larger differences are no drift of a scanner: nothing is offset by more."""

FAT_HU = (-150, -50)
"""Where the peak of fat is looked for."""

FAT_SHARE = 0.005
"""Share of sampled voxels that fat must have for its peak to be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Normalisation:
    """What was measured, the offset that it suggests, and whether it was applied."""

    air_hu: float | None
    fat_hu: float | None
    blood_hu: float | None
    noise_hu: float | None
    offset_hu: float
    """To be added to the volume; within ±10 HU."""

    limited: bool
    """Whether the references asked for more than ±10 HU."""

    applied: bool = False

    def to_json(self) -> dict[str, Any]:
        """Give plain values."""
        return {name: getattr(self, name) for name in self.__slots__}


def estimate_normalisation(
    volume: VolumeArray,
    *,
    air_hu: float | None = None,
    blood_hu: float | None = None,
    noise_hu: float | None = None,
) -> Normalisation:
    """Estimate the HU offset of a scan.

    Parameters
    ----------
    volume : (S, R, C) ndarray of int16
        HU.
    air_hu, blood_hu, noise_hu : float, optional
        HU of air around the body (quality control measures it) and of the aorta (anatomy does;
        native scans only), and the noise figure to be recorded.

    Returns
    -------
    Normalisation
        Offset 0 where nothing could be measured or all is as usual.
    """
    fat = fat_hu(volume)
    measured = {"air": air_hu, "fat": fat, "blood": blood_hu}
    found = {
        name: float(np.clip(hu, *USUAL_HU[name])) - hu
        for name, hu in measured.items()
        if hu is not None
    }
    weight = sum(WEIGHTS[name] for name in found)
    wanted = sum(WEIGHTS[name] * by for name, by in found.items()) / weight if weight else 0.0
    offset = float(np.clip(wanted, -MAX_OFFSET_HU, MAX_OFFSET_HU))
    return Normalisation(
        air_hu=air_hu,
        fat_hu=fat,
        blood_hu=blood_hu,
        noise_hu=noise_hu,
        offset_hu=round(offset, 2),
        limited=abs(wanted) > MAX_OFFSET_HU,
    )


def fat_hu(volume: VolumeArray) -> float | None:
    """Give the HU of fat: the peak of a coarse histogram between −150 and −50.

    Returns
    -------
    float or None
        None where fat is too little or has no peak of its own.
    """
    steps = [max(1, n // 96) for n in volume.shape]
    sample: npt.NDArray[Any] = volume[:: steps[0], :: steps[1], :: steps[2]]
    near = sample[(sample >= FAT_HU[0]) & (sample <= FAT_HU[1])].astype(np.int64)
    if near.size < FAT_SHARE * sample.size:
        return None
    histogram = np.bincount(near - FAT_HU[0], minlength=FAT_HU[1] - FAT_HU[0] + 1)
    smooth = ndimage.gaussian_filter1d(histogram.astype(np.float64), 4.0, mode="nearest")
    peak = int(smooth.argmax())
    return None if peak in (0, smooth.size - 1) else float(peak + FAT_HU[0])


def apply_offset(volume: VolumeArray, offset_hu: float) -> None:
    """Add an offset to a volume in place, a slice at a time; padding stays −1024.

    Parameters
    ----------
    volume : (S, R, C) ndarray of int16
        HU, overwritten.
    offset_hu : float
        Rounded to whole HU.
    """
    shift = np.int16(round(offset_hu))
    if not shift:
        return
    for plane in volume:
        padding = plane == HU_MIN
        plane += shift
        np.clip(plane, HU_MIN, HU_MAX, out=plane)
        plane[padding] = HU_MIN
