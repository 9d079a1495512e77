"""A result as a FHIR R4 Bundle: report, observations, imaging study, devices, proposed requests.

Made from the JSON form and the study's header by plain functions. ``fhir.resources`` (its R4B
models; nothing is used here that R4 does not have) judges each bundle before it is given away. It
is imported then and not before: it takes most of a second.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.results import fhir_check, fhir_lesion
from gateway.results.fhir_device import pipeline_device, software_device
from gateway.results.fhir_report import (
    asks_for_action,
    diagnostic_report,
    practitioner,
    service_request,
)
from gateway.results.fhir_study import imaging_study, study_time, subject
from gateway.results.fhir_terms import OURS, Element, identifier, plain, reference, urn
from gateway.results.json import DISCLAIMER
from gateway.results.signature import Signature
from gateway.store.screenings import FINAL_STATES
from gateway.store.study_header import StudyHeader

MEDIA_TYPE = "application/fhir+json"

VERSIONS = ("4.0", "4.3")
"""FHIR releases that the bundle is valid in: R4 and R4B."""

_NAMED = {"resourceType": "", "id": "", "meta": {}}
"""What a resource begins with."""

NOT_CLINICAL = {"system": f"{OURS}use", "code": "not-for-clinical-use", "display": DISCLAIMER}


def shown_instances(result: Mapping[str, Any]) -> list[str]:
    """List the SOP Instance UIDs in which something is shown."""
    shown = (
        lesion.get("sop_instance_uid")
        for check in result["checks"]
        for lesion in check["lesions"]
        if fhir_lesion.is_shown(lesion)
    )
    return sorted({uid for uid in shown if uid})


def fhir_bundle(
    result: Mapping[str, Any], header: StudyHeader | None, signature: Signature | None = None
) -> Element:
    """Make the bundle of a screening, finished or not.

    Parameters
    ----------
    result : mapping
        As `gateway.results.json.screening_result` gives it; under a signature as the readers left
        it.
    header : StudyHeader or None
        None where the study is not here (any more).
    signature : Signature, optional
        Makes the report final.

    Returns
    -------
    dict
        Plain values. The same result gives the same bundle, identifiers among it.
    """
    software = software_device()
    study = imaging_study(result, header)
    devices = {software["id"]: software}
    observations: list[Element] = []
    lesions: list[Element] = []
    requests: list[tuple[Mapping[str, Any], Element, Element]] = []
    whole = _Whole(result, header, signature, study)
    for check in [*result["checks"], *_pending(result)]:
        device = pipeline_device(check["provenance"], software) or software
        devices[device["id"]] = device
        found = [
            whole.lesion(check, lesion, device)
            for lesion in check["lesions"]
            if fhir_lesion.is_shown(lesion)
        ]
        observation = whole.check(check, device, found)
        observations.append(observation)
        lesions += found
        if asks_for_action(check):
            requests.append((check, observation, device))
    report = diagnostic_report(result, header, signature, study=study, observations=observations)
    proposed = [
        service_request(
            check, result, header, observation=observation, report=report, device=device
        )
        for check, observation, device in requests
    ]
    resources = [report, *observations, *lesions, *([study] if study else []), *proposed]
    resources += devices.values()
    return _bundle(result, signature, resources)


def validated(bundle: Element) -> Element:
    """Give the bundle back once ``fhir.resources`` has found nothing wrong with it.

    Raises
    ------
    ValueError
        Naming elements, never their values, which may be the patient's: a fault of ours.
    """
    from fhir.resources.R4B.bundle import Bundle
    from pydantic import ValidationError

    try:
        Bundle.model_validate(bundle)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        places = sorted({".".join(map(str, one["loc"])) for one in found})
        raise ValueError(f"The bundle is no FHIR at {', '.join(places)}.") from None
    return bundle


class _Whole:
    """What all observations of a bundle have in common."""

    def __init__(
        self,
        result: Mapping[str, Any],
        header: StudyHeader | None,
        signature: Signature | None,
        study: Element | None,
    ) -> None:
        self._screening_id = result["screening_id"]
        self._signature = signature
        final = "amended" if signature and signature.amends else "final"
        self._status = final if signature else "preliminary"
        self._common: Element = {"subject": subject(header)}
        if at := study_time(header):
            self._common["effectiveDateTime"] = at
        if issued := signature.signed_at if signature else result["finished_at"]:
            self._common["issued"] = issued
        if signature:
            self._common["performer"] = [practitioner(reader) for reader in signature.readers]
        if study:
            self._common["derivedFrom"] = [reference(study)]

    def check(self, check: Mapping[str, Any], device: Element, lesions: list[Element]) -> Element:
        """Make the Observation of a check."""
        code = fhir_check.check_code(check["check"], check["codes"])
        found = self._observation(device, code, "check", check["check"])
        if check["state"] == "pending":
            found["status"] = "registered"
        found |= fhir_check.answer(check)
        if site := fhir_check.site_of(check["codes"]):
            found["bodySite"] = site
        if notes := fhir_check.notes(check, self._signature):
            found["note"] = notes
        if lesions:
            found["hasMember"] = [reference(one) for one in lesions]
        found["component"] = fhir_check.components(check, code, self._signature)
        return found

    def lesion(
        self, check: Mapping[str, Any], lesion: Mapping[str, Any], device: Element
    ) -> Element:
        """Make the Observation of a lesion."""
        code = fhir_lesion.lesion_code(check["codes"], lesion.get("kind"))
        found = self._observation(device, code, "lesion", check["check"], lesion["id"])
        found |= fhir_lesion.answer(lesion)
        if site := fhir_lesion.body_site(lesion):
            found["bodySite"] = site
        found["component"] = fhir_lesion.components(lesion, code)
        return found

    def _observation(self, device: Element, code: Element, *name: object) -> Element:
        return {
            "resourceType": "Observation",
            "id": identifier(*name, self._screening_id),
            "language": "en",
            "status": self._status,
            "category": [fhir_check.CATEGORY],
            "code": code,
            "device": reference(device),
            **self._common,
        }


def _pending(result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Give the checks that were asked for and say nothing here, so that none is missing."""
    there = {check["check"] for check in result["checks"]}
    return [
        {
            "check": name,
            "state": "unknown" if result["state"] in FINAL_STATES else "pending",
            "reason": None,
            "score": None,
            "grade": None,
            "thresholds": None,
            "urgency": "note",
            "lesions": [],
            "measures": {},
            "units": {},
            "assessments": [],
            "text": {},
            "codes": {},
            "provenance": {},
        }
        for name in result["requested_checks"]
        if name not in there
    ]


def _bundle(
    result: Mapping[str, Any], signature: Signature | None, resources: list[Element]
) -> Element:
    """Put resources into a bundle, each under its own address and none as if for clinical use."""
    made_at = signature.signed_at if signature else result["finished_at"] or result["created_at"]
    marked = [{**_NAMED, **one, "meta": {"tag": [NOT_CLINICAL]}} for one in resources]
    return {
        "resourceType": "Bundle",
        "id": identifier("bundle", result["screening_id"]),
        "meta": {"tag": [NOT_CLINICAL]},
        "language": "en",
        "identifier": {
            "system": "urn:ietf:rfc:3986",
            "value": urn(identifier("bundle", result["screening_id"])),
        },
        "type": "collection",
        "timestamp": plain(made_at),
        "entry": [{"fullUrl": urn(one), "resource": one} for one in marked],
    }
