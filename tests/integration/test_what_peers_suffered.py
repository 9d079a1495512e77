"""What users of other gateways suffered (mercure, MONAI Deploy): each a test.

Held elsewhere: a study closed while a series was still arriving (mercure #32) in
`test_store_arrivals`; rules that were evaluated as code in `tests/unit/gateway/intake`, where a
rule is a pattern and nothing more; archives that write outside of their folder in
`tests/acceptance/test_bad_input.py`; a broker whose absence loses the payload in `test_killed`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pydicom
import pytest
import pytest_asyncio
from yarl import URL

from gateway.settings import WorkerSettings
from gateway.store import screenings
from gateway.store.reaper import reap
from tests.access_server import Api, serving
from tests.small_ct import write_small_ct

pytestmark = pytest.mark.postgres

HOSTILE = (
    "'; DROP TABLE studies; --",
    "' OR '1'='1",
    "%' UNION SELECT secret_digest FROM api_keys --",
    "$(touch {folder}/owned)",
    "`touch {folder}/owned`; touch {folder}/owned",
    "__import__('os').system('touch {folder}/owned')",
    "{{7*7}}${{7*7}}<%= 7*7 %>",
    "../../../../etc/passwd",
    "\\\\host\\share\\x",
)
"""SQL, shell, Python, templates and paths, as they came with real studies and requests."""


@pytest_asyncio.fixture
async def api(database_url: str, tmp_path: Path) -> AsyncIterator[Api]:
    """An api on a database of its own."""
    async with serving(database_url, tmp_path) as made:
        yield made


@pytest.mark.parametrize("text", HOSTILE)
async def test_no_text_of_a_study_or_a_request_is_run(text: str, api: Api, tmp_path: Path) -> None:
    """It is stored, searched and shown as the text that it is."""
    said = text.replace("{folder}", str(tmp_path))[:64]
    key = await api.tenant("clinic")
    short = dict.fromkeys(("PatientName", "StudyDescription", "AccessionNumber"), said[:16])
    long = dict.fromkeys(("PatientID", "SeriesDescription"), said)
    paths = write_small_ct(tmp_path / "ct", slices=2, changes=short | long)
    study = str(pydicom.dcmread(paths[0]).StudyInstanceUID)
    answer = await api.store(paths, key)
    assert answer.status == 200, await answer.text()
    for query in (
        {"PatientID": said},
        {"PatientName": said},
        {"StudyInstanceUID": said},
        {"limit": said},
        {"includefield": said},
        {said: "x"},
    ):
        for path in ("/dicomweb/studies", "/v1/studies", "/v1/screenings"):
            answer = await api.client.get(path, params=query, headers=key)
            assert answer.status in (200, 204, 400), (path, query)
    order = {"study_instance_uid": study, "checks": [said]}
    answer = await api.client.post("/v1/screenings", json=order, headers=key)
    assert answer.status in (400, 422)
    answer = await api.client.post(
        "/v1/screenings",
        json={"study_instance_uid": study},
        headers={**key, "Idempotency-Key": said},
    )
    assert answer.status in (202, 400)
    answer = await api.client.get(f"/dicomweb/studies/{study}/metadata", headers=key)
    shown = await answer.json()
    assert {"\\".join(one["00100020"]["Value"]) for one in shown} == {said}  # DICOM's separator
    assert not (tmp_path / "owned").exists()
    async with api.database.connection() as connection:
        for table in ("studies", "api_keys", "instances"):
            cursor = await connection.execute(f"SELECT count(*) AS number FROM {table}")
            row = await cursor.fetchone()
            assert row is not None
            assert row["number"] > 0


@pytest.mark.parametrize(
    "path",
    [
        "/dicomweb/studies/..%2F..%2F..%2Fetc%2Fpasswd",
        "/dicomweb/studies/1.2.3/series/%2e%2e%2f%2e%2e/metadata",
        "/v1/screenings/..%2F..%2Fkey",
        "/docs/..%2f..%2fkey",
        "/v1/screenings/%00",
    ],
)
async def test_no_address_leaves_its_folder(path: str, api: Api) -> None:
    """There is nothing there, for the owner of every role either."""
    key = await api.tenant("clinic")
    answer = await api.client.get(URL(path, encoded=True), headers=key)
    assert answer.status in (400, 404)
    assert b"root:" not in await answer.read()


async def test_nobody_takes_over_an_account(api: Api) -> None:
    """No request makes, shows or changes a key; a used or invented link signs nobody in."""
    key = await api.tenant("clinic")
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        for path in ("/v1/keys", "/v1/users", "/v1/tenants", "/auth/password", "/auth/reset"):
            answer = await api.client.request(method, path, headers=key, json={"name": "all"})
            assert answer.status in (404, 405), (method, path)
    for token in ("", "x" * 43, "' OR '1'='1", "../key"):
        answer = await api.client.get("/auth/link", params={"token": token}, allow_redirects=False)
        assert answer.status in (400, 401)
        assert "Set-Cookie" not in answer.headers


async def test_nothing_accepted_is_stuck_for_ever(api: Api, tmp_path: Path) -> None:
    """A worker that went silent is counted, and after the last attempt the end is visible."""
    key = await api.tenant("clinic")
    paths = write_small_ct(tmp_path / "ct", slices=2)
    await api.store(paths, key)
    study = str(pydicom.dcmread(paths[0]).StudyInstanceUID)
    answer = await api.client.post(
        "/v1/screenings", json={"study_instance_uid": study}, headers=key
    )
    made = await answer.json()
    settings = WorkerSettings()
    for attempt in range(1, settings.max_attempts + 1):
        async with api.database.connection() as connection:
            claim = await screenings.claim(
                connection, made["screening_id"], attempt, f"silent-{attempt}"
            )
            assert claim is not None
            await connection.execute(
                "UPDATE screenings SET heartbeat_at = now() - interval '1 hour'"
            )
        async with api.database.connection() as connection:
            await reap(connection, settings)
    answer = await api.client.get(f"/v1/screenings/{made['screening_id']}", headers=key)
    shown = await answer.json()
    assert (shown["state"], shown["error"]["code"]) == ("failed", "crashed")
    assert {check["state"] for check in shown["checks"]} == {"failed"}
