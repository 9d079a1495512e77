"""Quality control: what header and pixels say, one fact a test."""

from __future__ import annotations

import json

import numpy as np
import pytest

from gateway import exceptions as errors
from gateway.study.geometry import geometry_of
from gateway.study.quality import Flag, Quality, header_quality, pixel_quality
from tests.stored_series import frames_at, make_frame, make_instance, one_series

SHAPE = (40, 96, 96)


def body(
    *, air: float = -1000.0, noise: float = 10.0, centre: tuple[int, int] = (48, 48), seed: int = 1
) -> np.ndarray:
    """Make an elliptic body of 40 HU with lungs, fat and noise in air."""
    rng = np.random.default_rng(seed)
    _, rows, columns = SHAPE
    y, x = np.mgrid[:rows, :columns]
    hu = np.full((rows, columns), air)
    radius = ((x - centre[1]) / 36) ** 2 + ((y - centre[0]) / 26) ** 2
    hu[radius < 1] = -100
    hu[radius < 0.85] = 40
    for side in (-14, 14):
        lung = ((x - centre[1] - side) / 9) ** 2 + ((y - centre[0]) / 13) ** 2
        hu[lung < 1] = -850
    volume = hu + rng.normal(0, noise, SHAPE)
    return np.clip(np.rint(volume), -1024, 3071).astype(np.int16)


def geometry(spacing: float = 4.0, count: int = SHAPE[0]):
    return geometry_of(frames_at(*range(count), rows=96, columns=96, pixel_spacing=(spacing,) * 2))


def pixels(volume: np.ndarray, position: str = "HFS") -> Quality:
    return pixel_quality(volume, geometry(), patient_position=position)


def header(*, frames=None, study=None, policy=None, **attributes) -> Quality:
    return header_quality(
        one_series(frames or frames_at(0, 3, 6, 9), **attributes), study=study, **(policy or {})
    )


def test_a_good_scan_has_no_flags():
    """Nothing is said of a native adult scan of 120 kVp with air around the body."""
    assert (header() + pixels(body())).flags == ()


def test_air_is_measured():
    """The most frequent value outside the body, at its scale."""
    assert pixels(body()).measures["air_hu"] == pytest.approx(-1000, abs=3)


@pytest.mark.parametrize("air", [-940.0, -880.0])
def test_wrong_air_refuses(air):
    """An HU scale that does not know air is not to be trusted."""
    error = pixels(body(air=air)).error()
    assert type(error) is errors.AirOutOfRangeError
    assert f"{air:.0f}"[:3] in str(error)


def test_padding_is_not_taken_for_air():
    """A ring of −1024 around the circle hides no wrong air inside it."""
    from gateway.study.hounsfield import outside_circle

    volume = body(air=-900.0)
    volume[:, outside_circle(96, 96)] = -1024
    assert pixels(volume).error() is not None


def test_a_scan_without_air_says_so():
    """A field of view inside the body has no air to check, which is a warning and no refusal."""
    inside = np.random.default_rng(2).normal(40, 10, SHAPE).astype(np.int16)
    quality = pixels(inside)
    assert "air_unmeasured" in quality.codes
    assert quality.error() is None


def test_a_cut_off_body_is_flagged():
    """A body that leaves the image on one side is truncated."""
    quality = pixels(body(centre=(48, 80)))
    assert "fov_truncated" in quality.codes
    assert quality.measures["fov_truncated_fraction"] > 0.05


def test_a_body_cut_by_the_circle_is_flagged():
    """With padded corners the edge of the field of view is the circle."""
    from gateway.study.hounsfield import outside_circle

    volume = body(centre=(48, 66))
    volume[:, outside_circle(96, 96)] = -1024
    assert "fov_truncated" in pixels(volume).codes


def test_metal_is_flagged_with_its_volume():
    """A block of 3071 HU is metal, and clipped."""
    volume = body()
    volume[10:14, 40:44, 40:44] = 3071
    quality = pixels(volume)
    assert quality.measures["metal_ml"] == pytest.approx(4 * 4 * 4 * 16 / 1000, rel=0.1)
    assert quality.measures["clipped_ml"] == quality.measures["metal_ml"]
    assert "metal" in quality.codes


def test_dense_bone_is_no_metal():
    """1,800 HU of cortical bone is not flagged."""
    volume = body()
    volume[10:14, 40:44, 40:44] = 1800
    assert pixels(volume).codes == ()


@pytest.mark.parametrize("noise", [5.0, 12.0, 25.0])
def test_noise_is_measured(noise):
    """The most frequent SD of soft-tissue tiles is the noise, within its bins."""
    quality = pixel_quality(body(noise=noise), geometry(spacing=1.0))
    assert quality.measures["noise_hu"] == pytest.approx(noise, abs=0.15 * noise + 0.75)


def with_table(volume: np.ndarray, *, row: int) -> np.ndarray:
    volume[:, row : row + 3, 15:80] = -200
    return volume


def test_the_table_side_is_seen():
    """A table behind a supine patient is where it belongs."""
    quality = pixels(with_table(body(), row=82))
    assert quality.measures["table_side"] == "posterior"
    assert quality.codes == ()


def test_a_table_on_the_other_side_is_flagged():
    """Supine by the header, with the table in front: one of them is wrong."""
    assert pixels(with_table(body(), row=10)).codes == ("table_side_conflict",)


def test_prone_is_legal_and_noted():
    """HFP with the table in front of the patient is no conflict."""
    assert pixels(with_table(body(), row=10), "HFP").codes == ("not_supine",)


def test_an_empty_volume_is_flagged():
    """Air only."""
    assert "no_body" in pixels(np.full(SHAPE, -1000, np.int16)).codes


def test_a_child_is_refused():
    """Seventeen is too young."""
    error = header(PatientAge="017Y").error()
    assert type(error) is errors.PatientTooYoungError
    assert "17" in str(error)


def test_the_adult_age_is_the_sites():
    """A site may screen from 16 on."""
    assert header(PatientAge="017Y", policy={"adult_age_years": 16}).error() is None


def test_an_unknown_age_follows_the_sites_policy():
    """Accepted with a note, or refused."""
    assert header(PatientAge=None).flags[0].severity == "note"
    refused = header(PatientAge=None, policy={"missing_age": "refuse"})
    assert type(refused.error()) is errors.AgeUnknownError


def test_two_patients_are_refused():
    """A second Patient ID anywhere in the study."""
    stranger = make_instance(PatientID="0815")
    quality = header(study=[make_instance(), stranger])
    assert type(quality.error()) is errors.IdentityConflictError


def test_two_frames_of_reference_are_refused():
    """Positions of two coordinate systems cannot be compared."""
    from gateway.study.series import group_series

    (series,) = group_series(
        make_instance(frame, FrameOfReferenceUID=f"1.2.{number // 2}")
        for number, frame in enumerate(frames_at(0, 3, 6, 9))
    )
    assert header_quality(series).codes == ("mixed_frame_of_reference",)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"KVP": 100.0}, "kvp"),
        ({"KVP": None}, "kvp"),
        ({"ContrastBolusAgent": "Iohexol"}, "contrast_header"),
        ({"ConvolutionKernel": "QQ9"}, "kernel_unknown"),
        ({"frames": frames_at(0, 3, 6, slice_thickness=1.0)}, "slice_gap"),
        ({"frames": frames_at(0, 3, 6, slice_thickness=None)}, "thickness_missing"),
        ({"frames": frames_at(0, 3, 6.2, 9.2)}, "increment_spread"),
        ({"frames": frames_at(0, 6, 12, slice_thickness=6.0)}, "thick_slices"),
    ],
)
def test_what_a_reader_should_know_is_flagged(change, code):
    """Recorded, and never a refusal."""
    quality = header(**change)
    assert quality.codes == (code,)
    assert quality.error() is None


def test_a_corrected_tilt_is_flagged():
    """A reader sees that slices were interpolated."""
    step = 3 * np.tan(np.radians(10))
    frames = [
        make_frame(number=k, image_position_patient=(0.0, step * k, 3.0 * k)) for k in range(4)
    ]
    assert header(frames=frames).codes == ("tilt_corrected",)


def test_quality_is_plain_json():
    """Flags and measures go into rows and results as they are."""
    quality = header(KVP=80.0) + pixels(body())
    assert json.loads(json.dumps(quality.to_json()))["flags"][0]["code"] == "kvp"


def test_every_refusing_flag_has_its_error():
    """A refusal without an error would pass."""
    for code in ("air_out_of_range", "patient_too_young", "identity_conflict", "age_unknown"):
        quality = Quality(flags=(Flag(code, "refuse", "why"),))
        with pytest.raises(errors.SeriesError, match="why"):
            quality.raise_if_refused()
