"""The liver's rule: fat by attenuation, fibrosis by blood, beside what a network says."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.screening.anatomy import parse_anatomy
from gateway.screening.manifest_reader import load_manifests
from gateway.screening.patient import Patient
from gateway.screening.rules import RULES, RuleInput, RuleOutput
from gateway.screening.verdict import Verdict, judge
from gateway.settings import ROOT
from gateway.testing import anatomy_measures, organ

LIVER = load_manifests(ROOT / "model_repository")["liver"]
RAISED = {"ast": 60.0, "alt": 35.0, "platelets": 150.0}
"""At 70 years FIB-4 is 4.733 (pipelines, fibrosis blood rules)."""


def said(
    clinical: dict[str, float] | None = None,
    measures: dict[str, float | None] | None = None,
    *,
    age: float | None = 70.0,
    **organs: Any,
) -> RuleOutput:
    assert LIVER.rule is not None
    return RULES["liver"](
        RuleInput(
            anatomy=parse_anatomy(anatomy_measures(**organs)),
            parameters=LIVER.rule.parameters,
            clinical=clinical or {},
            measures=measures or {},
            patient=Patient(age_years=age),
        )
    )


def verdict(out: RuleOutput, measures: dict[str, float | None] | None = None) -> Verdict:
    return judge(
        LIVER,
        {**(measures or {}), **out.measures},
        assessments=out.assessments,
        texts=out.texts,
    )


def test_without_blood_values_no_blood_rule_speaks() -> None:
    """Steatosis is graded all the same, and the text says what was not looked at."""
    out = said()
    assert not out.assessments
    assert out.measures["pdff_percent"] == pytest.approx(4.6, abs=0.1)
    text = verdict(out).text.en
    assert "no weights" in text
    assert "Focal liver lesions were not assessed" in text


def test_blood_values_are_judged_and_a_high_one_asks_for_action() -> None:
    """FIB-4 is high; the others name what they lack."""
    out = said(RAISED)
    assert out.measures["fib4"] == pytest.approx(4.733, abs=5e-4)
    assert [one.category for one in out.assessments] == ["high", None, None]
    assert out.assessments[1].missing == ("ast_upper_limit",)
    found = verdict(out)
    assert found.state == "positive"
    assert found.flagged_by == ("blood_rule_high",)
    assert found.urgency == "follow_up"
    assert "hepatology" in found.text.en
    assert found.grade == "S0"


def test_an_indeterminate_index_is_a_mark() -> None:
    """Elastography is advised, but the check is not positive for it."""
    found = verdict(said({"ast": 40.0, "alt": 50.0, "platelets": 200.0}, age=55.0))
    assert found.state == "negative"
    assert "blood_rule_raised" in found.marked_by
    assert "elastography" in found.text.en


def test_the_age_of_the_header_stands_in_for_one_that_was_not_sent() -> None:
    """And one that was sent goes before it."""
    assert said(RAISED, age=None).measures["fib4"] is None
    assert said({**RAISED, "age_years": 70.0}, age=20.0).measures["fib4"] is not None


def test_the_stage_of_a_liver_that_is_cut_off_is_left_out() -> None:
    """Its contour and the sizes of its lobes are not known; the fat is."""
    seen: dict[str, float | None] = {
        "fibrosis_score": 3.6,
        "p_F3": 0.6,
        "F3_or_more": 0.8,
        "p_S0": 0.9,
        "steatosis_score": 0.2,
    }
    whole = said(measures=seen)
    assert not set(seen) & set(whole.measures)
    assert "fibrosis_score_high" in verdict(whole, seen).flagged_by
    cut = said(measures=seen, liver=organ(58.0, coverage="truncated", truncated_sides=["inferior"]))
    left_out = {name for name in seen if cut.measures.get(name, 0.0) is None}
    assert left_out == {"fibrosis_score", "p_F3", "F3_or_more"}
    assert "cuts the liver off" in verdict(cut, seen).text.en
