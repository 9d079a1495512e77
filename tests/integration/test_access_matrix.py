"""Every endpoint, asked with every role, as the owner of what it names and as a stranger.

Made from `gateway.api.access.ACCESS`: a new route is asked as soon as it has its row. What its
address names has to be in `things`, so that there is something to be found.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pydicom
import pytest
import pytest_asyncio
from aiohttp.test_utils import TestClient, TestServer
from psycopg.types.json import Jsonb

from gateway.api.access import ACCESS, ANYBODY, MACHINE, OPEN, Access
from gateway.api.app import make_app
from gateway.api.keys import DATABASE, OBJECTS
from gateway.principal import ROLES, Quotas
from gateway.results.json import screening_result
from gateway.review.comparison import compare
from gateway.review.content import EMPTY
from gateway.review.record import seal
from gateway.review.verdicts import reviewed
from gateway.screening.findings import CheckResult
from gateway.settings import ApiSettings, Settings, StoreSettings, TritonSettings
from gateway.store import screenings
from gateway.store.database import Connection
from gateway.store.keys import create_key
from gateway.store.masks import write_mask
from gateway.store.tenants import create_tenant
from tests.rule_check import write_rule_repository
from tests.small_ct import write_small_ct

pytestmark = pytest.mark.postgres

Client = TestClient[Any, Any]

OWNER, STRANGER = "owner", "stranger"

STUDY = "1.2.826.0.1.3680043.8.498.4711"

ELSEWHERE = {"X-Forwarded-For": "203.0.113.9"}
"""A proxy on this machine passed the request on: so it is not this machine that asks."""

STREAM_SECONDS = 0.3
"""A stream of events does not end; what it has to say at once is read."""

COPIES = {("POST", "/dicomweb/studies/{study}")}
"""Two partners may send the same UIDs: a stranger's copy is its own, and no key to the owner's."""


@dataclass
class World:
    """A server with two tenants; one of them has a study, a screening and its results."""

    client: Client
    keys: dict[tuple[str, str], str]
    things: dict[str, str]
    """Placeholder of an address → what the owner has."""

    async def ask(
        self, access: Access, tenant: str, role: str
    ) -> tuple[int, dict[str, Any], bytes]:
        """Ask with a key that has one role; gives status, problem and body."""
        path = access.path
        for name, value in self.things.items():
            path = path.replace("{" + name + "}", value)
        assert "{" not in path, f"add what {access.path} names to this test's things"
        headers = {"Authorization": f"Bearer {self.keys[tenant, role]}", **ELSEWHERE}
        body: dict[str, Any] = {}
        if (access.method, access.path) == ("POST", "/v1/screenings"):
            body = {"json": {"study_instance_uid": STUDY}}
        if access.path.startswith("/v1/reviews/") and access.method in ("PUT", "POST"):
            content = {"content": {}} if access.method == "PUT" else {}
            body = {"json": {"revision": 1, **content}}
        got = b""
        async with self.client.request(
            access.method, path, headers=headers, allow_redirects=False, **body
        ) as answer:
            try:
                async with asyncio.timeout(STREAM_SECONDS if "event" in path else 20):
                    while chunk := await answer.content.readany():
                        got += chunk
            except TimeoutError:
                assert "event" in path, access
            told = json.loads(got) if answer.content_type == "application/problem+json" else {}
            return answer.status, told, got


@pytest_asyncio.fixture
async def world(database_url: str, tmp_path: Path) -> AsyncIterator[World]:
    repository = write_rule_repository(tmp_path / "model_repository")
    settings = Settings(
        home=tmp_path,
        api=ApiSettings(key="key-of-the-test"),
        store=StoreSettings(database_url=database_url, pool_size=4),
        triton=TritonSettings(model_repository=str(repository)),
    )
    async with TestClient(TestServer(make_app(settings))) as client:
        assert client.app is not None
        keys = {}
        async with client.app[DATABASE].connection() as connection:
            for tenant in (OWNER, STRANGER):
                await create_tenant(connection, tenant, Quotas(), actor="test")
                for role in ROLES:
                    made = await create_key(connection, tenant, role, [role], actor="test")
                    keys[tenant, role] = made.secret
        yield World(client, keys, await fill(client, keys, tmp_path))


async def fill(client: Client, keys: dict[tuple[str, str], str], folder: Path) -> dict[str, str]:
    """Store a study as its owner, screen it, release a result, keep a mask."""
    paths = write_small_ct(folder / "ct", slices=2, study_instance_uid=STUDY)
    sender = {"Authorization": f"Bearer {keys[OWNER, 'send']}"}
    parts = b"".join(
        b"--X\r\nContent-Type: application/dicom\r\n\r\n" + path.read_bytes() + b"\r\n"
        for path in paths
    )
    kind = 'multipart/related; type="application/dicom"; boundary=X'
    answer = await client.post(
        "/dicomweb/studies", data=parts + b"--X--\r\n", headers={**sender, "Content-Type": kind}
    )
    assert answer.status == 200, await answer.text()
    made = await client.post("/v1/screenings", json={"study_instance_uid": STUDY}, headers=sender)
    screening_id = (await made.json())["screening_id"]
    assert client.app is not None
    result = CheckResult.without_answer("liver", "not_evaluated", "contrast")
    pointer = write_mask(client.app[OBJECTS], b"a mask")
    async with client.app[DATABASE].connection() as connection:
        claim = await screenings.claim(connection, screening_id, 1, "w/1")
        assert claim is not None
        await screenings.release(
            connection,
            claim,
            check="liver",
            state=result.state,
            reason=result.reason,
            result=result.to_json(),
            mask=pointer,
        )
    image = pydicom.dcmread(paths[0])
    things = {
        "study": STUDY,
        "study_instance_uid": STUDY,
        "series": image.SeriesInstanceUID,
        "instance": image.SOPInstanceUID,
        "frames": "1",
        "path": "7FE00010",
        "screening_id": screening_id,
        "check": "liver",
        "part": "1",
        "plane": "axial",
        "index": "0",
        "name": "ui.css",
    }
    async with client.app[DATABASE].connection() as connection:
        cursor = await connection.execute(
            "INSERT INTO critical_results (tenant, screening_id, check_name)"
            " VALUES (%s, %s, 'liver') RETURNING critical_id",
            (OWNER, screening_id),
        )
        row = await cursor.fetchone()
        assert row is not None
        things["critical_id"] = str(row["critical_id"])
        cursor = await connection.execute(
            "INSERT INTO result_jobs (tenant, screening_id, kinds, state)"
            " VALUES (%s, %s, '{sr}', 'failed') RETURNING job_id",
            (OWNER, screening_id),
        )
        row = await cursor.fetchone()
        assert row is not None
        things["job_id"] = str(row["job_id"])
    if any("{delivery_id}" in access.path for access in ACCESS):
        async with client.app[DATABASE].connection() as connection:
            cursor = await connection.execute(
                "INSERT INTO webhook_deliveries (tenant, screening_id, event, url, body, state)"
                " VALUES (%s, %s, 'done', 'https://203.0.113.1/', 'reference', 'failed')"
                " RETURNING delivery_id",
                (OWNER, screening_id),
            )
            row = await cursor.fetchone()
            assert row is not None
            things["delivery_id"] = str(row["delivery_id"])
    async with client.app[DATABASE].connection() as connection:
        things |= await fill_reviews(connection, screening_id)
    return things


async def fill_reviews(connection: Connection, screening_id: str) -> dict[str, str]:
    """Give the reader with the key ``review`` a draft, a reader study, and a report by another."""
    reader, other = "key:review", "key:another"
    row, released, _ = await screenings.find(connection, OWNER, UUID(screening_id))
    result = screening_result(row, released)
    checks, _ = reviewed(dict(EMPTY), result["checks"])
    report = {
        "review_id": str(uuid4()),
        "reader": other,
        "readers": [other],
        "signed_at": "2026-11-21T08:00:00+00:00",
        "predecessor": None,
        "comment": "",
        "content": {},
        "findings": {},
        "result": {**result, "checks": checks},
    }
    reading = {"content": {}, "comparison": compare([], checks)}
    for given in (
        (other, "report", "signed", True, *seal(report)),
        (reader, "report", "draft", False, None, None),
        (reader, "study", "signed", False, *seal(reading)),
    ):
        cursor = await connection.execute(
            "INSERT INTO reviews (tenant, screening_id, reader, purpose, state, final, record,"
            " digest, content, signed_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s,"
            " CASE WHEN %s::text IS NOT NULL THEN now() END) RETURNING review_id",
            (OWNER, screening_id, *given, Jsonb(dict(EMPTY)), given[4]),
        )
        made = await cursor.fetchone()
        assert made is not None
        if given[2] == "draft":
            draft = str(made["review_id"])
    cursor = await connection.execute(
        "WITH study AS (INSERT INTO reader_studies (tenant, name, seed, washout_days, readers,"
        " created_by) VALUES (%s, 'lungs', 7, 0, %s, %s) RETURNING reader_study_id)"
        " INSERT INTO readings SELECT reader_study_id, %s, 1, 1, %s, true, %s, now(), now()"
        " FROM study RETURNING reader_study_id",
        (OWNER, [reader], reader, reader, screening_id, made["review_id"]),
    )
    study = await cursor.fetchone()
    assert study is not None
    return {"review_id": draft, "reader_study_id": str(study["reader_study_id"])}


def role_of(access: Access) -> str:
    """Give a role that may ask, the least of those that do."""
    return {MACHINE: "operate", ANYBODY: "review", OPEN: "review"}.get(access.needs, access.needs)


async def test_only_the_role_of_the_row_may_ask(world: World) -> None:
    """All others meet 403 with its code, before anything else is looked at."""
    wrong = []
    for access in ACCESS:
        for role in ROLES:
            if access.needs in (OPEN, ANYBODY) or role == role_of(access):
                continue
            status, problem, _ = await world.ask(access, OWNER, role)
            if (status, problem.get("code")) != (403, "request.forbidden"):
                wrong.append((access.method, access.path, role, status, problem.get("code")))
    assert not wrong


async def test_the_owner_is_served(world: World) -> None:
    """With the right role nothing is forbidden, and what is named is found."""
    wrong = []
    for access in ACCESS:
        status, problem, _ = await world.ask(access, OWNER, role_of(access))
        signs_in = access.path.startswith("/auth/") and access.needs == OPEN
        if (
            status in (401, 403, 405, 429)
            or (status == 404 and not signs_in)
            or (status >= 500 and access.path != "/readyz")
        ):
            wrong.append((access.method, access.path, status, problem.get("code")))
    assert not wrong


async def test_a_stranger_finds_nothing(world: World) -> None:
    """What is another tenant's is 404, as if it were not there; lists do not have it."""
    wrong = []
    secrets = {STUDY, *world.things.values()} - {"1", "0", "liver", "7FE00010", "axial", "ui.css"}
    for access in ACCESS:
        status, problem, body = await world.ask(access, STRANGER, role_of(access))
        told = (status, problem.get("code"))
        names_study = (access.method, access.path) == ("POST", "/v1/screenings")
        if access.needs == OPEN or access.path == "/metrics":
            continue
        if ("{" in access.path or names_study) and (access.method, access.path) not in COPIES:
            empty_search = access.path.endswith(("/series", "/instances")) and status == 204
            if told != (404, "request.not_found") and not empty_search:
                wrong.append((access.method, access.path, *told))
        elif any(secret.encode() in body for secret in secrets):
            wrong.append((access.method, access.path, "tells what is another's", status))
    assert not wrong


async def test_metrics_name_nobody_to_anybody(world: World) -> None:
    """They are of the whole deployment, so no tenant's thing is in them."""
    access = next(access for access in ACCESS if access.path == "/metrics")
    status, _, body = await world.ask(access, STRANGER, "operate")
    assert status == 200
    for secret in (STUDY, OWNER, world.things["screening_id"]):
        assert secret.encode() not in body


async def test_a_copy_that_a_stranger_stores_is_its_own(world: World, tmp_path: Path) -> None:
    """The same UIDs in another tenant change nothing of the owner's."""
    [path] = write_small_ct(tmp_path / "copy", slices=1, study_instance_uid=STUDY)
    body = b"--X\r\nContent-Type: application/dicom\r\n\r\n" + path.read_bytes() + b"\r\n--X--\r\n"
    sender = {"Authorization": f"Bearer {world.keys[STRANGER, 'send']}"}
    kind = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=X'}
    answer = await world.client.post(
        f"/dicomweb/studies/{STUDY}", data=body, headers={**sender, **kind}
    )
    assert answer.status == 200
    counts = {}
    for tenant in (OWNER, STRANGER):
        reader = {"Authorization": f"Bearer {world.keys[tenant, 'read']}"}
        found = await world.client.get(f"/dicomweb/studies/{STUDY}/instances", headers=reader)
        counts[tenant] = len(await found.json(content_type=None))
    assert counts == {OWNER: 2, STRANGER: 1}
    reader = {"Authorization": f"Bearer {world.keys[STRANGER, 'read']}"}
    screening = f"/v1/screenings/{world.things['screening_id']}"
    assert (await world.client.get(screening, headers=reader)).status == 404


async def test_without_credentials_nothing_but_what_is_open(world: World) -> None:
    """401 for every other row, for paths that are none, and for methods that are none."""
    wrong = []
    for access in ACCESS:
        if access.needs == OPEN:
            continue
        path = access.path
        for name, value in world.things.items():
            path = path.replace("{" + name + "}", value)
        for headers in (ELSEWHERE, {**ELSEWHERE, "X-API-Key": ""}):
            answer = await world.client.request(access.method, path, headers=headers)
            if answer.status != 401:
                wrong.append((access.method, access.path, answer.status))
    for method, path in (("GET", "/nowhere"), ("DELETE", "/v1/checks"), ("GET", "/v1/../livez/x")):
        answer = await world.client.request(method, path, headers=ELSEWHERE)
        assert answer.status == 401, path
    assert not wrong
    with pytest.raises(aiohttp.ClientResponseError):
        (await world.client.get("/v1/usage")).raise_for_status()
