"""Steatosis: the published numbers, and what the check says of them."""

from __future__ import annotations

import pytest

from gateway.screening.manifest_reader import load_manifests
from gateway.screening.steatosis import pdff_percent, steatosis
from gateway.screening.verdict import Verdict, judge
from gateway.settings import ROOT

LIVER = load_manifests(ROOT / "model_repository")["liver"]

VECTORS = [(3, 61, "S0"), (12, 45, "S1"), (20, 31, "S2"), (30, 14, "S3")]
"""PDFF %, HU at 120 kVp, grade. Source: pipelines, honest synthetic phantoms."""


def verdict(liver_hu: float, spleen_hu: float | None = 48.0, **given: object) -> Verdict:
    assert LIVER.rule is not None
    measures = steatosis(liver_hu, spleen_hu, LIVER.rule.parameters)
    return judge(LIVER, measures, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(("percent", "hu", "grade"), VECTORS)
def test_vectors(percent: float, hu: float, grade: str) -> None:
    """The line and the grades agree with the published vectors."""
    assert pdff_percent(hu) == pytest.approx(percent, abs=0.5)  # HU of the vectors are rounded
    assert verdict(hu).grade == grade


@pytest.mark.parametrize(
    ("hu", "state", "urgency"),
    [
        (61, "negative", "note"),
        (45, "negative", "note"),
        (31, "positive", "follow_up"),
        (14, "positive", "follow_up"),
    ],
)
def test_only_moderate_and_severe_steatosis_is_positive(
    hu: float, state: str, urgency: str
) -> None:
    """Mild steatosis is a mark, not a flag."""
    said = verdict(hu)
    assert (said.state, said.urgency) == (state, urgency)


def test_mild_steatosis_is_marked() -> None:
    """The reader sees it all the same."""
    said = verdict(45)
    assert said.marked_by == ("pdff_percent",)
    assert not said.flagged_by
    assert "Mild" in said.text.en


def test_forty_hu_is_flagged_by_its_own_cut_off() -> None:
    """Liver at most 40 HU is moderate in the literature, though the line says S1."""
    assert verdict(40).flagged_by == ("liver_at_most_40_hu",)
    assert verdict(40.1).state == "negative"


def test_a_liver_far_below_the_spleen_is_flagged() -> None:
    """Liver minus spleen below -10 HU."""
    assert "liver_minus_spleen_below_minus_10" in verdict(45, 56).flagged_by
    assert not verdict(46, 56).flagged_by


def test_without_spleen_the_rule_goes_on_and_says_so() -> None:
    """Ratio and difference are missing, the grade is not."""
    said = verdict(31, None, partial=True)
    assert said.grade == "S2"
    assert "left out" in said.text.en


def test_a_dense_liver_is_indeterminate() -> None:
    """Iron or amiodarone hides fat: never a silent S0."""
    said = verdict(76)
    assert (said.state, said.reason, said.grade) == ("indeterminate", "iron_or_amiodarone", None)


def test_another_tube_voltage_is_indeterminate() -> None:
    """However fatty the liver looks."""
    said = verdict(14, doubt="kvp")
    assert (said.state, said.reason) == ("indeterminate", "kvp")
    assert not said.flagged_by


@pytest.mark.parametrize(
    ("hu", "state"), [(61, "indeterminate"), (45, "indeterminate"), (31, "positive")]
)
def test_a_truncated_liver_may_be_positive_never_negative(hu: float, state: str) -> None:
    """What was not seen may be ill."""
    said = verdict(hu, truncated=True)
    assert said.state == state
    assert said.reason == (None if state == "positive" else "truncated")
    assert ("In the part that was seen" in said.text.en) == (state != "positive")


def test_an_unmeasured_liver_is_no_answer() -> None:
    """No score, no state but indeterminate."""
    assert LIVER.rule is not None
    measures = steatosis(None, 48.0, LIVER.rule.parameters)
    assert measures["pdff_percent"] is None
    assert judge(LIVER, measures).reason == "too_little_tissue"


def test_fat_stays_within_its_scale() -> None:
    """No negative fat, no more than all."""
    assert pdff_percent(120.0) == 0.0
    assert pdff_percent(-200.0) == 100.0


def test_no_ratio_to_a_spleen_that_is_none() -> None:
    """A spleen at 0 HU is not divided by."""
    assert LIVER.rule is not None
    measures = steatosis(50.0, 0.0, LIVER.rule.parameters)
    assert measures["liver_spleen_ratio"] is None
    assert measures["liver_spleen_difference_hu"] == 50.0


def test_every_text_is_in_both_languages() -> None:
    """English and Chinese, whatever the state."""
    for hu in (80, 61, 45, 31, 14):
        text = verdict(hu).text
        assert text.en
        assert text.zh
        assert text.en != text.zh
