"""`onescan screen --clinical FILE` is read by the server's parser, before anything is sent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.commands.screen import _one_patient, _read_clinical
from gateway.exceptions import InvalidClinicalError, UsageError
from gateway.intake.folders import collect
from gateway.settings import IntakeSettings
from tests.small_ct import write_small_ct


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "clinical.json"


def test_values_are_sent_as_they_were_written(file: Path) -> None:
    """With their units: an albumin of 0.7 g/dL, as a plain 7 g/L, would be ambiguous."""
    written = {"albumin": {"value": 0.7, "unit": "g/dL"}, "sex": "F"}
    file.write_text(json.dumps(written), encoding="utf-8-sig")
    assert _read_clinical(file) == written
    assert _read_clinical(None) is None


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "request.invalid_clinical"),
        ("[]", "request.invalid_clinical"),
        ("{", "request.invalid_clinical"),
        ("[" * 100_000, "request.invalid_clinical"),
        ('{"ast": "40"}', "request.invalid_clinical"),
        ('{"ast": NaN}', "request.clinical_out_of_range"),
        ('{"asat": 40}', "request.unknown_clinical"),
        ('{"albumin": 4}', "request.clinical_ambiguous"),
    ],
)
def test_bad_files_are_refused(file: Path, text: str, code: str) -> None:
    """By the codes of the API."""
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidClinicalError) as caught:
        _read_clinical(file)
    assert caught.value.code == code


def test_a_file_that_is_not_there_is_refused(file: Path) -> None:
    """Or that is no text."""
    with pytest.raises(InvalidClinicalError, match="not a readable JSON file"):
        _read_clinical(file)
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidClinicalError, match="not a readable JSON file"):
        _read_clinical(file)


def test_one_patients_values_are_not_given_to_another(tmp_path: Path) -> None:
    """Several studies of one patient share them; those of several patients do not."""
    for name, patient in (("a", "P1"), ("b", "P1"), ("c", "P2")):
        write_small_ct(
            tmp_path / name,
            slices=3,
            study_instance_uid=f"1.2.826.0.1.3680043.8.498.{ord(name)}",
            changes={"PatientID": patient},
        )
    for names, several in (("ab", False), ("abc", True)):
        with collect([tmp_path / name for name in names], settings=IntakeSettings()) as found:
            if several:
                with pytest.raises(UsageError, match="several patients"):
                    _one_patient(found.instances)
            else:
                _one_patient(found.instances)
