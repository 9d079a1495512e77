"""FHIR under a review: final once signed, as the readers left it; hidden where findings are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from gateway.results.fhir import validated
from tests.databases import fresh_database
from tests.fhir_r4 import unknown_to_r4
from tests.fhir_reading import by_code, ours, read_checks, resources, value_of
from tests.review_server import Desk, desk, refused

pytestmark = [pytest.mark.postgres, pytest.mark.asyncio(loop_scope="module")]

number = iter(range(1, 1000))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def at(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Desk]:
    """One api for the module; every test has a study of its own."""
    with fresh_database(postgres_url) as url:
        async with desk(url, Path(tmp_path_factory.mktemp("home"))) as made:
            yield made


@pytest_asyncio.fixture(loop_scope="module")
async def screening(at: Desk) -> str:
    return await at.study(f"1.2.826.0.1.3680043.8.498.12.{next(number)}")


async def bundle(at: Desk, screening: str, reader: str = "ben") -> dict[str, Any]:
    """Fetch the bundle by its own address."""
    status, made = await at.ask(reader, "GET", f"/v1/screenings/{screening}/fhir")
    assert status == 200, made
    assert not list(unknown_to_r4(validated(made), "Bundle"))
    return dict(made)


def report(made: dict[str, Any]) -> dict[str, Any]:
    """Give its report."""
    (one,) = resources(made, "DiagnosticReport")
    return one


async def test_a_signed_review_is_told_as_its_readers_left_it(at: Desk, screening: str) -> None:
    """With their lesions and decisions; the JSON keeps what the check said."""
    before = await bundle(at, screening)
    assert report(before)["status"] == "preliminary"
    said = {
        "liver": {
            "decision": "corrected",
            "comment": "one is a vessel",
            "lesions": [
                {"id": 2, "decision": "rejected"},
                {
                    "decision": "added",
                    "centre_mm": [90, 0, 0],
                    "series_instance_uid": "1.2.3",
                    "slice_index": 7,
                },
            ],
        }
    }
    await at.draft("anna", screening, said, comment="肝脏 as in June.")
    assert report(await bundle(at, screening))["status"] == "preliminary", "a draft is no report"
    _, drafted = await at.ask("anna", "POST", f"/v1/screenings/{screening}/reviews", {})
    status, signed = await at.sign("anna", drafted)
    assert status == 200, signed
    after = await bundle(at, screening)
    told = report(after)
    assert (told["status"], told["issued"]) == ("final", signed["signed_at"])
    assert [one["display"] for one in told["resultsInterpreter"]] == ["key:anna"]
    assert "肝脏 as in June." in told["conclusion"]
    assert told["id"] == report(before)["id"]
    (check,) = read_checks(after)
    assert [one["id"] for one in check["lesions"]] == [1, 3]
    assert check["lesions"][1]["centre_mm"] == [90, 0, 0]
    (seen,) = [one for one in resources(after, "Observation") if ours(one["code"], "check")]
    assert value_of(by_code(seen, "item")["decision"][0], "decision") == "corrected"
    assert seen["note"][-1]["text"] == "one is a vessel"
    _, plain = await at.ask("ben", "GET", f"/v1/screenings/{screening}")
    assert [one["id"] for one in plain["checks"][0]["lesions"]] == [1, 2]


async def test_a_rejected_finding_is_told_as_none(at: Desk, screening: str) -> None:
    """Negative by the reader, what the check said beside it; nothing follows any more."""
    assert resources(await bundle(at, screening), "ServiceRequest")
    await at.signed("anna", screening, {"liver": {"decision": "rejected", "comment": "motion"}})
    made = await bundle(at, screening)
    (check,) = read_checks(made)
    assert (check["state"], check["lesions"]) == ("negative", [])
    (seen,) = resources(made, "Observation")
    items = by_code(seen, "item")
    assert value_of(items["state_before_review"][0], "state") == "positive"
    assert not resources(made, "ServiceRequest")
    assert "conclusionCode" not in report(made)


async def test_an_amendment_replaces_it(at: Desk, screening: str) -> None:
    """Under the same identifiers."""
    first = await at.signed("anna", screening)
    final = await bundle(at, screening)
    path = f"/v1/screenings/{screening}/reviews"
    _, draft = await at.ask("ben", "POST", path, {"amends": first["review_id"]})
    status, signed = await at.sign("ben", draft)
    assert status == 200, signed
    amended = await bundle(at, screening)
    assert (report(final)["status"], report(amended)["status"]) == ("final", "amended")
    assert [e["fullUrl"] for e in final["entry"]] == [e["fullUrl"] for e in amended["entry"]]


async def test_findings_are_hidden_in_every_form(at: Desk, screening: str) -> None:
    """From whoever has to mark his own first, also where a report is final; then shown."""
    await at.signed("anna", screening)
    path = f"/v1/screenings/{screening}"
    refused(await at.ask("pupil", "GET", f"{path}/fhir"), 403, "review.hidden")
    headers = {
        "Authorization": f"Bearer {at.keys['pupil']}",
        "Accept": "application/fhir+json",
    }
    async with at.client.get(path, headers=headers) as answer:
        assert answer.status == 200
        hidden = validated(await answer.json())
    (seen,) = resources(hidden, "Observation")
    assert "valueCodeableConcept" not in seen
    assert seen["dataAbsentReason"]["coding"][0]["code"] == "unknown"
    assert report(hidden)["status"] == "preliminary"
    assert "anna" not in str(hidden)
    _, begun = await at.ask("pupil", "POST", f"{path}/reviews", {})
    status, signed = await at.sign("pupil", begun)
    assert status == 200, signed
    (check,) = read_checks(await bundle(at, screening, "pupil"))
    assert check["state"] == "positive"


async def test_a_damaged_record_has_no_form(at: Desk, screening: str) -> None:
    """What is not what was signed is not told as final, nor as anything."""
    signed = await at.signed("anna", screening)
    async with at.database.connection() as connection:
        await connection.execute("ALTER TABLE reviews DISABLE TRIGGER reviews_signed_guard")
        await connection.execute(
            "UPDATE reviews SET record = replace(record, 'positive', 'negative')"
            " WHERE review_id = %s",
            (signed["review_id"],),
        )
        await connection.execute("ALTER TABLE reviews ENABLE TRIGGER reviews_signed_guard")
    path = f"/v1/screenings/{screening}/fhir"
    refused(await at.ask("ben", "GET", path), 500, "review.damaged")
