"""Series: what belongs together, what is split, what is left out."""

from __future__ import annotations

import random

from gateway import exceptions as errors
from gateway.study.series import group_series
from tests.stored_series import frames_at, make_frame, make_instance


def axial(*z_mm, **changes):
    return [make_instance(frame, **changes) for frame in frames_at(*z_mm)]


def test_instances_are_grouped_by_series():
    """Two Series Instance UIDs are two series."""
    found = group_series([*axial(0, 3, 6, series="1.1"), *axial(9, 12, 15, 18, series="1.2")])
    assert [(s.uid, len(s.frames), s.parts) for s in found] == [("1.1", 3, 1), ("1.2", 4, 1)]


def test_grouping_does_not_depend_on_the_order_of_arrival():
    """Shuffled instances give the same series, keys and attributes."""
    instances = [*axial(0, 3, 6, 9), *axial(0, 2, 4, series="1.2")]
    once = [(s.key, s.frames) for s in group_series(instances)]
    random.Random(3).shuffle(instances)
    assert [(s.key, s.frames) for s in group_series(instances)] == once


def test_a_localizer_among_the_slices_is_left_out_with_a_note():
    """The volume is what remains."""
    scout = make_instance(
        make_frame(number=77, image_orientation_patient=(0.0, 1, 0, 0, 0, -1), rows=9),
        ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"],
    )
    (series,) = group_series([scout, *axial(0, 3, 6)])
    assert len(series.geometry.frames) == 3
    assert "localizer" in series.notes[0]


def test_a_series_of_localizers_is_one():
    """Nothing else is in it, so it is refused as what it is."""
    (series,) = group_series(axial(0, 3, 6, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]))
    assert isinstance(series.refusal, errors.LocalizerError)


def test_secondary_captures_among_the_slices_are_apart():
    """A dose sheet in the series spoils no volume."""
    sheet = make_instance(make_frame(number=88, rows=50), sop_class_uid="1.2.840.10008.5.1.4.1.1.7")
    volume, captures = group_series([sheet, *axial(0, 3, 6)])
    assert volume.refusal is None
    assert isinstance(captures.refusal, errors.SecondaryCaptureError)
    assert [s.key for s in (volume, captures)] == ["1.2.9#1", "1.2.9#2"]


def test_two_orientations_are_two_volumes():
    """Axial and coronal slices under one UID are split."""
    coronal = [
        make_instance(
            make_frame(
                number=900 + k,
                image_position_patient=(0.0, 2.0 * k, 0.0),
                image_orientation_patient=(1.0, 0, 0, 0, 0, -1),
            )
        )
        for k in range(4)
    ]
    found = group_series([*axial(0, 3, 6), *coronal])
    assert sorted(s.geometry.orientation for s in found) == ["axial", "coronal"]


def test_one_slice_of_another_orientation_is_no_volume_of_its_own():
    """It is not split off, so that the series is refused for what is wrong with it."""
    odd = make_instance(make_frame(number=900, image_orientation_patient=(1.0, 0, 0, 0, 0, -1)))
    (series,) = group_series([*axial(0, 3, 6), odd])
    assert isinstance(series.refusal, errors.MixedOrientationError)


def test_two_pixel_spacings_are_two_volumes():
    """A second field of view under the same UID is a second volume."""
    small = [make_instance(f) for f in frames_at(1, 4, 7, pixel_spacing=(0.4, 0.4))]
    assert len(group_series([*axial(0, 3, 6), *small])) == 2


def test_acquisitions_at_the_same_places_are_two_volumes():
    """Two passes over the same slices differ by Acquisition Number."""
    second = [make_instance(make_frame(z, number=500 + z), AcquisitionNumber=2) for z in (0, 3, 6)]
    found = group_series([*axial(0, 3, 6, AcquisitionNumber=1), *second])
    assert [len(s.frames) for s in found] == [3, 3]
    assert [s.refusal for s in found] == [None, None]


def test_acquisitions_one_after_another_are_one_volume():
    """Step-and-shoot scanners count every rotation."""
    instances = [
        make_instance(frame, AcquisitionNumber=number)
        for number, frame in enumerate(frames_at(0, 3, 6, 9))
    ]
    (series,) = group_series(instances)
    assert series.refusal is None


def test_temporal_positions_are_volumes_of_their_own():
    """A perfusion series holds one volume for each time."""
    frames = [
        make_frame(z, number=100 * t + z, temporal_position=str(t))
        for t in range(3)
        for z in (0, 3, 6, 9)
    ]
    found = group_series([make_instance(f) for f in frames])
    assert [len(s.frames) for s in found] == [4, 4, 4]


def test_frames_of_one_instance_may_be_two_volumes():
    """A multi-frame instance with two times is split by frame."""
    frames = [
        make_frame(z, number=5, frame_number=k + 1, temporal_position=str(k // 3))
        for k, z in enumerate((0, 3, 6, 0, 3, 6))
    ]
    found = group_series([make_instance(*frames)])
    assert [[f.frame_number for f in s.geometry.frames] for s in found] == [[1, 2, 3], [4, 5, 6]]


def test_duplicates_that_nothing_tells_apart_stay_and_are_refused():
    """No slice is dropped in silence."""
    twice = make_instance(make_frame(3.0, number=700))
    (series,) = group_series([*axial(0, 3, 6), twice])
    assert isinstance(series.refusal, errors.DuplicateSlicesError)
