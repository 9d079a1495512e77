"""The rule of the chest: own labels by their thresholds, those of other checks by their results."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from gateway.screening.anatomy import Anatomy, Organ
from gateway.screening.findings import CheckResult
from gateway.screening.manifest_reader import read_manifest
from gateway.screening.rules.chest import chest, log_odds
from gateway.screening.rules.chest_taken import TAKEN, taken_label
from gateway.screening.rules.rule import RuleInput, RuleOutput
from gateway.screening.thresholds import LabelThresholds
from gateway.settings import ROOT

MANIFEST = read_manifest(ROOT / "model_repository" / "chest" / "pipeline.toml")

NAMES = {grade.name: grade.text for grade in MANIFEST.classes}

ORGANS = ("lung_right", "lung_left", "liver", "gallbladder", "kidney_right", "kidney_left")


def anatomy(**coverage: str) -> Anatomy:
    """All organs complete but for some."""
    organs = {name: Organ(name=name, coverage=coverage.get(name, "complete")) for name in ORGANS}
    return Anatomy(organs=organs)


def said(
    results: dict[str, CheckResult] | None = None,
    where: Anatomy | None = None,
    *,
    flag_at: float = 0.0,
    **chances: float | None,
) -> RuleOutput:
    """Apply the rule to a scan on which all labels but some have a probability of 0.01."""
    measures: dict[str, float | None] = dict.fromkeys(NAMES, 0.01)
    measures |= {"air_trapping": None, **chances}
    thresholds = MANIFEST.thresholds
    assert thresholds is not None
    flag = replace(thresholds.flag, value=flag_at)
    cuts = dict.fromkeys(thresholds.labels, LabelThresholds(0.5, 0.9))
    return chest(
        RuleInput(
            anatomy=where or anatomy(),
            measures=measures,
            lesions=[{"id": n, "kind": name} for n, name in enumerate(NAMES, start=1)],
            results=results or {},
            names=NAMES,
            thresholds=replace(thresholds, flag=flag, labels=cuts),
        )
    )


def state(out: RuleOutput, name: str) -> str | None:
    return next(one.category for one in out.assessments if one.rule == name)


def found(check: str, state: str, *lesions: tuple[str, bool], **more: Any) -> CheckResult:
    """Give a result with marked lesions of some kinds, flagged or not."""
    listed = tuple({"kind": kind, "marked": True, "flagged": flag} for kind, flag in lesions)
    reason = None if state in ("positive", "negative") else "truncated"
    return CheckResult(check=check, state=state, reason=reason, lesions=listed, **more)


def test_labels_are_marked_and_flagged_by_their_own_thresholds() -> None:
    """0.6 is over the mark, 0.95 over the flag; the one that is farther over names the result."""
    out = said(cavity=0.6, mass=0.95)
    assert (state(out, "cavity"), state(out, "mass")) == ("marked", "positive")
    assert state(out, "ggo") == "negative"
    assert out.grade == "mass"
    assert out.lesions is not None
    shown = [(one["id"], one["kind"], one["flagged"]) for one in out.lesions]
    assert shown == [(1, "mass", True), (2, "cavity", False)]
    assert out.measures["labels_marked"] == 2
    assert out.measures["labels_flagged"] == 1
    assert out.measures["flag_excess"] == pytest.approx(log_odds(0.95) - log_odds(0.9))
    assert "Cavity" in out.texts[0].en
    assert "空洞" in out.texts[0].zh


def test_a_site_moves_the_flag_of_all_labels_together() -> None:
    """By log odds; the mark stays."""
    assert state(said(mass=0.95, flag_at=1.0), "mass") == "marked"
    assert state(said(mass=0.97, flag_at=1.0), "mass") == "positive"


def test_what_the_network_does_not_tell_is_not_evaluated() -> None:
    """Listed and named in both languages; its measure is null, never 0."""
    out = said()
    assert state(out, "air_trapping") == "not_evaluated"
    assert out.measures["air_trapping"] is None
    assert "Air trapping" in out.texts[-1].en
    assert "空气潴留" in out.texts[-1].zh


def test_the_tiles_never_answer_for_another_check() -> None:
    """Though the network is sure, the nodule check was not asked for."""
    out = said(**dict.fromkeys(TAKEN, 0.99))
    for name in TAKEN:
        assert state(out, name) == "not_evaluated"
        assert out.measures[name] is None
    assert out.lesions == []
    assert out.measures["labels_flagged"] == 0
    (nodule,) = (one for one in out.assessments if one.rule == "solid_nodule")
    assert (nodule.basis, nodule.missing) == ("nodule", ("nodule",))


def test_what_another_check_found_is_shown_and_flags_nothing_here() -> None:
    """Its flag is in its own share of the budget."""
    out = said({"nodule": found("nodule", "positive", ("solid_nodule", True))})
    assert state(out, "solid_nodule") == "positive"
    assert out.measures["labels_flagged"] == 0
    assert "Found by other checks: Solid nodule." in [text.en for text in out.texts]


@pytest.mark.parametrize(
    ("label", "result", "expected"),
    [
        ("solid_nodule", found("nodule", "negative", ("solid_nodule", False)), "marked"),
        ("ground_glass_nodule", found("nodule", "negative"), "negative"),
        ("ground_glass_nodule", found("nodule", "positive", ("solid_nodule", True)),
         "indeterminate"),
        ("solid_nodule", found("nodule", "not_evaluated"), "not_evaluated"),
        ("solid_nodule", found("nodule", "failed"), "failed"),
        ("solid_nodule", found("nodule", "indeterminate"), "indeterminate"),
        ("blastic_lesion", found("bone", "positive", ("mixed_metastasis", True)), "positive"),
        ("lytic_lesion", found("bone", "positive", ("mixed_metastasis", True)), "positive"),
        ("lytic_lesion", found("bone", "negative", ("bone_island", False)), "negative"),
        ("acute_aortic_syndrome", found("aorta", "positive"), "positive"),
        ("acute_aortic_syndrome", found("aorta", "indeterminate"), "indeterminate"),
        ("coronary_calcification", found("calcium", "negative", measures={"cac_level": 1.0}),
         "marked"),
        ("coronary_calcification", found("calcium", "negative", measures={"cac_level": 0.0}),
         "negative"),
        ("coronary_calcification", found("calcium", "positive", measures={"cac_level": 3.0}),
         "positive"),
        ("steatosis", found("liver", "negative", grade="S1"), "marked"),
        ("steatosis", found("liver", "positive", grade="S0"), "negative"),
        ("steatosis", found("liver", "positive", grade="S2"), "positive"),
        ("steatosis", found("liver", "positive"), "indeterminate"),
        ("steatosis", found("liver", "not_evaluated"), "not_evaluated"),
        ("pancreas_or_stomach", found("pancreas", "positive"), "positive"),
        ("pancreas_or_stomach", found("pancreas", "negative"), "not_evaluated"),
    ],
)  # fmt: skip
def test_results_are_taken_whatever_their_state(
    label: str, result: CheckResult, expected: str
) -> None:
    """Negative only where the check is; another kind of lesion says nothing of this one."""
    assert taken_label(label, {result.check: result})[0] == expected


def test_two_checks_are_negative_only_together() -> None:
    """A stomach that failed keeps the pointer from being negative."""
    pancreas = found("pancreas", "negative")
    both = {"pancreas": pancreas, "stomach": found("stomach", "negative")}
    assert taken_label("pancreas_or_stomach", both)[0] == "negative"
    both["stomach"] = found("stomach", "failed")
    assert taken_label("pancreas_or_stomach", both)[0] == "failed"


def test_an_abdominal_label_whose_organ_is_not_in_view_is_not_evaluated() -> None:
    """Even where a tile is sure; the others are."""
    where = anatomy(gallbladder="absent", kidney_right="absent", kidney_left="absent")
    out = said(None, where, gallstone=0.99)
    for name in ("gallstone", "renal_stone_or_cyst", "adrenal_nodule"):
        assert state(out, name) == "not_evaluated"
        assert out.measures[name] is None
    assert state(out, "liver_cyst") == "negative"
    assert state(out, "mass") == "negative"


def test_an_organ_in_part_in_view_may_be_positive_never_negative() -> None:
    """One kidney, a liver that the scan cuts, a lung that it cuts."""
    where = anatomy(kidney_left="absent", liver="truncated", lung_left="truncated")
    out = said(None, where, mass=0.95)
    assert state(out, "renal_stone_or_cyst") == "indeterminate"
    assert state(out, "liver_cyst") == "indeterminate"
    assert state(out, "cavity") == "indeterminate"
    assert state(out, "mass") == "positive"


def test_an_adrenal_is_seen_where_only_the_lower_end_of_a_kidney_is_cut() -> None:
    """As on most CT of the chest."""
    organs = dict(anatomy().organs)
    organs["kidney_left"] = Organ(
        name="kidney_left", coverage="truncated", truncated_sides=("inferior",)
    )
    out = said(None, Anatomy(organs=organs))
    assert state(out, "adrenal_nodule") == "negative"
    assert state(out, "renal_stone_or_cyst") == "indeterminate"


def test_a_pneumothorax_is_urgent_whatever_else_is_shown() -> None:
    """Though a mass is farther over its threshold; a mark alone is not."""
    out = said(pneumothorax=0.95, mass=0.999)
    assert out.grade == "mass"
    (advice,) = (one.advice for one in out.assessments if one.advice)
    assert advice.urgency == "urgent"
    assert not [one for one in said(pneumothorax=0.6).assessments if one.advice]


def test_every_label_has_exactly_one_state() -> None:
    """73 of them, in the order of the manifest; all of it is plain JSON."""
    out = said()
    assert [one.rule for one in out.assessments] == list(NAMES)
    assert len(NAMES) == 73
    json.dumps(dict(out.measures), allow_nan=False)
