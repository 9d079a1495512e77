"""Radiographs: one image is one volume, of grey values, and never one of HU."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from gateway.study.choice import Requirement, choose_series
from gateway.study.image import PROJECTION, to_grey
from gateway.study.inspect import inspect_study
from gateway.study.quality import header_quality
from gateway.study.series import Series, group_series
from tests.stored_series import MemoryObjects, decode, frames_at, make_frame, make_instance
from tests.stored_series import one_series as ct_series

DX = "1.2.840.10008.5.1.4.1.1.1.1"
DX_FOR_PROCESSING = "1.2.840.10008.5.1.4.1.1.1.1.1"
CR = "1.2.840.10008.5.1.4.1.1.1"
MAMMOGRAPHY = "1.2.840.10008.5.1.4.1.1.1.2"

FLAT: dict[str, Any] = {
    "image_position_patient": None,
    "image_orientation_patient": None,
    "pixel_spacing": None,
    "slice_thickness": None,
    "rescale_slope": None,
    "rescale_intercept": None,
    "pixel_representation": 0,
    "bits_stored": 12,
    "high_bit": 11,
}
"""What the frame of a radiograph has, and has not."""

HAND = Requirement(modality=("DX", "CR"), body_part=("HAND", "WRIST"), side=("L",))
CT = Requirement()


def image(
    modality: str = "DX",
    sop_class_uid: str = DX,
    frame: dict[str, Any] | None = None,
    **attributes: Any,
) -> Series:
    said = {"ImagerPixelSpacing": [0.2, 0.25], "BodyPartExamined": "HAND", **attributes}
    instance = make_instance(
        make_frame(**FLAT | (frame or {})), sop_class_uid=sop_class_uid, Modality=modality, **said
    )
    (series,) = group_series([instance])
    return series


def refusal(series: Series, need: Requirement) -> str:
    return choose_series([series], need).refused[series.key].code


def grey(values: list[int], *, bits: int = 12, **changes: Any) -> list[int]:
    frame = make_frame(
        **FLAT | {"rows": 1, "columns": len(values), "bits_stored": bits, "high_bit": bits - 1}
        | changes
    )  # fmt: skip
    kind = np.int16 if frame.pixel_representation else np.uint16
    out = to_grey(np.array([values], kind), frame)
    assert out.dtype == np.int16
    return [int(value) for value in out[0]]


def test_an_image_is_a_volume_of_one_slice() -> None:
    """With the detector's pixel spacing, and 1 mm for the depth that it has not."""
    geometry = image().geometry
    assert geometry.shape == (1, 4, 5)
    assert geometry.spacing_mm == (1.0, 0.2, 0.25)
    np.testing.assert_array_equal(np.linalg.norm(geometry.affine[:3, :3], axis=0), [1, 0.2, 0.25])
    assert geometry.orientation == PROJECTION


def test_pixel_spacing_goes_before_that_of_the_detector() -> None:
    """It is calibrated, or corrected for magnification."""
    assert image(frame={"pixel_spacing": (0.19, 0.19)}).geometry.spacing_mm == (1.0, 0.19, 0.19)


def test_bone_is_bright_whatever_the_photometric_interpretation() -> None:
    """MONOCHROME1 shows the smallest stored value white."""
    assert grey([0, 100, 1023], bits=10) == [0, 100, 1023]
    assert grey([0, 100, 1023], bits=10, photometric_interpretation="MONOCHROME1") == [
        1023, 923, 0,
    ]  # fmt: skip
    assert grey([0, 100, 1023], bits=10, rescale_slope=-1.0) == [1023, 923, 0]


def test_values_are_stored_ones() -> None:
    """Neither slope nor intercept nor window is applied: they have no unit."""
    assert grey([0, 7, 4095], rescale_slope=2.0, rescale_intercept=-100.0) == [0, 7, 4095]


def test_what_lies_beside_the_stored_bits_is_dropped() -> None:
    """Old overlays lie in the upper bits."""
    assert grey([0x8005, 0x0FFF]) == [5, 4095]


def test_sixteen_bits_keep_their_order() -> None:
    """int16 holds them less 32,768."""
    assert grey([0, 32768, 65535], bits=16) == [-32768, 0, 32767]
    assert grey([0, 65535], bits=16, photometric_interpretation="MONOCHROME1") == [32767, -32768]


def test_signed_values_turn_over_too() -> None:
    """The largest of 12 bits becomes the smallest."""
    signed = {"pixel_representation": 1, "photometric_interpretation": "MONOCHROME1"}
    assert grey([-2048, 0, 2047], **signed) == [2047, -1, -2048]


def test_declared_padding_is_black() -> None:
    """A shutter would else be the brightest bone."""
    assert grey([4095, 50, 900], pixel_padding_value=4095) == [50, 50, 900]
    turned = {"photometric_interpretation": "MONOCHROME1", "pixel_padding_value": 0}
    assert grey([0, 4000, 100], **turned) == [95, 95, 3995]


def test_an_image_decodes_into_its_volume() -> None:
    """12 bits, MONOCHROME1, as stored in rows."""
    stored = np.arange(20, dtype=np.uint16).reshape(4, 5)
    objects = MemoryObjects()
    objects.objects["hand"] = b"header" + stored.tobytes()
    series = image(
        frame={
            "object_key": "hand", "pixel_offset": 6, "photometric_interpretation": "MONOCHROME1",
        }
    )  # fmt: skip
    np.testing.assert_array_equal(decode(series, objects), 4095 - stored[None].astype(np.int16))


def test_each_image_of_a_series_stands_alone() -> None:
    """Both hands, or two views, under one Series Instance UID."""
    instances = [
        make_instance(
            make_frame(number=n, **FLAT), sop_class_uid=DX, Modality="DX", ImagerPixelSpacing=[1, 1]
        )
        for n in (1, 2)
    ]
    parts = group_series(instances)
    assert [part.key for part in parts] == ["1.2.9#1", "1.2.9#2"]
    assert all(part.geometry.shape == (1, 4, 5) for part in parts)
    assert parts[0].notes == ("The series holds 2 images.",)


@pytest.mark.parametrize(
    ("series", "code"),
    [
        (image(ImagerPixelSpacing=None), "missing_attribute"),
        (image(ImagerPixelSpacing=[0.2, 0.0]), "invalid_geometry"),
        (image(sop_class_uid=DX_FOR_PROCESSING), "wrong_modality"),
        (image("MG", MAMMOGRAPHY), "wrong_modality"),
        (image("CT"), "wrong_modality"),
        (image("DX", "1.2.840.10008.5.1.4.1.1.2"), "wrong_modality"),
        (image("DX", "1.2.840.10008.5.1.4.1.1.7"), "secondary_capture"),
        (image(LossyImageCompression="01"), "lossy_compression"),
        (image(frame={"transfer_syntax_uid": "1.2.840.10008.1.2.4.50"}), "lossy_compression"),
        (image(frame={"photometric_interpretation": "PALETTE COLOR"}), "pixel_data"),
        (image(frame={"samples_per_pixel": 3}), "pixel_data"),
    ],
)
def test_what_is_no_radiograph_is_refused(series: Series, code: str) -> None:
    """By name."""
    assert series.refusal is not None
    assert series.refusal.code == f"series.{code}"


@pytest.mark.parametrize(("modality", "sop_class_uid"), [("DX", DX), ("CR", CR), ("DX", CR)])
def test_an_image_goes_to_a_check_of_its_modality(modality: str, sop_class_uid: str) -> None:
    """Some devices write one modality and store the other's class."""
    series = image(modality, sop_class_uid, ImageLaterality="L")
    assert choose_series([series], HAND).chosen is series


def test_an_image_never_goes_to_a_check_of_ct_nor_ct_to_one_of_images() -> None:
    """Whatever else fits."""
    assert refusal(image(), CT) == "series.wrong_modality"
    scan = ct_series(frames_at(*range(0, 30, 3)))
    assert choose_series([scan], CT).chosen is scan
    assert refusal(scan, HAND) == "series.wrong_modality"


@pytest.mark.parametrize(
    ("attributes", "code"),
    [
        ({"BodyPartExamined": "CHEST"}, "series.body_part"),
        ({"ImageLaterality": "R"}, "series.side"),
        ({"Laterality": "R"}, "series.side"),
        ({"ImageLaterality": "B"}, "series.side"),
    ],
)
def test_another_part_or_side_is_refused_where_it_is_said(
    attributes: dict[str, str], code: str
) -> None:
    """What the header leaves out is left to the network."""
    assert refusal(image(**attributes), HAND) == code


@pytest.mark.parametrize("part", ["HAND", "LHAND", "Wrist", None])
def test_the_part_is_read_as_vendors_write_it(part: str | None) -> None:
    """And none at all is taken."""
    series = image(BodyPartExamined=part, ImageLaterality="U")
    assert choose_series([series], HAND).chosen is series


def test_the_image_that_says_what_it_is_goes_first() -> None:
    """Of several that may be fit."""
    silent = image(BodyPartExamined=None, series="1.1")
    said = image(ImageLaterality="L", series="1.2")
    choice = choose_series([silent, said], HAND)
    assert choice.chosen is said
    assert choice.runner_up is silent


def test_the_header_s_gaps_are_recorded() -> None:
    """They are no reason to refuse."""
    quality = header_quality(image(BodyPartExamined=None), adult_age_years=0)
    assert quality.codes == ("body_part_unknown", "side_unknown", "detector_spacing")
    assert quality.error() is None
    said = header_quality(image(Laterality="L"), adult_age_years=0)
    assert said.measures["side"] == "L"
    assert said.measures["row_spacing_mm"] == 0.2


def test_inspect_shows_an_image_of_a_child() -> None:
    """Its geometry and its gaps; neither HU nor an adult's age are asked of it."""
    objects = MemoryObjects()
    objects.objects["hand"] = b"header" + np.arange(20, dtype=np.uint16).tobytes()
    series = image(
        frame={"object_key": "hand", "pixel_offset": 6}, PatientAge="090M", ImageLaterality="L"
    )
    need = dataclasses.replace(HAND, min_age_years=0.0)
    report, volume = inspect_study(series.instances, objects, {"digits": need, "scan": CT})
    assert report["chosen"]["series_instance_uid"] == series.uid
    assert report["geometry"]["orientation"] == PROJECTION
    assert report["quality"]["refused"] is None
    assert report["checks"]["digits"]["fit"] == "fit"
    assert report["checks"]["scan"]["code"] == "series.wrong_modality"
    assert volume is not None
    assert volume.array.shape == (1, 4, 5)
