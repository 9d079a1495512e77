"""FHIR's ImagingStudy and Patient, as the DICOM headers have them and no more."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, time
from typing import Any

from gateway.results.fhir_terms import (
    DCM,
    Element,
    code,
    identifier,
    plain,
    uid,
)
from gateway.store.study_header import StudyHeader
from gateway.study.attributes import values

DICOM_UID = "urn:dicom:uid"
IDENTIFIER_TYPE = "http://terminology.hl7.org/CodeSystem/v2-0203"
REPRESENTATION = "http://hl7.org/fhir/StructureDefinition/iso21090-EN-representation"

GROUPS = ("ABC", "IDE", "SYL")
"""Component groups of a person name in DICOM's order: alphabetic, ideographic, phonetic."""

GENDERS = {"F": "female", "M": "male", "O": "other"}

PATIENT = "patient"
"""Id of the contained patient."""

URI = "urn:ietf:rfc:3986"


def first(attributes: Mapping[str, Any], keyword: str) -> str:
    """Give an attribute's first value as text fit for FHIR; empty where there is none."""
    return plain("".join(values(attributes, keyword)[:1]))


def study_identifiers(study_instance_uid: str | None, header: StudyHeader | None) -> list[Element]:
    """Give the study's UID and its accession number."""
    found: list[Element] = []
    if study_instance_uid:
        found.append({"system": DICOM_UID, "value": uid(study_instance_uid)})
    accession = first(header.attributes, "AccessionNumber") if header else ""
    if accession:
        found.append({"type": _type("ACSN"), "value": accession})
    return found


def subject(header: StudyHeader | None) -> Element:
    """Point at the patient by what the header knows him by; nothing here has an address of his."""
    pointer: Element = {"type": "Patient"}
    known = _patient_identifier(header)
    name = _name_text(header)
    if known:
        pointer["identifier"] = known
    return {**pointer, "display": name or ("unnamed" if known else "unknown")}


def contained_patient(header: StudyHeader | None) -> Element | None:
    """Describe the patient within a report; None where the header says nothing of him."""
    if header is None:
        return None
    patient: Element = {"resourceType": "Patient", "id": PATIENT}
    if known := _patient_identifier(header):
        patient["identifier"] = [known]
    if names := _names(header):
        patient["name"] = names
    if gender := GENDERS.get(first(header.attributes, "PatientSex").upper()):
        patient["gender"] = gender
    if born := _date(first(header.attributes, "PatientBirthDate")):
        patient["birthDate"] = born
    return patient if len(patient) > 2 else None


def study_time(header: StudyHeader | None) -> str | None:
    """Give when the study was made; without its time where the header names no time zone."""
    if header is None:
        return None
    day = _date(first(header.attributes, "StudyDate"))
    clock = _time(first(header.attributes, "StudyTime"))
    zone = first(header.attributes, "TimezoneOffsetFromUTC")
    if day is None:
        return None
    known = len(zone) == 5 and zone[0] in "+-" and zone[1:].isdigit()
    if clock is None or not known or int(zone[1:3]) > 14 or int(zone[3:]) > 59:
        return day
    return f"{day}T{clock}{zone[:3]}:{zone[3:]}"


def imaging_study(result: Mapping[str, Any], header: StudyHeader | None) -> Element | None:
    """Describe the study; None where its UID is not known yet."""
    study_instance_uid = result["study"]["study_instance_uid"]
    if not study_instance_uid:
        return None
    found: Element = {
        "resourceType": "ImagingStudy",
        "id": identifier("study", study_instance_uid),
        "language": "en",
        "identifier": study_identifiers(study_instance_uid, header),
        "status": "available" if header else "unknown",
        "subject": subject(header),
    }
    if started := study_time(header):
        found["started"] = started
    if header and (description := first(header.attributes, "StudyDescription")):
        found["description"] = description
    series = _series(result, header)
    if series:
        found["modality"] = [
            _modality(one) for one in sorted({one["modality"]["code"] for one in series})
        ]
        found["numberOfSeries"] = len(series)
        found["numberOfInstances"] = sum(one.get("numberOfInstances", 0) for one in series)
        found["series"] = series
    return found


def _series(result: Mapping[str, Any], header: StudyHeader | None) -> list[Element]:
    if header is None:
        return [
            {"uid": uid_, "modality": _modality(modality)}
            for uid_, modality in {
                one["series_instance_uid"]: one["modality"] for one in result["series"] or ()
            }.items()
        ]
    return [_one_series(row, header) for row in header.series]


def _one_series(row: Mapping[str, Any], header: StudyHeader) -> Element:
    found: Element = {"uid": row["series_instance_uid"]}
    found |= _number(row["series_number"])
    found["modality"] = _modality(row["modality"])
    if description := plain(row["description"] or ""):
        found["description"] = description
    found["numberOfInstances"] = row["instance_count"]
    named = [
        {
            "uid": one.sop_instance_uid,
            "sopClass": {"system": URI, "code": uid(one.sop_class_uid)},
            **_number(one.instance_number),
        }
        for one in header.instances
        if one.series_instance_uid == row["series_instance_uid"]
    ]
    return {**found, "instance": named} if named else found


def _number(number: object) -> Element:
    """Give a series' or instance's number; DICOM allows negative ones, FHIR does not."""
    return {"number": number} if isinstance(number, int) and number >= 0 else {}


def _modality(modality: object) -> Element:
    return {"system": DCM, "code": code(modality or "") or "OT"}


def _type(kind: str) -> Element:
    return {"coding": [{"system": IDENTIFIER_TYPE, "code": kind}]}


def _patient_identifier(header: StudyHeader | None) -> Element | None:
    value = first(header.attributes, "PatientID") if header else ""
    if not value or header is None:
        return None
    issuer = first(header.attributes, "IssuerOfPatientID")
    known: Element = {"type": _type("MR"), "value": value}
    return {**known, "assigner": {"display": issuer}} if issuer else known


def _groups(header: StudyHeader) -> list[str]:
    return [plain(group) for group in first(header.attributes, "PatientName").split("=")[:3]]


def _name_text(header: StudyHeader | None) -> str:
    groups = _groups(header) if header else []
    return plain(next((group for group in groups if group), "").replace("^", " "))


def _names(header: StudyHeader) -> list[Element]:
    found = []
    for group, representation in zip(_groups(header), GROUPS, strict=False):
        family, given, middle, prefix, suffix = [plain(p) for p in f"{group}^^^^".split("^")[:5]]
        name: Element = {
            "extension": [{"url": REPRESENTATION, "valueCode": representation}],
            "text": plain(" ".join(group.replace("^", " ").split(" "))),
            "family": family,
            "given": [part for part in (given, middle) if part],
            "prefix": [prefix] if prefix else [],
            "suffix": [suffix] if suffix else [],
        }
        if name["text"]:
            found.append({key: value for key, value in name.items() if value})
    return found


def _date(value: str) -> str | None:
    """Write a DA as FHIR does; None of what is no date."""
    digits = value.replace(".", "") if len(value) == 10 else value
    if len(digits) != 8 or not digits.isascii() or not digits.isdigit():
        return None
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:])).isoformat()
    except ValueError:
        return None


def _time(value: str) -> str | None:
    """Write a TM as FHIR does, to the second; None of what is no time."""
    given = value.partition(".")[0].replace(":", "")
    if len(given) not in (2, 4, 6) or not given.isascii() or not given.isdigit():
        return None
    digits = given.ljust(6, "0")
    try:
        return time(int(digits[:2]), int(digits[2:4]), int(digits[4:])).isoformat()
    except ValueError:
        return None
