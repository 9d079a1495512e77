"""Enhanced and Legacy Converted CT give the same frames as single-frame CT."""

from __future__ import annotations

import dataclasses
import io
from typing import Any

import pydicom
import pytest
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.uid import JPEGLSLossless

from gateway.instance import Frame
from gateway.intake.header import read_header
from tests.ct_files import ct_dataset, multi_frame, part10, slices

PLACE = {"sop_instance_uid", "frame_number", "pixel_offset"}
"""What must differ between the ways of writing."""


def comparable(frame: Frame) -> dict[str, Any]:
    return {k: v for k, v in dataclasses.asdict(frame).items() if k not in PLACE}


@pytest.mark.parametrize("legacy", [False, True])
def test_functional_groups_give_the_frames_of_single_slices(legacy: bool) -> None:
    """Geometry, rescale and pixels of each frame equal those of the slice it came from."""
    series = slices(4, RescaleSlope="2")
    singles = [read_header(part10(item)) for item in series]
    data = part10(multi_frame(series, legacy=legacy))
    whole = read_header(data)
    assert [comparable(f) for f in whole.frames] == [comparable(s.frames[0]) for s in singles]
    assert [f.frame_number for f in whole.frames] == [1, 2, 3, 4]
    for frame, item in zip(whole.frames, series, strict=True):
        stored = data[frame.pixel_offset : frame.pixel_offset + frame.pixel_length]
        assert stored == item.PixelData


@pytest.mark.parametrize("legacy", [False, True])
def test_functional_groups_give_the_attributes_of_single_slices(legacy: bool) -> None:
    """Kernel, kVp and image type are found where series choice looks for them."""
    series = slices(2)
    whole = read_header(part10(multi_frame(series, legacy=legacy)))
    single = read_header(part10(series[0]))
    for keyword in ("ConvolutionKernel", "KVP", "ImageType", "Modality"):
        assert whole.attributes[keyword] == single.attributes[keyword]


def test_frames_of_mixed_types_keep_the_type_of_the_instance() -> None:
    """One frame's type never speaks for the others."""
    ds = multi_frame(slices(2))
    kind = pydicom.Dataset()
    kind.FrameType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    ds.PerFrameFunctionalGroupsSequence[1].CTImageFrameTypeSequence = [kind]
    assert read_header(part10(ds)).attributes["ImageType"] == list(ds.ImageType)


def test_planes_at_one_place_are_told_apart_by_time() -> None:
    """Temporal position is read from the functional group as from the dataset."""
    ds = multi_frame(slices(2))
    for index, group in enumerate(ds.PerFrameFunctionalGroupsSequence):
        content = pydicom.Dataset()
        content.TemporalPositionIndex = index + 1
        group.FrameContentSequence = [content]
    assert [f.temporal_position for f in read_header(part10(ds)).frames] == ["1", "2"]
    single = read_header(part10(ct_dataset(TriggerTime="350.5")))
    assert single.frames[0].temporal_position == "350.5"


def test_a_thousand_frames_are_read_in_time() -> None:
    """Sequences are walked in a time that grows with their number only."""
    whole = read_header(part10(multi_frame(slices(1000, size=4))))
    assert [f.image_position_patient[2] for f in whole.frames if f.image_position_patient] == [
        3.0 * index for index in range(1000)
    ]


FRAMES = [b"one-" * 5 + b"\xff\xd9", b"two-" * 9 + b"\xff\xd9", b"three" * 4 + b"\xff\xd9"]


def encapsulated(how: str) -> bytes:
    ds = multi_frame(slices(3))
    ds.file_meta.TransferSyntaxUID = JPEGLSLossless
    if how == "extended":
        ds.PixelData, ds.ExtendedOffsetTable, ds.ExtendedOffsetTableLengths = encapsulate_extended(
            FRAMES
        )
    else:
        ds.PixelData = encapsulate(
            FRAMES, fragments_per_frame=2 if how == "fragments" else 1, has_bot=how != "bare"
        )
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    return part10(ds)


@pytest.mark.parametrize("how", ["bare", "basic", "fragments", "extended"])
def test_compressed_frames_are_found_by_every_kind_of_table(how: str) -> None:
    """No table, a basic one, several fragments a frame, an extended one."""
    data = encapsulated(how)
    frames = read_header(io.BytesIO(data), object_offset=0).frames
    assert [len(frame.fragments) for frame in frames] == (
        [2] * 3 if how == "fragments" else [0] * 3
    )
    for frame, expected in zip(frames, FRAMES, strict=True):
        places = frame.fragments or ((frame.pixel_offset, frame.pixel_length),)
        assert b"".join(data[at : at + size] for at, size in places).rstrip(b"\0") == expected
        assert frame.pixel_length == sum(size for _, size in places)
