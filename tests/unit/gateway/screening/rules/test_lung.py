"""The rule ``lung``: from what a network and an outline say of nodules to what they ask for."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.exceptions import UsageError
from gateway.screening.anatomy import Anatomy, Organ
from gateway.screening.patient import Patient
from gateway.screening.rules.lung import KINDS, lung
from gateway.screening.rules.lung_rule import SCREENING_RULES
from gateway.screening.rules.rule import RuleInput, RuleOutput
from gateway.settings import CHOICES, ScreeningSettings, Settings

PARAMETERS = {"calcified_hu": 150.0, "follow_up_mm": 6.0}

KNOWN = {"primary_cancer": 0.0, "immunosuppressed": 0.0}
"""No cancer, no immunosuppression: said, not missing."""


def nodule(number: int = 1, **changes: Any) -> dict[str, Any]:
    """Give a solid nodule of 9 × 7 mm, outlined and sure."""
    return {
        "id": number,
        "kind": "solid_nodule",
        "score": 0.9,
        "flagged": True,
        "mean_diameter_mm": 8.0,
        "long_diameter_mm": 9.0,
        "short_diameter_mm": 7.0,
        "volume_mm3": 268.0,
        "hu": {"mean": 20.0},
        "measures": {"outlined": 1.0},
    } | changes


def sized(mm: float, number: int = 1, **changes: Any) -> dict[str, Any]:
    sizes = dict.fromkeys(("mean_diameter_mm", "long_diameter_mm", "short_diameter_mm"), mm)
    return nodule(number, **(sizes | changes))


def part_solid(mm: float, solid_mm: float | None, number: int = 1, **changes: Any) -> Any:
    measures = {"outlined": 1.0, "solid_long_mm": solid_mm, "solid_short_mm": solid_mm}
    return sized(mm, number, kind="part_solid_nodule", measures=measures, **changes)


def said(*lesions: dict[str, Any], context: str = "screening", **changes: Any) -> RuleOutput:
    given: dict[str, Any] = {
        "anatomy": Anatomy(),
        "parameters": PARAMETERS,
        "lesions": lesions,
        "exam_context": context,
        "patient": Patient(age_years=60.0),
    }
    return lung(RuleInput(**(given | changes)))


def test_a_solid_nodule_of_8_mm_in_screening_is_4a_and_flagged() -> None:
    """Category of exam and nodule, what follows, and the score from which it asks for action."""
    out = said(nodule())
    assert out.grade == "4A"
    assert out.measures == {"actionable_score": 0.9, "nodules": 1.0, "largest_mm": 8.0}
    (one,) = out.lesions or ()
    assert (one["category"], one["flagged"]) == ("4A", True)
    assert [a.advice and a.advice.urgency for a in out.assessments] == ["follow_up"]
    assert out.texts == ()


def test_a_nodule_below_the_follow_up_size_is_a_mark_and_no_flag() -> None:
    """Category 2: annual screening goes on."""
    out = said(sized(5.0))
    assert out.grade == "2"
    assert out.measures["actionable_score"] == 0.0
    assert (out.lesions or ())[0]["flagged"] is False


def test_what_is_not_sure_counts_for_no_category_but_for_the_actionable_score() -> None:
    """So that a site may move its threshold and the score stays what it is."""
    out = said(nodule(flagged=False, score=0.4))
    assert out.grade == "1"
    assert out.measures == {"actionable_score": 0.4, "nodules": 0.0, "largest_mm": None}
    (one,) = out.lesions or ()
    assert (one["category"], one["flagged"]) == ("4A", False)


def test_the_site_chooses_the_rule_of_screening() -> None:
    """8 mm solid: 4A there, category 2 of C-Lung-RADS here."""
    out = said(nodule(), policy=ScreeningSettings(screening_rule="c_lung_rads"))
    assert [a.rule for a in out.assessments] == ["c_lung_rads"]
    assert out.grade == "2"


def test_an_incidental_nodule_is_read_by_fleischner() -> None:
    """With all that the rule needs of the patient; unknown risk is told both ways."""
    out = said(nodule(), context="incidental", clinical=KNOWN)
    assert out.grade == "solid_single_6_to_8"
    assert "category" not in (out.lesions or ())[0]
    small = said(sized(4.0), context="incidental", clinical=KNOWN)
    assert small.assessments[0].missing == ("risk",)
    smoker = said(sized(4.0), context="incidental", clinical=KNOWN | {"smoking": 1.0})
    assert smoker.assessments[0].missing == ()
    assert "optional" in smoker.assessments[0].advice.text.en  # type: ignore[union-attr]


def test_several_small_subsolid_nodules_ask_together() -> None:
    """Fleischner's row of multiple subsolid nodules below 6 mm: all are flagged."""
    glass = {"kind": "ground_glass_nodule"}
    lesions = [sized(5.0, n, score=0.9 - 0.1 * n, **glass) for n in (1, 2)]
    out = said(*lesions, context="incidental", clinical=KNOWN)
    assert out.grade == "subsolid_multiple_under_6"
    assert [one["flagged"] for one in out.lesions or ()] == [True, True]
    assert out.measures["actionable_score"] == pytest.approx(0.7)
    alone = said(lesions[0], context="incidental", clinical=KNOWN)
    assert alone.measures["actionable_score"] == 0.0


def test_where_no_rule_applies_6_mm_ask_for_action_and_the_reader_is_told_why() -> None:
    """Size and type only; not a word where there is nothing to grade."""
    out = said(nodule(), context="unknown")
    assert out.grade is None
    assert out.measures["actionable_score"] == 0.9
    assert (out.lesions or ())[0]["flagged"] is True
    assert [a.rule for a in out.assessments] == ["no_rule_applies"]
    assert said(sized(5.9), context="unknown").measures["actionable_score"] == 0.0
    assert said(context="unknown").assessments == ()


@pytest.mark.parametrize("unknown", ["primary_cancer", "immunosuppressed"])
def test_what_is_not_known_of_the_patient_is_not_taken_for_absent(unknown: str) -> None:
    """Fleischner does not apply; the missing input is named."""
    clinical = {name: value for name, value in KNOWN.items() if name != unknown}
    out = said(nodule(), context="incidental", clinical=clinical)
    assert out.grade is None
    assert out.assessments[0].missing == (unknown,)


def test_a_nodule_is_benign_only_where_its_calcium_was_measured() -> None:
    """The class alone is no proof; 150 HU in the mean are."""
    calcified = nodule(kind="calcified_nodule", hu={"mean": 400.0})
    assert said(calcified).grade == "1"
    assert said(calcified, context="unknown").measures["actionable_score"] == 0.0
    assert said(nodule(kind="calcified_nodule", hu={"mean": 149.9})).grade == "4A"


def test_the_solid_part_grades_a_part_solid_nodule() -> None:
    """12 mm with a solid part of 5, 6 and 8 mm: 3, 4A, 4B."""
    assert [said(part_solid(12.0, mm)).grade for mm in (5.0, 6.0, 8.0)] == ["3", "4A", "4B"]


def test_a_solid_part_that_was_not_measured_is_no_silent_negative() -> None:
    """No category, the reader is told what is missing, and the nodule is flagged by its size."""
    out = said(part_solid(12.0, None))
    assert out.grade is None
    assert out.measures["actionable_score"] == 0.9
    assert (out.lesions or ())[0]["flagged"] is True
    assert "size of the solid part is not known" in out.texts[0].en
    assert "实性成分大小" in out.texts[0].zh


def test_an_estimated_size_is_used_and_told() -> None:
    """Without an outline both axes are the network's mean diameter."""
    out = said(nodule(long_diameter_mm=None, short_diameter_mm=None, volume_mm3=None))
    assert out.grade == "4A"
    assert "1 of these nodules" in out.texts[0].en


def test_lungs_that_are_cut_make_the_exam_incomplete_unless_a_nodule_is_suspicious() -> None:
    """Category 0 by Lung-RADS; a 4A stands."""
    cut = Anatomy(organs={"lung_left": Organ(name="lung_left", coverage="truncated")})
    assert said(anatomy=cut).grade == "0"
    assert said(nodule(), anatomy=cut).grade == "4A"


def test_every_class_of_the_network_has_a_kind() -> None:
    """A class without one would fail the check on the day it is seen."""
    for kind in KINDS:
        lesion = part_solid(8.0, 5.0) if kind == "part_solid_nodule" else nodule(kind=kind)
        assert said(lesion).grade is not None


def test_the_setting_takes_the_rules_that_there_are() -> None:
    """And refuses others by name at the start, not at the first nodule."""
    assert CHOICES["screening", "screening_rule"] == SCREENING_RULES
    with pytest.raises(UsageError, match="lung_rads_2022, c_lung_rads"):
        Settings.from_environ({"ONESCAN_SCREENING__SCREENING_RULE": "lung-rads"})
