"""FHIR Observations: one of each check, with its score, thresholds, measures and rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gateway.results.dicom_codes import STATES as CODES
from gateway.results.fhir_terms import (
    SNOMED,
    Element,
    absent,
    coding,
    concept,
    ours,
    plain,
    quantity,
    text,
)
from gateway.results.signature import Signature
from gateway.screening.reasons import REASONS

Check = Mapping[str, Any]
"""A check's result as `gateway.results.json` gives it."""

INTERPRETATION = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"
CATEGORY = {
    "coding": [
        {
            "system": "http://terminology.hl7.org/CodeSystem/observation-category",
            "code": "imaging",
        }
    ]
}

STATES = {
    "positive": ("Positive", "阳性"),
    "negative": ("Negative", "阴性"),
    "indeterminate": ("Indeterminate", "不确定"),
    "not_evaluated": ("Not evaluated", "未评估"),
    "failed": ("Failed", "失败"),
    "pending": ("Pending", "待出结果"),
    "unknown": ("No result here", "此处无结果"),
}
"""State → English and Chinese. ``pending`` is a check that was asked for and has no result yet,
``unknown`` one that has none though the screening has ended, or whose result is not shown."""

QUALIFIERS = ("positive", "negative", "indeterminate")
"""States that are values, by SNOMED CT's qualifiers; the others say why there is none."""

DETECTED = {"positive": "POS", "negative": "NEG", "indeterminate": "IND"}

WHY_ABSENT = {
    "not_evaluated": "not-performed",
    "failed": "error",
    "pending": "temp-unknown",
    "unknown": "unknown",
}
"""State → code of data-absent-reason."""


def check_code(check: str, codes: Mapping[str, Any]) -> Element:
    """Name what was looked for: our check, and the manifest's code of its finding."""
    finding = coding(codes.get("finding"))
    return concept(ours("check", check), finding, en=(finding or {}).get("display") or check)


def site_of(codes: Mapping[str, Any]) -> Element | None:
    """Give the manifest's site as a body site."""
    site = coding(codes.get("site"))
    return concept(site, en=site.get("display", "")) if site else None


def answer(check: Check) -> Element:
    """Give a check's state as value, or as the reason why there is none; never a silent negative.

    ``not_evaluated`` and ``failed`` have no value at all, whatever else was measured.
    """
    state = str(check["state"])
    en, zh = STATES[state]
    found: Element = {}
    if state in QUALIFIERS:
        known = {"system": SNOMED, "code": CODES[state].value, "display": en}
        found["valueCodeableConcept"] = concept(ours("state", state), known, en=en, zh=zh)
        signs = [DETECTED[state], *(["AA"] if check["urgency"] == "critical" else [])]
        found["interpretation"] = [
            concept({"system": INTERPRETATION, "code": sign}) for sign in signs
        ]
        return found
    reason = check["reason"]
    codings = [ours("state", state), *([ours("reason", reason)] if reason else [])]
    told = REASONS.get(reason or "")
    en, zh = (f"{en}: {told.en}", f"{zh}:{told.zh}") if told else (en, zh)
    found["dataAbsentReason"] = absent(WHY_ABSENT[state], *codings, en=en, zh=zh)
    return found


def components(check: Check, code: Element, signature: Signature | None) -> list[Element]:
    """Give everything of a check that is one value each, in an order that stays the same."""
    taken = {(one["system"], one["code"]) for one in code["coding"]}
    found = [*_judged(check), *_thresholds(check), *_reviewed(check, signature)]
    named = check["codes"].get("measures")
    named = named if isinstance(named, Mapping) else {}
    for name, value in sorted(check["measures"].items()):
        known = coding(named.get(name))
        if known and (known["system"], known["code"]) in taken:  # obs-7: else it were the value
            known = None
        what = concept(ours("measure", name), known)
        found.append({"code": what, **number(value, check["units"].get(name))})
    for said in check["assessments"]:
        found += _assessment(said)
    return found


def number(value: float | None, unit: str | None) -> Element:
    """Give a number, or that there is none."""
    if value is None:
        return {"dataAbsentReason": absent("unknown")}
    return {"valueQuantity": quantity(value, unit)}


def item(name: str, **value: Any) -> Element:
    """Make a component of one of our own names."""
    return {"code": concept(ours("item", name)), **value}


def _judged(check: Check) -> Iterable[Element]:
    thresholds = check["thresholds"] or {}
    yield item("urgency", valueCodeableConcept=concept(ours("urgency", check["urgency"])))
    reason = check["reason"]
    if reason and check["state"] in QUALIFIERS:
        told = REASONS.get(reason)
        words = {"en": told.en, "zh": told.zh} if told else {}
        yield item("reason", valueCodeableConcept=concept(ours("reason", reason), **words))
    if check["score"] is not None:
        unit = thresholds.get("unit") or check["units"].get(thresholds.get("score"))
        yield item("score", valueQuantity=quantity(check["score"], unit))
    if check["grade"]:
        yield item("grade", valueString=plain(check["grade"]))


def _thresholds(check: Check) -> Iterable[Element]:
    thresholds = check["thresholds"]
    if not thresholds:
        return
    yield item("threshold_set", valueString=plain(thresholds["set"]))
    yield item("threshold_score", valueString=plain(thresholds["score"]))
    for name in ("mark", "flag"):
        value = quantity(thresholds[name], thresholds["unit"])
        yield item(f"{name}_threshold", valueQuantity=value)
    if lesion := thresholds["lesion"]:
        yield item("lesion_threshold_score", valueString=plain(lesion["score"]))
        for name in ("mark", "flag"):
            yield item(f"lesion_{name}_threshold", valueQuantity=quantity(lesion[name], None))
    for name in ("marked_by", "flagged_by"):
        for by in thresholds[name]:
            yield item(name, valueString=plain(by))


def _reviewed(check: Check, signature: Signature | None) -> Iterable[Element]:
    done = signature.decisions.get(check["check"]) if signature else None
    if done is None:
        return
    yield item("decision", valueCodeableConcept=concept(ours("decision", done.decision)))
    yield item("state_before_review", valueCodeableConcept=concept(ours("state", done.ai_state)))


def _assessment(said: Mapping[str, Any]) -> Iterable[Element]:
    """Give what a rule says: its category, and the number that it compared.

    A rule that could not say has no value, and its missing inputs say why.
    """
    code = concept(ours("rule", said["rule"]))
    if said["category"] is None:
        why = ", ".join(said["missing"]) or said["basis"] or ""
        yield {"code": code, "dataAbsentReason": absent("unknown", en=plain(why))}
    else:
        words = said["text"] or {"en": said["category"], "zh": ""}
        value = concept(ours("category", said["category"]), **words)
        if said["category"] in WHY_ABSENT:
            why = WHY_ABSENT[said["category"]]
            missing = ", ".join(said["missing"])
            codings = ours("category", said["category"])
            yield {"code": code, "dataAbsentReason": absent(why, codings, en=plain(missing))}
        else:
            yield {"code": code, "valueCodeableConcept": value}
    if said["value"] is not None:
        named = concept(ours("rule_value", said["rule"]))
        yield {"code": named, "valueQuantity": quantity(said["value"], None)}


def notes(check: Check, signature: Signature | None) -> list[Element]:
    """Give the check's text, and the reader's words on it."""
    said = check["text"]
    found = [text("text", said["en"], said["zh"])] if said else []
    done = signature.decisions.get(check["check"]) if signature else None
    if signature and done and plain(done.comment):
        found.append({"authorString": signature.readers[-1], "text": plain(done.comment)})
    return found
