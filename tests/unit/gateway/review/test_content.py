"""The form of a review's content."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.exceptions import InvalidReviewError
from gateway.review.content import MAX_LESIONS, read_content

PLACE = {"centre_mm": [1, 2.5, -3], "series_instance_uid": "1.2.3", "slice_index": 7}


def test_nothing_is_left_out() -> None:
    """What was not given is there, empty; numbers are floats, so that digests compare."""
    assert read_content({}, marks=False) == {"comment": "", "findings": {}, "marks": []}
    read = read_content(
        {"findings": {"liver": {"decision": "corrected", "measures": {"pdff_percent": 12}}}},
        marks=False,
    )
    assert read["findings"]["liver"] == {
        "decision": "corrected",
        "comment": "",
        "lesions": [],
        "measures": {"pdff_percent": 12.0},
    }


def test_what_is_read_is_read_again_as_it_is() -> None:
    """So a draft that is shown may be sent back."""
    given = {
        "comment": "\u202eRTL <b>&amp;</b> 肝脏",
        "findings": {
            "nodule": {
                "decision": "corrected",
                "state": "positive",
                "urgency": "urgent",
                "lesions": [
                    {"id": 1, "decision": "rejected", "comment": "vessel"},
                    {"id": 2, "decision": "corrected", "kind": "solid", "side": "left"},
                    {"decision": "added", **PLACE, "long_diameter_mm": 6},
                ],
            }
        },
    }
    read = read_content(given, marks=False)
    assert read_content(read, marks=False) == read
    assert read["comment"] == given["comment"]
    marks = read_content({"marks": [{"check": "nodule", "centre_mm": [0, 0, 0]}]}, marks=True)
    assert read_content(marks, marks=True) == marks


def finding(**values: Any) -> dict[str, Any]:
    return {"findings": {"nodule": {"decision": "corrected", **values}}}


def lesion(**values: Any) -> dict[str, Any]:
    return finding(lesions=[values])


@pytest.mark.parametrize(
    "given",
    [
        None,
        [],
        {"coment": ""},
        {"comment": 7},
        {"comment": "a\0b"},
        {"comment": "\ud800"},
        {"comment": "x" * 10_001},
        {"findings": []},
        {"findings": {"Liver!": {"decision": "accepted"}}},
        {"findings": {"liver": {}}},
        {"findings": {"liver": {"decision": "maybe"}}},
        {"findings": {"liver": {"decision": ["accepted"]}}},
        {"marks": [{"check": "liver", "centre_mm": [0, 0, 0]}]},
        finding(state="failed"),
        finding(urgency="soon"),
        finding(measures={"volume": "7"}),
        finding(measures={"volume": True}),
        finding(measures={"volume": 1e12}),
        finding(measures={"volume": float("nan")}),
        finding(lesions={}),
        lesion(),
        lesion(decision="accepted"),
        lesion(decision="accepted", id="1"),
        lesion(decision="accepted", id=True),
        lesion(decision="accepted", id=1, kind="solid"),
        lesion(decision="corrected", id=1),
        lesion(decision="corrected", id=1, centre_mm=[1, 2]),
        lesion(decision="corrected", id=1, long_diameter_mm=-1),
        lesion(decision="corrected", id=1, slice_index=4),
        lesion(decision="added"),
        lesion(decision="added", id=3, **PLACE),
        lesion(decision="added", **{**PLACE, "slice_index": None}),
        lesion(decision="added", **{**PLACE, "series_instance_uid": "a"}),
        lesion(decision="added", **{**PLACE, "slice_index": -1}),
        finding(lesions=[{"id": 1, "decision": "accepted"}] * 2),
        finding(lesions=[{"id": i, "decision": "accepted"} for i in range(MAX_LESIONS + 1)]),
    ],
)
def test_what_no_review_may_say(given: Any) -> None:
    """Each has one clear error."""
    with pytest.raises(InvalidReviewError):
        read_content(given, marks=False)


@pytest.mark.parametrize(
    "given",
    [
        {"findings": {"liver": {"decision": "accepted"}}},
        {"marks": {}},
        {"marks": [{"centre_mm": [0, 0, 0]}]},
        {"marks": [{"check": "nodule"}]},
        {"marks": [{"check": "nodule", "centre_mm": [0, 0, 0], "diameter_mm": -2}]},
    ],
)
def test_who_marks_judges_no_findings(given: Any) -> None:
    """Nor does he mark what is no place."""
    with pytest.raises(InvalidReviewError):
        read_content(given, marks=True)
