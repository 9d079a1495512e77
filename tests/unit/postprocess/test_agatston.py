"""The Agatston rule."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from postprocess.agatston import CalciumScore, calcium_scores
from postprocess.exceptions import PostprocessError

SPACING_MM = (3.0, 0.5, 0.5)


def cylinder(hu: float, slices: int = 3) -> NDArray[np.float32]:
    """Make a cylinder of 3 mm radius along z in water: 113 pixels of 0.25 mm² a slice."""
    row, column = np.indices((31, 31)) - 15
    plane = np.where(np.hypot(row, column) * 0.5 <= 3.0, hu, 0.0)
    return np.repeat(plane[None], slices, axis=0).astype(np.float32)


def whole(hu: NDArray[np.float32], spacing_mm: tuple[float, float, float] = SPACING_MM) -> float:
    """Score everything as coronary."""
    return calcium_scores(hu, np.ones(hu.shape, np.bool_), spacing_mm=spacing_mm)[0].agatston


def test_the_vector_of_the_rule() -> None:
    """A cylinder of 400 HU through three slices: 113 · 0.25 mm² · 4 · 3 = 339.0."""
    hu = cylinder(400)
    total, _ = calcium_scores(hu, np.ones(hu.shape, np.bool_), spacing_mm=SPACING_MM)
    assert total.agatston == pytest.approx(339.0)
    assert total.volume_mm3 == pytest.approx(254.25)
    assert total.lesions == 3


@pytest.mark.parametrize(
    ("hu", "weight"),
    [(129, 0), (130, 1), (199, 1), (200, 2), (299, 2), (300, 3), (399, 3), (400, 4), (1200, 4)],
)
def test_the_weight_goes_by_the_highest_hu(hu: float, weight: int) -> None:
    """The lower end of each class belongs to it, 130 HU included."""
    assert whole(cylinder(hu)) == pytest.approx(weight * 84.75)


def test_the_weight_is_the_lesions_and_not_the_voxels() -> None:
    """One voxel of 400 HU lifts the whole lesion to weight 4."""
    hu = cylinder(150, slices=1)
    hu[0, 15, 15] = 400
    assert whole(hu) == pytest.approx(4 * 113 * 0.25)


def test_lesions_below_one_square_millimetre_do_not_count() -> None:
    """Three pixels of 0.25 mm² are noise, four are calcium."""
    hu = np.zeros((1, 8, 8), np.float32)
    hu[0, 2, 2:5] = 300
    assert whole(hu) == 0
    hu[0, 2, 5] = 300
    assert whole(hu) == pytest.approx(1.0 * 3)


def test_pixels_that_touch_at_a_corner_are_one_lesion() -> None:
    """Four pixels on a diagonal have 1 mm² together."""
    assert whole(np.eye(4, dtype=np.float32)[None] * 250) == pytest.approx(2.0)


def test_slices_are_not_connected() -> None:
    """The bright slice does not lift the weight of the one above it."""
    hu = cylinder(150, slices=2)
    hu[0][hu[0] > 0] = 500
    assert whole(hu) == pytest.approx(28.25 * (4 + 1))


def test_the_score_goes_with_the_increment() -> None:
    """The same cylinder cut six times at 1.5 mm keeps its score."""
    assert whole(cylinder(400, slices=6), (1.5, 0.5, 0.5)) == pytest.approx(339.0)


def test_what_lies_outside_the_mask_is_not_coronary() -> None:
    """Half of the cylinder is in the mask: 8 columns of it are not."""
    hu = cylinder(400, slices=1)
    mask = np.zeros(hu.shape, np.bool_)
    mask[:, :, 15:] = True
    inside = int((hu[0][:, 15:] > 0).sum())
    assert calcium_scores(hu, mask, spacing_mm=SPACING_MM)[0].agatston == pytest.approx(inside)


def test_a_lesion_across_two_territories_belongs_to_the_larger_part() -> None:
    """The whole lesion is counted once, with the territory that holds more of it."""
    hu = cylinder(400, slices=1)
    regions = np.ones(hu.shape, np.uint8)
    regions[:, :, :14] = 2
    total, first, second = calcium_scores(hu, regions, spacing_mm=SPACING_MM, count=2)
    assert first == total
    assert second == CalciumScore(0.0, 0.0, 0)


def test_a_scan_without_calcium_scores_nothing() -> None:
    """Zero, and no lesion."""
    hu = cylinder(40)
    scores = calcium_scores(hu, np.ones(hu.shape, np.uint8), spacing_mm=SPACING_MM, count=4)
    assert scores == (CalciumScore(0.0, 0.0, 0),) * 5


def test_shapes_that_differ_are_refused() -> None:
    """A mask of another grid is a mistake, not an empty artery."""
    with pytest.raises(PostprocessError, match="shape"):
        calcium_scores(cylinder(400), np.ones((3, 4, 4), np.bool_), spacing_mm=SPACING_MM)


def test_a_spacing_of_zero_is_refused() -> None:
    """No area can be told."""
    hu = cylinder(400)
    with pytest.raises(PostprocessError, match="spacing_mm"):
        calcium_scores(hu, np.ones(hu.shape, np.bool_), spacing_mm=(3.0, 0.0, 0.5))
