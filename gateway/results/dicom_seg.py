"""Lesions and organs as a Segmentation: binary, on the grid and in the space of their images.

One object a series that was screened. Frames in which nothing of a segment lies are left out.

References
----------
* DICOM PS3.3, A.51 (IOD), C.8.20 (module), C.7.6.16 (functional groups).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items

from gateway import __version__
from gateway.instance import Frame
from gateway.results import dicom_codes
from gateway.results.dicom_codes import Code, organ_code
from gateway.results.dicom_elements import decimals, element, raw_sequence, sequence
from gateway.results.dicom_file import (
    FIRST_SERIES_NUMBER,
    NOT_FOR_CLINICAL_USE,
    Made,
    add_common,
    code_item,
    codes,
    made,
    made_at,
)
from gateway.results.dicom_source import LabelMap, Screened, SourceSeries, normal_of
from gateway.results.dicom_sr import lesion_code, lesion_name, place_of, shown_lesions
from gateway.results.dicom_uids import ResultUids
from gateway.results.segment_frames import (
    Bits,
    Plane,
    by_value,
    nearest_pixel,
    packed,
    plane_of,
    planes,
)

SOP_CLASS = "1.2.840.10008.5.1.4.1.1.66.4"
"""Segmentation Storage."""

PER_FRAME = 0x52009230
_LABEL_CHARACTERS = 64


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Segment:
    label: str
    category: Code
    kind: Code
    organ: Code | None
    side: Code | None
    algorithm: str
    planes: Sequence[Plane]
    tracking: tuple[str, str] | None = None
    """Identifier and UID of a lesion."""


def segmentations(screened: Screened) -> list[Made]:
    """Make the Segmentations of a finished screening; none where no mask was kept."""
    found = []
    for source in screened.series:
        frames = source.placed
        if not frames or not source.frame_of_reference_uid:
            continue
        uids = ResultUids(screened.tenant, screened.result)
        segments = _segments(screened, source, frames, uids)
        if segments:
            found.append(_segmentation(screened, source, frames, segments, uids))
    return found


def _segments(
    screened: Screened, source: SourceSeries, frames: Sequence[Frame], uids: ResultUids
) -> list[_Segment]:
    """List what lies in a series: lesions first, as its result lists them, then organs."""
    checks = {check["check"]: check for check in screened.result["checks"]}
    maps = [one for one in screened.label_maps if one.series_key == source.key]
    found: list[_Segment] = []
    for one in sorted(maps, key=lambda one: bool(one.names)):
        if one.names:
            found += _organs(one, frames)
        elif (check := checks.get(one.check)) is not None:
            found += _lesions(one, check, frames, uids)
    return found


def _lesions(
    one: LabelMap, check: Mapping[str, Any], frames: Sequence[Frame], uids: ResultUids
) -> list[_Segment]:
    outlined = {v["mask_value"]: v for v in shown_lesions(check) if v["mask_value"] is not None}
    shown = by_value(planes(one.mask, frames), outlined)
    made_by = check["provenance"]
    found = []
    for value, lesion in outlined.items():
        organ, side = place_of(check, lesion)
        name = lesion_name(check, lesion)
        found.append(
            _Segment(
                label=name,
                category=dicom_codes.ABNORMAL,
                kind=lesion_code(check),
                organ=organ,
                side=side,
                algorithm=f"{check['check']} {made_by.get('version') or __version__}",
                planes=shown[value] or [_one_pixel(value, lesion["centre_mm"], frames)],
                tracking=(name, uids.tracking(check["check"], lesion["id"])),
            )
        )
    return found


def _organs(one: LabelMap, frames: Sequence[Frame]) -> list[_Segment]:
    shown = by_value(planes(one.mask, frames), one.names)
    found = []
    for value, name in one.names.items():
        if not shown[value]:
            continue
        kind, side = organ_code(name)
        found.append(
            _Segment(
                label=name.replace("_", " "),
                category=dicom_codes.ANATOMICAL,
                kind=kind,
                organ=None,
                side=side,
                algorithm=f"{one.check} {__version__}",
                planes=shown[value],
            )
        )
    return found


def _one_pixel(value: int, centre_mm: Sequence[float], frames: Sequence[Frame]) -> Plane:
    """Show a lesion that lies between all frames by its centre; it must not be lost."""
    position, row, column = nearest_pixel(centre_mm, frames)
    bits: Bits = np.zeros((frames[position].rows, frames[position].columns), np.bool_)
    bits[row, column] = True
    return plane_of(value, position, bits)


def _segmentation(
    screened: Screened,
    source: SourceSeries,
    frames: Sequence[Frame],
    segments: Sequence[_Segment],
    uids: ResultUids,
) -> Made:
    ds = Dataset()
    ds.SOPClassUID = SOP_CLASS
    ds.SOPInstanceUID = uids.of("seg", "instance", source.key)
    ds.SeriesInstanceUID = uids.of("seg", "series", source.key)
    add_common(ds, source, made_at(screened))
    ds.Modality = "SEG"
    ds.SeriesNumber = FIRST_SERIES_NUMBER + 1
    ds.SeriesDescription = "OneScan segmentation"
    ds.InstanceNumber = 1
    ds.FrameOfReferenceUID = source.frame_of_reference_uid
    ds.PositionReferenceIndicator = str(source.header.get("PositionReferenceIndicator") or "")
    ds.ContentLabel = "ONESCAN"
    ds.ContentDescription = NOT_FOR_CLINICAL_USE
    ds.ContentCreatorName = None
    _add_pixels(ds, frames[0], segments)
    dimensions = uids.of("seg", "dimensions", source.key)
    _add_dimensions(ds, dimensions)
    ds.SegmentSequence = Items(
        [_segment_item(number, one) for number, one in enumerate(segments, 1)]
    )
    ds.SharedFunctionalGroupsSequence = Items([_shared(frames)])
    per_frame = raw_sequence(PER_FRAME, _per_frame(source, frames, segments))
    ds[PER_FRAME] = per_frame
    used = sorted({p.position for one in segments for p in one.planes})
    ds.ReferencedSeriesSequence = Items([_referenced(source, [frames[i] for i in used])])
    return made("seg", ds)


def _add_pixels(ds: Dataset, frame: Frame, segments: Sequence[_Segment]) -> None:
    data = packed([plane for one in segments for plane in one.planes])
    ds.ImageType = ["DERIVED", "PRIMARY"]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.NumberOfFrames = sum(len(one.planes) for one in segments)
    ds.Rows, ds.Columns = frame.rows, frame.columns
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 1, 1, 0, 0
    ds.LossyImageCompression = "00"
    ds.SegmentationType = "BINARY"
    ds.SegmentsOverlap = "YES"
    ds.add_new(0x7FE00010, "OB", data + b"\0" * (len(data) % 2))


def _add_dimensions(ds: Dataset, organization: str) -> None:
    item = Dataset()
    item.DimensionOrganizationUID = organization
    ds.DimensionOrganizationSequence = Items([item])
    indices = []
    for pointer, group, label in (
        (0x0062000B, 0x0062000A, "ReferencedSegmentNumber"),
        (0x00200032, 0x00209113, "ImagePositionPatient"),
    ):
        index = Dataset()
        index.DimensionOrganizationUID = organization
        index.DimensionIndexPointer = pointer
        index.FunctionalGroupPointer = group
        index.DimensionDescriptionLabel = label
        indices.append(index)
    ds.DimensionIndexSequence = Items(indices)


def _segment_item(number: int, one: _Segment) -> Dataset:
    item = Dataset()
    item.SegmentNumber = number
    item.SegmentLabel = one.label[:_LABEL_CHARACTERS]
    item.SegmentAlgorithmType = "AUTOMATIC"
    item.SegmentAlgorithmName = one.algorithm[:_LABEL_CHARACTERS]
    item.SegmentedPropertyCategoryCodeSequence = codes(one.category)
    kind = code_item(one.kind)
    if one.organ is not None:
        region = code_item(one.organ)
        if one.side is not None:
            region.AnatomicRegionModifierSequence = codes(one.side)
        item.AnatomicRegionSequence = Items([region])
    elif one.side is not None:
        kind.SegmentedPropertyTypeModifierCodeSequence = codes(one.side)
    item.SegmentedPropertyTypeCodeSequence = Items([kind])
    if one.tracking is not None:
        item.TrackingID, item.TrackingUID = one.tracking
    return item


def _shared(frames: Sequence[Frame]) -> Dataset:
    first = frames[0]
    assert first.pixel_spacing is not None
    assert first.image_orientation_patient is not None
    measures = Dataset()
    measures.SliceThickness = decimals([_thickness(frames)]).decode()
    measures.SpacingBetweenSlices = decimals([_increment(frames)]).decode()
    measures.PixelSpacing = decimals(first.pixel_spacing).decode().split("\\")
    orientation = Dataset()
    cosines = decimals(first.image_orientation_patient).decode().split("\\")
    orientation.ImageOrientationPatient = cosines
    shared = Dataset()
    shared.PixelMeasuresSequence = Items([measures])
    shared.PlaneOrientationSequence = Items([orientation])
    return shared


def _increment(frames: Sequence[Frame]) -> float:
    if len(frames) < 2:
        return _thickness(frames)
    places = np.array([frame.image_position_patient for frame in frames])
    steps = np.diff(places @ normal_of(frames[0]))
    return round(float(np.median(np.abs(steps))), 6)


def _thickness(frames: Sequence[Frame]) -> float:
    return float(frames[0].slice_thickness or 1.0)


def _per_frame(
    source: SourceSeries, frames: Sequence[Frame], segments: Sequence[_Segment]
) -> list[bytes]:
    """Write the functional groups of every frame, tags in growing order."""
    places = [_derivation(source, frame) for frame in frames]
    positions = [_position(frame) for frame in frames]
    items = []
    for number, one in enumerate(segments, 1):
        segment = sequence(0x0062000A, element(0x0062000B, "US", number.to_bytes(2, "little")))
        for plane in one.planes:
            index = number.to_bytes(4, "little") + (plane.position + 1).to_bytes(4, "little")
            items.append(
                places[plane.position]
                + sequence(0x00209111, element(0x00209157, "UL", index))
                + positions[plane.position]
                + segment
            )
    return items


def _position(frame: Frame) -> bytes:
    assert frame.image_position_patient is not None
    place = element(0x00200032, "DS", decimals(frame.image_position_patient))
    return sequence(0x00209113, place)


def _derivation(source: SourceSeries, frame: Frame) -> bytes:
    uid = frame.sop_instance_uid
    image = element(0x00081150, "UI", source.sop_classes[uid].encode())
    image += element(0x00081155, "UI", uid.encode())
    if source.multi_frame:
        image += element(0x00081160, "IS", str(frame.frame_number).encode())
    image += sequence(0x0040A170, _code(dicom_codes.SOURCE_IMAGE))
    derivation = sequence(0x00082112, image) + sequence(0x00089215, _code(dicom_codes.SEGMENTATION))
    return sequence(0x00089124, derivation)


def _code(code: Code) -> bytes:
    return (
        element(0x00080100, "SH", code.value.encode())
        + element(0x00080102, "SH", code.scheme.encode())
        + element(0x00080104, "LO", code.meaning.encode())
    )


def _referenced(source: SourceSeries, frames: Sequence[Frame]) -> Dataset:
    series = Dataset()
    items = []
    for uid in dict.fromkeys(frame.sop_instance_uid for frame in frames):
        item = Dataset()
        item.ReferencedSOPClassUID = source.sop_classes[uid]
        item.ReferencedSOPInstanceUID = uid
        items.append(item)
    series.ReferencedInstanceSequence = Items(items)
    series.SeriesInstanceUID = source.uid
    return series
