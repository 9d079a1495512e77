"""All DICOM forms of one screening: 300 slices of 512², 30 lesions, 10 organs.

The forms are made as `gateway.delivery.maker` makes them, from masks in memory; the images' pixels
are not read but for the annotated slices, which are of a constant here.
"""

from __future__ import annotations

import dataclasses
import io
import time
from typing import Any

import numpy as np
import pydicom

from gateway.results.dicom_file import Made
from gateway.results.dicom_sc import secondary_captures
from gateway.results.dicom_seg import segmentations
from gateway.results.dicom_source import LabelMap, Screened
from gateway.results.dicom_sr import unsigned_sr
from gateway.screening.mask import Mask
from gateway.study.geometry import geometry_of
from tests.result_case import check_result, lesion, placed_slices, screened, source_of

GOAL_SECONDS = 1.0
GOAL_SIZE = 1.2
"""Bytes of the Segmentation to the packed bits of its frames."""

SLICES, SIZE, LESIONS, ORGANS, ROUNDS = 300, 512, 30, 10, 5
ORGAN_NAMES = (
    "liver", "spleen", "kidney_left", "kidney_right", "stomach", "pancreas", "aorta",
    "lung_left", "lung_right", "heart",
)  # fmt: skip


def study() -> Screened:
    """Make a screening of that size; organs are boxes of a third of each axis, on 3 mm."""
    case, _ = screened()
    source = source_of(placed_slices(count=SLICES, size=SIZE, step_mm=1.0))
    geometry = geometry_of(source.frames)
    coarse = np.array([3.0, 3.0 / 0.75, 3.0 / 1.25])
    shape = tuple(int(n / s) for n, s in zip(geometry.shape, coarse))
    organs = np.zeros(shape, np.uint8)
    random = np.random.default_rng(7)
    for value in range(1, ORGANS + 1):
        low = [int(random.integers(0, 2 * n // 3)) for n in shape]
        organs[tuple(slice(a, a + n // 3) for a, n in zip(low, shape))] = value
    affine = geometry.affine @ np.diag([*coarse, 1.0])
    maps = [
        LabelMap(
            check="anatomy",
            series_key=source.key,
            mask=Mask(organs, affine),
            names=dict(enumerate(ORGAN_NAMES, 1)),
        )
    ]
    small = np.zeros((100, 200, 200), np.uint8)
    lesions = []
    for number in range(1, LESIONS + 1):
        at = [int(random.integers(0, n - 8)) for n in small.shape]
        small[tuple(slice(a, a + 8) for a in at)] = number
        lesions.append(lesion(number, geometry.affine[:3] @ [*at, 1.0], source))
    maps.append(
        LabelMap(check="nodule", series_key=source.key, mask=Mask(small, geometry.affine), names={})
    )
    result = {**case.result, "checks": [check_result(lesions=lesions)]}
    return dataclasses.replace(case, series=[source], result=result, label_maps=maps)


def forms(case: Screened) -> list[Made]:
    """Make every form once."""
    return [unsigned_sr(case), *segmentations(case), *secondary_captures(case)]


def run() -> list[dict[str, Any]]:
    """Measure, after one round that loads the libraries."""
    case = study()
    made = forms(case)
    [seg] = [one for one in made if one.kind == "seg"]
    frames = int(pydicom.dcmread(io.BytesIO(seg.data), stop_before_pixels=True).NumberOfFrames)
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        forms(case)
        times.append(time.perf_counter() - began)
    taken = float(np.median(times))
    size_ratio = len(seg.data) / (frames * SIZE * SIZE / 8)
    return [
        {
            "name": "results",
            "ratio": round(GOAL_SECONDS / taken, 2),
            "goal": 1.0,
            "ours": round(taken, 3),
            "peer": GOAL_SECONDS,
            "unit": "s",
            "met": taken <= GOAL_SECONDS and size_ratio <= GOAL_SIZE,
            "spread_s": [round(x, 3) for x in times],
            "frames": frames,
            "size_ratio": round(size_ratio, 4),
            "size_goal": GOAL_SIZE,
        }
    ]


if __name__ == "__main__":
    for row in run():
        print(row)
