"""A result to FHIR and back, and to JSON and back: nothing changes that the form holds."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.results.fhir import fhir_bundle, validated
from gateway.results.json import check_result
from gateway.screening.findings import CheckResult
from gateway.screening.manifest import URGENCIES
from gateway.screening.reasons import REASONS
from tests.fhir_case import every_state, header, lesion, result
from tests.fhir_reading import read_checks

LOST = ("codes", "provenance", "mask")
"""Keys of a check that FHIR has elsewhere (codes, devices) or not at all (the mask)."""

LOST_OF_LESION = ("mask_value",)
LOST_OF_ASSESSMENT = ("basis", "missing", "urgency", "text")


def kept(check: dict[str, Any]) -> dict[str, Any]:
    """Give what of a check the FHIR form holds."""
    found = {key: value for key, value in check.items() if key not in LOST}
    found["lesions"] = [
        {key: value for key, value in one.items() if key not in LOST_OF_LESION}
        for one in check["lesions"]
        if one["marked"] or one["flagged"]
    ]
    found["assessments"] = [
        {key: value for key, value in one.items() if key not in LOST_OF_ASSESSMENT}
        for one in check["assessments"]
    ]
    measured = check["measures"]
    found["units"] = {k: v for k, v in check["units"].items() if measured.get(k) is not None}
    return found


def through_fhir(checks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Write a bundle as bytes and read it back."""
    given_ = result([CheckResult.from_json(check) for check in checks])
    return read_checks(json.loads(json.dumps(validated(fhir_bundle(given_, header())))))


def test_every_state_comes_back_from_fhir() -> None:
    """States, reasons, scores, measures, thresholds, texts, and lesions with their places."""
    checks = result()["checks"]
    back = through_fhir(checks)
    assert back == [
        {**kept(one), "text": one["text"] or {"en": None, "zh": None}} for one in checks
    ]


def test_a_lesion_that_a_reader_added_comes_back() -> None:
    """A place without an outline: nothing is made up for what is not known."""
    empty = ("kind", "score", "category", "box_mm", "hu", "sop_instance_uid", "frame_number")
    sizes = ("long_diameter_mm", "short_diameter_mm", "mean_diameter_mm", "volume_mm3")
    added = lesion(4, classes={}, measures={}, **dict.fromkeys((*empty, *sizes)))
    check = {**result()["checks"][0], "lesions": [added]}
    assert through_fhir([check]) == [kept(check)]


def test_the_labels_of_a_check_come_back_with_their_states() -> None:
    """Of `chest`: a label that was not evaluated is no negative one."""
    states = ("positive", "marked", "negative", "indeterminate", "not_evaluated", "failed")
    labels = [
        {
            "rule": f"label_{state}",
            "category": state,
            "value": 0.25,
            "basis": "tiles",
            "missing": ["liver"] if state == "not_evaluated" else [],
            "urgency": None,
            "text": None,
        }
        for state in states
    ]
    check = CheckResult(
        check="chest",
        state="negative",
        assessments=tuple(labels),
        text={"en": "Nothing.", "zh": "无。"},
    ).to_json()
    (back,) = through_fhir([check])
    assert [one["category"] for one in back["assessments"]] == list(states)
    assert {one["value"] for one in back["assessments"]} == {0.25}


numbers = st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: round(value, 4))
names = st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True)


@st.composite
def checks(draw: st.DrawFn) -> dict[str, Any]:
    """Make any result of a check."""
    state = draw(st.sampled_from(("positive", "negative", "indeterminate", "not_evaluated")))
    answered = state in ("positive", "negative")
    measures = draw(st.dictionaries(names, st.none() | numbers, max_size=5))
    drawn = draw(st.lists(st.tuples(numbers, numbers, numbers, st.booleans()), max_size=3))
    return CheckResult(
        check=draw(names),
        state=state,
        reason=None if answered else draw(st.sampled_from(sorted(REASONS))),
        score=draw(st.none() | numbers),
        grade=draw(st.none() | names),
        urgency=draw(st.sampled_from(URGENCIES)),
        lesions=tuple(
            lesion(index, centre_mm=[x, y, z], flagged=flagged)
            for index, (x, y, z, flagged) in enumerate(drawn, 1)
        ),
        measures=measures,
        units=dict.fromkeys(measures, "mm"),
        text={"en": "Text.", "zh": "文本。"},
    ).to_json()


@settings(max_examples=25, deadline=None)
@given(checks())
def test_any_check_comes_back_from_fhir(check: dict[str, Any]) -> None:
    """Whatever its numbers, names and places."""
    assert through_fhir([check]) == [kept(check)]


@pytest.mark.parametrize("one", every_state(), ids=lambda one: one.state)
def test_every_check_comes_back_from_json(one: CheckResult) -> None:
    """As bytes, and as a row of the database: nothing is lost at all."""
    back = CheckResult.from_json(json.loads(json.dumps(one.to_json(), allow_nan=False)))
    assert back.to_json() == one.to_json()
    row = {
        "check_name": one.check,
        "state": one.state,
        "reason": one.reason,
        "result": one.to_json(),
    }
    assert check_result(row).to_json() == one.to_json()
