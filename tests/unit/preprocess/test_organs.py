"""Anatomy's label map on other grids."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from preprocess.exceptions import RegionError
from preprocess.organs import OrganMap, open_organs

NAME = "onescan-vol-0a1b-8"
LABELS = np.zeros((4, 5, 6), np.uint8)
LABELS[1:3, 2:4, 1:5] = 2
LABELS[0] = 1
GEOMETRY = np.array([[0, 0, 3.0, -10], [0, 3.0, 0, 20], [3.0, 0, 0, 100], [0, 0, 0, 1]])


def organs(**changes: Any) -> str:
    value = {
        "region": NAME,
        "offset": 0,
        "shape": [4, 5, 6],
        "geometry": GEOMETRY.tolist(),
        "labels": ["background", "liver", "aorta"],
    }
    return json.dumps(value | changes)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Hold the map."""
    (tmp_path / NAME).write_bytes(LABELS.tobytes())
    return tmp_path


@pytest.fixture
def found(folder: Path) -> OrganMap:
    """Give the map."""
    return open_organs(organs(), folder=folder)


def test_a_map_is_what_was_written(found: OrganMap) -> None:
    """Labels, names and place."""
    np.testing.assert_array_equal(found.labels, LABELS)
    assert found.names == ("background", "liver", "aorta")
    np.testing.assert_array_equal(found.on((4, 5, 6), GEOMETRY), LABELS)


def test_a_finer_grid_has_the_label_of_the_nearest_voxel(found: OrganMap) -> None:
    """Three voxels of 1 mm for each of 3 mm."""
    fine = GEOMETRY.copy()
    fine[:3, :3] /= 3
    fine[:3, 3] -= [1, 1, 1]
    expected = LABELS.repeat(3, 0).repeat(3, 1).repeat(3, 2)
    np.testing.assert_array_equal(found.on(expected.shape, fine), expected)


def test_beyond_the_map_there_is_no_organ(found: OrganMap) -> None:
    """A grid two voxels to the side, and one that misses it."""
    aside = GEOMETRY.copy()
    aside[0, 3] += 6.0
    np.testing.assert_array_equal(found.on((4, 5, 6), aside)[:, :, :4], LABELS[:, :, 2:])
    assert not found.on((4, 5, 6), aside)[:, :, 4:].any()
    aside[0, 3] += 600.0
    assert not found.on((4, 5, 6), aside).any()


def test_a_mask_is_of_all_organs_that_are_named(found: OrganMap) -> None:
    """One, two, and one that is unknown."""
    np.testing.assert_array_equal(found.mask(["aorta"], (4, 5, 6), GEOMETRY), LABELS == 2)
    np.testing.assert_array_equal(found.mask(["aorta", "liver"], (4, 5, 6), GEOMETRY), LABELS > 0)
    for name in ("spleen", "background"):
        with pytest.raises(RegionError, match=f"no '{name}'"):
            found.mask([name], (4, 5, 6), GEOMETRY)


def test_a_grid_with_other_axes_is_refused(found: OrganMap) -> None:
    """Rows for columns."""
    with pytest.raises(RegionError, match="same axes"):
        found.on((4, 5, 6), GEOMETRY[:, [0, 2, 1, 3]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"region": "psm_1"}, "ORGANS names a region that is not one of ours"),
        ({"offset": -1}, "offset"),
        ({"shape": [4, 5, 7]}, "of a region of 120 bytes"),
        ({"geometry": [[1, 0], [0, 1]]}, "geometry of ORGANS"),
        ({"geometry": "here"}, "geometry of ORGANS"),
        ({"labels": [1]}, "list of names"),
        ({"note": 1}, "exactly the keys"),
    ],
)
def test_a_malformed_map_is_refused(folder: Path, change: dict[str, Any], message: str) -> None:
    """The message says what of it."""
    with pytest.raises(RegionError, match=message):
        open_organs(organs(**change), folder=folder)


def test_what_is_not_json_is_refused(folder: Path) -> None:
    """As for SOURCE."""
    with pytest.raises(RegionError, match="not JSON"):
        open_organs(b"\xff", folder=folder)
