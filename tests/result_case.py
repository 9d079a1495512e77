"""A screening that has ended, with its images and masks in memory, for tests of its forms."""

from __future__ import annotations

import dataclasses
import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.dataset import FileDataset

from gateway.intake.header import read_header
from gateway.results.dicom_source import LabelMap, Screened, SourceSeries
from gateway.results.json import DISCLAIMER
from gateway.screening.mask import Mask
from gateway.study.geometry import geometry_of
from tests.ct_files import part10, slices

SCREENING = "6f9c1f5e-7a2f-4c55-9a93-6f6d1f7a1b11"
COSINES = {
    "axial": ((1, 0, 0), (0, 1, 0)),
    "rows negated": ((-1, 0, 0), (0, 1, 0)),
    "columns negated": ((1, 0, 0), (0, -1, 0)),
    "both negated": ((-1, 0, 0), (0, -1, 0)),
    "sagittal": ((0, 1, 0), (0, 0, -1)),
    "sagittal negated": ((0, -1, 0), (0, 0, 1)),
    "coronal": ((1, 0, 0), (0, 0, -1)),
    "coronal negated": ((-1, 0, 0), (0, 0, 1)),
}
"""Directions of growing column and of growing row."""


def turned(degrees: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Give the cosines of axial slices turned about two axes."""
    a, b = np.radians(degrees), np.radians(0.6 * degrees)
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_z = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    turn = about_x @ about_z
    return tuple(turn[:, 0].tolist()), tuple(turn[:, 1].tolist())


def placed_slices(
    cosines: tuple[Sequence[float], Sequence[float]] = COSINES["axial"],
    *,
    count: int = 12,
    size: int = 32,
    rows: int | None = None,
    step_mm: float = 2.5,
    **changes: Any,
) -> list[FileDataset]:
    """Make slices of any orientation, stored in an order of their own."""
    row, column = (np.array(one, np.float64) for one in cosines)
    normal = np.cross(row, column)
    stride = next(n for n in (5, 7, 11) if math.gcd(n, count) == 1)
    made = slices(count, size=size, **changes)
    for index, ds in enumerate(made):
        place = np.array([-31.25, 17.5, 204.75]) + normal * step_mm * ((index * stride) % count)
        ds.ImagePositionPatient = [f"{x:.9g}" for x in place]
        ds.ImageOrientationPatient = [f"{x:.9g}" for x in (*row, *column)]
        ds.SliceThickness, ds.PixelSpacing = f"{step_mm}", [0.75, 1.25]
        if rows is not None:
            ds.Rows, ds.PixelData = rows, ds.PixelData[: 2 * rows * size]
    return made


def source_of(made: Sequence[FileDataset]) -> SourceSeries:
    """Index slices as intake does."""
    files = [part10(ds) for ds in made]
    instances = [read_header(data, object_key=str(n)) for n, data in enumerate(files)]
    header = pydicom.dcmread(io.BytesIO(files[0]), stop_before_pixels=True)
    return SourceSeries(
        uid=instances[0].series_instance_uid,
        key=instances[0].series_instance_uid,
        header=header,
        frames=tuple(frame for instance in instances for frame in instance.frames),
        sop_classes={one.sop_instance_uid: one.sop_class_uid for one in instances},
    )


def balls(
    source: SourceSeries, radius_mm: float = 4.0, step: Sequence[float] = (1.0, 1.0, 1.0)
) -> tuple[Mask, list[npt.NDArray[np.float64]]]:
    """Outline two balls, on the volume's grid or one of other steps.

    Returns
    -------
    Mask
    list of ndarray
        Their centroids by the mask's own affine, LPS mm.
    """
    geometry = geometry_of(source.frames)
    affine = geometry.affine @ np.diag([*step, 1.0])
    shape = tuple(int(n / s) for n, s in zip(geometry.shape, step))
    index = np.stack(np.mgrid[: shape[0], : shape[1], : shape[2]], axis=-1)
    at = index @ affine[:3, :3].T + affine[:3, 3]
    array = np.zeros(shape, np.uint8)
    centroids = []
    for value, share in enumerate(((0.3, 0.35, 0.4), (0.7, 0.6, 0.65)), 1):
        middle = geometry.affine[:3] @ [*np.multiply(geometry.shape, share), 1.0]
        array[np.linalg.norm(at - middle, axis=-1) < radius_mm * value] = value
        centroids.append(at[array == value].mean(axis=0))
    return Mask(array, affine), centroids


def lesion(number: int, centre_mm: Sequence[float], source: SourceSeries, **changes: Any) -> Any:
    """Make a lesion as a result tells it."""
    frames = source.placed
    at = min(
        range(len(frames)),
        key=lambda n: abs(_along(frames[n], centre_mm)),
    )
    reach = 4.0 * number
    return {
        "id": number,
        "kind": "solid_nodule",
        "classes": {"solid_nodule": 0.75},
        "score": 0.9,
        "centre_mm": [float(x) for x in centre_mm],
        "box_mm": [[float(x) - reach for x in centre_mm], [float(x) + reach for x in centre_mm]],
        "long_diameter_mm": 9.5,
        "short_diameter_mm": 7.25,
        "mean_diameter_mm": 8.375,
        "volume_mm3": 268.1,
        "hu": {"mean": 31.5, "sd": 12.0, "median": 32.0, "min": -40.0, "max": 88.0},
        "mask_value": number,
        "measures": {"solid_mm": 5.0, "calcified": None},
        "series_instance_uid": source.uid,
        "sop_instance_uid": frames[at].sop_instance_uid,
        "frame_number": 1,
        "slice_index": at,
        "site": "lung_right",
        "side": "right",
        "marked": True,
        "flagged": True,
    } | changes


def _along(frame: Any, centre_mm: Sequence[float]) -> float:
    cosines = np.array(frame.image_orientation_patient)
    away = np.subtract(centre_mm, frame.image_position_patient)
    return float(away @ np.cross(cosines[:3], cosines[3:]))


def check_result(name: str = "nodule", **changes: Any) -> dict[str, Any]:
    """Make the result of a check."""
    return {
        "check": name,
        "state": "positive",
        "reason": None,
        "score": 0.9,
        "grade": "moderate",
        "thresholds": None,
        "urgency": "follow_up",
        "lesions": [],
        "mask": None,
        "measures": {"largest_mm": 8.375, "missing": None},
        "units": {"largest_mm": "mm", "missing": "1"},
        "assessments": [
            {
                "rule": "lung_rads_2022",
                "category": "4A",
                "value": 0.5,
                "basis": None,
                "missing": [],
                "urgency": "follow_up",
                "text": None,
            }
        ],
        "text": {"en": "A nodule is suspected.", "zh": "疑似结节。"},
        "codes": {
            "finding": {"scheme": "SCT", "value": "27925004", "meaning": "Nodule"},
            "site": {"scheme": "SCT", "value": "39607008", "meaning": "Lung"},
            "measures": {
                "largest_mm": {"scheme": "SCT", "value": "81827009", "meaning": "Diameter"}
            },
        },
        "provenance": {
            "pipeline": name,
            "version": "0.1.0",
            "manifest_digest": "5a" * 32,
            "models": {"nodule_net": "c3" * 32},
            "software_version": "0.1.0",
        },
    } | changes


def screened(
    made: Sequence[FileDataset] | None = None,
    *,
    tenant: str = "default",
    step: Sequence[float] = (1.0, 1.0, 1.0),
    **changes: Any,
) -> tuple[Screened, list[npt.NDArray[np.float64]]]:
    """Make a screening with two lesions, two organs, and a check that was not evaluated.

    Returns
    -------
    Screened
    list of ndarray
        Centroids of the lesions, LPS mm.
    """
    source = source_of(made or placed_slices())
    mask, centroids = balls(source, step=step)
    lesions = [lesion(number, at, source) for number, at in enumerate(centroids, 1)]
    result = {
        "screening_id": SCREENING,
        "study": {"study_instance_uid": str(source.header.StudyInstanceUID)},
        "version": 1,
        "checks": [
            check_result(lesions=lesions),
            check_result(
                "liver",
                state="not_evaluated",
                reason="organ_not_in_scan",
                score=None,
                grade=None,
                measures={},
                units={},
                assessments=[],
                codes={},
            ),
        ],
        "finished_at": "2026-11-21T10:20:30.5+00:00",
        "disclaimer": DISCLAIMER,
    } | changes
    organs = np.where(mask.array == 1, np.uint8(9), mask.array)
    maps = [
        LabelMap(check="nodule", series_key=source.key, mask=mask, names={}),
        LabelMap(
            check="anatomy",
            series_key=source.key,
            mask=dataclasses.replace(mask, array=organs),
            names={2: "liver", 9: "lung_right", 5: "spleen"},
        ),
    ]

    def read_values(frame: Any) -> npt.NDArray[np.float32]:
        return np.full((frame.rows, frame.columns), -600, np.float32)

    return (
        Screened(
            tenant=tenant,
            result=result,
            series=[source],
            label_maps=maps,
            read_values=read_values,
        ),
        centroids,
    )
