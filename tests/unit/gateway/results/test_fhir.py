"""The FHIR bundle: every state, the report's status, identifiers, devices, proposed requests."""

from __future__ import annotations

import json
import traceback
from typing import Any

import jsonschema
import pytest

from gateway.results.fhir import fhir_bundle, shown_instances, validated
from gateway.results.fhir_terms import code, coding, identifier, plain
from gateway.results.json import DISCLAIMER, schema
from gateway.results.signature import Signature, signature_of
from gateway.screening.findings import CheckResult
from gateway.screening.reasons import REASONS
from tests.fhir_case import (
    SERIES,
    SIGNED,
    STUDY,
    every_state,
    header,
    lesion,
    nodule,
    result,
    without_answer,
)
from tests.fhir_reading import by_code, chinese, ours, read_checks, resources


def bundle(**given: Any) -> dict[str, Any]:
    """Make a bundle that the models take."""
    values = {"result": result(), "header": header(), **given}
    return validated(fhir_bundle(**values))


def observations(made: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Give the observations of checks by their check."""
    found = resources(made, "Observation")
    return {name: one for one in found if (name := ours(one["code"], "check"))}


def report(made: dict[str, Any]) -> dict[str, Any]:
    """Give the one report."""
    (one,) = resources(made, "DiagnosticReport")
    return one


def test_the_case_is_a_result() -> None:
    """What the tests of forms convert is of the schema of the JSON form."""
    jsonschema.validate(result(), schema())


def test_every_state_is_told_and_none_as_a_negative() -> None:
    """Values for what was judged; a reason and no value at all for the rest."""
    seen = observations(bundle())
    values = {name: one.get("valueCodeableConcept") for name, one in seen.items()}
    assert {name: ours(value, "state") for name, value in values.items() if value} == {
        "nodule": "positive",
        "liver": "negative",
        "aorta": "indeterminate",
    }
    for name, state, standard, reason in (
        ("pancreas", "not_evaluated", "not-performed", "contrast"),
        ("stomach", "failed", "error", "timeout"),
    ):
        absent = seen[name]["dataAbsentReason"]
        assert {one["code"] for one in absent["coding"]} == {standard, state, reason}
        assert REASONS[reason].en in absent["text"]
        assert REASONS[reason].zh in str(chinese(absent, "text"))
        assert not any(key.startswith(("value", "interpretation")) for key in seen[name])
    signs = {
        n: [c["coding"][0]["code"] for c in o.get("interpretation", ())] for n, o in seen.items()
    }
    assert signs["aorta"] == ["IND", "AA"]
    assert signs["liver"] == ["NEG"]


@pytest.mark.parametrize("reason", sorted(REASONS))
@pytest.mark.parametrize("state", ["not_evaluated", "failed"])
def test_no_reason_makes_a_value(state: str, reason: str) -> None:
    """Whatever the reason why there is no answer."""
    made = fhir_bundle(result([without_answer("liver", state, reason)]), header())
    (seen,) = observations(made).values()
    assert ours(seen["dataAbsentReason"], "reason") == reason
    assert not any(key.startswith("value") for key in seen)
    assert "conclusionCode" not in report(made)


def test_a_check_without_a_result_yet_is_pending() -> None:
    """A running screening names what is still to come."""
    made = bundle(
        result=result(
            every_state()[:1],
            state="running",
            finished_at=None,
            requested_checks=["nodule", "liver"],
        )
    )
    seen = observations(made)
    assert seen["liver"]["status"] == "registered"
    assert seen["liver"]["dataAbsentReason"]["coding"][0]["code"] == "temp-unknown"
    assert report(made)["status"] == "partial"
    assert len(report(made)["result"]) == 2


def test_a_check_without_a_result_at_the_end_is_unknown() -> None:
    """Its result may be hidden from the reader: that is no word on the check."""
    made = bundle(result=result([], requested_checks=["liver"]))
    (seen,) = observations(made).values()
    assert {one["code"] for one in seen["dataAbsentReason"]["coding"]} == {"unknown"}
    assert not any(key.startswith("value") for key in seen)


@pytest.mark.parametrize(
    ("state", "checks", "status"),
    [
        ("accepted", [], "registered"),
        ("running", [], "registered"),
        ("running", [nodule()], "partial"),
        ("done", every_state(), "preliminary"),
        ("done", [without_answer("liver", "not_evaluated", "contrast")], "preliminary"),
        ("failed", [without_answer("liver", "failed", "crashed")], "cancelled"),
        ("failed", [nodule(), without_answer("liver", "failed", "crashed")], "partial"),
        ("cancelled", [], "cancelled"),
    ],
)
def test_only_a_signature_makes_a_report_final(
    state: str, checks: list[CheckResult], status: str
) -> None:
    """Else it is what the screening is, never more than preliminary."""
    given = result(checks, state=state, requested_checks=["liver", "nodule"])
    made = bundle(result=given)
    assert report(made)["status"] == status
    assert {one["status"] for one in resources(made, "Observation")} <= {
        "preliminary",
        "registered",
    }


def test_a_signed_review_makes_it_final() -> None:
    """Under the same identifiers, with its readers, their words and what they decided."""
    before, after = bundle(), bundle(signature=SIGNED)
    told = report(after)
    assert (told["status"], told["issued"]) == ("final", SIGNED.signed_at)
    assert [one["display"] for one in told["resultsInterpreter"]] == ["key:anna", "oidc:ben"]
    assert SIGNED.comment in told["conclusion"]
    assert [e["fullUrl"] for e in before["entry"]] == [e["fullUrl"] for e in after["entry"]]
    assert {one["status"] for one in resources(after, "Observation")} == {"final"}
    corrected = by_code(observations(after)["nodule"], "item")
    assert ours(corrected["decision"][0]["valueCodeableConcept"], "decision") == "corrected"
    assert ours(corrected["state_before_review"][0]["valueCodeableConcept"], "state") == "positive"
    assert observations(after)["nodule"]["note"][1]["text"] == "7 mm"
    amended = Signature(readers=("key:anna",), signed_at=SIGNED.signed_at, amends=True)
    assert report(bundle(signature=amended))["status"] == "amended"


def test_a_final_report_says_who_signed_it() -> None:
    """In the form of docs/review.md; what the reader did not touch is implied."""
    said = {"decision": "accepted", "state": "positive", "lesions": [], "comment": ""}
    report_ = {
        "readers": ["key:anna"],
        "signed_at": "2026-11-22T08:00:00+00:00",
        "comment": "Fine.",
        "predecessor": "9a0a1a8c-1434-4a73-bdd3-2c192b78f80e",
        "findings": {
            "nodule": {**said, "ai_state": "positive", "implied": False},
            "liver": {**said, "ai_state": "negative", "implied": True},
        },
    }
    signed = signature_of(report_)
    assert signed.amends
    assert {name: one.decision for name, one in signed.decisions.items()} == {
        "nodule": "accepted",
        "liver": "implied",
    }
    told = report(bundle(signature=signed))
    assert (told["status"], told["issued"]) == ("amended", report_["signed_at"])


def test_a_lesion_that_a_reader_added_is_told() -> None:
    """It has a place and perhaps a size, and nothing that a network would say."""
    given = result()
    given["checks"][0]["lesions"] = [
        lesion(4)
        | dict.fromkeys(("kind", "score", "box_mm", "hu", "mean_diameter_mm", "volume_mm3"))
        | dict.fromkeys(("sop_instance_uid", "frame_number", "mask_value", "category"))
        | {"classes": {}, "measures": {}}
    ]
    made = bundle(result=given, signature=SIGNED)
    (added,) = [one for one in resources(made, "Observation") if not ours(one["code"], "check")]
    items = by_code(added, "item")
    assert items["lesion_id"][0]["valueInteger"] == 4
    assert not items.keys() & {"score", "hu_mean", "sop_instance_uid", "box_low_x"}


def test_identifiers_stay_the_same_and_tell_screenings_apart() -> None:
    """The same result gives the same bytes; another version of the study another report."""
    first, again = bundle(), bundle(result=json.loads(json.dumps(result())))
    assert json.dumps(first) == json.dumps(again)
    other = bundle(result=result(screening_id="2cd259f2-b908-4bb8-a9ed-e70817d71795", version=2))
    kinds = {e["fullUrl"]: e["resource"]["resourceType"] for e in first["entry"]}
    shared = kinds.keys() & {e["fullUrl"] for e in other["entry"]}
    assert {kinds[one] for one in shared} == {"ImagingStudy", "Device"}
    assert len(kinds) == len(first["entry"])


def test_the_order_of_measures_changes_nothing() -> None:
    """PostgreSQL's jsonb keeps keys in an order of its own."""
    turned = result()
    for check in turned["checks"]:
        check["measures"] = dict(reversed(check["measures"].items()))
    assert fhir_bundle(turned, header()) == fhir_bundle(result(), header())


def test_the_report_names_accession_and_study() -> None:
    """UIDs as URIs, the accession number by its type, and the screening itself."""
    told = report(bundle())
    values = {one["value"]: one for one in told["identifier"]}
    assert values[f"urn:oid:{STUDY}"]["system"] == "urn:dicom:uid"
    assert values["ACC-9"]["type"]["coding"][0]["code"] == "ACSN"
    assert f"urn:uuid:{result()['screening_id']}" in values
    assert told["conclusion"].startswith(DISCLAIMER)
    assert "nodule: Positive. Suspicious nodule." in told["conclusion"]
    assert "nodule:阳性。可疑结节。" in str(chinese(told, "conclusion"))
    assert [ours(one, "check") for one in told["conclusionCode"]] == ["nodule"]


def test_every_resource_says_that_it_is_not_for_clinical_use() -> None:
    """Also where it is taken out of its bundle."""
    for entry in bundle()["entry"]:
        (tag,) = entry["resource"]["meta"]["tag"]
        assert (tag["code"], tag["display"]) == ("not-for-clinical-use", DISCLAIMER)


def test_only_what_is_shown_is_an_observation_of_its_own() -> None:
    """Lesions below the thresholds stay in the JSON, and no instance is named for them."""
    made = bundle()
    assert len(observations(made)["nodule"]["hasMember"]) == 2
    assert shown_instances(result()) == [f"{SERIES}.1", f"{SERIES}.2"]
    lesions = [one for one in resources(made, "Observation") if not ours(one["code"], "check")]
    assert {one["bodySite"]["text"] for one in lesions if "bodySite" in one} == {"right lung"}
    for one in lesions:
        assert one["derivedFrom"][0]["type"] == "ImagingStudy"


def test_units_are_ucum() -> None:
    """With the code, the unit and the system; without any where none is known."""
    (seen,) = [one for one in resources(bundle(), "Observation") if "hasMember" in one]
    lesion = next(
        e["resource"]
        for e in bundle()["entry"]
        if e["fullUrl"] == seen["hasMember"][0]["reference"]
    )
    units = {
        ours(one["code"], "item"): one["valueQuantity"].get("code")
        for one in lesion["component"]
        if "valueQuantity" in one
    }
    assert units["long_diameter_mm"] == units["centre_x"] == "mm"
    assert (units["volume_mm3"], units["hu_mean"], units["score"]) == ("mm3", "[hnsf'U]", "1")
    for one in [*lesion["component"], *seen["component"]]:
        quantity = one.get("valueQuantity", {})
        assert ("system" in quantity) == ("code" in quantity)


def test_devices_tell_pipeline_weights_and_their_origin() -> None:
    """One of each pipeline, a part of the software; the same in every study."""
    devices = {one["deviceName"][0]["name"]: one for one in resources(bundle(), "Device")}
    assert set(devices) == {"OneScan", "OneScan nodule", "OneScan liver"}
    made_by = devices["OneScan nodule"]
    versions = {one["type"]["text"]: one["value"] for one in made_by["version"]}
    assert versions["weights/nodule_net"] == "cd" * 32
    assert "weights/anatomy_net" not in versions
    said = {
        ours(one["type"], "property"): one["valueCode"][0]["text"] for one in made_by["property"]
    }
    assert said["weights_origin"] == "synthetic phantoms, not for clinical use"
    assert said["weights_accepted"] == "false"
    assert "synthetic phantoms" in made_by["note"][0]["text"]
    newer = result()
    newer["checks"][0]["provenance"]["models"]["nodule_net"] = "00" * 32
    others = {one["id"] for one in resources(bundle(result=newer), "Device")}
    assert made_by["id"] not in others
    assert devices["OneScan liver"]["id"] in others


def test_a_flagged_check_proposes_what_follows() -> None:
    """As a draft that nobody has ordered; nothing else proposes anything."""
    made = bundle()
    (request,) = resources(made, "ServiceRequest")
    assert (request["status"], request["intent"], request["priority"]) == (
        "draft",
        "proposal",
        "urgent",
    )
    assert request["note"][0]["text"] == "Suspicious nodule. CT in 3 months."
    assert chinese(request["note"][0], "text") == "可疑结节。3个月后复查CT。"
    assert request["note"][1]["text"] == DISCLAIMER
    quiet = result(every_state()[1:])
    assert not resources(bundle(result=quiet), "ServiceRequest")


def test_a_study_that_is_not_here_has_its_results_all_the_same() -> None:
    """Its images were deleted, or it was never fetched."""
    made = bundle(header=None)
    (study,) = resources(made, "ImagingStudy")
    assert (study["status"], study["series"][0]["uid"]) == ("unknown", SERIES)
    assert report(made)["subject"] == {"type": "Patient", "display": "unknown"}
    nowhere = result(study={"study_instance_uid": None}, series=None)
    assert not resources(bundle(result=nowhere, header=None), "ImagingStudy")
    assert len(read_checks(bundle(result=nowhere, header=None))) == 5


def test_a_fault_of_ours_is_found() -> None:
    """The models refuse what is no FHIR."""
    made = fhir_bundle(result(), header())
    made["entry"][0]["resource"]["verdict"] = "fine"
    with pytest.raises(ValueError, match="verdict"):
        validated(made)


def test_a_fault_is_told_without_the_patient() -> None:
    """What is logged names the element; pydantic's own words quote its value."""
    made = fhir_bundle(result(), header())
    made["entry"][0]["resource"]["contained"][0]["birthDate"] = "Wang Xiaodong"
    with pytest.raises(ValueError, match=r"birthDate") as caught:
        validated(made)
    shown = "".join(traceback.format_exception(caught.value))
    assert "Wang" not in shown
    assert "birthDate" in shown


def test_text_is_made_fit() -> None:
    """Codes have single spaces, texts no control characters, identifiers their parts apart."""
    assert code("  a \t b\n") == "a b"
    assert plain("a\x00b\x1b\ufffe\u202e<b>\n") == "a\ufffdb\ufffd\ufffd\u202e<b>"
    assert identifier("a", "bc") != identifier("ab", "c")
    assert coding({"scheme": "HOUSE", "value": "1"}) == {
        "system": "urn:onescan:fhir:HOUSE",
        "code": "1",
    }
    for nothing in (None, "x", {}, {"scheme": "SCT"}, {"scheme": " ", "value": "1"}):
        assert coding(nothing) is None
