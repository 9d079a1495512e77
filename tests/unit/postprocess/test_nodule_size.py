"""Outlines of nodules that are drawn with known sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from postprocess.diameters import axial_diameters
from postprocess.nodule_size import outline_nodule
from postprocess.outline import Outline

SPACING = (1.5, 1.0, 1.0)
SHAPE = (44, 64, 64)
CENTRE = np.array([21.3, 31.6, 32.2])
"""Off the voxel centres, as marks are."""

LUNG_HU, SOLID_HU, GLASS_HU = -850.0, 40.0, -600.0

WITHIN_MM = 0.8
"""Of a mean diameter on a grid of 1 mm."""


def away(centre: NDArray[np.float64] = CENTRE) -> NDArray[np.float64]:
    """Distance of each voxel from a place, mm."""
    index = np.indices(SHAPE).reshape(3, -1).T - centre
    return np.linalg.norm(index * SPACING, axis=1).reshape(SHAPE)


def scanned(hu: NDArray[np.float64], *, noise_hu: float = 12.0) -> NDArray[np.int16]:
    """Blur by a soft kernel and add noise."""
    blurred = ndimage.gaussian_filter(hu, np.divide(0.6, SPACING))
    blurred += np.random.default_rng(3).normal(0, noise_hu, SHAPE)
    return np.rint(blurred).astype(np.int16)


def ball(mm: float, hu: float = SOLID_HU) -> NDArray[np.float64]:
    return np.where(away() <= mm / 2, hu, LUNG_HU)


def outlined(
    hu: NDArray[np.float64], mm: float, *, off: float = 0.8, **changes: Any
) -> Outline | None:
    """Outline from a mark that is off the centre, by a diameter that is 15 % too large."""
    given: dict[str, Any] = {"glassy": False} | changes
    return outline_nodule(scanned(hu), CENTRE + off, 1.15 * mm, SPACING, **given)


def mean_mm(outline: Outline | None, *, solid: bool = False) -> float:
    assert outline is not None
    mask = outline.solid if solid else outline.mask
    found = axial_diameters(mask, (outline.spacing_mm,) * 3)
    assert found is not None
    return sum(found) / 2


@pytest.mark.parametrize("mm", [5.0, 8.0, 14.0, 24.0])
def test_a_solid_ball_has_its_own_diameter(mm: float) -> None:
    """From 5 to 24 mm, whatever the detector said within its error."""
    assert mean_mm(outlined(ball(mm), mm)) == pytest.approx(mm, abs=WITHIN_MM)


@pytest.mark.parametrize("mm", [8.0, 16.0])
def test_ground_glass_has_its_own_diameter(mm: float) -> None:
    """250 HU above the lung, in noise."""
    found = outlined(ball(mm, GLASS_HU), mm, glassy=True)
    assert mean_mm(found) == pytest.approx(mm, abs=1.2)
    assert found is not None
    assert not found.solid.any()


def test_the_solid_part_is_measured_apart() -> None:
    """7 mm in a nodule of 15 mm."""
    hu = np.where(away() <= 3.5, SOLID_HU, ball(15.0, GLASS_HU))
    found = outlined(hu, 15.0, glassy=True)
    assert mean_mm(found) == pytest.approx(15.0, abs=1.2)
    assert mean_mm(found, solid=True) == pytest.approx(7.0, abs=1.2)


def test_a_nodule_without_glass_is_solid_all_over() -> None:
    """Though it was said to be part-solid: its size decides, not a core of it."""
    found = outlined(ball(12.0), 12.0, glassy=True)
    assert found is not None
    assert mean_mm(found, solid=True) == mean_mm(found) == pytest.approx(12.0, abs=1.2)


def test_a_vessel_through_a_nodule_is_not_part_of_it() -> None:
    """2 mm wide: cut off where it leaves."""
    _, rows, columns = np.indices(SHAPE)
    slices = np.indices(SHAPE)[0]
    vessel = np.hypot((slices - CENTRE[0]) * 1.5, rows - CENTRE[1]) <= 1.0
    assert vessel.any()
    assert columns[vessel].max() == SHAPE[2] - 1
    hu = np.where(vessel, SOLID_HU, ball(9.0))
    assert mean_mm(outlined(hu, 9.0)) == pytest.approx(9.0, abs=1.3)


def test_the_chest_wall_is_not_part_of_a_nodule_on_it() -> None:
    """Two thirds of a 10 mm ball stand out of the wall."""
    rows = np.indices(SHAPE)[1]
    hu = np.where(rows > CENTRE[1] + 3.0, SOLID_HU, ball(10.0))
    found = outlined(hu, 10.0)
    assert found is not None
    assert mean_mm(found) == pytest.approx(9.5, abs=1.5)


def test_what_has_no_border_is_not_measured() -> None:
    """In the wall, in lung without a nodule, and in something far larger than was said."""
    wall = np.full(SHAPE, SOLID_HU)
    assert outlined(wall, 8.0) is None
    assert outlined(np.full(SHAPE, LUNG_HU), 8.0) is None
    assert outlined(ball(30.0), 8.0, off=0.0) is None


def test_a_nodule_at_the_edge_of_the_volume_is_outlined_where_it_is_seen() -> None:
    """Its edge goes on beyond; the mask on the volume's voxels stays within it."""
    hu = np.where(away(np.array([1.0, 31.6, 32.2])) <= 5.0, SOLID_HU, LUNG_HU)
    found = outline_nodule(scanned(hu), np.array([1.0, 31.6, 32.2]), 10.0, SPACING, glassy=False)
    assert found is not None
    first, part = found.on_grid(SHAPE)
    assert (first >= 0).all()
    assert (first + part.shape <= SHAPE).all()
    assert mean_mm(found) == pytest.approx(10.0, abs=WITHIN_MM)


def test_the_mask_on_the_volume_is_the_nodule() -> None:
    """Voxel by voxel, but for the border, and where the affine says."""
    found = outlined(ball(12.0), 12.0)
    assert found is not None
    first, part = found.on_grid(SHAPE)
    drawn = np.zeros(SHAPE, np.bool_)
    drawn[tuple(slice(a, a + n) for a, n in zip(first, part.shape))] = part
    true = away() <= 6.0
    assert 2 * (drawn & true).sum() / (drawn.sum() + true.sum()) > 0.93
    middle = np.argwhere(found.mask).mean(axis=0)
    np.testing.assert_allclose((found.geometry(np.eye(4)) @ [*middle, 1])[:3], CENTRE, atol=0.5)
    assert np.median(found.nearest(scanned(ball(12.0)))[found.mask]) == pytest.approx(40, abs=25)


def test_the_smallest_nodule_has_a_voxel_in_the_mask() -> None:
    """Between the voxel centres of a coarse grid."""
    mask = np.zeros((21, 21, 21), np.bool_)
    mask[10, 10, 10] = True
    outline = Outline(mask, mask, np.full(3, 2.4), np.full(3, 0.21), 0.3)
    first, part = outline.on_grid((10, 10, 10))
    assert part.sum() == 1
    assert first.tolist() == [4, 4, 4] or first.tolist() == [5, 5, 5]
