"""A result with every state in it, as the api gives it, and the header of its study."""

from __future__ import annotations

from typing import Any

from gateway.results.json import DISCLAIMER
from gateway.results.signature import Decision, Signature
from gateway.screening.findings import CheckResult
from gateway.screening.manifest import STATES
from gateway.screening.reasons import REASONS
from gateway.store.study_header import NamedInstance, StudyHeader

STUDY = "1.2.826.0.1.3680043.8.498.4711"
SERIES = f"{STUDY}.1"
CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"

SIGNED = Signature(
    readers=("key:anna", "oidc:ben"),
    signed_at="2026-11-22T08:00:00+00:00",
    comment="Seen on the prior CT.",
    decisions={
        "nodule": Decision(decision="corrected", ai_state="positive", comment="7 mm"),
        "liver": Decision(decision="implied", ai_state="negative"),
    },
)


def code(scheme: str, value: str, meaning: str) -> dict[str, str]:
    """Give a code as a manifest has it."""
    return {"scheme": scheme, "value": value, "meaning": meaning}


def lesion(number: int, **changes: Any) -> dict[str, Any]:
    """Give a lesion with everything that one may have."""
    return {
        "id": number,
        "kind": "solid_nodule",
        "classes": {"solid_nodule": 0.9, "calcified_nodule": 0.1},
        "score": 0.87,
        "category": "4A",
        "centre_mm": [-61.25, 12.5, 140.0 + number],
        "box_mm": [[-66.0, 8.0, 136.0], [-56.5, 17.0, 144.0]],
        "long_diameter_mm": 9.5,
        "short_diameter_mm": 7.25,
        "mean_diameter_mm": 8.375,
        "volume_mm3": 310.5,
        "hu": {"mean": 31.5, "sd": 12.0, "median": 30.0, "min": -12.0, "max": 88.0},
        "mask_value": number,
        "measures": {"chance": 0.87, "spiculation": None},
        "series_instance_uid": SERIES,
        "sop_instance_uid": f"{SERIES}.{number}",
        "frame_number": 1,
        "slice_index": 40 + number,
        "site": "lung_right",
        "side": "right",
        "marked": True,
        "flagged": True,
    } | changes


def nodule() -> CheckResult:
    """Give a positive check with lesions: flagged, marked, and below the thresholds."""
    return CheckResult(
        check="nodule",
        state="positive",
        score=0.87,
        grade="4A",
        thresholds={
            "set": "nodule-1",
            "score": "probability",
            "unit": "1",
            "mark": 0.3,
            "flag": 0.6,
            "lesion": {"score": "score", "mark": 0.4, "flag": 0.7},
            "marked_by": ["probability"],
            "flagged_by": ["probability", "any_4a"],
        },
        urgency="urgent",
        lesions=(
            lesion(1),
            lesion(2, flagged=False, score=0.45, category=None, site=None, side=None),
            lesion(3, marked=False, flagged=False, score=0.1),
        ),
        measures={"probability": 0.87, "largest_mm": 9.5, "doubling_days": None},
        units={"probability": "1", "largest_mm": "mm", "doubling_days": "d"},
        assessments=(
            {
                "rule": "lung_rads_2022",
                "category": "4A",
                "value": 9.5,
                "basis": "solid",
                "missing": [],
                "urgency": "urgent",
                "text": {"en": "Low-dose CT in 3 months.", "zh": "3个月后低剂量CT复查。"},
            },
            {
                "rule": "fleischner_2017",
                "category": None,
                "value": None,
                "basis": None,
                "missing": ["smoking", "age"],
                "urgency": None,
                "text": None,
            },
        ),
        text={"en": "Suspicious nodule. CT in 3 months.", "zh": "可疑结节。3个月后复查CT。"},
        codes={
            "finding": code("SCT", "27925004", "Nodule"),
            "site": code("SCT", "39607008", "Lung"),
            "measures": {
                "probability": code("DCM", "122157", "Probability"),
                "largest_mm": code("SCT", "81827009", "Diameter"),
            },
        },
        provenance={
            "pipeline": "nodule",
            "version": "0.1.0",
            "manifest_digest": "ab" * 32,
            "models": {"nodule_net": "cd" * 32, "anatomy_net": None},
            "weights_origin": "synthetic phantoms, not for clinical use",
            "weights_accepted": False,
            "threshold_set": "nodule-1",
            "recipe_digest": "ef" * 32,
            "software_version": "0.1.0",
            "memory_bank": None,
        },
    )


def liver() -> CheckResult:
    """Give a negative check."""
    return CheckResult(
        check="liver",
        state="negative",
        score=3.1,
        grade="S0",
        measures={"pdff_percent": 3.1, "liver_hu": 61.0},
        units={"pdff_percent": "%", "liver_hu": "[hnsf'U]"},
        text={"en": "No steatosis.", "zh": "未见脂肪变。"},
        codes={"finding": code("99ONESCAN", "HEPATIC_STEATOSIS", "Steatosis of liver")},
        provenance={"pipeline": "liver", "version": "0.3.0", "software_version": "0.1.0"},
    )


def without_answer(check: str, state: str, reason: str) -> CheckResult:
    """Give a check of another state."""
    return CheckResult.without_answer(check, state, reason)


def every_state() -> list[CheckResult]:
    """Give one check of each state."""
    found = [
        nodule(),
        liver(),
        CheckResult(
            check="aorta",
            state="indeterminate",
            reason="truncated",
            score=0.3,
            urgency="critical",
            measures={"probability": 0.3},
            units={"probability": "1"},
            text={"en": REASONS["truncated"].en, "zh": REASONS["truncated"].zh},
            codes={"finding": code("99ONESCAN", "ACUTE_AORTIC_SYNDROME", "Acute aortic syndrome")},
        ),
        without_answer("pancreas", "not_evaluated", "contrast"),
        without_answer("stomach", "failed", "timeout"),
    ]
    assert {one.state for one in found} == set(STATES)
    return found


def result(checks: list[CheckResult] | None = None, **changes: Any) -> dict[str, Any]:
    """Give a screening's result in its JSON form."""
    given = every_state() if checks is None else checks
    return {
        "screening_id": "9a0a1a8c-1434-4a73-bdd3-2c192b78f80e",
        "study": {"study_instance_uid": STUDY},
        "state": "done",
        "stage": "done",
        "version": 1,
        "supersedes": None,
        "attempt": 1,
        "lane": "routine",
        "exam_context": "screening",
        "requested_checks": [one.check for one in given],
        "checks": [one.to_json() for one in given],
        "plan": None,
        "quality": None,
        "series": [
            {
                "series_instance_uid": SERIES,
                "key": SERIES,
                "modality": "CT",
                "slices": 300,
                "refusal": None,
                "choices": {},
            }
        ],
        "anatomy": None,
        "timings": None,
        "provenance": None,
        "error": None,
        "created_at": "2026-11-21T06:25:30.568780+00:00",
        "started_at": "2026-11-21T06:25:31+00:00",
        "finished_at": "2026-11-21T06:25:38.784171+00:00",
        "disclaimer": DISCLAIMER,
    } | changes


def header(**attributes: Any) -> StudyHeader:
    """Give a study's header, changed as asked; None takes an attribute away."""
    kept = {
        "PatientName": "Wang^XiaoDong=王^小东",
        "PatientID": "P-1",
        "IssuerOfPatientID": "HOSPITAL",
        "PatientBirthDate": "19570314",
        "PatientSex": "M",
        "AccessionNumber": "ACC-9",
        "StudyDate": "20261120",
        "StudyTime": "101530.25",
        "TimezoneOffsetFromUTC": "+0800",
        "StudyDescription": "胸部平扫",
    } | attributes
    return StudyHeader(
        attributes={key: value for key, value in kept.items() if value is not None},
        series=(
            {
                "series_instance_uid": SERIES,
                "modality": "CT",
                "series_number": 3,
                "description": "CHEST 1.0 B30f",
                "instance_count": 300,
            },
        ),
        instances=tuple(
            NamedInstance(
                series_instance_uid=SERIES,
                sop_instance_uid=f"{SERIES}.{number}",
                sop_class_uid=CT_IMAGE,
                instance_number=number,
            )
            for number in (1, 2)
        ),
    )
