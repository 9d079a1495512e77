"""The answer to a store request, PS3.18 10.5.3 and annex I.2, as DICOM JSON."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from gateway.intake.receiver import Received

REFERENCED_CLASS, REFERENCED_INSTANCE = "00081150", "00081155"
RETRIEVE_URL, FAILURE_REASON = "00081190", "00081197"
FAILED, REFERENCED, OTHER_FAILURES = "00081198", "00081199", "0008119A"
ERROR_COMMENT = "00000902"
"""The sentence, cut to the 64 characters of its VR."""

PRIVATE_CREATOR = "00990010"
PRIVATE_CODE, PRIVATE_MESSAGE, PRIVATE_PART = "00991001", "00991002", "00991003"
"""Our private block in each failure: stable code, whole sentence, 1-based number of the part."""

CREATOR = "ONESCAN"


def answer(received: Sequence[Received], *, service_url: str) -> tuple[int, dict[str, Any]]:
    """Make status and body.

    Instances that are stored, those that were there already included, are in the Referenced SOP
    Sequence. The others are in the Failed SOP Sequence or, when it is not known which instance
    the part was, in the Other Failures Sequence.

    Parameters
    ----------
    received : sequence of Received
        One a part.
    service_url : str
        Where DICOMweb begins, without a slash at the end. Each stored instance is told where it
        can be retrieved, and the study where all are of one.

    Returns
    -------
    int
        200 when all parts are stored, 202 when some are, 409 when none is.
    dict
        Body of ``application/dicom+json``.
    """
    stored: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    unnamed: list[dict[str, Any]] = []
    studies: set[str] = set()
    for item in received:
        if item.instance is not None:
            names = _names(item.instance.sop_class_uid, item.instance.sop_instance_uid)
        else:
            names = _names(item.sop_class_uid, item.sop_instance_uid)
        if item.error is None and item.instance is not None:
            study = f"{service_url}/studies/{item.instance.study_instance_uid}"
            series = f"{study}/series/{item.instance.series_instance_uid}"
            url = f"{series}/instances/{item.instance.sop_instance_uid}"
            stored.append(names | {RETRIEVE_URL: {"vr": "UR", "Value": [url]}})
            studies.add(study)
        else:
            named = REFERENCED_INSTANCE in names
            (failed if named else unnamed).append(names | _failure(item))
    body: dict[str, Any] = {RETRIEVE_URL: {"vr": "UR"}}
    if len(studies) == 1:
        body[RETRIEVE_URL]["Value"] = [*studies]
    for tag, items in ((FAILED, failed), (REFERENCED, stored), (OTHER_FAILURES, unnamed)):
        if items:
            body[tag] = {"vr": "SQ", "Value": items}
    if not stored:
        return HTTPStatus.CONFLICT, body
    return (HTTPStatus.ACCEPTED if failed or unnamed else HTTPStatus.OK), body


def _names(sop_class_uid: str, sop_instance_uid: str) -> dict[str, Any]:
    names = {}
    if sop_class_uid:
        names[REFERENCED_CLASS] = {"vr": "UI", "Value": [sop_class_uid]}
    if sop_instance_uid:
        names[REFERENCED_INSTANCE] = {"vr": "UI", "Value": [sop_instance_uid]}
    return names


def _failure(item: Received) -> dict[str, Any]:
    assert item.error is not None
    message = str(item.error)
    return {
        ERROR_COMMENT: {"vr": "LO", "Value": [message[:64]]},
        FAILURE_REASON: {"vr": "US", "Value": [item.error.failure_reason]},
        PRIVATE_CREATOR: {"vr": "LO", "Value": [CREATOR]},
        PRIVATE_CODE: {"vr": "LO", "Value": [item.error.code]},
        PRIVATE_MESSAGE: {"vr": "ST", "Value": [message]},
        PRIVATE_PART: {"vr": "UL", "Value": [item.part]},
    }
