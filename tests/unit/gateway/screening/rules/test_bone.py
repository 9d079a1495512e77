"""What is told of suspected lesions of bone."""

from __future__ import annotations

from typing import Any

from gateway.screening.anatomy import Anatomy
from gateway.screening.rules.bone import bone
from gateway.screening.rules.rule import RuleInput, RuleOutput


def lesion(kind: str, score: float | None, *, marked: bool, flagged: bool) -> dict[str, Any]:
    return {"kind": kind, "score": score, "marked": marked, "flagged": flagged}


LYTIC = lesion("lytic_metastasis", 0.8, marked=True, flagged=True)
MIXED = lesion("mixed_metastasis", 0.4, marked=True, flagged=False)
ISLAND = lesion("bone_island", 0.05, marked=False, flagged=False)
BY_METAL = lesion("blastic_metastasis", None, marked=False, flagged=False)


def said(*lesions: dict[str, Any], near_metal: float = 0.0, **clinical: float) -> RuleOutput:
    return bone(
        RuleInput(
            anatomy=Anatomy(),
            lesions=lesions,
            measures={"near_metal": near_metal},
            clinical=clinical,
        )
    )


def test_the_grade_is_the_kind_of_the_most_suspicious_mark() -> None:
    """Not that of the surest lesion, which may be benign."""
    out = said(ISLAND, MIXED, LYTIC)
    assert out.grade == "lytic_metastasis"
    assert out.measures == {"metastases": 1.0}
    assert said(ISLAND).grade is None


def test_the_history_changes_what_follows() -> None:
    """Known cancer, none, and what nobody said; only where something is flagged."""
    assert "restaging" in said(LYTIC, primary_cancer=1.0).texts[0].en
    assert "origin" in said(LYTIC, primary_cancer=0.0).texts[0].en
    assert said(LYTIC).texts == ()
    assert said(MIXED, primary_cancer=1.0).texts == ()


def test_bone_beside_metal_is_told_as_not_assessed() -> None:
    """With how many marks lie there."""
    (text,) = said(BY_METAL, near_metal=1.0).texts
    assert "streaks: 1" in text.en
    assert "金属" in text.zh
