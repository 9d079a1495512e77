"""CT files as bytes, for tests of intake: single-frame, enhanced, compressed, broken."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"
LEGACY_CT = "1.2.840.10008.5.1.4.1.1.2.2"


def ct_dataset(index: int = 0, *, size: int = 16, seed: int = 0, **changes: Any) -> FileDataset:
    """Make one axial slice; `changes` replace attributes, None deletes them."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CT_IMAGE
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.SOPClassUID = CT_IMAGE
    ds.SOPInstanceUID = f"1.2.3.{seed}.3.{index + 1}"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = f"1.2.3.{seed}.1", f"1.2.3.{seed}.2"
    ds.FrameOfReferenceUID = f"1.2.3.{seed}.4"
    ds.PatientName, ds.PatientID = "Doe^Jane", "4711"
    ds.PatientAge, ds.PatientSex = "055Y", "F"
    ds.StudyDate, ds.StudyTime = "20260101", "101500"
    ds.Modality, ds.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.Manufacturer, ds.ConvolutionKernel, ds.KVP = "SIEMENS", ["Br38f", "3"], "120"
    ds.SliceThickness, ds.PatientPosition = "3", "HFS"
    ds.SeriesNumber, ds.InstanceNumber = "2", str(index + 1)
    ds.ImagePositionPatient = [-100.5, -100.25, 3 * index]
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.PixelSpacing, ds.Rows, ds.Columns = [0.7, 0.8], size, size
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
    ds.RescaleIntercept, ds.RescaleSlope = "-1024", "1"
    stored = np.random.default_rng([seed, index]).integers(0, 2000, (size, size))
    ds.PixelData = stored.astype("<i2").tobytes()
    for keyword, value in changes.items():
        if value is None:
            delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
    meta.MediaStorageSOPInstanceUID = ds.get("SOPInstanceUID") or generate_uid()
    return ds


def part10(ds: FileDataset, syntax: str | None = None) -> bytes:
    """Write a dataset as a Part 10 file, in another uncompressed transfer syntax if asked."""
    if syntax is not None:
        if not pydicom.uid.UID(syntax).is_little_endian:
            ds.PixelData = np.frombuffer(ds.PixelData, "<i2").astype(">i2").tobytes()
            ds["PixelData"].VR = "OW"
        ds.file_meta.TransferSyntaxUID = syntax
    file = io.BytesIO()
    uid = pydicom.uid.UID(ds.file_meta.TransferSyntaxUID)
    pydicom.dcmwrite(
        file,
        ds,
        enforce_file_format=True,
        implicit_vr=uid.is_implicit_VR,
        little_endian=uid.is_little_endian,
    )
    return file.getvalue()


def slices(count: int, *, seed: int = 0, **changes: Any) -> list[FileDataset]:
    """Make the slices of one series."""
    return [ct_dataset(index, seed=seed, **changes) for index in range(count)]


def multi_frame(series: Sequence[FileDataset], *, legacy: bool = False) -> FileDataset:
    """Write single-frame slices as one Enhanced, or Legacy Converted Enhanced, CT instance."""
    first = series[0]
    ds = ct_dataset(seed=99, Rows=first.Rows, Columns=first.Columns)
    for keyword in (
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "PixelSpacing",
        "SliceThickness",
        "RescaleIntercept",
        "RescaleSlope",
        "ConvolutionKernel",
        "KVP",
    ):
        delattr(ds, keyword)
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = LEGACY_CT if legacy else ENHANCED_CT
    ds.StudyInstanceUID, ds.SeriesInstanceUID = first.StudyInstanceUID, first.SeriesInstanceUID
    ds.NumberOfFrames = len(series)
    ds.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    ds.PixelData = b"".join(item.PixelData for item in series)

    shared = Dataset()
    shared.PixelMeasuresSequence = [_take(first, "PixelSpacing", "SliceThickness")]
    shared.PlaneOrientationSequence = [_take(first, "ImageOrientationPatient")]
    if legacy:
        shared.UnassignedSharedConvertedAttributesSequence = [
            _take(first, "ConvolutionKernel", "KVP")
        ]
    else:
        shared.CTReconstructionSequence = [_take(first, "ConvolutionKernel")]
        shared.CTXRayDetailsSequence = [_take(first, "KVP")]
    kind = Dataset()
    kind.FrameType = list(first.ImageType)
    shared.CTImageFrameTypeSequence = [kind]
    ds.SharedFunctionalGroupsSequence = [shared]
    groups = []
    for item in series:
        group = Dataset()
        group.PlanePositionSequence = [_take(item, "ImagePositionPatient")]
        group.PixelValueTransformationSequence = [_take(item, "RescaleIntercept", "RescaleSlope")]
        groups.append(group)
    ds.PerFrameFunctionalGroupsSequence = groups
    return ds


def body(parts: Sequence[bytes], *, boundary: str = "BB", kind: str = "application/dicom") -> bytes:
    """Write a multipart body."""
    return (
        b"".join(
            f"--{boundary}\r\nContent-Type: {kind}\r\n\r\n".encode() + part + b"\r\n"
            for part in parts
        )
        + f"--{boundary}--\r\n".encode()
    )


def _take(source: Dataset, *keywords: str) -> Dataset:
    ds = Dataset()
    for keyword in keywords:
        setattr(ds, keyword, getattr(source, keyword))
    return ds
