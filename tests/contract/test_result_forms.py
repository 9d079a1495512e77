"""docs/results-forms.md and the FHIR bundle name the same code systems; standard codes exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from pydicom.sr._concepts_dict import concepts

from gateway.results.fhir import fhir_bundle
from gateway.settings import ROOT
from tests.fhir_case import SIGNED, header, result

OURS = "urn:onescan:fhir:"
DICTIONARIES = {
    "http://snomed.info/sct": "SCT",
    "http://dicom.nema.org/resources/ontology/DCM": "DCM",
}
MODALITIES = {"CT"}
"""Codes of DCM that the dictionary has under its modality context group, not as findings."""


@pytest.fixture(scope="module")
def codings() -> list[tuple[str, str]]:
    """Every coding of a bundle that has everything in it."""
    made = [fhir_bundle(result(), header(), SIGNED), fhir_bundle(result(), None)]

    def found(value: Any) -> Iterator[tuple[str, str]]:
        if isinstance(value, dict):
            if "system" in value and "code" in value and "value" not in value:
                yield value["system"], value["code"]
            for inner in value.values():
                yield from found(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from found(inner)

    return sorted(set(found(made)))


def test_the_page_lists_our_code_systems_and_no_other(codings: list[tuple[str, str]]) -> None:
    """Each row a system."""
    page = (ROOT / "docs" / "results-forms.md").read_text(encoding="utf-8")
    section = page.split("## Code systems\n", 1)[1]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    listed = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    assert listed == {system.removeprefix(OURS) for system, _ in codings if OURS in system}


def test_standard_codes_are_in_dicoms_dictionaries(codings: list[tuple[str, str]]) -> None:
    """None is guessed."""
    known = {
        (scheme, code)
        for scheme in DICTIONARIES.values()
        for entries in concepts[scheme].values()
        for code in entries
    }
    used = {(DICTIONARIES[s], code) for s, code in codings if s in DICTIONARIES}
    assert ("SCT", "10828004") in used
    assert ("DCM", "112181") in used
    assert {code for _, code in used - known} <= MODALITIES


def test_every_resource_of_a_bundle_is_explained() -> None:
    """The page's table and the bundle name the same types."""
    page = (ROOT / "docs" / "results-forms.md").read_text(encoding="utf-8")
    section = page.split("## The FHIR Bundle\n", 1)[1].split("\n## ", 1)[0]
    listed = set(re.findall(r"^\| ([A-Z]\w+) \|", section, flags=re.MULTILINE))
    made = fhir_bundle(result(), header())
    there = {entry["resource"]["resourceType"] for entry in made["entry"]}
    contained = {
        inner["resourceType"]
        for entry in made["entry"]
        for inner in entry["resource"].get("contained", ())
    }
    assert listed == there | contained
