"""Patient and study in FHIR: as the DICOM header has them, whatever stands there."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.results.fhir import fhir_bundle, validated
from gateway.results.fhir_study import contained_patient, study_time, subject
from gateway.store.study_header import StudyHeader
from tests.fhir_case import CT_IMAGE, SERIES, header, result
from tests.fhir_r4 import unknown_to_r4
from tests.fhir_reading import resources

HOSTILE = [
    "<script>alert(1)</script>^<img src=x onerror=alert(1)>",
    "\u202etxt.exe\u202c^\u0645\u0631\u064a\u0636=王^小\u200f东",
    "A" * 65536,
    "=" * 5000 + "^" * 5000,
    "\x00\x01\x1b[2J\ufffe\uffff\x7f",
    "   ",
    "${jndi:ldap://x}^'; DROP TABLE studies; --",
    "\ud800 lone^half",
    "張^三=张^三=ちょう^さん",
]


def patient(**attributes: Any) -> dict[str, Any]:
    """Give the patient that a report contains."""
    found = contained_patient(header(**attributes))
    assert found is not None
    return found


def test_a_name_is_told_by_its_groups() -> None:
    """Alphabetic, ideographic and phonetic, each with its parts."""
    names = patient(PatientName="Yamada^Tarou^M^Dr^Jr=山田^太郎=やまだ^たろう")["name"]
    assert [one["extension"][0]["valueCode"] for one in names] == ["ABC", "IDE", "SYL"]
    assert names[0]["family"] == "Yamada"
    assert names[0]["given"] == ["Tarou", "M"]
    assert (names[0]["prefix"], names[0]["suffix"]) == (["Dr"], ["Jr"])
    assert names[1]["text"] == "山田 太郎"


def test_nothing_is_made_up() -> None:
    """What the header does not have is not there; dates that are none are left out."""
    bare = dict.fromkeys(
        ("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex")
    )
    assert contained_patient(header(**bare)) is None
    assert contained_patient(None) is None
    assert subject(header(**bare)) == {"type": "Patient", "display": "unknown"}
    odd = patient(PatientBirthDate="19570230", PatientSex="X")
    assert "birthDate" not in odd
    assert "gender" not in odd
    assert patient(PatientBirthDate="1957.03.14")["birthDate"] == "1957-03-14"


def test_a_patient_is_known_by_the_headers_id_alone() -> None:
    """With its issuer; nothing points at a patient of ours."""
    found = subject(header())
    assert found["identifier"]["value"] == "P-1"
    assert found["identifier"]["assigner"] == {"display": "HOSPITAL"}
    assert "system" not in found["identifier"]
    assert "reference" not in found


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_header_is_text(name: str) -> None:
    """Whatever stands where: a valid bundle, of R4, that says it as it is."""
    told = header(
        PatientName=name,
        PatientID=name,
        IssuerOfPatientID=name,
        AccessionNumber=name,
        StudyDescription=name,
        PatientSex=name,
        PatientBirthDate=name,
        StudyDate=name,
        StudyTime=name,
        TimezoneOffsetFromUTC=name,
    )
    told = StudyHeader(
        attributes=told.attributes,
        series=({**told.series[0], "description": name, "modality": name, "series_number": -1},),
    )
    made = validated(fhir_bundle(result(), told))
    assert not list(unknown_to_r4(made, "Bundle"))
    text = json.dumps(made, ensure_ascii=False)
    text.encode()
    assert json.loads(text) == made
    assert not set(text) & {chr(number) for number in range(32)}
    if name.isprintable() and name.strip():
        assert name in text.replace('\\"', '"')


@pytest.mark.parametrize(
    ("day", "clock", "zone", "told"),
    [
        ("20261120", "101530.25", "+0800", "2026-11-20T10:15:30+08:00"),
        ("20261120", "10", "-0330", "2026-11-20T10:00:00-03:30"),
        ("20261120", "101530", None, "2026-11-20"),
        ("20261120", "101530", "0800", "2026-11-20"),
        ("20261120", "101530", "+1960", "2026-11-20"),
        ("20261120", "246100", "+0800", "2026-11-20"),
        ("20261120", "1", "+0800", "2026-11-20"),
        ("20261320", "101530", "+0800", None),
        ("٢٠٢٦١١٢٠", "101530", "+0800", None),
        (None, "101530", "+0800", None),
    ],
)
def test_a_time_needs_its_zone(
    day: str | None, clock: str, zone: str | None, told: str | None
) -> None:
    """FHIR takes no time without one; the day stands alone then."""
    assert study_time(header(StudyDate=day, StudyTime=clock, TimezoneOffsetFromUTC=zone)) == told


def test_the_study_lists_its_series_and_the_instances_in_which_something_is_shown() -> None:
    """With DICOM's own UIDs."""
    (study,) = resources(validated(fhir_bundle(result(), header())), "ImagingStudy")
    (series,) = study["series"]
    assert (series["uid"], series["number"], series["numberOfInstances"]) == (SERIES, 3, 300)
    assert series["modality"]["code"] == "CT"
    assert [one["uid"] for one in series["instance"]] == [f"{SERIES}.1", f"{SERIES}.2"]
    assert series["instance"][0]["sopClass"]["code"] == f"urn:oid:{CT_IMAGE}"
    assert (study["numberOfSeries"], study["numberOfInstances"]) == (1, 300)
    assert study["description"] == "胸部平扫"
