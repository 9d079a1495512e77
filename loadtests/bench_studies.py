"""The studies that benchmarks send: a phantom kept under ``build/bench``, and others made of it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pydicom
from pydicom.uid import generate_uid

ROOT = Path(__file__).resolve().parent.parent

KEPT = ROOT / "build" / "bench"
"""What benchmarks keep between runs; git ignores it."""

SLICES = 300
SEED = 5
"""A patient of whom all eight checks see what they look for, in 300 slices of 1 mm."""


def phantom(slices: int = SLICES, *, seed: int = SEED) -> Path:
    """Give a folder of one thin series of 512², made when it is asked for first."""
    folder = KEPT / "studies" / f"phantom-{seed}-{slices}"
    if folder.is_dir():
        return folder
    from networks.phantoms.study import make_study

    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        made = Path(scratch) / "study"
        make_study(made, seed=seed, slices=slices, series=("thin",))
        (made / "truth.json").unlink()
        os.rename(made, folder)  # whole or not at all
    return folder


def resliced(source: Path, target: Path, slices: int) -> Path:
    """Write the same stretch of the same patient in another number of slices, with UIDs of its own.

    A slice is the nearest one of the source with another position, so what networks see on their
    grids stays nearly the same, and only the number of slices grows.

    Parameters
    ----------
    source : Path
        Folder of one series, axial, evenly spaced.
    target : Path
        Folder; made.
    slices : int
        Number of slices.
    """
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    heights = {path: _height(path) for path in source.rglob("*.dcm")}
    paths = sorted(heights, key=lambda path: heights[path])
    first, last = heights[paths[0]], heights[paths[-1]]
    extent = (last - first) * len(paths) / (len(paths) - 1)
    step = extent / slices
    study, series, space = generate_uid(), generate_uid(), generate_uid()
    for number, index in enumerate(nearest(len(paths), slices)):
        ds = pydicom.dcmread(paths[index])
        ds.StudyInstanceUID, ds.SeriesInstanceUID = study, series
        ds.FrameOfReferenceUID = space
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        x, y, _ = ds.ImagePositionPatient
        ds.ImagePositionPatient = [x, y, f"{first + number * step:.4f}"]
        if "SliceLocation" in ds:
            ds.SliceLocation = f"{first + number * step:.4f}"
        ds.SliceThickness = f"{step:.4f}"
        ds.InstanceNumber = number + 1
        ds.save_as(target / f"{number:04d}.dcm", enforce_file_format=True)
    return target


def nearest(have: int, wanted: int) -> Sequence[int]:
    """Say which of `have` slices stands for each of `wanted` over the same stretch."""
    return [min(have - 1, int((number + 0.5) * have / wanted)) for number in range(wanted)]


def _height(path: Path) -> float:
    return float(pydicom.dcmread(path, stop_before_pixels=True).ImagePositionPatient[2])
