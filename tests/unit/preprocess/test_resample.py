"""Resampling, judged by the slow float64 twin in tests/reference."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from preprocess.exceptions import ArrayError, GeometryError, RoiError
from preprocess.grid import resampled_shape
from preprocess.resample import _resample_dense, resample
from preprocess.weights import axis_weights
from tests.reference import slow_grid

TOLERANCE_HU = 0.01
"""float32 sums of a few dozen values up to 3071 HU: 24 bits leave 2e-4 HU a step."""

volumes = arrays.arrays(
    np.int16,
    st.tuples(*[st.integers(1, 9)] * 3),
    elements=st.integers(-1024, 3071),
)
spacings = st.tuples(*[st.integers(4, 60).map(lambda tenths: tenths / 10)] * 3)
"""Tenths of a mm, so that no two differ by less than the copy of SAME_SPACING_VOXELS allows."""


def noise(shape: tuple[int, int, int]) -> NDArray[np.int16]:
    return np.random.default_rng(0).integers(-1024, 3072, shape, dtype=np.int16)


@settings(max_examples=60, deadline=None)
@given(volumes, spacings, spacings)
def test_resampling_equals_the_float64_twin(
    volume: NDArray[np.int16], old: tuple[float, ...], new: tuple[float, ...]
) -> None:
    """Any volume, any two spacings, growing and shrinking mixed over the axes."""
    got = resample(volume, spacing_mm=old, target_spacing_mm=new)
    expected = slow_grid.resample(volume, spacing_mm=old, target_spacing_mm=new)
    assert got.dtype == np.float32
    assert got.shape == resampled_shape(volume.shape, spacing_mm=old, target_spacing_mm=new)
    np.testing.assert_allclose(got, expected, atol=TOLERANCE_HU)


@settings(max_examples=30, deadline=None)
@given(volumes, spacings)
def test_equal_spacing_is_the_identity(
    volume: NDArray[np.int16], spacing: tuple[float, ...]
) -> None:
    """Bit by bit, whatever the spacing."""
    out = resample(volume, spacing_mm=spacing, target_spacing_mm=spacing)
    np.testing.assert_array_equal(out, volume)


@settings(max_examples=60, deadline=None)
@given(st.integers(-1024, 3071), st.tuples(*[st.integers(1, 12)] * 3), spacings, spacings)
def test_a_constant_stays_constant(
    value: int, shape: tuple[int, int, int], old: tuple[float, ...], new: tuple[float, ...]
) -> None:
    """Weights of every output voxel sum to one, at the edges too."""
    out = resample(np.full(shape, value, np.int16), spacing_mm=old, target_spacing_mm=new)
    np.testing.assert_allclose(out, value, atol=TOLERANCE_HU)


def test_shrinking_by_a_whole_number_is_the_block_mean() -> None:
    """Three voxels to one: (0 + 30 + 60) / 3 = 30."""
    line = np.array([0, 30, 60, 300, 300, 300], np.int16).reshape(6, 1, 1)
    out = resample(line, spacing_mm=(1, 3, 3), target_spacing_mm=(3, 3, 3))
    np.testing.assert_allclose(out.ravel(), [30, 300], rtol=1e-6)


def test_growing_keeps_a_ramp_a_ramp() -> None:
    """Linear between the first and last centre, repeated beyond them."""
    line = np.array([0, 100, 200], np.int16).reshape(3, 1, 1)
    out = resample(line, spacing_mm=(2, 3, 3), target_spacing_mm=(1, 3, 3))
    np.testing.assert_allclose(out.ravel(), [0, 25, 75, 125, 175, 200], atol=1e-4)


def test_a_spacing_off_by_rounding_is_the_same() -> None:
    """A Pixel Spacing of 2.99999 mm is copied, not blurred."""
    volume = noise((4, 30, 30))
    out = resample(volume, spacing_mm=(3, 2.99999, 2.99999), target_spacing_mm=(3, 3, 3))
    np.testing.assert_array_equal(out, volume)


def test_a_region_equals_the_crop_resampled() -> None:
    """A region of interest never sees what lies outside it."""
    volume = noise((12, 20, 16))
    got = resample(
        volume, spacing_mm=(2, 1, 1), target_spacing_mm=(3, 3, 3), roi=(2, 11, 3, 20, 0, 13)
    )
    crop = np.ascontiguousarray(volume[2:11, 3:20, 0:13])
    expected = resample(crop, spacing_mm=(2, 1, 1), target_spacing_mm=(3, 3, 3))
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("old", [(1.0, 0.8, 0.8), (5.0, 0.8, 0.8)])
def test_threads_change_no_bit(old: tuple[float, float, float]) -> None:
    """One thread and four give the same bits."""
    volume = noise((20, 64, 48))
    one, four = (
        resample(volume, spacing_mm=old, target_spacing_mm=(3, 3, 3), threads=n) for n in (1, 4)
    )
    np.testing.assert_array_equal(one, four)


def test_the_way_of_a_device_gives_the_same() -> None:
    """Dense products, which CuPy arrays take, and planes agree."""
    volume = noise((14, 40, 30))
    weights = [axis_weights(n, a, b) for n, a, b in zip(volume.shape, (5, 0.8, 3), (3, 3, 3))]
    planes = resample(volume, spacing_mm=(5, 0.8, 3), target_spacing_mm=(3, 3, 3))
    np.testing.assert_allclose(_resample_dense(volume, weights), planes, atol=TOLERANCE_HU)


def test_float_and_integer_volumes_agree() -> None:
    """Training resamples float32 phantoms, serving int16 scans."""
    volume = noise((9, 20, 20))
    spacing: Any = {"spacing_mm": (1.25, 0.7, 0.7), "target_spacing_mm": (3, 3, 3)}
    np.testing.assert_array_equal(
        resample(volume, **spacing), resample(volume.astype(np.float32), **spacing)
    )


def test_the_volume_is_never_copied_whole() -> None:
    """150 MB of extra memory are allowed for 300×512×512; a float32 copy would take 315 MB."""
    volume = np.zeros((300, 512, 512), np.int16)
    tracemalloc.start()
    resample(volume, spacing_mm=(1, 0.8, 0.8), target_spacing_mm=(3, 3, 3), threads=2)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 150e6


@pytest.mark.parametrize(
    ("volume", "error"),
    [
        (np.zeros((3, 3), np.int16), ArrayError),
        (np.zeros((3, 0, 3), np.int16), ArrayError),
        (np.zeros((3, 3, 3), np.uint16), ArrayError),
        ([[[0]]], ArrayError),
    ],
)
def test_what_is_not_a_volume_is_refused(volume: Any, error: type[Exception]) -> None:
    """Two axes, an empty one, unsigned values, a list."""
    with pytest.raises(error):
        resample(volume, spacing_mm=(1, 1, 1), target_spacing_mm=(3, 3, 3))


@pytest.mark.parametrize("spacing", [(0, 1, 1), (1, -1, 1), (1, 1, float("nan")), (1, 1)])
def test_a_spacing_that_is_not_positive_is_refused(spacing: tuple[float, ...]) -> None:
    """Zero, negative, not a number, too few."""
    volume = np.zeros((3, 3, 3), np.int16)
    with pytest.raises(GeometryError, match="three positive numbers"):
        resample(volume, spacing_mm=spacing, target_spacing_mm=(3, 3, 3))
    with pytest.raises(GeometryError, match="three positive numbers"):
        resample(volume, spacing_mm=(3, 3, 3), target_spacing_mm=spacing)


@pytest.mark.parametrize("roi", [(0, 0, 0, 3, 0, 3), (0, 3, -1, 3, 0, 3), (0, 3, 0, 3, 0, 4)])
def test_a_region_that_is_empty_or_outside_is_refused(roi: tuple[int, ...]) -> None:
    """Empty, before the start, beyond the end."""
    with pytest.raises(RoiError, match="empty or outside"):
        resample(
            np.zeros((3, 3, 3), np.int16),
            spacing_mm=(1, 1, 1),
            target_spacing_mm=(3, 3, 3),
            roi=roi,
        )
