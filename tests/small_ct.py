"""A CT series of a few kilobytes: a disc of soft tissue in air."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
PATIENT_NAME = "Doe^Jane^Q"
PATIENT_ID = "PID-4711-X"


def write_small_ct(
    folder: Path,
    *,
    slices: int = 24,
    size: int = 64,
    study_instance_uid: str | None = None,
    changes: Mapping[str, Any] | None = None,
) -> list[Path]:
    """Write a native axial series of 3 mm slices; `changes` replace attributes by keyword."""
    folder.mkdir(parents=True, exist_ok=True)
    study = study_instance_uid or generate_uid()
    series, frame = generate_uid(), generate_uid()
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    inside = (y / 20) ** 2 + (x / 26) ** 2 < 1
    paths = []
    for index in range(slices):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = CT_IMAGE
        meta.MediaStorageSOPInstanceUID = generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        path = folder / f"{index:03}.dcm"
        ds = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
        ds.SOPClassUID = CT_IMAGE
        ds.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = study, series, frame
        ds.PatientName, ds.PatientID = PATIENT_NAME, PATIENT_ID
        ds.PatientAge, ds.PatientSex = "055Y", "F"
        ds.StudyDate = "20260101"
        ds.Modality, ds.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
        ds.Manufacturer, ds.ConvolutionKernel = "SIEMENS", "B30f"
        ds.KVP, ds.SliceThickness = "120", "3"
        ds.InstanceNumber, ds.AcquisitionNumber = str(index + 1), "1"
        ds.ImagePositionPatient = [-100, -100, 3 * index]
        ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        ds.PixelSpacing, ds.Rows, ds.Columns = [3, 3], size, size
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
        ds.RescaleIntercept, ds.RescaleSlope = "0", "1"
        noise = np.random.default_rng(index).normal(0, 8, (size, size))
        ds.PixelData = (np.where(inside, 45, -1000) + noise).astype("<i2").tobytes()
        for keyword, value in (changes or {}).items():
            setattr(ds, keyword, value)
        pydicom.dcmwrite(path, ds, enforce_file_format=True)
        paths.append(path)
    return paths
