"""Partner profiles and remote sources through the api, on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp.test_utils import TestClient, TestServer

from gateway.api.app import make_app
from gateway.api.keys import DATABASE
from gateway.exceptions import PartnersError
from gateway.settings import ApiSettings, Settings, StoreSettings, TritonSettings
from tests.ct_files import body, part10, slices
from tests.rule_check import write_rule_repository
from tests.stow_app import CONTENT_TYPE

pytestmark = pytest.mark.postgres

KEY = "key-of-the-test"
PARTNERS = """
[partners.ward]
keys = ["default"]
checks = ["liver"]
lane = "backfill"
exam_context = "oncology"
quiet_seconds = 0.5

[sources.central]
tenants = ["default"]
url = "http://127.0.0.1:1"
[sources.theirs]
tenants = ["other"]
url = "http://127.0.0.1:1"

[archives.their_archive]
tenants = ["other"]
host = "127.0.0.1"
port = 1
ae_title = "THEIRS"
[archives.main]
tenants = ["default"]
host = "127.0.0.1"
port = 1
ae_title = "PACS"
timeout_seconds = 1
"""

Client = TestClient[Any, Any]


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    (tmp_path / "partners.toml").write_text(PARTNERS, encoding="utf-8")
    return Settings(
        home=tmp_path,
        api=ApiSettings(key=KEY),
        store=StoreSettings(database_url=database_url, pool_size=4),
        triton=TritonSettings(
            model_repository=str(write_rule_repository(tmp_path / "model_repository"))
        ),
    )


@pytest_asyncio.fixture
async def api(settings: Settings) -> AsyncIterator[Client]:
    async with TestClient(TestServer(make_app(settings))) as client:
        client.session.headers.update({"Authorization": f"Bearer {KEY}"})
        yield client


async def send(api: Client) -> str:
    datasets = slices(3)
    answer = await api.post(
        "/dicomweb/studies",
        data=body([part10(ds) for ds in datasets]),
        headers={"Content-Type": CONTENT_TYPE},
    )
    assert answer.status == 200, await answer.text()
    return str(datasets[0].StudyInstanceUID)


async def screened(api: Client) -> list[dict[str, Any]]:
    app: Any = api.server.app  # type: ignore[attr-defined]
    async with app[DATABASE].connection() as connection:
        return list(
            await (await connection.execute("SELECT * FROM screenings ORDER BY version")).fetchall()
        )


async def test_a_study_sent_by_stow_is_screened_when_it_is_quiet(api: Client) -> None:
    """By the key's profile, with nobody asking, and once."""
    study = await send(api)
    async with asyncio.timeout(20):
        while not (rows := await screened(api)):  # noqa: ASYNC110 - the completer's row
            await asyncio.sleep(0.1)
    await asyncio.sleep(1.5)
    assert await screened(api) == rows
    [row] = rows
    assert (row["study_instance_uid"], row["checks"]) == (study, ["liver"])
    assert (row["lane"], row["exam_context"]) == ("backfill", "oncology")


async def test_the_profile_fills_in_what_a_request_leaves_out(api: Client) -> None:
    """What the request says is obeyed."""
    study = await send(api)
    plain = await (await api.post("/v1/screenings", json={"study_instance_uid": study})).json()
    assert (plain["lane"], plain["exam_context"]) == ("backfill", "oncology")
    said = {"study_instance_uid": study, "lane": "stat", "exam_context": "unknown"}
    asked = await (await api.post("/v1/screenings", json=said)).json()
    assert (asked["lane"], asked["exam_context"]) == ("stat", "unknown")


@pytest.mark.parametrize(
    ("source", "status", "code"),
    [
        ({"dicomweb": "nobody"}, 400, "request.unknown_source"),
        ({"dicomweb": "theirs"}, 400, "request.unknown_source"),
        ({"dicomweb": "http://169.254.169.254/"}, 400, "request.unknown_source"),
        ({"s3": "central", "prefix": "a"}, 400, "request.unknown_source"),
        ({"dimse": "nobody"}, 400, "request.unknown_source"),
        ({"dimse": "their_archive"}, 400, "request.unknown_source"),
        ({"dimse": "central"}, 400, "request.unknown_source"),
        ({"url": "http://127.0.0.1/"}, 400, "request.invalid_json"),
        ({"dicomweb": "central", "url": "http://127.0.0.1/"}, 400, "request.invalid_json"),
        ({"dicomweb": "central", "s3": "x"}, 400, "request.invalid_json"),
        ({"s3": "x"}, 400, "request.invalid_json"),
        ({"s3": "x", "prefix": "a/../b"}, 400, "request.invalid_json"),
        ({"dicomweb": ["central"]}, 400, "request.invalid_json"),
        ("central", 400, "request.invalid_json"),
    ],
)
async def test_a_request_names_a_source_and_never_an_address(
    api: Client, source: Any, status: int, code: str
) -> None:
    """A source of another tenant is told like one that is not there."""
    answer = await api.post(
        "/v1/screenings", json={"study_instance_uid": "1.2.3", "source": source}
    )
    assert (answer.status, (await answer.json())["code"]) == (status, code)
    assert not await screened(api)


async def test_a_screening_from_a_source_is_accepted_before_it_is_fetched(api: Client) -> None:
    """202 at once; that the source cannot be reached is told by the screening."""
    answer = await api.post(
        "/v1/screenings",
        json={"study_instance_uid": "1.2.3", "source": {"dicomweb": "central"}},
    )
    assert answer.status == 202, await answer.text()
    [row] = await screened(api)
    assert row["source"] == {"dicomweb": "central"}
    assert row["fetched_at"] is None


def test_a_profile_that_names_a_missing_check_stops_the_start(settings: Settings) -> None:
    """Not every study of that partner later."""
    (settings.home / "partners.toml").write_text('[partners.a]\nkeys = []\nchecks = ["lver"]\n')
    with pytest.raises(PartnersError, match=r"\[partners.a\]: checks holds 'lver'"):
        make_app(settings)
