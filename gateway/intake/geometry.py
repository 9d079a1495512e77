"""Where each frame lies and what its values mean: one shape for single-frame and enhanced CT.

Enhanced and Legacy Converted Enhanced CT keep in functional groups (PS3.3 C.7.6.16), shared or
per frame, what single-frame CT keeps in the dataset itself. Both end as the same `FrameGeometry`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pydicom.datadict import tag_for_keyword

from gateway.intake.attributes import ATTRIBUTES, attributes_of, tags, values_of
from gateway.intake.elements import Element, items

SHARED, PER_FRAME = 0x52009229, 0x52009230
"""Shared and Per-Frame Functional Groups Sequence."""

GROUP_KEYWORDS = """
PlanePositionSequence PlaneOrientationSequence PixelMeasuresSequence
PixelValueTransformationSequence FrameContentSequence TemporalPositionSequence
CardiacSynchronizationSequence CTImageFrameTypeSequence CTReconstructionSequence
CTXRayDetailsSequence CTExposureSequence CTAcquisitionTypeSequence CTAcquisitionDetailsSequence
UnassignedSharedConvertedAttributesSequence UnassignedPerFrameConvertedAttributesSequence
"""
"""Functional groups that say something about CT pixels."""

GROUPS = tags(GROUP_KEYWORDS.split())

TEMPORAL = (
    "TemporalPositionIndex",
    "TemporalPositionIdentifier",
    "TemporalPositionTimeOffset",
    "TriggerTime",
    "NominalCardiacTriggerDelayTime",
    "NominalPercentageOfCardiacPhase",
)
"""What may tell apart planes at one place, the first one present counts."""

FRAME_KEYWORDS = (
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
    "RescaleSlope",
    "RescaleIntercept",
    "FrameType",
    *TEMPORAL,
)

FRAME_TAGS: dict[int, str] = {
    tag: keyword for keyword in FRAME_KEYWORDS if (tag := tag_for_keyword(keyword)) is not None
}

INNER_TAGS = frozenset(FRAME_TAGS) | frozenset(ATTRIBUTES)
"""Asked for inside a functional group."""

TOP_TAGS = INNER_TAGS | {SHARED, PER_FRAME}
"""Asked for in the dataset itself."""

Values = dict[str, list[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameGeometry:
    """The spatial and modality attributes of one frame; None for what the header lacks."""

    image_position_patient: tuple[float, float, float] | None
    image_orientation_patient: tuple[float, float, float, float, float, float] | None
    pixel_spacing: tuple[float, float] | None
    slice_thickness: float | None
    rescale_slope: float | None
    rescale_intercept: float | None
    temporal_position: str | None


def frame_geometries(
    buffer: bytes, elements: dict[int, Element], count: int, encodings: list[str]
) -> tuple[list[FrameGeometry], dict[str, Any]]:
    """Read the geometry of every frame.

    Parameters
    ----------
    buffer : bytes
        Head of the file, up to its pixel data.
    elements : dict
        Of the dataset itself, by tag.
    count : int
        Number of frames.

    Returns
    -------
    list of FrameGeometry
        One a frame; frames without a functional group of their own have what is shared.
    dict
        Attributes that the functional groups hold and all frames share; *Frame Type*, which
        says what *Image Type* says for a single frame, under ``ImageType``.
    """
    top = _frame_values(buffer, elements, encodings)
    if SHARED not in elements and PER_FRAME not in elements:
        return [_geometry(top)] * count, {}
    shared = dict(top)
    attributes: dict[str, Any] = {}
    for group in _groups(buffer, elements.get(SHARED)):
        for inner in group:
            shared.update(_frame_values(buffer, inner, encodings))
            attributes.update(attributes_of(buffer, inner, encodings))
    out: list[FrameGeometry] = []
    types = [shared["FrameType"]] if "FrameType" in shared else []
    common: dict[str, Any] | None = None
    for group in _groups(buffer, elements.get(PER_FRAME)):
        if len(out) == count:
            break
        own = dict(shared)
        held: dict[str, Any] = {}
        for inner in group:
            own.update(_frame_values(buffer, inner, encodings))
            held.update(attributes_of(buffer, inner, encodings))
        out.append(_geometry(own))
        common = held if common is None else _agreeing(common, held)
        if (kind := own.get("FrameType")) and kind not in types:
            types.append(kind)
    out += [_geometry(shared)] * (count - len(out))
    attributes.update(common or {})
    if len(types) == 1:
        attributes["ImageType"] = types[0]
    return out, attributes


def _groups(buffer: bytes, element: Element | None) -> Iterable[list[dict[int, Element]]]:
    """Give, for each item of a functional groups sequence, the datasets that it holds."""
    if element is None:
        return
    for item in items(buffer, element, GROUPS):
        yield [
            inner
            for sequence in item.values()
            for inner in items(buffer, sequence, INNER_TAGS, depth=2)
        ]


def _frame_values(buffer: bytes, elements: dict[int, Element], encodings: list[str]) -> Values:
    return {
        FRAME_TAGS[tag]: values
        for tag in elements.keys() & FRAME_TAGS.keys()
        if (values := values_of(buffer, tag, elements[tag], encodings))
    }


def _agreeing(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in first.items() if second.get(key) == value}


def _geometry(values: Values) -> FrameGeometry:
    temporal = next((values[key][0] for key in TEMPORAL if key in values), None)
    return FrameGeometry(
        image_position_patient=_tuple(values.get("ImagePositionPatient"), 3),
        image_orientation_patient=_tuple(values.get("ImageOrientationPatient"), 6),
        pixel_spacing=_tuple(values.get("PixelSpacing"), 2),
        slice_thickness=_first(values.get("SliceThickness")),
        rescale_slope=_first(values.get("RescaleSlope")),
        rescale_intercept=_first(values.get("RescaleIntercept")),
        temporal_position=None if temporal is None else f"{temporal:.10g}",
    )


def _tuple(values: list[Any] | None, count: int) -> Any:
    return tuple(values) if values is not None and len(values) == count else None


def _first(values: list[Any] | None) -> float | None:
    return float(values[0]) if values else None
