"""FHIR's small parts: codes, quantities, texts in two languages, identifiers that stay the same."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

Element = dict[str, Any]
"""A FHIR element or resource as JSON has it."""

OURS = "urn:onescan:fhir:"
"""Base of our own code systems; docs/results-forms.md lists them."""

SNOMED = "http://snomed.info/sct"
DCM = "http://dicom.nema.org/resources/ontology/DCM"
UCUM = "http://unitsofmeasure.org"
LOINC = "http://loinc.org"
ABSENT = "http://terminology.hl7.org/CodeSystem/data-absent-reason"

SCHEMES = {
    "SCT": SNOMED,
    "DCM": DCM,
    "LN": LOINC,
    "UCUM": UCUM,
    "RADLEX": "http://radlex.org",
}
"""DICOM's coding scheme designator → FHIR's system; any other is ``urn:onescan:fhir:DESIGNATOR``
(PS3.16 chapter 8 lists the designators)."""

TRANSLATION = "http://hl7.org/fhir/StructureDefinition/translation"

CHINESE = "zh-CN"

NAMESPACE = uuid5(NAMESPACE_URL, "urn:onescan:fhir")
"""Of every identifier that is made here."""


def identifier(*parts: object) -> str:
    """Make a UUID (version 5) that is the same for the same parts."""
    return str(uuid5(NAMESPACE, "\n".join(str(part) for part in parts)))


def urn(resource: Mapping[str, Any] | str) -> str:
    """Give the address of a resource within its bundle."""
    return f"urn:uuid:{UUID(resource if isinstance(resource, str) else resource['id'])}"


def reference(resource: Element, display: str = "") -> Element:
    """Point at a resource of the same bundle."""
    pointer = {"reference": urn(resource), "type": resource["resourceType"]}
    return {**pointer, "display": display} if display else pointer


def plain(text: object) -> str:
    """Make text fit for a FHIR string: no control character but tab and line ends.

    What is no character of XML becomes U+FFFD, so that something is still seen to be there. HTML
    and marks of direction are text like any other: FHIR's strings are never markup.
    """
    out = "".join(_seen(character) for character in str(text))
    return out.strip()


def _seen(character: str) -> str:
    if character in "\t\r\n":
        return character
    kind = unicodedata.category(character)
    no_character = kind == "Cn" and ord(character) & 0xFFFE == 0xFFFE
    return "\ufffd" if kind in ("Cc", "Cs") or no_character else character


def code(text: object) -> str:
    """Make text fit for a FHIR code: single spaces only, none at its ends."""
    return " ".join(plain(text).split())


def ours(system: str, value: object, display: str = "") -> Element:
    """Make a coding of one of our own systems."""
    coding = {"system": OURS + system, "code": code(value)}
    return {**coding, "display": plain(display)} if display else coding


def coding(entry: object) -> Element | None:
    """Make a coding of a manifest's ``{scheme, value, meaning}``; None of anything else."""
    if not isinstance(entry, Mapping):
        return None
    scheme, value = code(entry.get("scheme") or ""), code(entry.get("value") or "")
    if not scheme or not value:
        return None
    found = {"system": SCHEMES.get(scheme, OURS + scheme), "code": value}
    meaning = plain(entry.get("meaning") or "")
    return {**found, "display": meaning} if meaning else found


def concept(*codings: Element | None, en: str = "", zh: str = "") -> Element:
    """Make a CodeableConcept."""
    found: Element = {}
    if kept := [one for one in codings if one is not None]:
        found["coding"] = kept
    return found | (text("text", en, zh) if plain(en) else {})


def text(name: str, en: str, zh: str = "") -> Element:
    """Make a string element in English, its Chinese as the standard's translation extension."""
    found: Element = {name: plain(en)}
    if zh and plain(zh):
        found[f"_{name}"] = {
            "extension": [
                {
                    "url": TRANSLATION,
                    "extension": [
                        {"url": "lang", "valueCode": CHINESE},
                        {"url": "content", "valueString": plain(zh)},
                    ],
                }
            ]
        }
    return found


def quantity(value: float, unit: str | None) -> Element:
    """Make a Quantity with its UCUM unit; without one where none is known."""
    if not unit:
        return {"value": value}
    return {"value": value, "unit": unit, "system": UCUM, "code": unit}


def absent(why: str, *more: Element, en: str = "", zh: str = "") -> Element:
    """Say why there is no value, by a code of data-absent-reason."""
    return concept({"system": ABSENT, "code": why}, *more, en=en, zh=zh)


def uid(value: str) -> str:
    """Write a UID as a URI."""
    return f"urn:oid:{value}"
