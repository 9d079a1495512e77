"""FHIR's DiagnosticReport, and the ServiceRequests that it proposes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.results.fhir_check import STATES, Check, check_code, site_of
from gateway.results.fhir_study import contained_patient, study_identifiers, study_time, subject
from gateway.results.fhir_terms import (
    LOINC,
    Element,
    code,
    concept,
    identifier,
    ours,
    plain,
    reference,
    text,
    urn,
)
from gateway.results.json import DISCLAIMER
from gateway.results.signature import Signature
from gateway.screening.reasons import REASONS
from gateway.store.screenings import FINAL_STATES
from gateway.store.study_header import StudyHeader

DISCLAIMER_ZH = "参考模型仅以合成体模训练。本软件不是医疗器械,不得用于临床。"

URI = "urn:ietf:rfc:3986"

PRIORITIES = {"critical": "stat", "urgent": "urgent", "follow_up": "routine", "note": "routine"}
"""Urgency → priority of a request."""

ANSWERED = ("positive", "negative", "indeterminate")


def status_of(result: Mapping[str, Any], signature: Signature | None) -> str:
    """Give the report's status: final only after a signature.

    A screening that ended without one answer has no report, whatever was asked for.
    """
    if signature is not None:
        return "amended" if signature.amends else "final"
    if result["state"] == "done":
        return "preliminary"
    if any(check["state"] in ANSWERED for check in result["checks"]):
        return "partial"
    return "cancelled" if result["state"] in FINAL_STATES else "registered"


def diagnostic_report(
    result: Mapping[str, Any],
    header: StudyHeader | None,
    signature: Signature | None,
    *,
    study: Element | None,
    observations: Sequence[Element],
) -> Element:
    """Put the report together; `observations` are those of the checks, in their order."""
    screening_id = result["screening_id"]
    study_instance_uid = result["study"]["study_instance_uid"]
    report: Element = {
        "resourceType": "DiagnosticReport",
        "id": identifier("report", screening_id),
        "language": "en",
        "identifier": [
            {"system": URI, "value": urn(screening_id)},
            *study_identifiers(study_instance_uid, header),
        ],
        "status": status_of(result, signature),
        "category": [_radiology()],
        "code": concept(
            {"system": LOINC, "code": "18748-4", "display": "Diagnostic imaging study"},
            en="Screening of an imaging study for disease",
            zh="影像检查疾病筛查",
        ),
        "subject": subject(header),
    }
    if patient := contained_patient(header):
        report["contained"] = [patient]
        report["subject"] = {"reference": f"#{patient['id']}", **report["subject"]}
    if at := study_time(header):
        report["effectiveDateTime"] = at
    if issued := signature.signed_at if signature else result["finished_at"]:
        report["issued"] = issued
    if signature:
        report["resultsInterpreter"] = [practitioner(reader) for reader in signature.readers]
    if observations:
        report["result"] = [reference(one) for one in observations]
    if study:
        report["imagingStudy"] = [reference(study)]
    report |= text("conclusion", *_conclusion(result, signature))
    codes = [
        check_code(check["check"], check["codes"])
        for check in result["checks"]
        if check["state"] == "positive"
    ]
    return {**report, "conclusionCode": codes} if codes else report


def practitioner(reader: str) -> Element:
    """Name a reader; nothing here has an address of his."""
    return {
        "type": "Practitioner",
        "identifier": {"value": plain(reader) or "unknown"},
        "display": plain(reader) or "unknown",
    }


def asks_for_action(check: Check) -> bool:
    """Tell whether a check is flagged, so that something should follow."""
    return check["state"] == "positive" or bool((check["thresholds"] or {}).get("flagged_by"))


def service_request(
    check: Check,
    result: Mapping[str, Any],
    header: StudyHeader | None,
    *,
    observation: Element,
    report: Element,
    device: Element,
) -> Element:
    """Propose what follows a flagged check: a draft that nobody has ordered."""
    finding = check_code(check["check"], check["codes"])
    request: Element = {
        "resourceType": "ServiceRequest",
        "id": identifier("request", result["screening_id"], check["check"]),
        "language": "en",
        "status": "draft",
        "intent": "proposal",
        "priority": PRIORITIES[check["urgency"]],
        "code": concept(
            ours("item", "follow_up"), en=f"Follow-up of: {finding['text']}", zh="建议后续处理"
        ),
        "subject": subject(header),
        "requester": reference(device),
        "reasonCode": [finding],
        "reasonReference": [reference(observation)],
        "supportingInfo": [reference(report)],
    }
    if result["finished_at"]:
        request["authoredOn"] = result["finished_at"]
    if site := site_of(check["codes"]):
        request["bodySite"] = [site]
    if said := check["text"]:
        request["note"] = [text("text", said["en"], said["zh"]), _disclaimer()]
    return request


def _disclaimer() -> Element:
    return text("text", DISCLAIMER, DISCLAIMER_ZH)


def _radiology() -> Element:
    system = "http://terminology.hl7.org/CodeSystem/v2-0074"
    return {"coding": [{"system": system, "code": code("RAD"), "display": "Radiology"}]}


def _conclusion(result: Mapping[str, Any], signature: Signature | None) -> tuple[str, str]:
    """Say in a line each what every check says, those without an answer among them."""
    english, chinese = [DISCLAIMER], [DISCLAIMER_ZH]
    if signature and plain(signature.comment):
        for lines in (english, chinese):
            lines.append(plain(signature.comment))
    for check in result["checks"]:
        en, zh = STATES[check["state"]]
        told = REASONS.get(check["reason"] or "")
        said = check["text"] or {}
        english.append(f"{check['check']}: {en}. {said.get('en') or (told.en if told else '')}")
        chinese.append(f"{check['check']}:{zh}。{said.get('zh') or (told.zh if told else '')}")
    return "\n".join(english), "\n".join(chinese)
