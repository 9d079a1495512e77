"""What a reader's decision makes of a result."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.exceptions import InvalidReviewError, UndecidedError
from gateway.review.content import read_content
from gateway.review.verdicts import refuse_unknown, reviewed
from gateway.screening.findings import CheckResult

THRESHOLDS = {
    "set": "t",
    "score": "lesion_score",
    "unit": "1",
    "mark": 0.2,
    "flag": 0.5,
    "lesion": None,
    "marked_by": ["lesion_score"],
    "flagged_by": ["lesion_score"],
}


def lesion(number: int, *, marked: bool = True) -> dict[str, Any]:
    return {
        "id": number,
        "kind": "solid",
        "classes": {"solid": 0.9},
        "score": 0.9,
        "centre_mm": [10.0 * number, 0.0, 0.0],
        "box_mm": [[10.0 * number - 3, -3.0, -3.0], [10.0 * number + 3, 3.0, 3.0]],
        "long_diameter_mm": 6.0,
        "short_diameter_mm": 6.0,
        "mean_diameter_mm": 6.0,
        "volume_mm3": 113.0,
        "hu": None,
        "mask_value": number,
        "measures": {},
        "series_instance_uid": "1.2.3",
        "sop_instance_uid": None,
        "frame_number": None,
        "slice_index": 4,
        "site": None,
        "side": None,
        "marked": marked,
        "flagged": marked,
    }


def check(state: str = "positive", **values: Any) -> dict[str, Any]:
    made = CheckResult(
        check="nodule",
        state=state,
        reason=None if state in ("positive", "negative") else "contrast",
        thresholds=THRESHOLDS if state == "positive" else None,
        urgency="urgent" if state == "positive" else "note",
        lesions=tuple(values.pop("lesions", [lesion(1), lesion(2), lesion(3, marked=False)])),
        measures={"lesions_flagged": 2.0},
        text={"en": "Text.", "zh": "文本。"},
        **values,
    )
    return made.to_json()


def review(ai: str = "positive", /, **said: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Review one check in one state; gives result and finding."""
    content = read_content({"findings": {"nodule": said}} if said else {}, marks=False)
    lesions = [lesion(1), lesion(2), lesion(3, marked=False)] if ai == "positive" else []
    [result], [finding] = reviewed(content, [check(ai, lesions=lesions)])
    return result, finding


@pytest.mark.parametrize(
    ("ai", "said", "state", "reason"),
    [
        ("positive", {"decision": "accepted"}, "positive", None),
        ("positive", {"decision": "rejected"}, "negative", None),
        ("positive", {"decision": "corrected", "state": "negative"}, "negative", None),
        (
            "positive",
            {"decision": "corrected", "state": "indeterminate"},
            "indeterminate",
            "reader_undecided",
        ),
        ("negative", {"decision": "accepted"}, "negative", None),
        ("negative", {"decision": "corrected", "state": "positive"}, "positive", None),
        ("indeterminate", {"decision": "accepted"}, "indeterminate", "contrast"),
        ("indeterminate", {"decision": "corrected", "state": "negative"}, "negative", None),
        ("not_evaluated", {"decision": "accepted"}, "not_evaluated", "contrast"),
        ("failed", {"decision": "accepted"}, "failed", "contrast"),
        (
            "not_evaluated",
            {"decision": "corrected", "state": "negative", "comment": "read by hand"},
            "negative",
            None,
        ),
    ],
)
def test_allowed_decisions(ai: str, said: dict[str, Any], state: str, reason: str | None) -> None:
    """Each makes one state, with a reason where there is no plain answer."""
    result, finding = review(ai, **said)
    assert (result["state"], result["reason"]) == (state, reason)
    assert (finding["ai_state"], finding["state"], finding["implied"]) == (ai, state, False)


@pytest.mark.parametrize(
    ("ai", "said"),
    [
        ("negative", {"decision": "rejected"}),
        ("indeterminate", {"decision": "rejected"}),
        ("not_evaluated", {"decision": "rejected"}),
        ("positive", {"decision": "corrected"}),
        ("negative", {"decision": "corrected", "state": "negative"}),
        ("positive", {"decision": "accepted", "state": "negative"}),
        ("positive", {"decision": "accepted", "measures": {"lesions_flagged": 1}}),
        ("positive", {"decision": "accepted", "lesions": [{"id": 1, "decision": "rejected"}]}),
        ("positive", {"decision": "rejected", "lesions": [{"id": 1, "decision": "accepted"}]}),
        ("not_evaluated", {"decision": "corrected", "state": "negative"}),
        ("not_evaluated", {"decision": "corrected", "comment": "looked", "urgency": "note"}),
        ("failed", {"decision": "corrected", "state": "positive", "comment": "  "}),
        (
            "positive",
            {
                "decision": "corrected",
                "lesions": [{"id": i, "decision": "rejected"} for i in (1, 2)],
            },
        ),
        (
            "positive",
            {
                "decision": "corrected",
                "state": "negative",
                "lesions": [{"id": 1, "decision": "corrected", "kind": "ground_glass"}],
            },
        ),
    ],
)
def test_decisions_that_contradict_the_result(ai: str, said: dict[str, Any]) -> None:
    """Nothing becomes negative in silence, and nothing stays positive with nothing left."""
    with pytest.raises(InvalidReviewError, match="nodule"):
        review(ai, **said)


def test_what_shows_something_needs_a_decision() -> None:
    """What shows nothing stands as it is, and that is said to be implied."""
    with pytest.raises(UndecidedError, match="nodule"):
        review("positive")
    for state in ("negative", "not_evaluated", "failed", "indeterminate"):
        result, finding = review(state)
        assert (result["state"], finding["implied"]) == (state, True)
    with pytest.raises(UndecidedError):
        reviewed(read_content({}, marks=False), [check("indeterminate", lesions=[lesion(1)])])


def test_a_rejected_check_shows_nothing() -> None:
    """No lesion, no mask, nothing urgent, no rule's advice; the score stays the check's."""
    result, _ = review(decision="rejected", comment="motion")
    assert result["lesions"] == []
    assert (result["mask"], result["urgency"], result["assessments"]) == (None, "note", [])
    assert not CheckResult.from_json(result).shows_something
    assert result["text"]["en"] == "Rejected by the reader. motion"


def test_lesions_are_dropped_changed_added_and_raised() -> None:
    """Those that are not named stand; those below the threshold are shown when they are named."""
    result, _ = review(
        decision="corrected",
        lesions=[
            {"id": 1, "decision": "rejected"},
            {"id": 2, "decision": "corrected", "long_diameter_mm": 10.0, "kind": "part_solid"},
            {"id": 3, "decision": "accepted"},
            {
                "decision": "added",
                "centre_mm": [50, 0, 0],
                "series_instance_uid": "1.2.3",
                "slice_index": 9,
                "long_diameter_mm": 4,
            },
        ],
    )
    two, three, added = result["lesions"]
    assert (two["id"], two["kind"], two["mean_diameter_mm"]) == (2, "part_solid", 8.0)
    assert two["box_mm"] == [[16.0, -4.0, -4.0], [24.0, 4.0, 4.0]]
    assert two["mask_value"] is None
    assert (three["id"], three["marked"], three["mask_value"]) == (3, True, 3)
    assert (added["id"], added["score"], added["slice_index"]) == (4, None, 9)
    assert added["box_mm"] == [[48.0, -2.0, -2.0], [52.0, 2.0, 2.0]]
    assert added.keys() == lesion(1).keys()


def test_a_draft_speaks_of_what_is_there() -> None:
    """Unknown checks, lesions and measures are refused before anything is signed."""
    for said, name in (
        ({"liver": {"decision": "accepted"}}, "liver"),
        ({"nodule": {"decision": "accepted", "lesions": [{"id": 9, "decision": "accepted"}]}}, "9"),
        ({"nodule": {"decision": "corrected", "measures": {"weight": 1}}}, "weight"),
    ):
        with pytest.raises(InvalidReviewError, match=name):
            refuse_unknown(read_content({"findings": said}, marks=False), [check()])


def test_a_new_positive_is_followed_up_unless_the_reader_says_more() -> None:
    """The check's own urgency was that of nothing found."""
    told, _ = review("negative", decision="corrected", state="positive")
    assert told["urgency"] == "follow_up"
    told, _ = review("negative", decision="corrected", state="positive", urgency="critical")
    assert told["urgency"] == "critical"
