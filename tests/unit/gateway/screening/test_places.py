"""Where a lesion lies: instance, slice, organ, side."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gateway.screening.places import Places
from gateway.screening.series_facts import FrameName, SeriesFacts
from preprocess.grid import Grid
from preprocess.organs import OrganMap

NAMES = ("background", "liver", "lung_left", "vertebrae")
VOLUME = np.array([[0, 0, 1, -60], [0, 1, 0, -60], [5, 0, 0, 100], [0, 0, 0, 1]], np.float64)
"""5 mm slices from z = 100 upwards; columns run right → left, so x grows with them."""

GRID = np.array([[0, 0, 3, -60], [0, 3, 0, -60], [3, 0, 0, 100], [0, 0, 0, 1]], np.float64)


def places(*, spine: bool = True, count: int = 20) -> Places:
    """Give a liver on the right, a left lung, and a spine 6 mm left of the grid's middle."""
    labels = np.zeros((30, 40, 41), np.uint8)
    labels[:, 5:20, 2:10] = 1
    labels[:, 5:20, 30:38] = 2
    if spine:
        labels[:, 28:32, 21:24] = 3
    return Places(
        facts=SeriesFacts(
            series_instance_uid="1.2",
            frames=tuple(FrameName(f"1.2.{index}", 1) for index in range(count)),
        ),
        affine=VOLUME,
        organs=OrganMap(labels, NAMES, Grid((30, 40, 41), GRID)),
    )


def at(column: float, row: float = 12, slice_: float = 10) -> dict[str, Any]:
    """Give a lesion at a voxel of the anatomy grid."""
    x, y, z = GRID[:3, :3] @ np.array([slice_, row, column], np.float64) + GRID[:3, 3]
    return {"id": 1, "centre_mm": [x, y, z]}


def test_a_lesion_names_the_instance_nearest_to_its_centre() -> None:
    """Z = 130 is six slices of 5 mm above the lowest."""
    placed = places().placed(at(5))
    assert placed["slice_index"] == 6
    assert placed["sop_instance_uid"] == "1.2.6"
    assert placed["frame_number"] == 1
    assert placed["series_instance_uid"] == "1.2"


@pytest.mark.parametrize(("z", "index"), [(-50.0, 0), (1000.0, 19)])
def test_a_centre_beyond_the_volume_belongs_to_its_end(z: float, index: int) -> None:
    """A margin or rounding may put it there."""
    assert places().placed({"centre_mm": [0.0, 0.0, z]})["slice_index"] == index


@pytest.mark.parametrize(
    ("column", "row", "site"),
    [
        (5, 12, "liver"),
        (35, 12, "lung_left"),
        (12, 12, "liver"),  # 9 mm beyond its border
        (15, 12, None),  # 18 mm from the nearest organ
        (22, 30, "vertebrae"),
    ],
)
def test_the_site_is_the_organ_or_the_nearest_one(column: float, row: float, site: str) -> None:
    """Lesions often lie where the anatomy network saw none."""
    assert places().placed(at(column, row))["site"] == site


@pytest.mark.parametrize(
    ("column", "row", "side"),
    [
        (5, 12, "right"),
        (35, 12, "left"),
        (22, 30, "midline"),
        (25, 30, "midline"),  # 9 mm left of the spine's middle
        (26, 30, "left"),  # 12 mm
    ],
)
def test_the_side_is_that_of_the_organ_or_of_the_spine(
    column: float, row: float, side: str
) -> None:
    """The spine's middle is at column 22."""
    assert places().placed(at(column, row))["side"] == side


def test_an_organ_of_one_side_has_that_side_wherever_its_middle_is() -> None:
    """A left lung that crosses the midline is left."""
    assert places().side(np.array([-60.0, 0.0, 120.0]), "lung_left") == "left"


def test_without_spine_the_organs_middle_is_the_midline() -> None:
    """From column 2 to 37: 19.5."""
    assert places(spine=False).placed(at(20, 12))["side"] == "midline"
    assert places(spine=False).placed(at(24, 12))["side"] == "left"


def test_nothing_seen_is_nothing_said() -> None:
    """A side that is guessed would be wrong half of the time."""
    empty = OrganMap(np.zeros((2, 2, 2), np.uint8), NAMES, Grid((2, 2, 2), GRID))
    placed = Places(facts=SeriesFacts(), affine=VOLUME, organs=empty).placed(at(1))
    assert (placed["site"], placed["side"]) == (None, None)
    assert placed["sop_instance_uid"] is None
