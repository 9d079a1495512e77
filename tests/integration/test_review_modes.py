"""Two readers and a third, teaching, reader studies, agreement: what is seen when, and by whom."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from gateway.store.deliveries import EVENTS
from gateway.store.reviews import final_report
from gateway.webhooks.body import body
from tests.databases import fresh_database
from tests.review_server import FINDING, Desk, desk, identifier, refused

pytestmark = [pytest.mark.postgres, pytest.mark.asyncio(loop_scope="module")]

ACCEPTED = {"liver": {"decision": "accepted"}}
REJECTED = {"liver": {"decision": "rejected", "comment": "motion"}}
TOLD = FINDING.text["en"]
MARKS = [{"check": "liver", "centre_mm": [1, 0, 0]}, {"check": "liver", "centre_mm": [99, 0, 0]}]

number = iter(range(1, 1000))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def at(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Desk]:
    """One api for the module; every test has studies of its own."""
    with fresh_database(postgres_url) as url:
        async with desk(url, Path(tmp_path_factory.mktemp("home"))) as made:
            yield made


def uid() -> str:
    return f"1.2.826.0.1.3680043.8.498.8.{next(number)}"


async def marked(at: Desk, reader: str, review: Any, marks: Any = MARKS) -> tuple[int, Any]:
    """Save marks and sign them."""
    given = {"revision": review["revision"], "content": {"marks": marks}}
    status, saved = await at.ask(reader, "PUT", f"/v1/reviews/{review['review_id']}", given)
    assert status == 200, saved
    return await at.sign(reader, saved)


# --- two readers ------------------------------------------------------------------------------


async def test_two_readers_who_agree_make_the_report(at: Desk) -> None:
    """Neither sees the other's before both have signed; the second signature is the report."""
    screening = await at.study(uid())
    path = f"/v1/screenings/{screening}"
    first = await at.signed("one", screening)
    assert (first["purpose"], first["final"]) == ("independent", False)
    refused(await at.ask("one", "GET", f"{path}/report"), 404, "request.not_found")
    refused(await at.ask("one", "POST", f"{path}/reviews", {}), 409, "request.conflict")
    _, listed = await at.ask("two", "GET", f"{path}/reviews")
    assert listed["mode"] == "double"
    assert [one["content"] for one in listed["reviews"]] == [None]
    _, seen = await at.ask("two", "GET", f"/v1/reviews/{first['review_id']}")
    assert seen["content"] is None
    second = await at.signed("two", screening)
    assert (second["purpose"], second["final"]) == ("independent", True)
    _, listed = await at.ask("two", "GET", f"{path}/reviews")
    assert listed["disagreements"] == []
    assert listed["final_review_id"] == second["review_id"]
    assert None not in [one["content"] for one in listed["reviews"]]
    _, report = await at.ask("anna", "GET", f"{path}/report")
    assert report["readers"] == ["key:one", "key:two"]


async def test_readers_who_disagree_and_the_third(at: Desk) -> None:
    """What they differ in is listed, and somebody else decides."""
    screening = await at.study(uid())
    path = f"/v1/screenings/{screening}"
    await at.signed("one", screening)
    second = await at.signed("two", screening, REJECTED)
    assert second["final"] is False
    refused(await at.ask("anna", "GET", f"{path}/report"), 404, "request.not_found")
    _, listed = await at.ask("three", "GET", f"{path}/reviews")
    [apart] = listed["disagreements"]
    assert (apart["check"], apart["states"]) == ("liver", ["positive", "negative"])
    assert apart["only"] == [[1, 2], []]
    for reader in ("one", "two"):
        refused(await at.ask(reader, "POST", f"{path}/reviews", {}), 409, "request.conflict")
    third = await at.signed("three", screening, REJECTED)
    assert (third["purpose"], third["final"]) == ("adjudication", True)
    _, report = await at.ask("anna", "GET", f"{path}/report")
    assert report["readers"] == ["key:one", "key:two", "key:three"]
    assert report["result"]["checks"][0]["state"] == "negative"


async def test_three_readers_at_once_are_two_and_a_third(at: Desk) -> None:
    """Who comes third keeps his draft and is the adjudicator with it."""
    screening = await at.study(uid())
    said = {"one": ACCEPTED, "two": REJECTED, "three": ACCEPTED}
    drafts = {name: await at.draft(name, screening, what) for name, what in said.items()}
    answers = await asyncio.gather(*(at.sign(name, draft) for name, draft in drafts.items()))
    by_name = dict(zip(drafts, answers, strict=True))
    [late] = [name for name, (status, _) in by_name.items() if status == 409]
    refused(by_name[late], 409, "review.signed_meanwhile")
    agree = {json.dumps(said[name]) for name in said if name != late}
    if len(agree) == 1:  # the two agreed: there is a report, which he may amend
        assert any(review.get("final") for _, review in answers)
        return
    status, turned = await at.ask(late, "POST", f"/v1/screenings/{screening}/reviews", {})
    assert (status, turned["purpose"]) == (200, "adjudication")
    assert turned["content"] == drafts[late]["content"]
    status, signed = await at.sign(late, turned)
    assert (status, signed["final"]) == (200, True)


# --- teaching ---------------------------------------------------------------------------------


async def test_findings_are_hidden_until_the_pupil_has_marked(at: Desk) -> None:
    """By the server, in every form; then they are compared with what the checks marked."""
    study = uid()
    screening = await at.study(study)
    path = f"/v1/screenings/{screening}"
    _, hidden = await at.ask("pupil", "GET", path)
    assert (hidden["checks"], hidden["plan"], hidden["anatomy"]) == ([], None, None)
    for query in ("", f"?study_instance_uid={study}"):
        _, listed = await at.ask("pupil", "GET", f"/v1/screenings{query}")
        [mine] = [one for one in listed["screenings"] if one["screening_id"] == screening]
        assert mine["check_states"] == {}
    _, shown = await at.ask("pupil", "GET", f"/v1/studies/{study}")
    assert shown["screenings"][0]["check_states"] == {}
    for telling in (
        f"{path}/masks/liver",
        f"{path}/report",
        f"{path}/fhir",
        "/v1/screenings?check_state=positive",
    ):
        refused(await at.ask("pupil", "GET", telling), 403, "review.hidden")
    for page in (f"/ui/screenings/{screening}", f"/ui/studies/{study}"):
        status, text = await at.ask("pupil", "GET", page)
        assert status == 200, text
        assert TOLD not in text
        assert TOLD in (await at.ask("anna", "GET", page))[1]
    assert screening not in (await at.ask("pupil", "GET", "/ui"))[1]
    assert screening in (await at.ask("anna", "GET", "/ui"))[1]
    _, stream = await at.ask("pupil", "GET", f"{path}/events?last_event_id=0")
    assert "event: done" in stream
    assert "released" not in stream
    assert "positive" not in stream
    status, review = await at.ask("pupil", "POST", f"{path}/reviews", {})
    assert (status, review["purpose"]) == (201, "teaching")
    bad = {"revision": 1, "content": {"findings": ACCEPTED}}
    refused(
        await at.ask("pupil", "PUT", f"/v1/reviews/{review['review_id']}", bad),
        400,
        "review.invalid",
    )
    status, signed = await marked(at, "pupil", review)
    assert status == 200
    told = signed["comparison"]
    assert (told["against"], told["hits"], told["misses"], told["false_marks"]) == (
        "checks",
        1,
        1,
        1,
    )
    assert told["checks"]["liver"]["misses"] == [2]
    assert told["sensitivity"] == 0.5
    _, shown = await at.ask("pupil", "GET", path)
    assert shown["checks"] == [FINDING.to_json()]
    _, listed = await at.ask("pupil", "GET", f"/v1/screenings?study_instance_uid={study}")
    assert listed["screenings"][0]["check_states"] == {"liver": "positive"}
    refused(await at.ask("pupil", "POST", f"{path}/reviews", {}), 409, "request.conflict")
    assert (await at.ask("anna", "GET", path))[1]["checks"], "others saw them all the time"
    refused(
        await at.ask("anna", "GET", f"/v1/reviews/{review['review_id']}"), 404, "request.not_found"
    )


async def test_a_pupil_is_compared_with_the_final_report(at: Desk) -> None:
    """Where there is one: what the reader rejected is a false mark."""
    screening = await at.study(uid())
    said = {"liver": {"decision": "corrected", "lesions": [{"id": 1, "decision": "rejected"}]}}
    await at.signed("anna", screening, said)
    _, review = await at.ask("pupil", "POST", f"/v1/screenings/{screening}/reviews", {})
    _, signed = await marked(at, "pupil", review)
    told = signed["comparison"]
    assert (told["against"], told["hits"], told["misses"], told["false_marks"]) == (
        "report",
        0,
        1,
        2,
    )


async def test_our_own_objects_are_hidden_from_a_pupil(at: Desk) -> None:
    """A structured report tells what the screening tells; the images do not."""
    study = uid()
    await at.study(study)
    await at.rows("SELECT 1")
    async with at.database.connection() as connection:
        from gateway.store.partitions import ensure_partition

        cursor = await connection.execute("SELECT current_date AS day")
        row = await cursor.fetchone()
        await ensure_partition(connection, row["day"])
        for series, kind, maker in (
            ("1.2.1", "1.2.840.10008.5.1.4.1.1.2", "Maker"),
            ("1.2.2", "1.2.840.10008.5.1.4.1.1.88.34", "OneScan"),
        ):
            await connection.execute(
                "INSERT INTO instances (tenant, day, study_instance_uid, series_instance_uid,"
                " sop_instance_uid, sop_class_uid, transfer_syntax_uid, attributes, object_key,"
                " object_offset, object_length) VALUES ('default', %s, %s, %s, %s, %s, '1.2', %s,"
                " 'none', 0, 0)",
                (
                    row["day"],
                    study,
                    series,
                    f"{series}.1",
                    kind,
                    json.dumps({"Manufacturer": maker}),
                ),
            )
    path = f"/dicomweb/studies/{study}"
    for telling in (path, f"{path}/metadata", f"{path}/series/1.2.2"):
        refused(await at.ask("pupil", "GET", telling), 403, "review.hidden")
    image = await at.ask("pupil", "GET", f"{path}/series/1.2.1/metadata")
    assert image[0] != 403
    own = await at.ask("anna", "GET", f"{path}/series/1.2.2/metadata")
    assert own[0] != 403


# --- reader studies ---------------------------------------------------------------------------


async def test_a_reader_study_from_plan_to_figures(at: Desk) -> None:
    """Findings in one arm only, the truth never; time and sensitivity at the end, as CSV."""
    cases = [await at.study(uid()) for _ in range(2)]
    plan = {
        "name": "lungs",
        "seed": 7,
        "washout_days": 0,
        "readers": ["key:anna"],
        "screenings": cases,
    }
    detail = refused(
        await at.ask("ben", "POST", "/v1/reader-studies", plan), 409, "request.conflict"
    )
    assert "no final report" in detail
    for case in cases:
        await at.signed("ben", case)
    status, study = await at.ask("ben", "POST", "/v1/reader-studies", plan)
    assert (status, study["cases"], study["seed"]) == (201, 2, 7)
    refused(await at.ask("ben", "POST", "/v1/reader-studies", plan), 409, "request.conflict")
    path = f"/v1/reader-studies/{study['reader_study_id']}"
    refused(await at.ask("ben", "POST", f"{path}/next"), 404, "request.not_found")
    arms = []
    for _ in range(4):
        _, given = await at.ask("anna", "POST", f"{path}/next")
        _, again = await at.ask("anna", "POST", f"{path}/next")
        assert given == again, "the reading in hand, its clock running"
        review = given["review"]
        case = f"/v1/screenings/{review['screening_id']}"
        _, shown = await at.ask("anna", "GET", case)
        assert bool(shown["checks"]) is given["with_findings"]
        refused(await at.ask("anna", "GET", f"{case}/report"), 403, "review.hidden")
        for state in ("positive", "negative"):
            query = f"?check_state={state}&study_instance_uid={review['study_instance_uid']}"
            _, found = await at.ask("anna", "GET", f"/v1/screenings{query}")
            assert found == {"screenings": [], "next_cursor": None}
        [other] = [one for one in cases if one != review["screening_id"]]
        if len(arms) < 3:
            _, waiting = await at.ask("anna", "GET", f"/v1/screenings/{other}")
            assert waiting["checks"] == [], "not even with findings before its turn"
        refused(
            await at.ask("anna", "DELETE", f"/v1/reviews/{review['review_id']}"),
            409,
            "review.signed",
        )
        refused(await at.ask("anna", "GET", f"{path}/export"), 403, "review.hidden")
        both = [{"check": "liver", "centre_mm": [x, 0, 0]} for x in (0, 50)]
        marks = both if given["with_findings"] else both[:1]
        status, signed = await marked(at, "anna", review, marks)
        assert status == 200
        arms.append((given["session"], review["screening_id"], given["with_findings"]))
        assert (signed["comparison"] is not None) is (len(arms) == 4)
    assert (await at.ask("anna", "POST", f"{path}/next"))[1] == {"state": "done"}
    assert [session for session, _, _ in arms] == [1, 1, 2, 2]
    assert {(case, arm) for _, case, arm in arms} == {(c, a) for c in cases for a in (True, False)}
    _, told = await at.ask("anna", "GET", path)
    without, with_findings = told["progress"][0]["figures"]
    assert (without["sensitivity"], with_findings["sensitivity"]) == (0.5, 1.0)
    assert (without["readings"], with_findings["readings"]) == (2, 2)
    status, text = await at.ask("ben", "GET", f"{path}/export")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["sensitivity"] for row in rows if row["with_findings"] == "true"] == ["1.0"] * 2
    assert all(float(row["seconds"]) >= 0 for row in rows)
    assert (await at.ask("anna", "GET", f"/v1/screenings/{cases[0]}/report"))[0] == 200


async def test_a_wash_out_is_waited_for(at: Desk) -> None:
    """Counted from the reader's last reading of the first session."""
    case = await at.study(uid())
    await at.signed("ben", case)
    plan = {
        "name": "wash-out",
        "seed": 1,
        "washout_days": 28,
        "readers": ["key:anna"],
        "screenings": [case],
    }
    _, study = await at.ask("ben", "POST", "/v1/reader-studies", plan)
    path = f"/v1/reader-studies/{study['reader_study_id']}/next"
    _, given = await at.ask("anna", "POST", path)
    await marked(at, "anna", given["review"], [])
    _, told = await at.ask("anna", "POST", path)
    assert told["state"] == "washing_out"
    [row] = await at.rows("SELECT (%s::timestamptz - now()) AS left", told["resumes_at"])
    assert 27.9 < row["left"].total_seconds() / 86400 <= 28
    await at.rows(
        "UPDATE readings SET closed_at = closed_at - interval '28 days',"
        " opened_at = opened_at - interval '28 days' WHERE closed_at IS NOT NULL"
        " RETURNING 1"
    )
    assert (await at.ask("anna", "POST", path))[1]["state"] == "reading"


@pytest.mark.parametrize(
    "wrong",
    [
        {"seed": -1},
        {"seed": 2**63},
        {"seed": True},
        {"washout_days": "28"},
        {"washout_days": 9999},
        {"readers": []},
        {"readers": ["anna"]},
        {"readers": ["key:anna", "key:anna"]},
        {"screenings": ["x"]},
        {"screenings": []},
        {"name": "a\0"},
        {"nmae": ""},
    ],
)
async def test_a_plan_that_makes_no_sense(at: Desk, wrong: dict[str, Any]) -> None:
    """400, and no study."""
    known = {
        "name": "x",
        "seed": 1,
        "washout_days": 0,
        "readers": ["key:anna"],
        "screenings": ["00000000-0000-4000-8000-000000000000"],
    }
    refused(
        await at.ask("ben", "POST", "/v1/reader-studies", known | wrong),
        400,
        "request.invalid_json",
    )
    refused(await at.ask("ben", "POST", "/v1/reader-studies", known), 404, "request.not_found")


# --- agreement, events, webhooks --------------------------------------------------------------


async def test_agreement_is_kept_per_check(at: Desk) -> None:
    """Final reports count once, as they were amended; pairs of readers count by themselves."""
    [row] = await at.rows(
        "SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US')"
    )
    since = f"created_from={row['to_char']}Z"
    negative = FINDING.from_json(
        {**FINDING.to_json(), "state": "negative", "lesions": [], "urgency": "note"}
    )
    for said in (ACCEPTED, ACCEPTED, REJECTED):
        await at.signed("anna", await at.study(uid()), said)
    for result in (negative, negative):
        study = uid()
        await at.signed("anna", await at.study(study), REJECTED)
        screening = await at.screening(study, result=result)
        await at.signed("anna", screening, {})
    amended = await at.signed("anna", await at.study(uid()), REJECTED)
    path = f"/v1/screenings/{amended['screening_id']}/reviews"
    _, draft = await at.ask("ben", "POST", path, {"amends": amended["review_id"]})
    given = {"revision": 1, "content": {"findings": ACCEPTED}}
    _, saved = await at.ask("ben", "PUT", f"/v1/reviews/{draft['review_id']}", given)
    assert (await at.sign("ben", saved))[0] == 200
    pair = await at.study(uid())
    await at.signed("one", pair)
    await at.signed("two", pair, REJECTED)
    _, told = await at.ask("anna", "GET", f"/v1/agreement?{since}")
    [liver] = told["checks"]
    assert liver["table"] == {
        "positive": {"positive": 3, "negative": 3},
        "negative": {"negative": 2},
    }
    assert (liver["n"], liver["agreed"], liver["unanswered"]) == (8, 5, 0)
    # seen 5/8, by chance (6·3 + 2·5)/64 = 28/64: (40 − 28) / (64 − 28)
    assert liver["kappa"] == pytest.approx(12 / 36, abs=1e-4)
    assert liver["low"] < liver["kappa"] < liver["high"]
    assert (liver["readers"]["n"], liver["readers"]["agreed"]) == (1, 0)
    _, none = await at.ask("anna", "GET", "/v1/agreement?created_from=2100-01-01")
    assert none == {"checks": []}
    refused(
        await at.ask("anna", "GET", "/v1/agreement?since=1"),
        400,
        "request.unknown_query_key",
    )


async def test_events_tell_reviews(at: Desk) -> None:
    """After the end of the screening, to whoever asks again from where he was."""
    screening = await at.study(uid())
    path = f"/v1/screenings/{screening}/events"
    _, before = await at.ask("anna", "GET", f"{path}?last_event_id=0")
    last = before.rsplit("id: ", 1)[1].split("\n")[0]
    assert (await at.ask("anna", "GET", f"{path}?last_event_id={last}"))[0] == 204
    await at.signed("one", screening)
    second = await at.signed("two", screening)
    _, after = await at.ask("anna", "GET", f"{path}?last_event_id={last}")
    kinds = [line.removeprefix("event: ") for line in after.splitlines() if line[:6] == "event:"]
    assert kinds == ["reviewed", "signed"]
    assert second["review_id"] in after


async def test_signatures_are_sent_to_who_asked(at: Desk) -> None:
    """And only to him; states are those that the reader left."""
    key = {"Authorization": "Bearer key-of-the-test"}
    owed = "SELECT * FROM webhook_deliveries WHERE event = 'screening.signed'"
    async with at.client.post("/v1/webhooks/secret", headers=key) as answer:
        assert answer.status == 201
    settings = {"callback_url": "http://127.0.0.1:9/hook", "body": "result"}
    for asked, expected in ((False, 0), (True, 1)):
        given = settings | {"signed": asked}
        async with at.client.put("/v1/webhooks", json=given, headers=key) as answer:
            assert (answer.status, (await answer.json()).get("signed")) == (200, asked)
        signed = await at.signed("anna", await at.study(uid()), REJECTED)
        assert len(await at.rows(owed)) == expected
    [delivery] = await at.rows(owed)
    assert delivery["event"] == EVENTS["signed"]
    async with at.database.connection() as connection:
        report = await final_report(connection, "default", identifier(signed["screening_id"]))
        cursor = await connection.execute(
            "SELECT * FROM screenings WHERE screening_id = %s", (signed["screening_id"],)
        )
        row = await cursor.fetchone()
    assert report is not None
    told = json.loads(body(delivery, row, [], report))
    assert told["type"] == "screening.signed"
    assert told["data"]["review_id"] == signed["review_id"]
    assert told["data"]["checks"][0]["state"] == "negative"
    assert told["data"]["result"]["checks"][0]["state"] == "negative"
    async with at.client.put("/v1/webhooks", json={"signed": "yes"}, headers=key) as answer:
        assert answer.status == 400
