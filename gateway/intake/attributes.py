"""Turn raw element values into plain Python values: which attributes the index keeps, and how.

Everything is tolerant: a value that cannot be read is left out, never an error.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from typing import Any

from pydicom import charset
from pydicom.datadict import dictionary_VR, tag_for_keyword

from gateway.intake.elements import Element

KEYWORDS = """
SpecificCharacterSet ImageType SOPClassUID InstanceCreationDate
StudyDate SeriesDate AcquisitionDate ContentDate AcquisitionDateTime
StudyTime SeriesTime AcquisitionTime ContentTime TimezoneOffsetFromUTC
AccessionNumber Modality ConversionType Manufacturer ManufacturerModelName SoftwareVersions
InstitutionName StationName ReferringPhysicianName
StudyDescription SeriesDescription DerivationDescription
PatientName PatientID IssuerOfPatientID PatientBirthDate PatientSex PatientAge PatientSize
PatientWeight PregnancyStatus
ContrastBolusAgent ContrastBolusRoute ContrastBolusVolume ContrastBolusStartTime
ContrastBolusTotalDose ContrastFlowRate ContrastBolusIngredient
BodyPartExamined ViewPosition ImageLaterality ImagerPixelSpacing
ScanOptions AcquisitionType ProtocolName PatientPosition
SliceThickness SpacingBetweenSlices KVP DataCollectionDiameter ReconstructionDiameter
GantryDetectorTilt TableHeight ExposureTime XRayTubeCurrent Exposure FilterType
ConvolutionKernel SpiralPitchFactor ExposureModulationType CTDIvol
TriggerTime HeartRate CardiacSynchronizationTechnique NominalPercentageOfCardiacPhase
TemporalPositionIdentifier NumberOfTemporalPositions
StudyID SeriesNumber AcquisitionNumber InstanceNumber FrameOfReferenceUID
PositionReferenceIndicator SliceLocation Laterality ImageComments NumberOfFrames
Rows Columns BitsAllocated BitsStored WindowCenter WindowWidth
RescaleType LossyImageCompression LossyImageCompressionRatio LossyImageCompressionMethod
BurnedInAnnotation QualityControlImage
RequestedProcedureDescription PerformedProcedureStepDescription
"""
"""Attributes that series choice, quality control and the query interfaces need."""

ATTRIBUTES: dict[int, str] = {
    tag: keyword for keyword in KEYWORDS.split() if (tag := tag_for_keyword(keyword)) is not None
}
"""Tag → keyword."""

MAX_TEXT = 1024
"""Characters kept of one text; the longest in the list, a long text, may have 10,240."""

MAX_VALUES = 64
"""Values kept of one attribute."""

_NUMBERS = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FD": "d", "FL": "f"}
_ENCODED = frozenset(("LO", "LT", "PN", "SH", "ST", "UC", "UT"))
_UNSPLIT = frozenset(("LT", "ST", "UT"))
_VR: dict[int, str] = {}


def vr_of(tag: int) -> str:
    """Give the VR of a standard tag by the dictionary, whatever the file says."""
    vr = _VR.get(tag)
    if vr is None:
        vr = _VR[tag] = str(dictionary_VR(tag))
    return vr


def encodings_of(value: bytes) -> list[str]:
    """Give Python's codecs for a *Specific Character Set*; an unknown one becomes Latin-1."""
    names = value.decode("ascii", "replace").strip(" \0").split("\\")
    return [charset.python_encoding.get(name.strip(), "latin_1") for name in names[:8]]


def text(raw: bytes, encodings: list[str] | None = None) -> str:
    """Decode text; what cannot be decoded becomes U+FFFD, and NUL (unknown to SQL) goes."""
    if encodings and b"\x1b" in raw:  # ISO 2022 code extensions, PS3.5 6.1.2.5
        try:
            out = str(charset.decode_bytes(raw, encodings, set(b"\\^=")))
        except Exception:  # pydicom's, and those of the codecs
            out = raw.decode("ascii", "replace")
    else:
        out = raw.decode(encodings[0] if encodings else "latin_1", "replace")
    return out.replace("\0", "")[:MAX_TEXT].strip()


def numbers(raw: bytes) -> list[float]:
    """Read decimal or integer strings; empty unless every one of them is a finite number."""
    try:
        values = [float(part) for part in raw.strip(b" \0").split(b"\\")[:MAX_VALUES]]
    except ValueError:
        return []
    return values if all(map(math.isfinite, values)) else []


def binary(raw: bytes, kind: str, *, little: bool) -> list[Any]:
    """Read binary numbers of a `struct` kind; not finite ones make the list empty."""
    count = min(len(raw) // struct.calcsize(kind), MAX_VALUES)
    values = struct.unpack_from(f"{'<' if little else '>'}{count}{kind}", raw)
    return list(values) if all(map(math.isfinite, values)) else []


def values_of(buffer: bytes, tag: int, element: Element, encodings: list[str]) -> list[Any]:
    """Read the values of an element by the dictionary's VR; empty where there are none."""
    raw = buffer[element.offset : element.offset + element.length]
    vr = vr_of(tag)
    if vr in _NUMBERS:
        return binary(raw, _NUMBERS[vr], little=element.coding.little)
    if vr == "DS":
        return [*numbers(raw)]
    if vr == "IS":
        return [int(value) for value in numbers(raw) if abs(value) < 2**31]
    string = text(raw, encodings if vr in _ENCODED else None)
    if not string:
        return []
    return [string] if vr in _UNSPLIT else [s.strip() for s in string.split("\\")[:MAX_VALUES]]


def attributes_of(
    buffer: bytes, elements: dict[int, Element], encodings: list[str]
) -> dict[str, Any]:
    """Read the attributes that the index keeps: keyword → value, a list where there are several."""
    out: dict[str, Any] = {}
    for tag in elements.keys() & ATTRIBUTES.keys():
        if values := values_of(buffer, tag, elements[tag], encodings):
            out[ATTRIBUTES[tag]] = values[0] if len(values) == 1 else values
    return out


def tags(keywords: Iterable[str]) -> frozenset[int]:
    """Give the tags of keywords."""
    return frozenset(tag for keyword in keywords if (tag := tag_for_keyword(keyword)) is not None)
