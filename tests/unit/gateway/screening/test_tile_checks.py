"""The checks that search by tiles, with their own manifests: from marks to words."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from gateway.screening.anatomy import Anatomy
from gateway.screening.answer import Seen, answer
from gateway.screening.findings import CheckResult
from gateway.screening.manifest import Manifest
from gateway.screening.patient import Patient
from gateway.screening.plan import Step
from gateway.screening.series_facts import SeriesFacts
from gateway.screening.subject import Subject
from gateway.triton.shared_memory import SharedVolume
from tests.accepted import accepted

REPOSITORY = Path(__file__).resolve().parents[4] / "model_repository"


def manifest(name: str) -> Manifest:
    return accepted(REPOSITORY / name / "pipeline.toml", mark=0.3, flag=0.6)


def lesion(number: int, kind: str, score: float | None, mm: float, **changes: Any) -> Any:
    return {
        "id": number,
        "kind": kind,
        "score": score,
        "mean_diameter_mm": mm,
        "long_diameter_mm": mm,
        "short_diameter_mm": mm,
        "volume_mm3": None,
        "hu": {"mean": 30.0},
        "measures": {"outlined": 1.0},
    } | changes


def told(
    name: str,
    *lesions: Any,
    context: str = "screening",
    truncated: bool = False,
    clinical: dict[str, float] | None = None,
    **measures: float,
) -> CheckResult:
    """Apply the check's rule, thresholds and words."""
    check = manifest(name)
    scores = dict.fromkeys(check.scores, 0.0) | {
        "probability": max((one["score"] or 0.0 for one in lesions), default=0.0)
    }
    for one in lesions:
        scores[one["kind"]] = max(scores[one["kind"]], one["score"] or 0.0)
    subject = Subject(
        volume=cast(SharedVolume, None),  # no rule looks at pixels
        affine=np.eye(4),
        anatomy=Anatomy(),
        facts=SeriesFacts(),
        provenance=lambda manifest: {},
        patient=Patient(age_years=61.0),
        clinical=clinical or {},
        exam_context=context,
    )
    step = Step(check=name, latency_class="routine", truncated=("lung_left",) if truncated else ())
    seen = Seen(measures={**scores, "listed": 0.0, **measures}, lesions=tuple(lesions))
    return answer(check, step, subject, seen, {})


def test_a_sure_nodule_of_9_mm_is_4a_in_screening() -> None:
    """Positive, with the category's own advice in both languages."""
    result = told("nodule", lesion(1, "solid_nodule", 0.95, 9.0))
    assert (result.state, result.grade, result.urgency) == ("positive", "4A", "follow_up")
    assert result.score == 0.95
    assert "Lung-RADS 4A" in result.text["en"]
    assert "Lung-RADS 4A类" in result.text["zh"]
    assert [said["category"] for said in result.assessments] == ["4A"]
    assert result.lesions[0]["flagged"] is True


def test_the_most_urgent_advice_counts() -> None:
    """4B asks for evaluation at once."""
    result = told(
        "nodule",
        lesion(1, "solid_nodule", 0.7, 20.0),
        lesion(2, "solid_nodule", 0.95, 7.0),
    )
    assert (result.grade, result.urgency) == ("4B", "urgent")


def test_a_small_nodule_is_marked_and_the_check_negative() -> None:
    """It is shown; the exam is category 2."""
    result = told("nodule", lesion(1, "solid_nodule", 0.95, 4.0))
    assert (result.state, result.grade, result.urgency) == ("negative", "2", "note")
    assert result.thresholds is not None
    assert result.thresholds["marked_by"] == ["any_nodule"]
    assert result.lesions[0]["marked"] is True
    assert result.lesions[0]["flagged"] is False


def test_a_doubtful_nodule_is_marked_whatever_its_size() -> None:
    """And counts for no category."""
    result = told("nodule", lesion(1, "solid_nodule", 0.4, 12.0))
    assert (result.state, result.grade) == ("negative", "1")
    assert result.thresholds is not None
    assert result.thresholds["flagged_by"] == []


def test_cut_lungs_are_never_negative() -> None:
    """Positive where a nodule was seen."""
    assert told("nodule", truncated=True).reason == "truncated"
    seen = told("nodule", lesion(1, "solid_nodule", 0.95, 9.0), truncated=True)
    assert seen.state == "positive"


def test_where_no_guideline_applies_size_and_kind_are_told() -> None:
    """Why there is none stands in the text."""
    result = told("nodule", lesion(1, "ground_glass_nodule", 0.95, 9.0), context="unknown")
    assert (result.state, result.grade) == ("positive", "ground_glass_nodule")
    assert "ground glass" in result.text["en"]
    assert "No lung rule applies" in result.text["en"]
    assert "未应用肺结节管理规则" in result.text["zh"]


def test_an_incidental_nodule_has_fleischner_s_advice() -> None:
    """With what the rule needs of the patient."""
    known = {"primary_cancer": 0.0, "immunosuppressed": 0.0, "smoking": 2.0}
    result = told(
        "nodule", lesion(1, "solid_nodule", 0.95, 7.0), context="incidental", clinical=known
    )
    assert result.grade == "solid_single_6_to_8"
    assert "CT at 6 to 12 months, then CT at 18 to 24 months" in result.text["en"]


def test_a_suspected_metastasis_is_urgent() -> None:
    """By its probability; a surer benign lesion beside it changes nothing."""
    result = told(
        "bone",
        lesion(1, "lytic_metastasis", 0.8, 14.0),
        lesion(2, "bone_island", 0.1, 9.0),
        clinical={"primary_cancer": 1.0},
    )
    assert (result.state, result.grade, result.urgency) == (
        "positive", "lytic_metastasis", "urgent",
    )  # fmt: skip
    assert result.measures["metastases"] == 1.0
    assert "restaging" in result.text["en"]
    assert [one["flagged"] for one in result.lesions] == [True, False]


def test_a_negative_bone_check_says_that_it_rules_nothing_out() -> None:
    """Published readers see more; each bone is read all the same."""
    result = told("bone")
    assert (result.state, result.grade) == ("negative", None)
    assert "rules nothing out" in result.text["en"]
    assert "不能排除" in result.text["zh"]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_bone_beside_metal_is_told_as_not_assessed(language: str) -> None:
    """A mark there has no score, is not marked, and keeps the check from being silent."""
    result = told("bone", lesion(1, "blastic_metastasis", None, 8.0), near_metal=1.0)
    assert result.state == "negative"
    assert result.lesions[0]["marked"] is False
    assert {"en": "next to metal", "zh": "金属旁"}[language] in result.text[language]
