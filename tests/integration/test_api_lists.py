"""Lists, cancelling, running again and idempotency, over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import pytest_asyncio

from gateway.results.json import schema
from tests.partner_api import (
    STUDY,
    Client,
    add_study,
    api_settings,
    claimed,
    database,
    finish,
    order,
    problem,
    release,
    running,
)

pytestmark = pytest.mark.postgres

OTHER = "1.2.826.0.1.3680043.8.498.78"


@pytest_asyncio.fixture
async def api(database_url: str, tmp_path: Path) -> AsyncIterator[Client]:
    async with running(api_settings(database_url, tmp_path), STUDY, OTHER) as client:
        yield client


async def listed(api: Client, **query: str) -> list[str]:
    answer = await api.get("/v1/screenings", params=query)
    assert answer.status == 200, await answer.text()
    return [one["screening_id"] for one in (await answer.json())["screenings"]]


async def test_a_repeated_order_is_answered_as_at_first(api: Client) -> None:
    """Status, headers and body, whatever became of the screening since."""
    body = {"study_instance_uid": STUDY}
    headers = {"Idempotency-Key": "abc"}
    first = await api.post("/v1/screenings", json=body, headers=headers)
    told = await first.json()
    await finish(api, await claimed(api, told))
    again = await api.post("/v1/screenings", json=body, headers=headers)
    assert (again.status, await again.json()) == (202, told)
    assert again.headers["Location"] == first.headers["Location"]
    for other in (body | {"lane": "stat"}, {"study_instance_uid": OTHER}):
        answer = await api.post("/v1/screenings", json=other, headers=headers)
        await problem(answer, 409, "request.conflict")
    assert len(await listed(api)) == 1


async def test_the_same_key_at_once_makes_one_screening(api: Client) -> None:
    """Eight requests; a key of other form is refused."""
    answers = await asyncio.gather(
        *(
            api.post(
                "/v1/screenings",
                json={"study_instance_uid": STUDY},
                headers={"Idempotency-Key": "k"},
            )
            for _ in range(8)
        )
    )
    assert [answer.status for answer in answers] == [202] * 8
    assert len({(await answer.json())["screening_id"] for answer in answers}) == 1
    for key in ("", "x" * 300, "é"):
        answer = await api.post(
            "/v1/screenings", json={"study_instance_uid": STUDY}, headers={"Idempotency-Key": key}
        )
        await problem(answer, 400, "request.invalid_json")


async def test_screenings_are_listed_by_what_they_are(api: Client) -> None:
    """Each filter for itself and together; newest first."""
    first, second = await order(api), await order(api, OTHER, lane="stat")
    claim = await claimed(api, first)
    await release(api, claim, "liver", state="positive", urgency="urgent")
    await finish(api, claim)
    one, two = first["screening_id"], second["screening_id"]
    for query, expected in (
        ({}, [two, one]),
        ({"state": "done"}, [one]),
        ({"state": "done,accepted"}, [two, one]),
        ({"lane": "stat"}, [two]),
        ({"check": "liver"}, [two, one]),
        ({"check": "bone"}, []),
        ({"check_state": "positive"}, [one]),
        ({"check": "liver", "check_state": "positive,negative"}, [one]),
        ({"check": "bone", "check_state": "positive"}, []),
        ({"study_instance_uid": OTHER}, [two]),
        ({"created_from": second["created_at"]}, [two]),
        ({"created_to": second["created_at"]}, [one]),
        ({"created_from": "2020-01-01", "created_to": "2020-01-02"}, []),
        ({"state": "running", "lane": "stat"}, []),
    ):
        assert await listed(api, **query) == expected, query
    [shown] = (await (await api.get("/v1/screenings?state=done")).json())["screenings"]
    assert shown["check_states"] == {"liver": "positive"}


async def test_pages_hold_while_screenings_come_in(api: Client) -> None:
    """Each of the first seven once, whatever was made meanwhile; ties of time included."""
    made = [(await order(api))["screening_id"] for _ in range(7)]
    async with database(api).connection() as connection:
        await connection.execute("UPDATE screenings SET created_at = now()")
    seen: list[str] = []
    query: dict[str, Any] = {"limit": "3", "lane": "routine"}
    while True:
        page = await (await api.get("/v1/screenings", params=query)).json()
        seen += [one["screening_id"] for one in page["screenings"]]
        if page["next_cursor"] is None:
            break
        await order(api)
        query["cursor"] = page["next_cursor"]
    assert sorted(seen) == sorted(made)
    answer = await api.get("/v1/screenings", params=query | {"lane": "stat"})
    await problem(answer, 400, "request.invalid_query")


BAD_QUERIES = (
    ("state=finished", "request.invalid_query"),
    ("state=", "request.invalid_query"),
    ("state=done&state=failed", "request.invalid_query"),
    ("lane=fast", "request.invalid_query"),
    ("check=%00", "request.invalid_query"),
    ("check_state=well", "request.invalid_query"),
    ("study_instance_uid=x", "request.invalid_query"),
    ("created_from=yesterday", "request.invalid_query"),
    ("created_from=2026-01-01T00:00:00", "request.invalid_query"),
    ("created_to=0001-01-01T00:00:00%2B14:00", "request.invalid_query"),
    ("limit=0", "request.invalid_query"),
    ("limit=201", "request.invalid_query"),
    ("limit=%C2%B2", "request.invalid_query"),
    ("cursor=x", "request.invalid_query"),
    ("cursor=%ff", "request.invalid_query"),
    ("cursor=WyIyMDI2LTAxLTAxVDAwOjAwOjAwWiIsICJ4IiwgInkiXQ", "request.invalid_query"),
    ("cursor=W10", "request.invalid_query"),
    ("cursor=bnVsbA", "request.invalid_query"),
    ("stat=done", "request.unknown_query_key"),
)


async def test_bad_parameters_are_named(api: Client) -> None:
    """Never ignored, never a crash."""
    for query, code in BAD_QUERIES:
        await problem(await api.get(f"/v1/screenings?{query}"), 400, code)


async def test_a_screening_is_cancelled(api: Client) -> None:
    """Twice is harmless; a finished one is a conflict; a body is refused."""
    made = await order(api)
    path = f"/v1/screenings/{made['screening_id']}/cancel"
    await problem(await api.post(path, json={"why": "x"}), 400, "request.invalid_json")
    for _ in range(2):
        answer = await api.post(path)
        told = await answer.json()
        assert answer.status == 200
        jsonschema.validate(told, schema())
        assert told["state"] == "cancelled"
        assert [(c["state"], c["reason"]) for c in told["checks"]] == [
            ("not_evaluated", "cancelled")
        ]
    other = await order(api)
    await finish(api, await claimed(api, other))
    answer = await api.post(f"/v1/screenings/{other['screening_id']}/cancel")
    await problem(answer, 409, "request.conflict")
    await problem(await api.post("/v1/screenings/x/cancel"), 404, "request.not_found")


async def test_a_screening_is_run_again(api: Client) -> None:
    """The same inputs, the next version, superseding; once for one key; not while it runs."""
    made = await order(api, lane="stat", exam_context="oncology", clinical={"ast": 40})
    path = f"/v1/screenings/{made['screening_id']}/rerun"
    await problem(await api.post(path), 409, "request.conflict")
    await finish(api, await claimed(api, made))
    answers = [await api.post(path, headers={"Idempotency-Key": "again"}) for _ in range(2)]
    assert [answer.status for answer in answers] == [202, 202]
    first, second = [await answer.json() for answer in answers]
    assert first == second
    jsonschema.validate(first, schema())
    assert (first["version"], first["supersedes"]) == (2, made["screening_id"])
    for name in ("lane", "exam_context", "requested_checks", "study"):
        assert first[name] == made[name]
    claim = await claimed(api, first)
    assert claim.order.clinical == (await stored(api, made))["clinical"]
    assert claim.order.clinical
    answer = await api.post(
        "/v1/screenings",
        json={"study_instance_uid": STUDY},
        headers={"Idempotency-Key": "again"},
    )
    await problem(answer, 409, "request.conflict")
    await problem(await api.post("/v1/screenings/x/rerun"), 404, "request.not_found")


async def stored(api: Client, made: dict[str, Any]) -> dict[str, Any]:
    async with database(api).connection() as connection:
        cursor = await connection.execute(
            "SELECT * FROM screenings WHERE screening_id = %s", (made["screening_id"],)
        )
        row: dict[str, Any] = await cursor.fetchone()
    return row


async def test_studies_are_listed_and_shown(api: Client) -> None:
    """With series and screenings, without the patient; strangers' are not there."""
    uid = "1.2.826.0.1.3680043.8.498.79"
    attributes = {
        "PatientName": "Doe^Jane",
        "PatientID": "P-77",
        "AccessionNumber": "A1",
        "StudyDescription": "Chest",
    }
    await add_study(api, uid, attributes=attributes, modalities=["CT"])
    await add_study(api, "1.2.826.0.1.3680043.8.498.80", tenant="other")
    made = await order(api, uid)
    page = await (await api.get("/v1/studies")).json()
    assert [one["study_instance_uid"] for one in page["studies"]] == [uid, OTHER, STUDY]
    for query in ("accession_number=A1", "modality=CT"):
        page = await (await api.get(f"/v1/studies?{query}")).json()
        assert [one["study_instance_uid"] for one in page["studies"]] == [uid]
    answer = await api.get(f"/v1/studies/{uid}")
    text = await answer.text()
    assert "Doe" not in text
    assert "P-77" not in text
    shown = await answer.json()
    assert (shown["accession_number"], shown["description"]) == ("A1", "Chest")
    assert [one["screening_id"] for one in shown["screenings"]] == [made["screening_id"]]
    assert shown["series"] == []
    for stranger in ("1.2.826.0.1.3680043.8.498.80", "x", "%00"):
        answer = await api.get(f"/v1/studies/{stranger}")
        await problem(answer, 404, "request.not_found")
    seen: list[str] = []
    query = "limit=1"
    while query:
        page = await (await api.get(f"/v1/studies?{query}")).json()
        seen += [one["study_instance_uid"] for one in page["studies"]]
        query = f"limit=1&cursor={page['next_cursor']}" if page["next_cursor"] else ""
    assert seen == [uid, OTHER, STUDY]
