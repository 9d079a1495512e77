"""Real scans with reference organ masks, which are never part of the project."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from networks.labels import ANATOMY_LABELS

TOTAL_CLASSES: dict[str, tuple[int, ...]] = {
    "spleen": (1,),
    "kidney_right": (2,),
    "kidney_left": (3,),
    "gallbladder": (4,),
    "liver": (5,),
    "stomach": (6,),
    "pancreas": (7,),
    "aorta": (52,),
    "lung_right": (12, 13, 14),
    "lung_left": (10, 11),
    "heart": (51,),
    "vertebrae": tuple(range(25, 51)),
    "other_bone": (*range(69, 79), *range(92, 117)),
    "inferior_vena_cava": (63,),
}
"""Class numbers of TotalSegmentator v2, the reference masks' own, of each label."""


@dataclass(frozen=True)
class RealCase:
    """One real scan.

    Attributes
    ----------
    name : str
        Its folder.
    hu : (S, R, C) ndarray of int16
        Slices inferior to superior, rows anterior to posterior, columns
        patient right to left.
    total_labels : (S, R, C) ndarray of uint8
        Reference classes, see TOTAL_CLASSES.
    spacing_mm : tuple of float
        Between slices, rows, columns.
    """

    name: str
    hu: NDArray[np.int16]
    total_labels: NDArray[np.uint8]
    spacing_mm: tuple[float, float, float]


def organs_from_total(total: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Map reference classes to the values of `networks.labels.ANATOMY_LABELS`."""
    table = np.zeros(256, np.uint8)
    for name, classes in TOTAL_CLASSES.items():
        table[list(classes)] = ANATOMY_LABELS.index(name)
    return table[total]


def read_nifti(path: Path) -> tuple[NDArray[np.float32], tuple[float, float, float]]:
    """Read a NIfTI file as (S, R, C) in our orientation, and its spacing in mm."""
    import nibabel  # only needed where real scans are

    image = nibabel.as_closest_canonical(nibabel.load(path))
    x_mm, y_mm, z_mm = (float(step) for step in image.header.get_zooms()[:3])
    # canonical axes grow to the patient's right, anterior and superior
    volume = np.asarray(image.dataobj, np.float32)[::-1, ::-1, :].transpose(2, 1, 0)
    return np.ascontiguousarray(volume), (z_mm, y_mm, x_mm)


def read_dicom(folder: Path) -> NDArray[np.float32]:
    """Read a single axial series as (S, R, C) HU, by pydicom alone."""
    import pydicom

    slices = [pydicom.dcmread(path) for path in sorted(folder.glob("*.dcm"))]
    slices.sort(key=lambda ds: float(ds.ImagePositionPatient[2]))
    return np.stack(
        [ds.pixel_array * float(ds.RescaleSlope) + float(ds.RescaleIntercept) for ds in slices]
    ).astype(np.float32)


def read_real_cases(folder: Path) -> list[RealCase]:
    """Read the native and the contrast-enhanced abdomen of a folder."""
    cases = []
    for name in ("abdomen-native", "abdomen-contrast"):
        labels, spacing_mm = read_nifti(folder / f"{name}-organs.nii.gz")
        volume = folder / f"{name}-3mm.nii.gz"
        hu = read_nifti(volume)[0] if volume.exists() else read_dicom(folder / name)
        if hu.shape != labels.shape:
            raise ValueError(f"{name}: scan {hu.shape} and mask {labels.shape} differ in shape")
        clipped = np.clip(np.rint(hu), -1024, 3071).astype(np.int16)
        cases.append(RealCase(name, clipped, np.rint(labels).astype(np.uint8), spacing_mm))
    return cases
