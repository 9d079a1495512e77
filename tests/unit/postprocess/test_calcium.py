"""Territories and the scan's own pixels to a calcium score, through what the server runs."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from postprocess.exceptions import OutputError
from postprocess.finish import Finished, Given, finish
from preprocess.grid import Grid
from preprocess.organs import OrganMap
from preprocess.prepare import prepare
from preprocess.recipe import Recipe

RECIPE = Recipe.from_mapping(
    {
        "name": "calcium",
        "grid": {"spacing_mm": [3, 1, 1], "multiple": 16, "minimum": 16},
        "channels": [{"clip_hu": [-160, 240]}],
        "scan": {"increment_mm": 3},
        "post": {
            "kind": "calcium",
            "labels": ["background", "heart", "LM", "LAD", "LCX", "RCA"],
            "territories": ["LM", "LAD", "LCX", "RCA"],
        },
    }
)

PIXEL_MM = 0.5
FIELD_MM = 40.0

VECTOR_AGATSTON = 339.0
VECTOR_VOLUME_MM3 = 254.25
"""A cylinder of 3 mm radius, 400 HU, 9 mm high: 113 pixels of 0.25 mm² in each of three slices,
weight 4 (pipelines.md §2.4)."""


def cylinder(hu: NDArray[np.int16], increment_mm: float, centre_mm: float = 20.25) -> None:
    """Draw the vector's cylinder, 9 mm high from 9 mm on, into a volume of 0.5 mm pixels."""
    y, x = (np.arange(n) * PIXEL_MM - centre_mm + 0.25 for n in hu.shape[1:])
    disc = y[:, None] ** 2 + x**2 <= 9.0
    assert disc.sum() == 113
    first, last = round(9 / increment_mm), round(18 / increment_mm)
    hu[first:last, disc] = 400


def scan(increment_mm: float) -> NDArray[np.int16]:
    """Give 27 mm of blood, 40 HU."""
    count = int(FIELD_MM / PIXEL_MM)
    return np.full((round(27 / increment_mm), count, count), 40, np.int16)


def served(
    hu: NDArray[np.int16], increment_mm: float, territory: int = 3, **changes: Any
) -> Finished:
    """Do what ct_preprocess and ct_postprocess do, with a network that says one territory."""
    geometry = np.diag([increment_mm, PIXEL_MM, PIXEL_MM, 1.0])
    roi = [edge for size in hu.shape for edge in (0, size)]
    made = prepare(
        hu, geometry=geometry, roi=roi, recipe=RECIPE,
        wanted=("volume", "grid_hu", "grid_geometry", "scan_hu", "scan_geometry"),
    )  # fmt: skip
    assert made.volume is not None
    labels = np.full((1, *made.volume.shape[2:]), territory, np.uint8)
    values: dict[str, Any] = {
        "outputs": {"labels": labels},
        "grid_hu": made.grid_hu,
        "grid_geometry": made.grid_geometry,
        "scan_hu": made.scan_hu,
        "scan_geometry": made.scan_geometry,
        "post": RECIPE.post,
    }
    return finish(Given(**(values | changes)))


def told(done: Finished) -> Any:
    return json.loads(done.lesions)


@pytest.mark.parametrize("increment_mm", [3.0, 1.5, 1.0, 0.75])
def test_the_vector_of_the_contract_has_its_score(increment_mm: float) -> None:
    """Thin slices are averaged to contiguous 3 mm first, and give the same."""
    hu = scan(increment_mm)
    cylinder(hu, increment_mm)
    measures = told(served(hu, increment_mm))["measures"]
    assert measures["agatston"] == VECTOR_AGATSTON
    assert measures["volume_mm3"] == pytest.approx(VECTOR_VOLUME_MM3, abs=0.1)
    assert measures["increment_mm"] == 3.0
    assert measures["vessels"] == 1


def test_slices_between_stay_as_they_are_and_weigh_by_their_increment() -> None:
    """Of 2.25 mm: four slices, each 2.25/3 of a slice of the rule."""
    hu = scan(2.25)
    cylinder(hu, 2.25)
    measures = told(served(hu, 2.25))["measures"]
    assert measures["increment_mm"] == 2.25
    assert measures["agatston"] == VECTOR_AGATSTON


def test_the_score_belongs_to_the_territory_that_the_network_drew() -> None:
    """LAD is the third label and the second territory."""
    hu = scan(3.0)
    cylinder(hu, 3.0)
    done = served(hu, 3.0)
    np.testing.assert_allclose(done.scores, [339, 0, 339, 0, 0])
    assert told(done)["measures"]["agatston_LAD"] == 339.0
    assert told(done)["measures"]["agatston_RCA"] == 0.0


@pytest.mark.parametrize("territory", [0, 1])
def test_calcium_outside_the_territories_does_not_count(territory: int) -> None:
    """In the background or in the heart: a valve, the aorta's wall, a rib."""
    hu = scan(3.0)
    cylinder(hu, 3.0)
    done = served(hu, 3.0, territory)
    assert told(done)["measures"]["agatston"] == 0.0
    assert told(done)["measures"]["vessels"] == 0
    assert told(done)["lesions"] == []
    assert not done.mask.any()


def test_plaques_are_listed_by_falling_score_and_numbered_in_the_mask() -> None:
    """One of 400 HU and a smaller one of 150 HU, on the scan's own pixels."""
    hu = scan(3.0)
    cylinder(hu, 3.0)
    hu[1, 70:74, 70:74] = 150
    hu[1, 5, 5:8] = 900  # 0.75 mm²: does not count
    done = served(hu, 3.0)
    first, second = told(done)["lesions"]
    assert first["kind"] == second["kind"] == "LAD"
    assert first["measures"] == {"agatston": 339.0}
    assert second["measures"] == {"agatston": 4.0}
    assert first["score"] is None
    assert first["hu"]["max"] == 400.0
    assert done.mask.shape == hu.shape
    assert (done.mask[hu == 400] == 1).all()
    assert (done.mask[hu == 150] == 2).all()
    assert not done.mask[hu == 900].any()
    assert first["long_diameter_mm"] == pytest.approx(6.0, abs=PIXEL_MM)
    np.testing.assert_allclose(first["centre_mm"], [12.0, 20.0, 20.0], atol=0.01)


def test_metal_is_not_calcium() -> None:
    """A stent of 3,071 HU is left out with all that touches it, and told; the plaque counts."""
    hu = scan(3.0)
    cylinder(hu, 3.0)
    clean = told(served(hu, 3.0))["measures"]
    assert clean["metal_mm3"] == 0.0
    hu[4:6, 70:73, 70:73] = 3071
    hu[4:6, 73, 70:73] = 600
    measures = told(served(hu, 3.0))["measures"]
    assert measures["metal_mm3"] == 2 * 9 * 0.75
    assert measures["agatston"] == VECTOR_AGATSTON
    assert measures["plaques"] == 1


def test_one_noisy_voxel_of_a_dense_plaque_is_not_metal() -> None:
    """0.75 mm³ above 2,500 HU."""
    hu = scan(3.0)
    cylinder(hu, 3.0)
    hu[4, 40, 40] = 2600
    assert told(served(hu, 3.0))["measures"]["agatston"] == VECTOR_AGATSTON


def organs(hu: NDArray[np.int16], aorta: Any) -> OrganMap:
    """Give a map on a 3 mm grid of the same extent with an aorta."""
    grid = Grid((hu.shape[0], hu.shape[1], hu.shape[2]), np.diag([3.0, PIXEL_MM, PIXEL_MM, 1.0]))
    grid = grid.resampled((3.0, 3.0, 3.0))
    labels = np.zeros(grid.shape, np.uint8)
    labels[aorta] = 2
    return OrganMap(labels, ("background", "heart", "aorta"), grid)


def test_noise_is_the_sd_of_blood_away_from_the_wall_and_its_calcium() -> None:
    """SD 20 HU in the aorta; 1,000 HU of plaque and another SD outside change nothing."""
    hu = scan(3.0)
    noise = np.random.default_rng(3).normal(0, 20, hu.shape)
    hu = np.rint(hu + noise).astype(np.int16)
    hu[:, :, 66:] = 300
    hu[4, 30:33, 30:33] = 1000
    found = organs(hu, np.s_[:, 0:11, 0:11])
    measured = told(served(hu, 3.0, organs=found))["measures"]["noise_sd_hu"]
    assert measured == pytest.approx(20, abs=1.0)


def test_noise_is_unknown_where_no_blood_is_seen() -> None:
    """Without a map, without an aorta in it, with an aorta that is all wall."""
    hu = scan(3.0)
    for found in (None, organs(hu, np.s_[0:0]), organs(hu, np.s_[2:4, 2:4, 2:4])):
        assert told(served(hu, 3.0, organs=found))["measures"]["noise_sd_hu"] is None


def test_the_scan_s_own_pixels_are_needed() -> None:
    """A score on the network's grid would be another number."""
    with pytest.raises(OutputError, match="needs scan_hu"):
        served(scan(3.0), 3.0, scan_hu=None)
