"""Boxes of kept scenes, as a network is given them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from networks.evaluation.boxes import STAND_IN, UnseenBoxes
from networks.phantoms.lesion import Lesion
from networks.phantoms.lesions import NoPlaceError
from networks.phantoms.profiles import PROFILES
from networks.phantoms.region import Axes, mask_on
from networks.phantoms.tissue import Tissue
from networks.roi_sampling import UNKNOWN, RoiSample, RoiSampler, View, part_within
from networks.scene_file import Case
from tests.ball_case import BALL_BOX, LESION_MM, BallPool, ball, ball_case


def paint(tissues: np.ndarray, lesions: tuple[Lesion, ...], axes: Axes) -> np.ndarray:
    """Label the organ and the finding."""
    labels = (tissues == Tissue.PANCREAS).astype(np.uint8)
    for lesion in lesions:
        if lesion.is_finding:
            labels[mask_on(lesion, axes)] = 2
    return labels


VIEW = View(BALL_BOX, (3.0, 1.5, 1.5), 16, paint)

NEVER_CUT = replace(VIEW, cut=(0.0, 0.0))


def boxes(view: View = VIEW) -> RoiSampler:
    return RoiSampler(
        BallPool(), view, 7, first_seed=10, first=2, size=4, every=5  # type: ignore[arg-type]
    )  # fmt: skip


def look(case: Case, *, ill: bool = True, seed: int = 0, view: View = NEVER_CUT) -> RoiSample:
    rng = np.random.default_rng(seed)
    return view.look(case, case.variants[0 if ill else 1], rng, varied=False)


def test_a_sample_is_a_function_of_its_number() -> None:
    """The same number gives the same bytes, whatever was drawn before."""
    first = boxes().sample(5)
    sampler = boxes()
    for number in (8, 5):
        again = sampler.sample(number)
    np.testing.assert_array_equal(again.hu, first.hu)
    np.testing.assert_array_equal(again.labels, first.labels)
    assert not np.array_equal(sampler.sample(7).hu, first.hu)


def test_the_pool_grows_with_the_samples() -> None:
    """Two patients to begin with, one more every five samples, four at most."""
    sampler = boxes()
    early = {sampler.sample(number).seed for number in range(5)}
    late = {sampler.sample(number).seed for number in range(20, 40)}
    assert early <= {10, 11}
    assert late == {10, 11, 12, 13}


def test_every_second_box_is_ill() -> None:
    """Planted and healthy variants take turns; a confounder makes no box ill."""
    sampler = boxes(NEVER_CUT)
    drawn = [sampler.sample(number) for number in range(6)]
    assert [box.ill for box in drawn] == [0, 1, 0, 1, 0, 1]
    assert [box.kind for box in drawn] == ["", "pdac"] * 3
    assert [bool((box.labels == 2).any()) for box in drawn] == [False, True] * 3


def test_only_scanners_of_training_are_used() -> None:
    """No sample is scanned on a model that is kept for the test."""
    sampler = boxes()
    names = {sampler.sample(number).scanner for number in range(30)}
    assert len(names) > 4
    assert not any(PROFILES[name].unseen for name in names)


@pytest.mark.parametrize("spacing_mm", [3.0, 2.0])
def test_labels_lie_where_the_scan_shows_them(spacing_mm: float) -> None:
    """The finding is brighter than the organ under its label, and the organ than fat."""
    box = look(ball_case(spacing_mm=spacing_mm))
    lesion, organ = (box.hu[box.labels == label].mean() for label in (2, 1))
    fat = np.median(box.hu[box.labels == 0])
    assert lesion > organ + 25
    assert organ > fat + 80
    volume = float((box.labels == 2).sum()) * 3 * 1.5 * 1.5
    assert volume == pytest.approx(ball().volume_mm3, rel=0.2)


def test_nothing_is_turned() -> None:
    """Air stays at the patient's right, bone behind, the finding above the middle."""
    sampler = boxes(NEVER_CUT)
    for number in range(1, 12, 2):
        box = sampler.sample(number)
        z, _, x = np.argwhere(box.labels == 2).mean(axis=0)
        organ = np.argwhere(box.labels > 0)
        middle = 0.5 * (organ.min(axis=0) + organ.max(axis=0))
        assert z > middle[0]
        assert x > middle[2]


def test_boxes_are_padded_as_the_server_pads() -> None:
    """Axes are multiples of 16; what is added repeats the last slice, row and column."""
    box = look(ball_case())
    assert all(size % 16 == 0 for size in box.hu.shape)
    assert box.hu.shape == box.labels.shape
    np.testing.assert_array_equal(box.hu[-1], box.hu[-2])


def test_noise_is_that_of_the_whole_patient() -> None:
    """A patient of thrice the noise has it in the box as well."""
    fat = Tissue.VISCERAL_FAT
    case = ball_case()
    flat = replace(case, tissues=np.full_like(case.tissues, fat), hu=np.full_like(case.hu, 0.0))
    thin, thick = (
        look(replace(flat, size=size), ill=False).hu[:8].astype(float).std() for size in (0.6, 1.8)
    )
    assert thick / thin == pytest.approx(3, rel=0.1)


def test_a_finding_that_is_cut_off_has_no_say() -> None:
    """Where the scan ends before the lesion, the box is neither ill nor healthy."""
    case = ball_case()
    always = replace(VIEW, cut=(1.0, 0.9))
    told = [
        always.look(case, case.variants[0], np.random.default_rng(seed)).ill for seed in range(24)
    ]
    assert told.count(1.0) > 3
    assert told.count(UNKNOWN) > 3
    assert told.count(1.0) + told.count(UNKNOWN) == len(told)


def test_part_of_a_lesion_in_a_box() -> None:
    """A ball whose middle lies on the edge is half in it."""
    low, high = np.array([LESION_MM[0] + 0.5, -50, -50]), np.array([50.0, 50, 50])
    assert part_within([ball()], low, high) == pytest.approx(0.43, abs=0.05)
    assert part_within([ball(), ball(centre=(30.0, 0, 0))], low, high) == pytest.approx(
        0.715, abs=0.05
    )
    assert part_within([], low, high) == 0


class GappyPool(BallPool):
    """Patients of odd seeds have no such organ in view."""

    def get(self, seed: int) -> Case:
        if seed % 2:
            raise NoPlaceError("no pancreas in view")
        return super().get(seed)


def test_patients_without_the_organ_are_passed_over() -> None:
    """Training draws another one, and whoever judges has one who stands in."""
    sampler = RoiSampler(
        GappyPool(), VIEW, 7, first_seed=10, first=4, size=4, every=5  # type: ignore[arg-type]
    )  # fmt: skip
    assert {sampler.sample(number).seed for number in range(8)} <= {10, 12}

    class Elsewhere(GappyPool):
        def get(self, seed: int) -> Case:
            return super().get(seed if seed < STAND_IN else 2 * seed)

    judged = UnseenBoxes(Elsewhere(), VIEW, 10, 2, (False,))  # type: ignore[arg-type]
    assert [judged[n].seed for n in range(2)] == [10, 2 * (11 + STAND_IN)]
