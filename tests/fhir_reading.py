"""A FHIR bundle read back into the JSON form, as far as it holds that: the judge of the writer.

It knows FHIR and the names of our code systems, and nothing of the modules that write.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

OURS = "urn:onescan:fhir:"
SIZES = ("long_diameter_mm", "short_diameter_mm", "mean_diameter_mm", "volume_mm3")

Element = dict[str, Any]


def resources(bundle: Element, kind: str) -> list[Element]:
    """List a bundle's resources of one type."""
    return [
        entry["resource"] for entry in bundle["entry"] if entry["resource"]["resourceType"] == kind
    ]


def ours(concept: Element | None, system: str) -> str | None:
    """Give the code that a concept has of one of our systems."""
    for coding in (concept or {}).get("coding", ()):
        if coding["system"] == OURS + system:
            return str(coding["code"])
    return None


def chinese(element: Element, name: str) -> str | None:
    """Give the translation of a string element."""
    for extension in element.get(f"_{name}", {}).get("extension", ()):
        parts = {one["url"]: one for one in extension["extension"]}
        if parts["lang"]["valueCode"].startswith("zh"):
            return str(parts["content"]["valueString"])
    return None


def value_of(element: Element, system: str = "") -> Any:
    """Give a component's value, whatever its type."""
    if "valueQuantity" in element:
        return element["valueQuantity"]["value"]
    if "valueCodeableConcept" in element:
        return ours(element["valueCodeableConcept"], system)
    return element.get("valueString", element.get("valueInteger"))


def by_code(observation: Element, system: str) -> dict[str, list[Element]]:
    """Group components by their code of one of our systems."""
    found: dict[str, list[Element]] = {}
    for one in observation["component"]:
        if name := ours(one["code"], system):
            found.setdefault(name, []).append(one)
    return found


def read_checks(bundle: Element) -> list[Element]:
    """Read every check in the order of the report."""
    there = {entry["fullUrl"]: entry["resource"] for entry in bundle["entry"]}
    report = resources(bundle, "DiagnosticReport")[0]
    return [_check(there[one["reference"]], there) for one in report.get("result", ())]


def _check(observation: Element, there: dict[str, Element]) -> Element:
    items = by_code(observation, "item")
    absent = observation.get("dataAbsentReason")
    measures = by_code(observation, "measure")
    note = observation.get("note", [{}])[0]
    first = {name: value_of(found[0]) for name, found in items.items()}
    reason = items.get("reason")
    return {
        "check": ours(observation["code"], "check"),
        "state": ours(observation.get("valueCodeableConcept") or absent, "state"),
        "reason": value_of(reason[0], "reason") if reason else ours(absent, "reason"),
        "score": first.get("score"),
        "grade": first.get("grade"),
        "urgency": value_of(items["urgency"][0], "urgency"),
        "thresholds": _thresholds(items) if "threshold_set" in items else None,
        "measures": {name: value_of(found[0]) for name, found in measures.items()},
        "units": {
            name: found[0]["valueQuantity"]["code"]
            for name, found in measures.items()
            if "code" in found[0].get("valueQuantity", {})
        },
        "assessments": [
            {"rule": name, "category": _category(found[0]), "value": _compared(observation, name)}
            for name, found in by_code(observation, "rule").items()
        ],
        "text": {"en": note.get("text"), "zh": chinese(note, "text")},
        "lesions": [_lesion(there[one["reference"]]) for one in observation.get("hasMember", ())],
    }


def _category(component: Element) -> str | None:
    absent = component.get("dataAbsentReason")
    return value_of(component, "category") or ours(absent, "category")


def _compared(observation: Element, rule: str) -> float | None:
    found = by_code(observation, "rule_value").get(rule)
    return value_of(found[0]) if found else None


def _thresholds(items: dict[str, list[Element]]) -> Element:
    score = items["mark_threshold"][0]["valueQuantity"]
    lesion = None
    if "lesion_threshold_score" in items:
        lesion = {
            "score": value_of(items["lesion_threshold_score"][0]),
            "mark": value_of(items["lesion_mark_threshold"][0]),
            "flag": value_of(items["lesion_flag_threshold"][0]),
        }
    return {
        "set": value_of(items["threshold_set"][0]),
        "score": value_of(items["threshold_score"][0]),
        "unit": score["code"],
        "mark": value_of(items["mark_threshold"][0]),
        "flag": value_of(items["flag_threshold"][0]),
        "lesion": lesion,
        "marked_by": [value_of(one) for one in items.get("marked_by", ())],
        "flagged_by": [value_of(one) for one in items.get("flagged_by", ())],
    }


def _lesion(observation: Element) -> Element:
    items = by_code(observation, "item")
    said = {name: value_of(found[0]) for name, found in items.items()}
    shown = ours(observation["valueCodeableConcept"], "lesion")
    hu = {name: said.get(f"hu_{name}") for name in ("mean", "sd", "median", "min", "max")}
    return {
        "id": said["lesion_id"],
        "kind": value_of(items["kind"][0], "kind") if "kind" in items else None,
        "category": said.get("category"),
        "score": said.get("score"),
        "centre_mm": [said[f"centre_{axis}"] for axis in "xyz"],
        "box_mm": _box(said),
        **{name: said.get(name) for name in SIZES},
        "hu": hu if None not in hu.values() else None,
        "classes": dict(_classes(observation)),
        "measures": {
            name: value_of(found[0]) for name, found in by_code(observation, "measure").items()
        },
        "site": ours(observation.get("bodySite"), "organ"),
        "side": value_of(items["side"][0], "side") if "side" in items else None,
        **{
            name: said[name].removeprefix("urn:oid:") if name in said else None
            for name in ("series_instance_uid", "sop_instance_uid")
        },
        "frame_number": said.get("frame_number"),
        "slice_index": said.get("slice_index"),
        "marked": shown in ("marked", "flagged"),
        "flagged": shown == "flagged",
    }


def _box(said: dict[str, Any]) -> list[list[float]] | None:
    if "box_low_x" not in said:
        return None
    return [[said[f"box_{corner}_{axis}"] for axis in "xyz"] for corner in ("low", "high")]


def _classes(observation: Element) -> Iterator[tuple[str, float]]:
    for name, found in by_code(observation, "kind").items():
        yield name, value_of(found[0])
