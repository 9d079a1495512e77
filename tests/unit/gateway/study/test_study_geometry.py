"""Where slices lie: order, spacing, orientation, tilt."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.study.geometry import geometry_of
from tests.stored_series import frames_at, make_frame

HALF_MICRON = 5e-4
"""Positions are written to a micron; half of that is rounding."""


@given(st.permutations([0.0, 2.5, 5.0, 7.5, 10.0]))
def test_order_of_arrival_does_not_matter(positions):
    """Slices are sorted along their normal, whatever order they come in."""
    geometry = geometry_of(frames_at(*positions))
    assert [f.image_position_patient[2] for f in geometry.frames] == sorted(positions)
    assert geometry.spacing_mm == pytest.approx((2.5, 0.7, 0.8))


def test_affine_maps_indices_to_patient_coordinates():
    """Voxel (1, 2, 3) of an axial series lies where Image Position and spacing say."""
    affine = geometry_of(frames_at(0, 3, 6)).affine
    assert affine @ [1, 2, 3, 1] == pytest.approx([-10 + 3 * 0.8, -20 + 2 * 0.7, 3.0, 1.0])


def test_spacing_is_along_the_normal_and_not_along_z():
    """An oblique stack keeps its true increment: here 3 mm, of which z has only 2.6."""
    angle = np.radians(30)
    row, column = np.array([1.0, 0, 0]), np.array([0, np.cos(angle), np.sin(angle)])
    normal = np.cross(row, column)
    frames = [
        make_frame(
            number=k,
            image_position_patient=tuple(3.0 * k * normal),
            image_orientation_patient=(*row, *column),
        )
        for k in range(5)
    ]
    geometry = geometry_of(frames)
    assert geometry.increment_mm == pytest.approx(3.0)
    assert geometry.shear_degrees == pytest.approx(0.0, abs=1e-4)
    assert geometry.obliquity_degrees == pytest.approx(30.0)
    assert not geometry.tilt_corrected


def test_tilt_is_told_from_positions_and_corrected_by_shifts():
    """A 15° gantry tilt moves slices by 3 mm × tan 15° in plane, and the affine is a box again."""
    angle = np.radians(15)
    column = np.array([0, np.cos(angle), np.sin(angle)])
    frames = [
        make_frame(
            number=k,
            image_position_patient=(0.0, 0.0, 3.0 * k),
            image_orientation_patient=(1.0, 0.0, 0.0, *column),
        )
        for k in range(6)
    ]
    geometry = geometry_of(frames)
    assert geometry.shear_degrees == pytest.approx(15.0)
    assert geometry.tilt_corrected
    rows = np.array(geometry.shifts)[:, 0]
    # z goes up by 3 mm a slice; of that, 3·sin 15° lies in the plane, in rows of 0.7 mm.
    assert np.abs(np.diff(rows)) == pytest.approx(3 * np.sin(angle) / 0.7)
    axes = geometry.affine[:3, :3] / np.linalg.norm(geometry.affine[:3, :3], axis=0)
    assert axes.T @ axes == pytest.approx(np.eye(3), abs=1e-9)
    assert geometry.increment_mm == pytest.approx(3 * np.cos(angle))
    # Where slice k's first pixel goes, the affine says where that pixel lay.
    for k, (row, column_shift) in enumerate(geometry.shifts):
        place = geometry.affine @ [k, row, column_shift, 1]
        assert place[:3] == pytest.approx([0.0, 0.0, 3.0 * k], abs=HALF_MICRON)


def test_shear_below_half_a_degree_is_left_in_the_affine():
    """0.3° moves nothing, and the affine still says where every slice begins."""
    drift = 3 * np.tan(np.radians(0.3))
    frames = [
        make_frame(number=k, image_position_patient=(0.0, drift * k, 3.0 * k)) for k in range(9)
    ]
    geometry = geometry_of(frames)
    assert geometry.shifts == ()
    assert (geometry.affine @ [8, 0, 0, 1])[:3] == pytest.approx([0, 8 * drift, 24.0])


def test_increments_that_vary_a_little_are_recorded():
    """A spread of 0.2 mm is no refusal."""
    geometry = geometry_of(frames_at(0, 3, 6.2, 9.2))
    assert geometry.increment_spread_mm == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("orientation", "name"),
    [
        ((1, 0, 0, 0, 1, 0), "axial"),
        ((-1, 0, 0, 0, -1, 0), "axial"),
        ((1, 0, 0, 0, 0, -1), "coronal"),
        ((0, 1, 0, 0, 0, -1), "sagittal"),
    ],
)
def test_orientation_has_a_name(orientation, name):
    """The body axis that the normal is nearest to names the series."""
    normal = np.cross(orientation[:3], orientation[3:])
    frames = [
        make_frame(
            number=k,
            image_position_patient=tuple(2.0 * k * normal),
            image_orientation_patient=orientation,
        )
        for k in range(4)
    ]
    geometry = geometry_of(frames)
    assert geometry.orientation == name
    assert (np.diag(geometry.affine[[2, 1, 0], :3]) > 0).all()
