"""Which series a check gets, and why not the others."""

from __future__ import annotations

import itertools

import numpy as np

from gateway.study.choice import Requirement, choose_series
from gateway.study.series import Series
from tests.stored_series import frames_at, make_frame, one_series

NEED = Requirement()


def series(uid: str, *, step: float = 3.0, count: int = 20, frame=None, **attributes) -> Series:
    places = [step * k for k in range(count)]
    return one_series(
        frames_at(*places, **({"slice_thickness": step} | (frame or {}))), series=uid, **attributes
    )


def chosen(*candidates: Series, need: Requirement = NEED) -> str | None:
    choice = choose_series(candidates, need)
    return choice.chosen.uid if choice.chosen else None


def refusal(one: Series, need: Requirement = NEED) -> str:
    return choose_series([one], need).refused[one.key].code


def test_a_native_series_beats_an_enhanced_one():
    """A hint of contrast costs more than anything else."""
    enhanced = series("1.1", count=24, ContrastBolusAgent="Iohexol")
    assert chosen(enhanced, series("1.2")) == "1.2"


def test_a_check_that_takes_contrast_does_not_mind():
    """Then the longer series wins."""
    need = Requirement(contrast=("native", "venous"))
    enhanced = series("1.1", count=24, ContrastBolusAgent="Iohexol")
    assert chosen(enhanced, series("1.2"), need=need) == "1.1"


def test_a_soft_kernel_beats_a_standard_one():
    """The check names its kernels in the order in which it wants them."""
    assert chosen(series("1.1"), series("1.2", ConvolutionKernel="SOFT")) == "1.2"


def test_a_sharp_kernel_is_refused():
    """HU at edges are not to be measured there."""
    assert refusal(series("1.1", ConvolutionKernel="LUNG")) == "series.kernel"


def test_an_unknown_kernel_is_refused_by_a_check_that_does_not_name_it():
    """A manifest decides whether a kernel that nobody knows is good enough."""
    strange = series("1.1", ConvolutionKernel="QQ7")
    assert refusal(strange, Requirement(kernels=("soft", "standard"))) == "series.kernel"
    assert chosen(strange) == "1.1"


def test_the_preferred_thickness_wins():
    """3 mm rather than 1 or 5 of the same extent."""
    thin, right, thick = (
        series(f"1.{k}", step=step, count=count)
        for k, (step, count) in enumerate(((1.0, 60), (3.0, 20), (5.0, 12)))
    )
    assert chosen(thin, right, thick) == "1.1"


def test_too_thick_slices_are_refused():
    """10 mm slices show no lesion of 10 mm."""
    assert refusal(series("1.1", step=10.0)) == "series.slice_thickness"


def test_gaps_count_as_thickness():
    """3 mm slices every 10 mm resolve no more than 10 mm ones."""
    gapped = series("1.1", step=10.0, frame={"slice_thickness": 3.0})
    assert refusal(gapped) == "series.slice_thickness"


def test_the_longer_series_wins():
    """Coverage decides between equal reconstructions."""
    assert chosen(series("1.1", count=12), series("1.2", count=40)) == "1.2"


def test_original_beats_derived():
    """DERIVED alone costs and does not refuse."""
    derived = series("1.1", ImageType=["DERIVED", "SECONDARY", "AXIAL"])
    assert chosen(derived, series("1.2")) == "1.2"
    assert chosen(derived) == "1.1"


def test_a_coronal_reformat_is_refused():
    """No check reads a volume that was not axial."""
    frames = [
        make_frame(
            number=k,
            image_position_patient=(0.0, 3.0 * k, 0.0),
            image_orientation_patient=(1.0, 0, 0, 0, 0, -1),
        )
        for k in range(5)
    ]
    assert refusal(one_series(frames)) == "series.not_axial"


def test_too_few_slices_for_the_check_are_refused():
    """A check may ask for more than a volume needs."""
    assert refusal(series("1.1", count=5), Requirement(min_slices=20)) == "series.too_few_slices"


def test_another_modality_is_refused():
    """MR is no CT."""
    assert refusal(series("1.1", Modality="MR")) == "series.wrong_modality"


def test_what_is_no_volume_is_refused_with_its_own_code():
    """The geometry's refusal is the choice's."""
    broken = one_series(frames_at(0, 3, 6, 21), series="1.1")
    assert refusal(broken) == "series.missing_slices"


def test_the_runner_up_is_kept_and_the_choice_explained():
    """A reader sees what else there was."""
    choice = choose_series([series("1.1"), series("1.2", count=30)], NEED)
    assert choice.runner_up is not None
    assert choice.runner_up.uid == "1.1"
    assert "runner-up" in choice.explanation
    total = choice.scores["1.2"]["total"]
    assert total == np.round(sum(v for k, v in choice.scores["1.2"].items() if k != "total"), 3)


def test_ties_go_to_the_smaller_uid_whatever_the_order():
    """The choice can be repeated."""
    equal = [series(uid) for uid in ("1.3", "1.1", "1.2")]
    assert {chosen(*order) for order in itertools.permutations(equal)} == {"1.1"}


def test_nothing_fit_is_an_error_that_says_why():
    """The sentence names every reason once."""
    choice = choose_series([series("1.1", ConvolutionKernel="BONE")], NEED)
    assert choice.chosen is None
    assert choice.error().code == "series.none_suitable"
    assert "sharp" in str(choice.error())
