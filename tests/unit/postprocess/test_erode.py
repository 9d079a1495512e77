"""Erosion by a distance, judged by a Euclidean distance transform."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from scipy import ndimage

from postprocess.erode import erode
from tests.reference.slow_grid import erode_by_distance


@pytest.mark.parametrize("distance_mm", [3.0, 5.0, 7.0])
@pytest.mark.parametrize("spacing_mm", [(3.0, 3.0, 3.0), (5.0, 1.5, 1.5), (2.0, 2.5, 3.0)])
def test_erosion_equals_the_distance_transform(
    distance_mm: float, spacing_mm: tuple[float, float, float]
) -> None:
    """On smooth regions of four labels that touch each other and the edges."""
    fields = np.random.default_rng(1).standard_normal((4, 20, 24, 22))
    labels = ndimage.gaussian_filter(fields, (0, 4, 4, 4)).argmax(axis=0).astype(np.uint8)
    got = erode(labels, distance_mm=distance_mm, spacing_mm=spacing_mm)
    expected = erode_by_distance(labels, distance_mm=distance_mm, spacing_mm=spacing_mm)
    assert 0 < got.sum() < got.size
    np.testing.assert_array_equal(got, expected)


@settings(max_examples=50, deadline=None)
@given(
    arrays.arrays(np.uint8, st.tuples(*[st.integers(1, 7)] * 3), elements=st.integers(0, 1)),
    st.sampled_from([(3.0, 3.0, 3.0), (5.0, 1.5, 2.0), (9.0, 9.0, 9.0)]),
)
def test_erosion_holds_on_any_map(
    labels: NDArray[np.uint8], spacing_mm: tuple[float, float, float]
) -> None:
    """Volumes smaller than the distance among them."""
    np.testing.assert_array_equal(
        erode(labels, distance_mm=5.0, spacing_mm=spacing_mm),
        erode_by_distance(labels, distance_mm=5.0, spacing_mm=spacing_mm),
    )


def test_five_millimetres_take_two_voxels_of_three() -> None:
    """At 3 mm the first voxel has a neighbour of another label at 3 mm, the second at 6 mm."""
    labels = np.zeros((1, 1, 12), np.uint8)
    labels[0, 0, 4:10] = 1
    inside = erode(labels, distance_mm=5.0, spacing_mm=(3, 3, 3))
    np.testing.assert_array_equal(np.flatnonzero(inside[0, 0] & (labels[0, 0] == 1)), [5, 6, 7, 8])


def test_the_edge_of_the_volume_is_no_surface() -> None:
    """A volume full of liver is not eroded."""
    assert erode(np.full((4, 4, 4), 5, np.uint8), distance_mm=5.0, spacing_mm=(3, 3, 3)).all()
