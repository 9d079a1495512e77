"""What an organ measures."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from postprocess.exceptions import OutputError
from postprocess.measures import ABSENT, organ_measures

NAMES = ("background", "spleen", "liver")


def measured(labels: Any, hu: Any) -> dict[str, dict[str, Any]]:
    return organ_measures(
        labels,
        hu,
        names=NAMES,
        spacing_mm=(3.0, 3.0, 3.0),
        erode_mm=5.0,
        edge_fraction=0.05,
        outlier_sds=3.0,
    )


def test_a_cube_measures_what_a_ruler_says() -> None:
    """A cube of 10 voxels of 3 mm: 27 ml; two voxels of each edge off: 8³ voxels, 13.824 ml."""
    labels = np.zeros((20, 20, 20), np.uint8)
    hu = np.full(labels.shape, -100, np.int16)
    labels[4:14, 5:15, 6:16] = 2
    hu[labels == 2] = 60
    # The outermost voxels hold half fat: they are eroded away.
    inner = np.zeros_like(labels, np.bool_)
    inner[5:13, 6:14, 7:15] = True
    hu[(labels == 2) & ~inner] = -20
    organs = measured(labels, hu)
    assert organs["liver"] == {
        "volume_ml": 27.0,
        "box": [4, 14, 5, 15, 6, 16],
        "coverage": "complete",
        "truncated_sides": [],
        "eroded_ml": pytest.approx(0.027 * 8**3),
        "median_hu": 60.0,
        "mean_hu": 60.0,
        "sd_hu": 0.0,
    }
    assert organs["spleen"] == ABSENT


def test_an_organ_too_thin_to_erode_has_a_volume_and_no_hu() -> None:
    """One voxel wide."""
    labels = np.zeros((9, 9, 9), np.uint8)
    labels[4, 4, 1:8] = 1
    spleen = measured(labels, np.zeros(labels.shape, np.int16))["spleen"]
    assert spleen["volume_ml"] == pytest.approx(0.189)
    assert spleen["eroded_ml"] == 0.0
    assert spleen["median_hu"] is None


def test_the_measures_are_plain_json() -> None:
    """No NumPy scalar, no NaN."""
    labels = np.random.default_rng(0).integers(0, 3, (6, 6, 6), dtype=np.uint8)
    organs = measured(labels, np.zeros(labels.shape, np.int16))
    assert json.loads(json.dumps(organs, allow_nan=False)) == organs


def test_a_map_of_another_shape_than_its_hu_is_refused() -> None:
    """They are of one grid."""
    with pytest.raises(OutputError, match=r"\(2, 2, 2\) but the HU are \(2, 2, 3\)"):
        measured(np.zeros((2, 2, 2), np.uint8), np.zeros((2, 2, 3), np.int16))
