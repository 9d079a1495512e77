"""What is alike in every object that we make: equipment, series, times, and the file."""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

from gateway import __version__
from gateway.results.dicom_codes import Code, is_short

if TYPE_CHECKING:
    from gateway.results.dicom_source import Screened, SourceSeries

MANUFACTURER = "OneScan"
"""What `gateway.own_results` knows our objects by."""

MODEL = "OneScan"
SERIAL = "onescan"
"""There is no device; the software's version tells what made an object."""

IMPLEMENTATION_CLASS_UID = "2.25.285288675901580157644269368158091103102"
IMPLEMENTATION_VERSION_NAME = "ONESCAN_010"

FIRST_SERIES_NUMBER = 9400
"""Beyond those of any scanner; SR, SEG and SC follow each other."""

NOT_FOR_CLINICAL_USE = "NOT FOR CLINICAL USE"


@dataclass(frozen=True, slots=True)
class Made:
    """One object as it is stored and sent."""

    kind: str
    """``sr``, ``seg`` or ``sc``."""

    sop_class_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    data: bytes
    """A Part 10 file."""


def made_at(screened: Screened) -> datetime:
    """Give the time that is written into every object: when the screening ended.

    In the time zone that the source names, else in UTC. It must not be the present: the same
    screening gives the same bytes whenever its objects are made.
    """
    ended = datetime.fromisoformat(screened.result["finished_at"])
    said = str(screened.series[0].header.get("TimezoneOffsetFromUTC") or "").strip()
    if len(said) == 5 and said[0] in "+-" and said[1:].isdigit():
        hours = timedelta(hours=int(said[1:3]), minutes=int(said[3:]))
        if hours < timedelta(hours=15):
            return ended.astimezone(timezone(-hours if said[0] == "-" else hours))
    return ended.astimezone(UTC)


def dicom_date(at: datetime) -> str:
    """Write a DA."""
    return at.strftime("%Y%m%d")


def dicom_time(at: datetime) -> str:
    """Write a TM."""
    return at.strftime("%H%M%S")


def add_common(ds: Dataset, source: SourceSeries, at: datetime) -> None:
    """Add patient, study, equipment and times, over what is there."""
    source.copied.into(ds)
    if "TimezoneOffsetFromUTC" in source.header and at.tzinfo is not UTC:
        ds.TimezoneOffsetFromUTC = at.strftime("%z")
    ds.Manufacturer = MANUFACTURER
    ds.ManufacturerModelName = MODEL
    ds.DeviceSerialNumber = SERIAL
    ds.SoftwareVersions = __version__
    for name, value in (
        ("InstanceCreationDate", dicom_date(at)),
        ("InstanceCreationTime", dicom_time(at)),
        ("ContentDate", dicom_date(at)),
        ("ContentTime", dicom_time(at)),
        ("SeriesDate", dicom_date(at)),
        ("SeriesTime", dicom_time(at)),
    ):
        setattr(ds, name, value)


def code_item(code: Code) -> Dataset:
    """Make an item of a code sequence."""
    item = Dataset()
    setattr(item, "CodeValue" if is_short(code) else "LongCodeValue", code.value)
    item.CodingSchemeDesignator = code.scheme
    item.CodeMeaning = code.meaning
    return item


def codes(*given: Code) -> Sequence:
    """Make a code sequence."""
    return Sequence([code_item(code) for code in given])


def encode(ds: Dataset) -> bytes:
    """Write a Part 10 file in Explicit VR Little Endian."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ds.SOPClassUID
    meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = IMPLEMENTATION_CLASS_UID
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    ds.file_meta = meta
    ds.preamble = bytes(128)
    # What was copied as bytes is then written as it is, not read as text first.
    ds.set_original_encoding(False, True, ds._character_set)
    file = io.BytesIO()
    pydicom.dcmwrite(file, ds, enforce_file_format=True, implicit_vr=False, little_endian=True)
    return file.getvalue()


def made(kind: str, ds: Dataset) -> Made:
    """Encode an object."""
    return Made(
        kind=kind,
        sop_class_uid=str(ds.SOPClassUID),
        series_instance_uid=str(ds.SeriesInstanceUID),
        sop_instance_uid=str(ds.SOPInstanceUID),
        data=encode(ds),
    )
