"""What a reader's decision makes of a check's result, in the form that it had.

Which decisions are allowed stands in docs/review.md, the form in docs/findings.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.exceptions import InvalidReviewError, UndecidedError
from gateway.review.content import Content
from gateway.screening.findings import CheckResult

Check = Mapping[str, Any]
"""A check's result as plain values."""

UNDECIDED = "reader_undecided"
"""Reason of a check that the reader left open."""

_IMPLIED: Mapping[str, Any] = {
    "decision": "accepted",
    "comment": "",
    "lesions": [],
    "measures": {},
}

_WORDS = {
    "positive": ("positive", "阳性"),
    "negative": ("negative", "阴性"),
    "indeterminate": ("indeterminate", "不确定"),
}


def refuse_unknown(content: Content, checks: Sequence[Check]) -> None:
    """Refuse what speaks of a check or a lesion that is not there, in a draft already.

    Raises
    ------
    InvalidReviewError
        Naming it.
    """
    known = {check["check"]: check for check in checks}
    for name, said in content["findings"].items():
        if name not in known:
            raise InvalidReviewError(f"The screening has no result of {name}.")
        ids = {lesion["id"] for lesion in known[name]["lesions"]}
        for lesion in said["lesions"]:
            if "id" in lesion and lesion["id"] not in ids:
                raise InvalidReviewError(f"{name} has no lesion {lesion['id']}.")
        if unknown := sorted(set(said["measures"]) - set(known[name]["measures"])):
            raise InvalidReviewError(f"{name} has no measure {unknown[0]}.")


def shows_something(check: Check) -> bool:
    """Whether a reader has to decide on it before he signs."""
    return CheckResult.from_json(check).shows_something


def reviewed(content: Content, checks: Sequence[Check]) -> tuple[list[dict[str, Any]], list[Any]]:
    """Apply a review to the results of a screening.

    Returns
    -------
    checks : list of dict
        The results as the reader leaves them, in the form that they had.
    findings : list of dict
        ``check``, ``decision``, ``implied``, ``ai_state``, ``state``, ``comment``, ``lesions``.

    Raises
    ------
    UndecidedError
        Naming the checks that show something and have no decision.
    InvalidReviewError
        Where a decision is not allowed.
    """
    refuse_unknown(content, checks)
    said = content["findings"]
    if open_ := [c["check"] for c in checks if c["check"] not in said and shows_something(c)]:
        raise UndecidedError(f"No decision yet on {', '.join(open_)}.")
    results, findings = [], []
    for check in checks:
        finding = said.get(check["check"], _IMPLIED)
        result = _settled(check, finding)
        results.append(result)
        findings.append(
            {
                "check": check["check"],
                "decision": finding["decision"],
                "implied": check["check"] not in said,
                "ai_state": check["state"],
                "state": result["state"],
                "comment": finding["comment"],
                "lesions": finding["lesions"],
            }
        )
    return results, findings


def _settled(check: Check, finding: Mapping[str, Any]) -> dict[str, Any]:
    name, decision = check["check"], finding["decision"]
    _refuse_contradiction(check, finding)
    if decision == "accepted":
        lesions = [_accepted(lesion, finding) for lesion in check["lesions"]]
        return {**check, "lesions": lesions}
    state = "negative" if decision == "rejected" else finding.get("state", check["state"])
    lesions = [] if state == "negative" else _lesions(check, finding, state)
    before = any(lesion.get("marked") for lesion in check["lesions"])
    after = any(lesion.get("marked") for lesion in lesions)
    if state == "positive" and before and not after:
        raise InvalidReviewError(f"{name} stays positive, but none of its lesions is left.")
    found = check["thresholds"]
    cleared = found and {**found, "marked_by": [], "flagged_by": []}
    return {
        **check,
        "state": state,
        "reason": _reason(check, finding, state),
        "grade": check["grade"] if state == check["state"] else None,
        "thresholds": cleared if state == "negative" else found,
        "urgency": _urgency(check, finding, state),
        "lesions": lesions,
        "mask": None if state == "negative" else check["mask"],
        "measures": {**check["measures"], **finding["measures"]},
        "assessments": [],  # they are of what the check measured, not of what the reader says
        "text": _text(decision, state, finding["comment"]),
    }


def _refuse_contradiction(check: Check, finding: Mapping[str, Any]) -> None:
    """Say which decision is not to be had of this result."""
    name, decision, ai_state = check["check"], finding["decision"], check["state"]
    kinds = {lesion["decision"] for lesion in finding["lesions"]}
    if decision != "corrected":
        if kinds - {decision}:
            raise InvalidReviewError(f"{name} is {decision}, but not all of its lesions are.")
        changed = finding["measures"] or "state" in finding or "urgency" in finding
        if changed:
            raise InvalidReviewError(f"{name} is {decision}; only a correction changes it.")
    if decision == "rejected" and ai_state != "positive":
        raise InvalidReviewError(f"{name} is {ai_state}; there is nothing to reject, correct it.")
    if decision == "corrected":
        state = finding.get("state", ai_state)
        if ai_state in ("not_evaluated", "failed") and (
            "state" not in finding or not finding["comment"].strip()
        ):
            raise InvalidReviewError(
                f"{name} is {ai_state}; a correction names its state, and says why in comment."
            )
        changes = kinds - {"accepted"} or finding["measures"] or "urgency" in finding
        if state == ai_state and not changes:
            raise InvalidReviewError(f"The correction of {name} changes nothing.")
        if state == "negative" and kinds & {"added", "corrected"}:
            raise InvalidReviewError(f"{name} cannot be negative and have a lesion.")


def _accepted(lesion: Mapping[str, Any], finding: Mapping[str, Any]) -> dict[str, Any]:
    """Keep a lesion; one that the reader names is shown, though it was below the threshold."""
    named = {one["id"] for one in finding["lesions"]}
    return {**lesion, "marked": lesion["marked"] or lesion["id"] in named}


def _lesions(check: Check, finding: Mapping[str, Any], state: str) -> list[dict[str, Any]]:
    said = {one["id"]: one for one in finding["lesions"] if "id" in one}
    kept = []
    for lesion in check["lesions"]:
        decision = said.get(lesion["id"], {"decision": "accepted"})
        if decision["decision"] == "rejected":
            continue
        values = {k: v for k, v in decision.items() if k not in ("decision", "comment", "id")}
        stands = {**lesion, **values, "marked": lesion["marked"] or lesion["id"] in said}
        if {"long_diameter_mm", "short_diameter_mm"} & values.keys():
            stands["mean_diameter_mm"] = _mean(stands)
        if {"centre_mm", "long_diameter_mm"} & values.keys():
            stands["box_mm"] = _ball(stands)
            stands["mask_value"] = None  # the outline is not the reader's
        kept.append(stands)
    first = max((lesion["id"] for lesion in check["lesions"]), default=0) + 1
    added = [one for one in finding["lesions"] if one["decision"] == "added"]
    return kept + [
        _added(one, first + index, flagged=state == "positive") for index, one in enumerate(added)
    ]


def _added(said: Mapping[str, Any], number: int, *, flagged: bool) -> dict[str, Any]:
    lesion = {
        "id": number,
        "kind": said.get("kind"),
        "classes": {},
        "score": None,
        "centre_mm": said["centre_mm"],
        "long_diameter_mm": said.get("long_diameter_mm"),
        "short_diameter_mm": said.get("short_diameter_mm"),
        "volume_mm3": said.get("volume_mm3"),
        "hu": None,
        "mask_value": None,
        "measures": {},
        "series_instance_uid": said["series_instance_uid"],
        "sop_instance_uid": said.get("sop_instance_uid"),
        "frame_number": said.get("frame_number"),
        "slice_index": said["slice_index"],
        "site": said.get("site"),
        "side": said.get("side"),
        "marked": True,
        "flagged": flagged,
    }
    lesion["mean_diameter_mm"] = _mean(lesion)
    lesion["box_mm"] = _ball(lesion)
    return lesion


def _mean(lesion: Mapping[str, Any]) -> float | None:
    """Mean of long and short diameter, or the one that is known."""
    both = [lesion.get(f"{axis}_diameter_mm") for axis in ("long", "short")]
    known = [value for value in both if value is not None]
    return sum(known) / len(known) if known else None


def _ball(lesion: Mapping[str, Any]) -> list[list[float]] | None:
    """Box of a ball of the mean diameter, as lesions without an outline have it."""
    diameter = lesion["mean_diameter_mm"]
    if diameter is None:
        return None
    return [[x + sign * diameter / 2 for x in lesion["centre_mm"]] for sign in (-1, 1)]


def _reason(check: Check, finding: Mapping[str, Any], state: str) -> str | None:
    if state in ("positive", "negative"):
        return None
    return UNDECIDED if "state" in finding else check["reason"]


def _urgency(check: Check, finding: Mapping[str, Any], state: str) -> str:
    if "urgency" in finding:
        return str(finding["urgency"])
    if state == "negative":
        return "note"
    if state == "positive" and check["state"] != "positive":
        return "follow_up"
    return str(check["urgency"])


def _text(decision: str, state: str, comment: str) -> dict[str, str]:
    en, zh = _WORDS.get(state, (state, state))
    if decision == "rejected":
        told = {"en": "Rejected by the reader.", "zh": "阅片者已否定。"}
    else:
        told = {
            "en": f"Corrected by the reader: {en}.",
            "zh": f"阅片者已更正:{zh}。",
        }
    said = comment.strip()
    return {language: f"{text} {said}" if said else text for language, text in told.items()}
