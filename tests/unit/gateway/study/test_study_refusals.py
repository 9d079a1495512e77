"""What makes a series unfit for any measurement: one refusal a test."""

from __future__ import annotations

import math

import pytest

from gateway import exceptions as errors
from gateway.study.geometry import geometry_of
from tests.stored_series import frames_at, make_frame, make_instance, one_series


def refused(frames, error):
    with pytest.raises(error) as caught:
        geometry_of(frames)
    assert type(caught.value) is error
    return str(caught.value)


def test_one_slice_is_no_volume():
    """A single slice is refused."""
    assert "one slice" in refused(frames_at(0), errors.TooFewSlicesError)


def test_two_slices_are_no_volume():
    """Two slices have no second increment to compare with."""
    assert "2 slices" in refused(frames_at(0, 3), errors.TooFewSlicesError)


def test_missing_slices_are_counted_and_placed():
    """The message says how many and where."""
    message = refused(frames_at(0, 3, 6, 15, 18), errors.MissingSlicesError)
    assert "About 2 of 7" in message
    assert "between 6.00 and 15.00 mm" in message


def test_duplicate_slices_are_counted_and_placed():
    """Two planes at one place are refused, not dropped."""
    message = refused(
        [*frames_at(0, 3, 6, 9), make_frame(3.0, number=7)], errors.DuplicateSlicesError
    )
    assert "1 of 5" in message
    assert "3.00 mm" in message


def test_coplanar_slices_are_duplicates():
    """Planes that differ only within their plane lie at the same place."""
    frames = [make_frame(number=k, image_position_patient=(float(k), 0.0, 0.0)) for k in range(4)]
    refused(frames, errors.DuplicateSlicesError)


def test_an_increment_that_changes_is_refused():
    """Thick increments with thin ones after them have no one spacing."""
    refused(frames_at(0, 5, 10, 15, 20, 22, 24), errors.InvalidGeometryError)


def test_mixed_orientation_is_refused():
    """One slice of another orientation spoils the volume."""
    odd = make_frame(6.0, number=9, image_orientation_patient=(0.0, 1, 0, 0, 0, -1))
    assert "1 of 3" in refused([*frames_at(0, 3), odd], errors.MixedOrientationError)


def test_orientation_that_is_not_perpendicular_is_refused():
    """Row and column directions must be at right angles."""
    frames = frames_at(0, 3, 6, image_orientation_patient=(1.0, 0, 0, 0.1, 0.995, 0))
    refused(frames, errors.InvalidGeometryError)


def test_orientation_that_is_not_of_unit_length_is_refused():
    """Direction cosines have length one."""
    frames = frames_at(0, 3, 6, image_orientation_patient=(2.0, 0, 0, 0, 1, 0))
    refused(frames, errors.InvalidGeometryError)


def test_positions_that_are_no_numbers_are_refused():
    """NaN in a position would sort anywhere."""
    frames = [*frames_at(0, 3), make_frame(number=3, image_position_patient=(0.0, 0, math.nan))]
    refused(frames, errors.InvalidGeometryError)


def test_slices_beside_the_line_are_refused():
    """One slice that is shifted in plane belongs to another reconstruction."""
    frames = [*frames_at(0, 3, 9), make_frame(number=5, image_position_patient=(-10.0, -15.0, 6.0))]
    refused(frames, errors.InvalidGeometryError)


def test_other_rows_are_refused():
    """Slices of two sizes are no volume."""
    refused([*frames_at(0, 3), make_frame(6, rows=8)], errors.MixedGeometryError)


def test_other_pixel_spacing_is_refused():
    """Slices of two fields of view are no volume."""
    odd = make_frame(6, pixel_spacing=(0.7, 0.9))
    refused([*frames_at(0, 3), odd], errors.MixedGeometryError)


def test_pixel_spacing_of_zero_is_refused():
    """A pixel has a size."""
    refused(frames_at(0, 3, 6, pixel_spacing=(0.0, 0.7)), errors.InvalidGeometryError)


def test_too_large_a_tilt_is_refused():
    """No gantry tilts by 40°."""
    step = math.tan(math.radians(40))
    frames = [
        make_frame(number=k, image_position_patient=(0.0, step * k, 1.0 * k)) for k in range(4)
    ]
    assert "40.0°" in refused(frames, errors.TiltTooLargeError)


def test_zero_rescale_slope_is_refused():
    """Every pixel would have the same HU."""
    refused(frames_at(0, 3, 6, rescale_slope=0.0), errors.ZeroRescaleSlopeError)


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("image_position_patient", "Image Position"),
        ("image_orientation_patient", "Image Orientation"),
        ("pixel_spacing", "Pixel Spacing"),
        ("rescale_slope", "Rescale Slope"),
        ("rescale_intercept", "Rescale Intercept"),
    ],
)
def test_a_missing_attribute_is_named(field, name):
    """What geometry and HU need is named when it is not there."""
    assert name in refused(frames_at(0, 3, 6, **{field: None}), errors.MissingAttributeError)


@pytest.mark.parametrize("number", ["51", "53", "55"])
def test_a_transfer_syntax_without_decoder_is_named(number):
    """JPEG processes that nothing here decodes are refused by name."""
    uid = f"1.2.840.10008.1.2.4.{number}"
    message = refused(
        frames_at(0, 3, 6, transfer_syntax_uid=uid), errors.UnsupportedTransferSyntaxError
    )
    assert uid in message
    assert "JPEG" in message


@pytest.mark.parametrize("number", ["50", "81"])
def test_a_lossy_transfer_syntax_is_refused(number):
    """JPEG Baseline has 8 bits and near-lossless JPEG-LS is off by one."""
    uid = f"1.2.840.10008.1.2.4.{number}"
    refused(frames_at(0, 3, 6, transfer_syntax_uid=uid), errors.LossyCompressionError)


def test_colour_is_refused():
    """Three samples are not HU."""
    frames = frames_at(0, 3, 6, samples_per_pixel=3, photometric_interpretation="RGB")
    assert "RGB" in refused(frames, errors.PixelDataError)


def test_thirty_two_bits_are_refused():
    """CT has 8 or 16 bits allocated."""
    frames = frames_at(0, 3, 6, bits_allocated=32, bits_stored=32, high_bit=31)
    refused(frames, errors.PixelDataError)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"LossyImageCompression": "01"}, errors.LossyCompressionError),
        ({"Modality": "MR"}, errors.WrongModalityError),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, errors.LocalizerError),
        ({"ImageType": ["DERIVED", "SECONDARY", "MPR"]}, errors.DerivedImagesError),
        ({"ImageType": ["DERIVED", "SECONDARY", "AXIAL", "MIP"]}, errors.DerivedImagesError),
        ({"ImageType": ["DERIVED", "SECONDARY", "REF_SURVIEW"]}, errors.DerivedImagesError),
        ({"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}, errors.DerivedImagesError),
        ({"ImageType": ["DERIVED", "SECONDARY", "DOSE_INFO"]}, errors.DerivedImagesError),
        ({"sop_class_uid": "1.2.840.10008.5.1.4.1.1.7"}, errors.SecondaryCaptureError),
        ({"sop_class_uid": "1.2.840.10008.5.1.4.1.1.7.4"}, errors.SecondaryCaptureError),
        ({"sop_class_uid": "1.2.840.10008.5.1.4.1.1.4"}, errors.WrongModalityError),
    ],
)
def test_what_is_no_acquired_ct_slice_is_refused(changes, error):
    """Modality CT alone makes no CT slice."""
    assert type(one_series(frames_at(0, 3, 6), **changes).refusal) is error


def test_derived_alone_is_not_refused():
    """Canon writes DERIVED for plain axial slices."""
    series = one_series(frames_at(0, 3, 6), ImageType=["DERIVED", "SECONDARY", "AXIAL"])
    assert series.refusal is None


def test_a_series_without_pixels_is_refused():
    """An instance with no frames has nothing to measure."""
    from gateway.study.series import group_series

    (series,) = group_series([make_instance()])
    assert type(series.refusal) is errors.NoSuitableSeriesError
