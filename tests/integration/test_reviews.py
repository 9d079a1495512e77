"""Reviews on a real PostgreSQL: drafts, signatures, two at once, versions, amendments."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jsonschema
import psycopg
import pytest
import pytest_asyncio

from gateway.results.json import schema
from gateway.store import audit
from tests.databases import fresh_database
from tests.partner_api import add_study
from tests.review_server import FINDING, Desk, desk, refused

pytestmark = [pytest.mark.postgres, pytest.mark.asyncio(loop_scope="module")]

ACCEPTED = {"liver": {"decision": "accepted"}}
REJECTED = {"liver": {"decision": "rejected", "comment": "motion"}}

number = iter(range(1, 1000))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def at(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Desk]:
    """One api for the module; every test has a study of its own."""
    with fresh_database(postgres_url) as url:
        async with desk(url, Path(tmp_path_factory.mktemp("home"))) as made:
            yield made


def uid() -> str:
    return f"1.2.826.0.1.3680043.8.498.9.{next(number)}"


@pytest_asyncio.fixture(loop_scope="module")
async def screening(at: Desk) -> str:
    return await at.study(uid())


async def actions(at: Desk, review: str) -> list[str]:
    rows = await at.rows("SELECT action FROM audit WHERE subject = %s ORDER BY audit_id", review)
    return [row["action"] for row in rows]


async def test_a_review_is_drafted_saved_and_signed(at: Desk, screening: str) -> None:
    """And is the final report then, in the form of a result, with a line for each change."""
    path = f"/v1/screenings/{screening}"
    refused(await at.ask("anna", "GET", f"{path}/report"), 404, "request.not_found")
    status, review = await at.ask("anna", "POST", f"{path}/reviews", {})
    assert (status, review["state"], review["purpose"]) == (201, "draft", "report")
    status, again = await at.ask("anna", "POST", f"{path}/reviews", {})
    assert (status, again["review_id"]) == (200, review["review_id"])
    said = {
        "liver": {
            "decision": "corrected",
            "comment": "<script>alert(1)</script>\u202e 肝脏",
            "lesions": [
                {"id": 2, "decision": "rejected", "comment": "vessel"},
                {
                    "decision": "added",
                    "centre_mm": [90, 0, 0],
                    "series_instance_uid": "1.2.3",
                    "slice_index": 7,
                    "long_diameter_mm": 5,
                },
            ],
            "measures": {"pdff_percent": 9},
        }
    }
    saved = await at.draft("anna", screening, said, comment="Liver as in June.")
    assert saved["revision"] == 2
    status, signed = await at.sign("anna", saved)
    assert (status, signed["state"], signed["final"]) == (200, "signed", True)
    status, report = await at.ask("ben", "GET", f"{path}/report")
    assert status == 200
    assert (report["reader"], report["readers"]) == ("key:anna", ["key:anna"])
    assert (report["comment"], report["digest"]) == ("Liver as in June.", signed["digest"])
    assert report["findings"]["liver"]["ai_state"] == "positive"
    jsonschema.validate(report["result"], schema())
    [check] = report["result"]["checks"]
    assert [one["id"] for one in check["lesions"]] == [1, 3]
    assert check["measures"] == {"pdff_percent": 9.0}
    status, ai = await at.ask("ben", "GET", path)
    assert ai["checks"] == [FINDING.to_json()], "the screening keeps what the check said"
    done = await actions(at, review["review_id"])
    assert done == ["review.begun", "review.saved", "review.signed"]
    text = str(await at.rows("SELECT * FROM audit WHERE subject = %s", review["review_id"]))
    assert signed["digest"] in text
    assert "June" not in text
    assert "肝脏" not in text


async def test_what_is_signed_is_not_changed(at: Desk, screening: str) -> None:
    """Neither by the api nor by a statement; a record that was changed past it is not shown."""
    signed = await at.signed("anna", screening)
    path = f"/v1/reviews/{signed['review_id']}"
    body = {"revision": signed["revision"], "content": {"findings": REJECTED}}
    refused(await at.ask("anna", "PUT", path, body), 409, "review.signed")
    refused(await at.sign("anna", signed), 409, "review.signed")
    refused(await at.ask("anna", "DELETE", path), 409, "review.signed")
    for statement in (
        "UPDATE reviews SET record = replace(record, 'positive', 'negative') WHERE review_id = %s",
        "UPDATE reviews SET state = 'draft', final = false WHERE review_id = %s",
        "DELETE FROM reviews WHERE review_id = %s",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            async with at.database.connection() as connection:
                await connection.execute(statement, (signed["review_id"],))
    async with at.database.connection() as connection:
        await connection.execute("ALTER TABLE reviews DISABLE TRIGGER reviews_signed_guard")
        await connection.execute(
            "UPDATE reviews SET record = replace(record, 'positive', 'negative')"
            " WHERE review_id = %s",
            (signed["review_id"],),
        )
        await connection.execute("ALTER TABLE reviews ENABLE TRIGGER reviews_signed_guard")
    for asked in (path, f"/v1/screenings/{screening}/report"):
        refused(await at.ask("anna", "GET", asked), 500, "review.damaged")
    async with at.database.connection() as connection:
        assert not (await audit.verify(connection)).problems


async def test_two_readers_sign_at_once(at: Desk, screening: str) -> None:
    """One wins; the other is told who, when and what to do, and his draft is as it was."""
    drafts = {
        "anna": await at.draft("anna", screening, ACCEPTED, comment="by anna"),
        "ben": await at.draft("ben", screening, REJECTED, comment="by ben"),
    }
    answers = await asyncio.gather(*(at.sign(name, draft) for name, draft in drafts.items()))
    assert sorted(status for status, _ in answers) == [200, 409]
    by_name = dict(zip(drafts, answers, strict=True))
    [winner] = [name for name, (status, _) in by_name.items() if status == 200]
    [loser] = [name for name, (status, _) in by_name.items() if status == 409]
    detail = refused(by_name[loser], 409, "review.signed_meanwhile")
    won = by_name[winner][1]
    for told in (f"key:{winner}", won["review_id"], won["signed_at"]):
        assert told in detail
    _, kept = await at.ask(loser, "GET", f"/v1/reviews/{drafts[loser]['review_id']}")
    assert kept["content"] == drafts[loser]["content"]
    assert (kept["state"], kept["revision"]) == ("draft", drafts[loser]["revision"])
    # He goes on with what he has as an amendment of what was signed.
    path = f"/v1/screenings/{screening}/reviews"
    status, turned = await at.ask(loser, "POST", path, {"amends": won["review_id"]})
    assert (status, turned["review_id"]) == (200, kept["review_id"])
    assert (turned["predecessor"], turned["content"]) == (won["review_id"], kept["content"])
    status, amended = await at.sign(loser, turned)
    assert (status, amended["final"]) == (200, True)
    _, report = await at.ask("anna", "GET", f"/v1/screenings/{screening}/report")
    assert (report["review_id"], report["predecessor"]) == (kept["review_id"], won["review_id"])
    assert report["readers"] == [f"key:{winner}", f"key:{loser}"]
    _, before = await at.ask("anna", "GET", f"/v1/reviews/{won['review_id']}")
    assert (before["state"], before["amended_by"]) == ("signed", kept["review_id"])


async def test_the_database_has_room_for_one_final_report(at: Desk, screening: str) -> None:
    """Whatever goes round the lock."""
    await at.signed("anna", screening)
    with pytest.raises(psycopg.errors.UniqueViolation):
        async with at.database.connection() as connection:
            await connection.execute(
                "INSERT INTO reviews (tenant, screening_id, reader, purpose, state, final, content,"
                " record, digest, signed_at) VALUES ('default', %s, 'x', 'report', 'signed', true,"
                " '{}', '{}', sha256(''), now())",
                (screening,),
            )


async def test_two_amendments_at_once(at: Desk, screening: str) -> None:
    """A report is amended once; the other reader amends the amendment."""
    signed = await at.signed("anna", screening)
    drafts = {}
    for name in ("anna", "ben"):
        path = f"/v1/screenings/{screening}/reviews"
        _, draft = await at.ask(name, "POST", path, {"amends": signed["review_id"]})
        assert draft["content"] == signed["content"], "it begins with what was signed"
        body = {"revision": 1, "content": {"findings": REJECTED, "comment": name}}
        _, drafts[name] = await at.ask(name, "PUT", f"/v1/reviews/{draft['review_id']}", body)
    answers = await asyncio.gather(*(at.sign(name, draft) for name, draft in drafts.items()))
    assert sorted(status for status, _ in answers) == [200, 409]
    [lost] = [answer for answer in answers if answer[0] == 409]
    refused(lost, 409, "review.signed_meanwhile")


async def test_a_draft_saved_from_elsewhere(at: Desk, screening: str) -> None:
    """Two windows of one reader: the second is told, and what the first saved is kept."""
    first = await at.draft("anna", screening, ACCEPTED, comment="first window")
    path = f"/v1/reviews/{first['review_id']}"
    stale = {"revision": 1, "content": {"findings": REJECTED}}
    refused(await at.ask("anna", "PUT", path, stale), 409, "review.stale_draft")
    refused(await at.sign("anna", {**first, "revision": 1}), 409, "review.stale_draft")
    _, kept = await at.ask("anna", "GET", path)
    assert kept["content"]["comment"] == "first window"
    bodies = [{"revision": 2, "content": {"comment": str(i)}} for i in range(4)]
    answers = await asyncio.gather(*(at.ask("anna", "PUT", path, body) for body in bodies))
    assert sorted(status for status, _ in answers) == [200, 409, 409, 409]


async def test_a_screening_that_was_run_again(at: Desk) -> None:
    """409 names the newer version, the draft stays, and what has not changed is carried over."""
    study = uid()
    old = await at.study(study)
    draft = await at.draft("anna", old, ACCEPTED, comment="read")
    new = await at.screening(study)
    detail = refused(await at.sign("anna", draft), 409, "review.superseded")
    assert "version 2" in detail
    assert new in detail
    _, kept = await at.ask("anna", "GET", f"/v1/reviews/{draft['review_id']}")
    assert kept["content"] == draft["content"]
    refused(
        await at.ask("ben", "POST", f"/v1/screenings/{old}/reviews", {}), 409, "review.superseded"
    )
    carried = {"carries": draft["review_id"]}
    status, made = await at.ask("anna", "POST", f"/v1/screenings/{new}/reviews", carried)
    assert (status, made["version"], made["left_behind"]) == (201, 2, [])
    assert made["content"] == draft["content"]
    assert (await at.sign("anna", made))[0] == 200


async def test_a_version_with_other_findings_is_decided_anew(at: Desk) -> None:
    """What speaks of a result that is another now is left behind, by name."""
    study = uid()
    old = await at.study(study)
    draft = await at.draft("anna", old, ACCEPTED, comment="read")
    changed = FINDING.from_json({**FINDING.to_json(), "measures": {"pdff_percent": 20.0}})
    new = await at.screening(study, result=changed)
    carried = {"carries": draft["review_id"]}
    _, made = await at.ask("anna", "POST", f"/v1/screenings/{new}/reviews", carried)
    assert (made["left_behind"], made["content"]["findings"]) == (["liver"], {})
    assert made["content"]["comment"] == "read"
    detail = refused(await at.sign("anna", made), 409, "review.undecided")
    assert "liver" in detail


async def test_a_signature_and_a_rerun_at_once(at: Desk) -> None:
    """Either is first: a report of the old version, or a draft that stays; never both or none."""
    for _ in range(4):
        study = uid()
        old = await at.study(study)
        draft = await at.draft("anna", old, ACCEPTED, comment="read")
        (status, told), new = await asyncio.gather(at.sign("anna", draft), at.screening(study))
        report, _ = await at.ask("anna", "GET", f"/v1/screenings/{old}/report")
        _, kept = await at.ask("anna", "GET", f"/v1/reviews/{draft['review_id']}")
        assert kept["content"] == draft["content"]
        if status == 200:
            assert (report, kept["state"]) == (200, "signed")
        else:
            assert new in refused((status, told), 409, "review.superseded")
            assert (report, kept["state"]) == (404, "draft")
        assert (await at.ask("anna", "GET", f"/v1/screenings/{new}/report"))[0] == 404


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        ({"findings": {"bone": {"decision": "accepted"}}}, 400, "review.invalid"),
        ({"marks": [{"check": "liver", "centre_mm": [0, 0, 0]}]}, 400, "review.invalid"),
        ({"comment": "a\0"}, 400, "review.invalid"),
        ({"comment": "x" * 65_536}, 400, "review.invalid"),
        (None, 400, "review.invalid"),
    ],
)
async def test_bad_content_changes_nothing(
    at: Desk, screening: str, content: Any, status: int, code: str
) -> None:
    """One clear error, and the draft is as it was."""
    draft = await at.draft("anna", screening, ACCEPTED)
    path = f"/v1/reviews/{draft['review_id']}"
    refused(await at.ask("anna", "PUT", path, {"revision": 2, "content": content}), status, code)
    _, kept = await at.ask("anna", "GET", path)
    assert kept == draft


async def test_what_contradicts_itself_is_not_signed(at: Desk, screening: str) -> None:
    """A draft may be half done; a report may not."""
    said = {
        "liver": {
            "decision": "corrected",
            "state": "negative",
            "lesions": [{"id": 1, "decision": "corrected", "kind": "cyst"}],
        }
    }
    draft = await at.draft("anna", screening, said)
    refused(await at.sign("anna", draft), 400, "review.invalid")
    _, kept = await at.ask("anna", "GET", f"/v1/reviews/{draft['review_id']}")
    assert kept == draft


async def test_a_running_screening_is_not_signed(at: Desk) -> None:
    """It may be drafted from its first result on."""
    study = uid()
    await add_study(at.client, study)
    headers = {"Authorization": "Bearer key-of-the-test"}
    async with at.client.post(
        "/v1/screenings", json={"study_instance_uid": study}, headers=headers
    ) as answer:
        made = await answer.json()
    path = f"/v1/screenings/{made['screening_id']}/reviews"
    _, draft = await at.ask("anna", "POST", path, {})
    refused(await at.sign("anna", draft), 409, "request.conflict")


async def test_only_the_reader_changes_his_draft(at: Desk, screening: str) -> None:
    """Others do not see what it says; discarding it is a line of the audit log."""
    draft = await at.draft("anna", screening, REJECTED, comment="not yet")
    path = f"/v1/reviews/{draft['review_id']}"
    body = {"revision": 2, "content": {}}
    refused(await at.ask("ben", "PUT", path, body), 404, "request.not_found")
    refused(await at.ask("ben", "POST", f"{path}/sign", {"revision": 2}), 404, "request.not_found")
    refused(await at.ask("ben", "DELETE", path), 404, "request.not_found")
    _, seen = await at.ask("ben", "GET", path)
    assert (seen["reader"], seen["content"]) == ("key:anna", None)
    _, listed = await at.ask("ben", "GET", f"/v1/screenings/{screening}/reviews")
    assert [one["content"] for one in listed["reviews"]] == [None]
    assert (await at.ask("anna", "DELETE", path))[0] == 204
    refused(await at.ask("anna", "GET", path), 404, "request.not_found")
    assert (await actions(at, draft["review_id"]))[-1] == "review.discarded"


async def test_reports_go_with_their_results_only(at: Desk) -> None:
    """An administrator who deletes a study's results deletes its reports, and the log says so."""
    study = uid()
    await at.signed("anna", await at.study(study))
    headers = {"Authorization": "Bearer key-of-the-test"}
    async with at.client.delete(
        f"/v1/studies/{study}", params={"results": "delete"}, headers=headers
    ) as answer:
        assert answer.status == 204, await answer.text()
    assert not await at.rows(
        "SELECT 1 FROM reviews JOIN screenings USING (screening_id) WHERE study_instance_uid = %s",
        study,
    )
    logged = await at.rows("SELECT action FROM audit WHERE subject = %s", study)
    assert [row["action"] for row in logged] == ["study.deleted"]
