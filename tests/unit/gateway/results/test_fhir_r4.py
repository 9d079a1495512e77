"""Bundles are FHIR R4: its elements, its references, its rules; nothing that only R4B has."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.results.fhir import fhir_bundle, validated
from tests.fhir_case import SIGNED, header, result
from tests.fhir_r4 import (
    ELEMENTS,
    R4B_ELEMENTS,
    R4B_RESOURCES,
    TARGETS,
    added_by_r4b,
    unknown_to_r4,
)

Element = dict[str, Any]


@pytest.fixture(params=["preliminary", "final", "without header", "running"])
def made(request: pytest.FixtureRequest) -> Element:
    given = {
        "preliminary": (result(), header(), None),
        "final": (result(), header(), SIGNED),
        "without header": (result(), None, None),
        "running": (result(state="running", finished_at=None), header(), None),
    }[request.param]
    return validated(fhir_bundle(*given))


def references(value: Any, path: str = "") -> Iterator[tuple[str, Element]]:
    """Give every reference with its path."""
    if isinstance(value, dict):
        if "type" in value and ("reference" in value or "display" in value):
            yield path, value
        for name, inner in value.items():
            yield from references(inner, f"{path}.{name}")
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner, path)


def test_nothing_is_there_that_r4_does_not_have(made: Element) -> None:
    """Neither an element nor a resource."""
    assert not list(unknown_to_r4(made, "Bundle"))
    assert not added_by_r4b(made)


@pytest.mark.parametrize("name", sorted(R4B_ELEMENTS))
def test_an_element_of_r4b_is_refused(name: str) -> None:
    """Wherever it stands: the walk finds it, and so does the list."""
    made = copy.deepcopy(fhir_bundle(result(), header()))
    made["entry"][1]["resource"]["component"][0][name] = {}
    assert added_by_r4b(made) == {name}
    assert any(path.endswith(name) for path in unknown_to_r4(made, "Bundle"))


@pytest.mark.parametrize("kind", sorted(R4B_RESOURCES))
def test_a_resource_of_r4b_is_refused(kind: str) -> None:
    """Also as a contained one."""
    made = copy.deepcopy(fhir_bundle(result(), header()))
    made["entry"][0]["resource"]["contained"].append({"resourceType": kind, "id": "x"})
    assert added_by_r4b(made) == {kind}
    assert any(kind in path for path in unknown_to_r4(made, "Bundle"))
    assert kind not in ELEMENTS


def test_references_lead_somewhere_that_r4_allows(made: Element) -> None:
    """Within the bundle, or to whom only an identifier is known of."""
    there = {entry["fullUrl"]: entry["resource"]["resourceType"] for entry in made["entry"]}
    found = 0
    for entry in made["entry"]:
        kind = entry["resource"]["resourceType"]
        for path, one in references(entry["resource"], kind):
            found += 1
            assert one["type"] in TARGETS[path], path
            if one.get("reference", "#").startswith("#"):
                assert one["type"] in ("Patient", "Practitioner")
                assert one["display"]
            else:
                assert there[one["reference"]] == one["type"]
    assert found > len(made["entry"])


def test_rules_hold_that_the_models_do_not_ask_for(made: Element) -> None:
    """bdl-7, dom-3, obs-6 and obs-7, and no empty element (ele-1)."""
    addresses = [entry["fullUrl"] for entry in made["entry"]]
    assert len(set(addresses)) == len(addresses)
    assert all(e["fullUrl"] == f"urn:uuid:{e['resource']['id']}" for e in made["entry"])
    for entry in made["entry"]:
        resource = entry["resource"]
        for contained in resource.get("contained", ()):
            assert resource["subject"]["reference"] == f"#{contained['id']}"
        if resource["resourceType"] == "Observation":
            whole = {(c["system"], c["code"]) for c in resource["code"]["coding"]}
            for one in [resource, *resource["component"]]:
                assert sum(name.startswith(("value", "dataAbsent")) for name in one) == 1
            for one in resource["component"]:
                assert not whole & {(c["system"], c["code"]) for c in one["code"]["coding"]}
    assert not list(empty(made))


def empty(value: Any, path: str = "") -> Iterator[str]:
    """Give the paths of what has nothing in it."""
    if value in ({}, [], "", None) or (isinstance(value, str) and not value.strip()):
        yield path
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from empty(inner, f"{path}.{name}")
    elif isinstance(value, list):
        for inner in value:
            yield from empty(inner, path)
