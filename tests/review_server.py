"""An api with readers, and screenings that have findings to judge."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

from aiohttp.test_utils import TestClient, TestServer

from gateway.api.app import make_app
from gateway.api.keys import DATABASE, PARTNERS
from gateway.intake.partners import Partner, Partners
from gateway.screening.findings import CheckResult
from gateway.settings import EventSettings, WebhookSettings
from gateway.store import screenings
from gateway.store.keys import create_key
from tests.partner_api import add_study, api_settings

TENANT = "default"

PARTNERS_OF_THE_TEST = Partners(
    partners={
        "pair": Partner(name="pair", tenant=TENANT, keys=("one", "two", "three"), review="double"),
        "school": Partner(name="school", tenant=TENANT, keys=("pupil",), review="teaching"),
    }
)
"""Readers ``one``, ``two`` and ``three`` read in pairs, ``pupil`` learns; others read alone."""

READERS = ("anna", "ben", "one", "two", "three", "pupil")


def lesion(number: int, x: float, *, marked: bool = True) -> dict[str, Any]:
    """Give a lesion of 6 mm on the x axis."""
    return {
        "id": number,
        "kind": "solid",
        "classes": {"solid": 0.9},
        "score": 0.9,
        "centre_mm": [x, 0.0, 0.0],
        "box_mm": [[x - 3, -3.0, -3.0], [x + 3, 3.0, 3.0]],
        "long_diameter_mm": 6.0,
        "short_diameter_mm": 6.0,
        "mean_diameter_mm": 6.0,
        "volume_mm3": 113.0,
        "hu": None,
        "mask_value": number,
        "measures": {},
        "series_instance_uid": "1.2.3",
        "sop_instance_uid": None,
        "frame_number": None,
        "slice_index": 4,
        "site": None,
        "side": None,
        "marked": marked,
        "flagged": marked,
    }


FINDING = CheckResult(
    check="liver",
    state="positive",
    urgency="urgent",
    lesions=(lesion(1, 0.0), lesion(2, 50.0)),
    measures={"pdff_percent": 12.0},
    units={"pdff_percent": "%"},
    text={"en": "Told by the check.", "zh": "文本。"},
)
"""What every screening here finds, with the one check that is installed."""


class Desk:
    """The api and its readers."""

    def __init__(self, client: TestClient[Any, Any], keys: dict[str, str]) -> None:
        self.client = client
        self.keys = keys

    @property
    def database(self) -> Any:
        """Its pool."""
        assert self.client.app is not None
        return self.client.app[DATABASE]

    async def ask(self, reader: str, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Ask as a reader; gives status and JSON, or text."""
        headers = {"Authorization": f"Bearer {self.keys[reader]}"}
        async with self.client.request(method, path, json=body, headers=headers) as answer:
            if "json" in answer.content_type:
                return answer.status, await answer.json(content_type=None)
            return answer.status, await answer.text()

    async def screening(self, study: str, *, result: CheckResult = FINDING) -> str:
        """Screen a study to its end; gives the screening."""
        async with self.database.connection() as connection:
            row, _ = await screenings.create(
                connection,
                TENANT,
                screenings.Order(study_instance_uid=study, checks=("liver",), clinical={}),
            )
        async with self.database.connection() as connection:
            claim = await screenings.claim(connection, row["screening_id"], 1, "w/1")
            assert claim is not None
            await screenings.release(
                connection,
                claim,
                check=result.check,
                state=result.state,
                reason=result.reason,
                result=result.to_json(),
            )
            await screenings.finish(connection, claim, {})
        return str(row["screening_id"])

    async def study(self, uid: str) -> str:
        """Put a study into the index and screen it; gives the screening."""
        await add_study(self.client, uid)
        return await self.screening(uid)

    async def draft(self, reader: str, screening: str, findings: Any, **given: Any) -> Any:
        """Begin a review and save what the reader says."""
        status, review = await self.ask(reader, "POST", f"/v1/screenings/{screening}/reviews", {})
        assert status in (200, 201), review
        content = {"findings": findings, **given}
        body = {"revision": review["revision"], "content": content}
        status, saved = await self.ask(reader, "PUT", f"/v1/reviews/{review['review_id']}", body)
        assert status == 200, saved
        return saved

    async def sign(self, reader: str, review: Any) -> tuple[int, Any]:
        """Sign a review as it was read."""
        path = f"/v1/reviews/{review['review_id']}/sign"
        return await self.ask(reader, "POST", path, {"revision": review["revision"]})

    async def signed(self, reader: str, screening: str, findings: Any = None) -> Any:
        """Begin, save and sign a review."""
        said = {"liver": {"decision": "accepted"}} if findings is None else findings
        status, review = await self.sign(reader, await self.draft(reader, screening, said))
        assert status == 200, review
        return review

    async def rows(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        """Ask the database."""
        async with self.database.connection() as connection:
            cursor = await connection.execute(statement, values)
            rows: list[dict[str, Any]] = await cursor.fetchall()
            return rows


@asynccontextmanager
async def desk(database_url: str, home: Path) -> AsyncIterator[Desk]:
    """Serve until the block ends; every reader has a key of his name."""
    settings = api_settings(
        database_url,
        home,
        events=EventSettings(stream_seconds=1.0, heartbeat_seconds=0.2),
        webhooks=WebhookSettings(allow_private="yes", allow_http="yes", ports="any"),
    )
    settings = replace(settings, api=replace(settings.api, max_json_bytes=200_000))
    app = make_app(settings, reaper=False)
    app[PARTNERS] = PARTNERS_OF_THE_TEST
    async with TestClient(TestServer(app)) as client:
        keys = {}
        async with client.app[DATABASE].connection() as connection:  # type: ignore[index]
            for name in READERS:
                made = await create_key(connection, TENANT, name, ["read", "review"], actor="test")
                keys[name] = made.secret
        yield Desk(client, keys)


def refused(answer: tuple[int, Any], status: int, code: str) -> str:
    """Hold an answer to be this error; gives its sentence."""
    assert (answer[0], answer[1].get("code")) == (status, code), answer
    detail: str = answer[1]["detail"]
    return detail


def identifier(text: str) -> UUID:
    """Read an identifier."""
    return UUID(text)
