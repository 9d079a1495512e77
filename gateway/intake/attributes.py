"""Turn raw element values into plain Python values: which attributes the index keeps, and how.

Everything is tolerant: a value that cannot be read is left out, never an error.
"""

from __future__ import annotations

import contextlib
import math
import struct
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import islice
from typing import Any

from pydicom import charset
from pydicom.datadict import dictionary_VR, tag_for_keyword

from gateway.exceptions import InvalidHeaderError
from gateway.intake.elements import Coding, Element, IncompleteError, items

KEYWORDS = """
SpecificCharacterSet ImageType SOPClassUID InstanceCreationDate
StudyDate SeriesDate AcquisitionDate ContentDate AcquisitionDateTime
StudyTime SeriesTime AcquisitionTime ContentTime TimezoneOffsetFromUTC
AccessionNumber Modality ConversionType Manufacturer ManufacturerModelName SoftwareVersions
InstitutionName InstitutionalDepartmentName StationName ReferringPhysicianName
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
RequestedProcedureID RequestedProcedurePriority ReasonForTheRequestedProcedure
ScheduledProcedureStepID ScheduledProcedureStepDescription ProcedureStepPriority
"""
"""Attributes that series choice, quality control and the query interfaces need."""

ATTRIBUTES: dict[int, str] = {
    tag: keyword for keyword in KEYWORDS.split() if (tag := tag_for_keyword(keyword)) is not None
}
"""Tag → keyword."""

CODES: dict[int, str] = {
    0x00081032: "ProcedureCodeSequence",
    0x00321064: "RequestedProcedureCodeSequence",
    0x00400008: "ScheduledProtocolCodeSequence",
}
"""Code sequences; kept as ``ProcedureCodeSequence.CodeValue`` and ``….CodeMeaning``."""

REQUEST_ATTRIBUTES = 0x00400275
"""Its items say what was ordered; kept as ``RequestAttributesSequence.RequestedProcedureID``."""

SEQUENCES = frozenset((*CODES, REQUEST_ATTRIBUTES))

MAX_SEQUENCE_BYTES = 64 * 1024
"""A longer one is not an order."""

MAX_TEXT = 1024
"""Characters kept of one text; the longest in the list, a long text, may have 10,240."""

MAX_VALUES = 64
"""Values kept of one attribute."""

_CODE = {0x00080100: "CodeValue", 0x00080104: "CodeMeaning"}
_IN_CODE = frozenset(_CODE)
_REQUESTED = {
    tag: keyword
    for keyword in (
        "AccessionNumber",
        "RequestedProcedureDescription",
        "RequestedProcedureID",
        "RequestedProcedurePriority",
        "ReasonForTheRequestedProcedure",
        "ScheduledProcedureStepID",
        "ScheduledProcedureStepDescription",
    )
    if (tag := tag_for_keyword(keyword)) is not None
}
_IN_REQUEST = frozenset(_REQUESTED) | frozenset(CODES)
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
    if elements.keys() & SEQUENCES:
        out |= ordered_of(buffer, elements, encodings)
    return out


def ordered_of(buffer: bytes, elements: dict[int, Element], encodings: list[str]) -> dict[str, Any]:
    """Read what was ordered: code sequences, and the items of Request Attributes Sequence."""
    out: dict[str, Any] = {}
    for tag in elements.keys() & SEQUENCES:
        element = elements[tag]
        if element.length <= MAX_SEQUENCE_BYTES:
            raw = buffer[element.offset : element.offset + element.length]
            read = _sequence(tag, raw, element.coding, tuple(encodings))
            out |= {name: list(values) for name, values in read.items()}
    return out


@lru_cache(maxsize=256)  # the same bytes in every instance of a series
def _sequence(
    tag: int, raw: bytes, coding: Coding, encodings: tuple[str, ...]
) -> dict[str, list[Any]]:
    element = Element(b"SQ", 0, len(raw), coding)
    out: dict[str, list[Any]] = {}
    if tag != REQUEST_ATTRIBUTES:
        return _codes(raw, tag, element, list(encodings))
    for item in _items(raw, element, _IN_REQUEST):
        for inner, found in item.items():
            if inner in CODES:
                read = _codes(raw, inner, found, list(encodings))
            else:
                read = {_REQUESTED[inner]: values_of(raw, inner, found, list(encodings))}
            for name, values in read.items():
                out.setdefault(f"RequestAttributesSequence.{name}", []).extend(values)
    return out


def _codes(raw: bytes, tag: int, element: Element, encodings: list[str]) -> dict[str, list[Any]]:
    out: dict[str, list[Any]] = {}
    for item in _items(raw, element, _IN_CODE):
        for inner, found in item.items():
            values = values_of(raw, inner, found, encodings)
            out.setdefault(f"{CODES[tag]}.{_CODE[inner]}", []).extend(values)
    return out


def _items(buffer: bytes, element: Element, wanted: frozenset[int]) -> Iterator[dict[int, Element]]:
    """Give a sequence's items, `MAX_VALUES` at most, as far as they can be read."""
    with contextlib.suppress(IncompleteError, InvalidHeaderError):
        yield from islice(items(buffer, element, wanted), MAX_VALUES)


def tags(keywords: Iterable[str]) -> frozenset[int]:
    """Give the tags of keywords."""
    return frozenset(tag for keyword in keywords if (tag := tag_for_keyword(keyword)) is not None)
