"""Label map and heat map to measured lesions."""

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
from preprocess.posts import LesionsPost

SHAPE = (20, 40, 48)
SPACING_MM = (3.0, 1.5, 1.5)
GEOMETRY = np.array(
    [[0, 0, -1.5, 60], [0, 1.5, 0, -30], [3.0, 0, 0, 100], [0, 0, 0, 1]], np.float64
)
"""(slice, row, column) → LPS; columns run to the patient's right here."""

POST = LesionsPost(
    labels=("background", "pancreas", "lesion", "duct"),
    lesion="lesion",
    organ=("pancreas", "lesion", "duct"),
    calibres={"duct_mm": ("duct",)},
    kinds=("pdac", "ipmn"),
    within_mm=10.0,
)

GLAND = np.s_[8:12, 15:25, 10:40]
LESION = np.s_[9:11, 16:22, 30:36]


class Case:
    """What a network could give: a gland of 35 HU with a lesion of 10 HU in it."""

    def __init__(self) -> None:
        self.labels = np.zeros((1, 32, 48, 48), np.uint8)
        self.heat = np.zeros((1, 32, 48, 48), np.uint8)
        self.hu = np.full(SHAPE, -80, np.int16)
        self.score = 0.9
        self.kinds = [0.8, 0.2]
        self.organs: OrganMap | None = None
        self.labels[0][GLAND] = 1
        self.hu[GLAND] = 35
        self.plant(LESION)

    def plant(self, where: Any, probability: float = 0.9, hu: int = 10) -> None:
        self.labels[0][where] = 2
        self.heat[0][where] = round(probability * 255)
        self.hu[where] = hu

    def given(self, **changes: Any) -> Given:
        values: dict[str, Any] = {
            "outputs": {
                "labels": self.labels,
                "lesion": self.heat,
                "score": np.array([[self.score]], np.float32),
                "kinds": np.array([self.kinds], np.float32),
            },
            "grid_hu": self.hu,
            "grid_geometry": GEOMETRY,
            "post": POST,
            "organs": self.organs,
        }
        return Given(**(values | changes))

    def finished(self, **changes: Any) -> Finished:
        return finish(self.given(**changes))

    def lesions(self, **changes: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.finished(**changes).lesions)["lesions"]
        return found


def lps(voxel: tuple[float, float, float]) -> NDArray[np.float64]:
    point: NDArray[np.float64] = GEOMETRY[:3, :3] @ np.array(voxel) + GEOMETRY[:3, 3]
    return point


def test_a_lesion_is_placed_sized_and_told() -> None:
    """2 × 6 × 6 voxels of 3 × 1.5 × 1.5 mm at 10 HU."""
    (lesion,) = Case().lesions()
    assert lesion["id"] == 1
    assert lesion["kind"] == "pdac"
    assert lesion["classes"] == {"pdac": 0.8, "ipmn": 0.2}
    assert lesion["score"] == pytest.approx(0.9, abs=0.005)
    np.testing.assert_allclose(lesion["centre_mm"], lps((9.5, 18.5, 32.5)))
    np.testing.assert_allclose(
        lesion["box_mm"], np.sort([lps((8.5, 15.5, 29.5)), lps((10.5, 21.5, 35.5))], axis=0)
    )
    assert lesion["volume_mm3"] == 72 * 6.75
    assert lesion["short_diameter_mm"] <= lesion["long_diameter_mm"]
    assert 9.0 <= lesion["short_diameter_mm"] <= 9.0 * 2**0.5 + 1.5
    assert lesion["mean_diameter_mm"] == pytest.approx(
        (lesion["long_diameter_mm"] + lesion["short_diameter_mm"]) / 2, abs=0.1
    )
    assert lesion["hu"] == {"mean": 10.0, "sd": 0.0, "median": 10.0, "min": 10.0, "max": 10.0}


def test_scores_are_the_patient_s_and_the_kinds() -> None:
    """In the order of the manifest."""
    np.testing.assert_allclose(Case().finished().scores, [0.9, 0.8, 0.2], atol=1e-6)


def test_the_mask_numbers_the_lesions_beyond_the_labels() -> None:
    """Gland 1, no value of the label lesion, first lesion 4; what was dropped is background."""
    case = Case()
    case.plant(np.s_[1:3, 1:5, 1:5])
    done = case.finished()
    assert done.mask.shape == SHAPE
    assert (done.mask[LESION] == 4).all()
    assert set(np.unique(done.mask)) == {0, 1, 4}
    assert json.loads(done.lesions)["lesions"][0]["mask_value"] == 4


def test_the_organ_is_measured_with_its_lesion_and_its_tissue_without() -> None:
    """4 × 10 × 30 voxels of 6.75 mm³; 35 HU, not the lesion's 10."""
    measures = json.loads(Case().finished().lesions)["measures"]
    assert measures == {"volume_ml": 8.1, "median_hu": 35.0, "duct_mm": None}


def test_a_duct_is_measured_across() -> None:
    """Three voxels of 1.5 mm wide, twenty long."""
    case = Case()
    case.labels[0, 9, 22:25, 11:29] = 3
    assert json.loads(case.finished().lesions)["measures"]["duct_mm"] == 4.5


def test_a_lesion_far_from_the_organ_is_dropped() -> None:
    """21 mm below it; one that is 9 mm away stays."""
    case = Case()
    case.plant(np.s_[0:2, 16:22, 30:36])
    assert len(case.lesions()) == 1
    case.plant(np.s_[14:17, 16:22, 12:18])
    assert len(case.lesions()) == 2


def test_a_piece_of_the_label_far_away_is_no_organ() -> None:
    """Else a false lesion would bring its own false organ."""
    case = Case()
    case.labels[0, 0:2, 2:6, 2:6] = 1
    case.plant(np.s_[2:4, 2:6, 2:6])
    assert len(case.lesions()) == 1


def test_anatomy_s_organ_holds_a_lesion_too() -> None:
    """Where this network saw only a part of the gland."""
    case = Case()
    case.plant(np.s_[1:3, 1:6, 1:6])
    assert len(case.lesions()) == 1
    labels = np.zeros(SHAPE, np.uint8)
    labels[3:6, 1:6, 1:6] = 1
    case.organs = OrganMap(labels, ("background", "pancreas"), Grid(SHAPE, GEOMETRY))
    post = LesionsPost(
        labels=POST.labels, lesion="lesion", organ=POST.organ, kinds=POST.kinds,
        within=("pancreas",),
    )  # fmt: skip
    assert len(case.lesions(post=post)) == 2
    assert len(case.lesions(post=post, organs=None)) == 1


def test_without_any_organ_nothing_is_dropped_for_its_place() -> None:
    """A network that saw no gland says nothing about where the gland is."""
    case = Case()
    case.labels[0][case.labels[0] == 1] = 0
    case.plant(np.s_[0:2, 2:7, 2:7])
    assert len(case.lesions()) == 2


def test_noise_is_no_lesion() -> None:
    """Seven voxels of 6.75 mm³ are below 50 mm³, eight are not."""
    case = Case()
    case.plant(np.s_[8, 23, 12:19])
    assert len(case.lesions()) == 1
    case.plant(np.s_[8, 23, 12:20])
    assert len(case.lesions()) == 2


def test_lesions_are_in_the_order_of_their_scores_and_the_kind_is_of_the_first() -> None:
    """The network tells the kind of the patient's lesion, not of each."""
    case = Case()
    case.plant(np.s_[8:11, 16:22, 11:17], probability=0.95)
    first, second = case.lesions()
    assert first["score"] > second["score"]
    assert (first["kind"], second["kind"]) == ("pdac", None)
    assert second["classes"] == {}
    assert [first["mask_value"], second["mask_value"]] == [4, 5]


def test_no_more_are_listed_than_the_recipe_says() -> None:
    """The likeliest of them."""
    case = Case()
    case.plant(np.s_[8:11, 16:22, 11:17], probability=0.95)
    post = LesionsPost(
        labels=POST.labels, lesion="lesion", organ=POST.organ, kinds=POST.kinds, most=1
    )
    done = case.finished(post=post)
    (lesion,) = json.loads(done.lesions)["lesions"]
    assert lesion["score"] == pytest.approx(0.95, abs=0.005)
    assert not (done.mask[LESION] > 3).any()


def test_a_hot_voxel_is_lesion_whatever_its_label() -> None:
    """Probability 0.6 where a third label is the likeliest."""
    case = Case()
    case.heat[0, 9:11, 16:22, 12:18] = 153
    assert len(case.lesions()) == 2


def test_a_positive_patient_has_a_place() -> None:
    """Where no voxel is lesion: the half as hot around the hottest, if the score asks for it."""
    case = Case()
    case.labels[0][LESION] = 1
    case.heat[:] = 0
    case.heat[0, 9:11, 16:20, 12:16] = 40
    case.heat[0, 9, 17, 13] = 60
    case.heat[0, 0, 2, 2] = 90  # far from the gland
    (lesion,) = case.lesions()
    np.testing.assert_allclose(lesion["centre_mm"], lps((9.5, 17.5, 13.5)))
    case.score = 0.4
    assert not case.lesions()
    case.score, case.heat[:] = 0.9, 0
    assert not case.lesions()


def test_the_centre_lies_in_the_lesion() -> None:
    """A ring does not hold its centroid: a reader who is led there would see nothing."""
    case = Case()
    case.labels[0][LESION] = 1
    case.heat[:] = 0
    ring = np.zeros(SHAPE, np.bool_)
    ring[9, 15:24, 20:29] = True
    ring[9, 17:22, 22:27] = False
    case.plant(ring_index(ring))
    (lesion,) = case.lesions()
    voxel = np.linalg.inv(GEOMETRY) @ np.append(lesion["centre_mm"], 1.0)
    assert ring[tuple(np.rint(voxel[:3]).astype(int))]


def ring_index(mask: NDArray[np.bool_]) -> Any:
    return tuple(np.nonzero(mask))


def test_a_healthy_organ_has_no_lesion_and_all_numbers() -> None:
    """Empty lists, measures of the organ, a mask of the gland."""
    case = Case()
    case.labels[0][LESION] = 1
    case.heat[:] = 0
    case.score = 0.01
    done = case.finished()
    told = json.loads(done.lesions)
    assert told["lesions"] == []
    assert told["measures"]["volume_ml"] == 8.1
    assert set(np.unique(done.mask)) == {0, 1}


def test_an_empty_field_is_an_answer_too() -> None:
    """No gland, no lesion: nothing measured, nothing crashed."""
    case = Case()
    case.labels[:], case.heat[:] = 0, 0
    told = json.loads(case.finished().lesions)
    assert told == {
        "lesions": [],
        "measures": {"volume_ml": 0.0, "median_hu": None, "duct_mm": None},
    }


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("lesion", None, "needs the output lesion"),
        ("score", None, "needs the output score"),
        ("kinds", None, "needs the output kinds"),
        ("kinds", np.zeros((1, 8), np.float32), r"kinds must be \(1, 2\)"),
        ("score", np.full((1, 1), np.nan, np.float32), "score is not finite"),
        ("lesion", np.zeros((1, 8, 8, 8), np.uint8), "do not hold the grid"),
        ("labels", np.full((1, 32, 48, 48), 9, np.uint8), "labels hold 9"),
    ],
)
def test_an_output_that_does_not_fit_is_refused(name: str, value: Any, message: str) -> None:
    """Missing, of another shape, not a number."""
    outputs = dict(Case().given().outputs)
    if value is None:
        del outputs[name]
    else:
        outputs[name] = value
    with pytest.raises(OutputError, match=message):
        Case().finished(outputs=outputs)
