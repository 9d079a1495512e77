"""Sizes of masks."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from postprocess.diameters import axial_diameters, inscribed_diameter

SPACING_MM = (3.0, 1.0, 1.0)

PIXEL_MM = 1.0
"""A mask is of whole pixels: what it may be off at both ends together."""


def ellipse(
    long_mm: float, short_mm: float, degrees: float, spacing_mm: tuple[float, float] = (1.0, 1.0)
) -> NDArray[np.bool_]:
    """Draw a filled ellipse in the middle of a plane of 120 mm."""
    counts = [int(120 / mm) for mm in spacing_mm]
    y, x = ((np.arange(n) + 0.5) * mm - 60 for n, mm in zip(counts, spacing_mm))
    turned = np.deg2rad(degrees)
    a = np.cos(turned) * x + np.sin(turned) * y[:, None]
    b = -np.sin(turned) * x + np.cos(turned) * y[:, None]
    return (2 * a / long_mm) ** 2 + (2 * b / short_mm) ** 2 <= 1


@pytest.mark.parametrize("degrees", [0, 30, 45, 73, 90])
def test_an_ellipse_has_its_axes_however_it_is_turned(degrees: float) -> None:
    """40 × 16 mm."""
    measured = axial_diameters(ellipse(40, 16, degrees)[None], SPACING_MM)
    assert measured is not None
    assert measured[0] == pytest.approx(40, abs=PIXEL_MM)
    assert measured[1] == pytest.approx(16, abs=PIXEL_MM)


@pytest.mark.parametrize("diameter_mm", [6, 8, 15, 30])
def test_a_disc_is_not_measured_too_large_or_too_small(diameter_mm: float) -> None:
    """Against its own diameter, at several sizes."""
    long, short = axial_diameters(ellipse(diameter_mm, diameter_mm, 0)[None], SPACING_MM) or (0, 0)
    assert abs((long + short) / 2 - diameter_mm) <= PIXEL_MM


def test_a_pixel_is_as_large_as_it_is() -> None:
    """1.5 × 0.75 mm, in columns and rows."""
    one = np.zeros((3, 5, 5), np.bool_)
    one[1, 2, 2] = True
    assert axial_diameters(one, (3.0, 0.75, 1.5)) == (1.5, 0.75)


def test_the_slice_of_the_largest_section_counts() -> None:
    """A narrow slice that is longer does not."""
    mask = np.zeros((2, 40, 40), np.bool_)
    mask[0, 10, 5:25] = True
    mask[1, 10:18, 10:18] = True
    long, _ = axial_diameters(mask, SPACING_MM) or (0, 0)
    assert long < 12


def test_nothing_has_no_diameters() -> None:
    """None and 0, not a number that looks measured."""
    empty = np.zeros((2, 4, 4), np.bool_)
    assert axial_diameters(empty, SPACING_MM) is None
    assert inscribed_diameter(empty, SPACING_MM) == 0


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 12])
@pytest.mark.parametrize("axis", [1, 2])
def test_a_band_is_as_wide_as_it_is(count: int, axis: int) -> None:
    """Odd and even numbers of pixels of 1.5 mm, along rows and along columns, to the edge too."""
    band = np.zeros((1, 40, 40), np.bool_)
    index: list[slice] = [slice(None), slice(None), slice(None)]
    index[axis] = slice(5, 5 + count)
    band[tuple(index)] = True
    assert inscribed_diameter(band, (3.0, 1.5, 1.5)) == pytest.approx(1.5 * count)


@pytest.mark.parametrize("degrees", [0, 25, 60])
def test_an_oblique_section_of_a_tube_is_as_wide_as_the_tube(degrees: float) -> None:
    """A tube of 30 mm that a plane cuts 45 mm long, within a pixel of 2 mm."""
    section = ellipse(45, 30, degrees, (2.0, 2.0))
    assert inscribed_diameter(section[None], (2.0, 2.0, 2.0)) == pytest.approx(30, abs=2.0)


def test_the_widest_slice_counts() -> None:
    """An aneurysm of 50 mm in an aorta of 24 mm."""
    tube = np.stack([ellipse(24, 24, 0)] * 3 + [ellipse(50, 50, 0)] + [ellipse(24, 24, 0)] * 3)
    assert inscribed_diameter(tube, SPACING_MM) == pytest.approx(50, abs=1.5 * PIXEL_MM)
