"""Marks become lesions: their place, what is measured, and what is not."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from postprocess.answer import Finished, Given
from postprocess.detections import Peaks
from postprocess.exceptions import OutputError
from postprocess.finish import finish
from postprocess.search import to_rows
from preprocess.posts import DetectionsPost

SHAPE = (40, 70, 70)
GEOMETRY = np.array([[0, 0, 1.0, -40], [0, 1.0, 0, 10], [1.5, 0, 0, 300], [0, 0, 0, 1]])

BALL, SPECK = np.array([20.0, 30.0, 35.0]), np.array([10.0, 55.0, 20.0])
"""Voxels of a nodule of 10 mm, and of a mark with nothing there."""

NODULE = DetectionsPost(
    detector="nodule_net",
    classifier="nodule_crops",
    kinds=("solid_nodule", "ground_glass_nodule"),
    tile=(64, 96, 96),
    margin=(4, 8, 8),
    organs=("lung_right",),
    outline=True,
    glassy=("ground_glass_nodule",),
)

BONE = DetectionsPost(
    detector="bone_net",
    classifier="bone_crops",
    kinds=("lytic_metastasis", "mixed_metastasis", "bone_island"),
    wanted=("lytic_metastasis", "mixed_metastasis"),
    tile=(64, 96, 96),
    margin=(4, 8, 8),
    organs=("vertebrae",),
)


def lung() -> NDArray[np.int16]:
    index = np.indices(SHAPE).reshape(3, -1).T - BALL
    away = np.linalg.norm(index * (1.5, 1.0, 1.0), axis=1).reshape(SHAPE)
    hu = np.where(away <= 5.0, 40.0, -850.0)
    return np.rint(hu + np.random.default_rng(0).normal(0, 8, SHAPE)).astype(np.int16)


def marks(*rows: tuple[float, NDArray[np.float64], float, tuple[float, ...]]) -> Any:
    scores, voxels, diameters, kinds = zip(*rows)
    return to_rows(Peaks(np.array(scores), np.array(voxels), np.array(diameters), np.array(kinds)))


TWO = marks((0.9, BALL + 0.6, 11.0, (0.8, 0.2)), (0.3, SPECK, 6.0, (0.1, 0.9)))


def finished(peaks: Any, post: DetectionsPost = NODULE) -> Finished:
    return finish(
        Given(outputs={"peaks": peaks}, grid_hu=lung(), grid_geometry=GEOMETRY, post=post)
    )


def lesions(answer: Finished) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(answer.lesions)["lesions"]
    return found


def test_a_nodule_is_measured_on_the_image() -> None:
    """Place, axes, volume and density are those of the ball, not those of the mark."""
    one, _ = lesions(finished(TWO))
    assert one["id"] == 1
    assert one["kind"] == "solid_nodule"
    assert one["score"] == 0.9
    assert one["classes"] == {"solid_nodule": 0.8, "ground_glass_nodule": 0.2}
    x, y, z = one["centre_mm"]
    assert (x, y, z) == pytest.approx((-40 + 35, 10 + 30, 300 + 1.5 * 20), abs=0.4)
    assert one["mean_diameter_mm"] == pytest.approx(10.0, abs=0.8)
    assert one["short_diameter_mm"] <= one["long_diameter_mm"]
    assert one["volume_mm3"] == pytest.approx(524, rel=0.15)
    assert one["hu"]["median"] == pytest.approx(40, abs=10)
    assert one["measures"] == {"chance": 0.9, "outlined": 1.0}
    low, high = one["box_mm"]
    assert all(a < c < b for a, c, b in zip(low, one["centre_mm"], high))


def test_what_cannot_be_outlined_has_the_network_s_diameter_and_no_other_size() -> None:
    """It says so, and has no value in the mask."""
    _, other = lesions(finished(TWO))
    assert other["measures"]["outlined"] == 0.0
    assert other["mean_diameter_mm"] == 6.0
    assert other["centre_mm"] == [-20.0, 65.0, 315.0]
    absent = ("long_diameter_mm", "short_diameter_mm", "volume_mm3", "mask_value")
    assert [other[name] for name in absent] == [None] * 4
    assert other["hu"]["mean"] == pytest.approx(-850, abs=10)


def test_the_mask_is_the_part_of_the_grid_that_holds_the_nodules() -> None:
    """Its geometry leads back to the ball."""
    answer = finished(TWO)
    (value,) = np.unique(answer.mask[answer.mask > 0])
    assert value == lesions(answer)[0]["mask_value"] == 1
    assert answer.mask.size < 2000
    middle = np.argwhere(answer.mask).mean(axis=0)
    place = (answer.mask_geometry @ [*middle, 1])[:3]
    np.testing.assert_allclose(place, (GEOMETRY @ [*BALL, 1])[:3], atol=0.5)


def test_scores_are_the_highest_of_any_and_of_each_kind() -> None:
    """0.9 · 0.8 for the one, 0.3 · 0.9 for the other."""
    assert finished(TWO).scores.tolist() == pytest.approx([0.9, 0.72, 0.27])


def test_a_glassy_nodule_has_its_solid_part_measured() -> None:
    """None where there is none, which is not zero."""
    one, _ = lesions(finished(marks((0.9, BALL, 11.0, (0.2, 0.8)), (0.3, SPECK, 6.0, (1, 0)))))
    assert one["kind"] == "ground_glass_nodule"
    assert set(one["measures"]) > {"solid_long_mm", "solid_short_mm", "solid_volume_mm3"}


def test_a_lesion_of_bone_is_scored_by_its_chance_to_be_a_metastasis() -> None:
    """And listed by it: a sure bone island is behind a doubtful metastasis."""
    sure_island = (0.9, BALL, 8.0, (0.05, 0.05, 0.9))
    doubtful = (0.5, SPECK, 12.0, (0.5, 0.3, 0.2))
    answer = finished(marks(sure_island, doubtful), BONE)
    first, second = lesions(answer)
    assert (first["kind"], first["score"]) == ("lytic_metastasis", pytest.approx(0.4))
    assert (second["kind"], second["score"]) == ("bone_island", pytest.approx(0.09))
    assert second["measures"]["chance"] == pytest.approx(0.9)
    assert answer.scores.tolist() == pytest.approx([0.4, 0.25, 0.15, 0.81])
    assert first["long_diameter_mm"] is None
    assert answer.mask.tolist() == [[[0]]]


def test_a_mark_near_metal_has_no_score() -> None:
    """Of two lytic marks the one beside a screw counts for nothing, and is listed as such."""
    hu = lung()
    hu[20, 30, 45:60] = 3071
    lytic = (0.9, 0.05, 0.05)
    peaks = marks((0.9, BALL, 8.0, lytic), (0.5, SPECK, 8.0, lytic))
    given = Given(
        outputs={"peaks": peaks},
        grid_hu=hu,
        grid_geometry=GEOMETRY,
        post=replace(BONE, metal_mm=12.0),
    )
    answer = finish(given)
    first, second = lesions(answer)
    assert (first["score"], second["score"]) == (pytest.approx(0.475), None)
    assert second["measures"]["chance"] == pytest.approx(0.9)
    assert answer.scores[0] == pytest.approx(0.475)
    assert json.loads(answer.lesions)["measures"]["near_metal"] == 1.0


def test_no_mark_is_no_lesion_and_no_error() -> None:
    """Scores are zero, the lists empty."""
    answer = finished(np.zeros((1, 7), np.float32))
    assert answer.scores.tolist() == [0.0, 0.0, 0.0]
    assert json.loads(answer.lesions) == {
        "lesions": [],
        "measures": {"listed": 0.0, "near_metal": 0.0},
    }
    assert answer.mask.tolist() == [[[0]]]


def test_faint_marks_are_not_listed_but_scored() -> None:
    """Below the recipe's limit."""
    answer = finished(marks((0.09, BALL, 10.0, (1.0, 0.0)), (0.02, SPECK, 5.0, (1.0, 0.0))))
    assert lesions(answer) == []
    assert answer.scores[0] == pytest.approx(0.09)


def test_a_mark_beyond_the_grid_is_described_all_the_same() -> None:
    """A centre may lie half a voxel outside."""
    (one,) = lesions(finished(marks((0.9, np.array([-0.4, 69.4, 69.4]), 4.0, (1.0, 0.0)))))
    assert one["measures"]["outlined"] == 0.0


def test_peaks_of_other_kinds_are_refused() -> None:
    """The recipe names three, the network told two."""
    with pytest.raises(OutputError, match="3 kinds"):
        finished(TWO, BONE)
