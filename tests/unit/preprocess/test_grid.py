"""Where voxels lie."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from preprocess.exceptions import GeometryError, RoiError
from preprocess.grid import Grid
from preprocess.resample import resample

AFFINE = np.array([[0, 0, 0.8, -200], [0, 0.8, 0, -180], [1.5, 0, 0, 40], [0, 0, 0, 1]], np.float64)

SHIFT_MM = 0.05
"""Area weights take an input voxel for constant, so one that is cut shifts by a part of itself."""


def at(grid: Grid, *index: float) -> NDArray[np.float64]:
    point: NDArray[np.float64] = (grid.affine @ np.array([*index, 1.0]))[:3]
    return point


def test_spacing_and_volume_come_from_the_affine() -> None:
    """1.5 · 0.8 · 0.8 mm³ are 0.00096 ml."""
    grid = Grid((10, 20, 30), AFFINE)
    assert grid.spacing_mm == pytest.approx((1.5, 0.8, 0.8))
    assert grid.voxel_ml == pytest.approx(0.00096)


def test_a_crop_keeps_its_voxels_where_they_are() -> None:
    """Voxel (0, 0, 0) of the crop is voxel (2, 3, 4) of the whole."""
    grid = Grid((10, 20, 30), AFFINE)
    crop = grid.crop((2, 10, 3, 20, 4, 30))
    assert crop.shape == (8, 17, 26)
    np.testing.assert_allclose(at(crop, 0, 0, 0), at(grid, 2, 3, 4))


@settings(max_examples=60, deadline=None)
@given(st.tuples(*[st.integers(1, 40)] * 3), st.tuples(*[st.floats(0.5, 6.0)] * 3))
def test_a_new_spacing_keeps_the_middle(
    shape: tuple[int, int, int], spacing: tuple[float, float, float]
) -> None:
    """The centre of the extent stays, and what is covered differs by ≤ ¼ voxel at each end."""
    old, new = Grid(shape, AFFINE), Grid(shape, AFFINE).resampled(spacing)
    middle = [[(n - 1) / 2 for n in grid.shape] for grid in (old, new)]
    np.testing.assert_allclose(at(old, *middle[0]), at(new, *middle[1]), atol=1e-9)
    assert new.spacing_mm == pytest.approx(spacing)
    extents = zip(old.shape, old.spacing_mm, new.shape, spacing)
    for n_old, mm_old, n_new, mm_new in extents:
        if n_new > 1:
            assert abs(n_new * mm_new - n_old * mm_old) / 2 <= 0.25 * mm_new + 1e-9


@settings(max_examples=40, deadline=None)
@given(st.tuples(*[st.floats(-500, 500)] * 3), st.tuples(*[st.floats(0.5, 6.0)] * 3))
def test_a_shift_of_the_slab_shifts_its_grid(
    shift: tuple[float, float, float], spacing: tuple[float, float, float]
) -> None:
    """By the same millimetres, and nothing else changes."""
    moved = AFFINE.copy()
    moved[:3, 3] += shift
    here = Grid((9, 20, 17), AFFINE).crop((1, 9, 2, 20, 0, 16)).resampled(spacing)
    there = Grid((9, 20, 17), moved).crop((1, 9, 2, 20, 0, 16)).resampled(spacing)
    np.testing.assert_allclose(there.affine[:3, 3] - here.affine[:3, 3], shift, atol=1e-9)
    np.testing.assert_allclose(there.affine[:3, :3], here.affine[:3, :3])


@pytest.mark.parametrize("target", [(3.0, 3.0, 3.0), (0.7, 0.5, 0.5), (3.0, 0.5, 3.0)])
def test_the_grid_says_where_resample_puts_things(target: tuple[float, float, float]) -> None:
    """A field that is linear in LPS mm keeps its value at every inner voxel of the new grid."""
    old = Grid((24, 40, 40), AFFINE)
    index = np.stack(np.meshgrid(*[np.arange(n) for n in old.shape], indexing="ij"), -1)
    field = (index @ AFFINE[:3, :3].T + AFFINE[:3, 3]).sum(axis=-1).astype(np.float32)
    new = old.resampled(target)
    out = resample(field, spacing_mm=old.spacing_mm, target_spacing_mm=target)
    assert out.shape == new.shape
    inner = (slice(2, -2),) * 3
    index = np.stack(np.meshgrid(*[np.arange(n) for n in new.shape], indexing="ij"), -1)
    expected = (index @ new.affine[:3, :3].T + new.affine[:3, 3]).sum(axis=-1)
    np.testing.assert_allclose(out[inner], expected[inner], atol=SHIFT_MM)


@pytest.mark.parametrize(
    "affine",
    [
        np.eye(3),
        np.eye(4, dtype=np.float32),
        np.diag([1.0, 1.0, np.nan, 1.0]),
        np.diag([1.0, 0.0, 1.0, 1.0]),
        np.diag([1.0, 1.0, 1.0, 2.0]),
    ],
)
def test_an_affine_that_is_not_one_is_refused(affine: NDArray[np.float64]) -> None:
    """Wrong shape, wrong dtype, not finite, singular, projective."""
    with pytest.raises(GeometryError):
        Grid((3, 3, 3), affine)


def test_an_empty_grid_is_refused() -> None:
    """Every axis has at least one voxel."""
    with pytest.raises(GeometryError, match="at least one voxel"):
        Grid((3, 0, 3), np.eye(4))


@pytest.mark.parametrize("roi", [(3, 3, 0, 3, 0, 3), (0, 4, 0, 3, 0, 3), (0, 3, 0, 3)])
def test_a_crop_outside_the_grid_is_refused(roi: tuple[int, ...]) -> None:
    """Empty, too far, too few numbers."""
    with pytest.raises(RoiError):
        Grid((3, 3, 3), np.eye(4)).crop(roi)
