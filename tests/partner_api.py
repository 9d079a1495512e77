"""The whole api on a real database, for tests that use it as a partner does."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp.test_utils import TestClient, TestServer

from gateway.api.app import make_app
from gateway.api.keys import DATABASE
from gateway.settings import (
    ApiSettings,
    EventSettings,
    Settings,
    StoreSettings,
    TritonSettings,
    WebhookSettings,
)
from gateway.store import screenings
from gateway.store.keys import ensure_tenant
from tests.rule_check import write_rule_repository

KEY = "key-of-the-test"
STUDY = "1.2.826.0.1.3680043.8.498.77"

Client = TestClient[Any, Any]


def api_settings(
    database_url: str,
    home: Path,
    *,
    events: EventSettings | None = None,
    webhooks: WebhookSettings | None = None,
) -> Settings:
    """Give the settings of an api with one check."""
    return Settings(
        home=home,
        api=ApiSettings(key=KEY, max_json_bytes=20_000),
        store=StoreSettings(database_url=database_url, pool_size=6),
        triton=TritonSettings(
            model_repository=str(write_rule_repository(home / "model_repository"))
        ),
        events=events or EventSettings(),
        webhooks=webhooks or WebhookSettings(),
    )


@asynccontextmanager
async def running(settings: Settings, *studies: str) -> AsyncIterator[Client]:
    """Run the api; the studies are there, without an instance."""
    async with TestClient(TestServer(make_app(settings))) as client:
        client.session.headers["Authorization"] = f"Bearer {settings.api.key}"
        for study in studies or (STUDY,):
            await add_study(client, study)
        yield client


async def add_study(client: Client, uid: str, tenant: str = "default", **columns: Any) -> None:
    """Put a row of a study into the index."""
    async with database(client).connection() as connection:
        await ensure_tenant(connection, tenant)
        await connection.execute(
            "INSERT INTO studies (tenant, study_instance_uid, day, attributes, modalities)"
            " VALUES (%s, %s, current_date, %s, %s)",
            (tenant, uid, json.dumps(columns.get("attributes", {})), columns.get("modalities", [])),
        )


def database(client: Client) -> Any:
    """Give the api's database."""
    app = client.app
    assert app is not None
    return app[DATABASE]


async def order(client: Client, study: str = STUDY, **given: Any) -> dict[str, Any]:
    """Ask for a screening."""
    answer = await client.post("/v1/screenings", json={"study_instance_uid": study, **given})
    assert answer.status == 202, await answer.text()
    made: dict[str, Any] = await answer.json()
    return made


async def claimed(client: Client, screening: dict[str, Any]) -> screenings.Claim:
    """Take a screening as a worker does."""
    async with database(client).connection() as connection:
        row, _, _ = await screenings.find(connection, "default", screening["screening_id"])
        claim = await screenings.claim(connection, row["screening_id"], row["attempt"], "w/1")
    assert claim is not None
    return claim


async def release(client: Client, claim: screenings.Claim, check: str, **given: Any) -> None:
    """Release a result as a worker does."""
    from gateway.screening.findings import CheckResult

    result = CheckResult(check=check, text={"en": "Text.", "zh": "文本。"}, **given)
    async with database(client).connection() as connection:
        await screenings.release(
            connection,
            claim,
            check=check,
            state=result.state,
            reason=result.reason,
            result=result.to_json(),
        )


async def finish(client: Client, claim: screenings.Claim) -> None:
    """End a screening as a worker does."""
    async with database(client).connection() as connection:
        await screenings.finish(connection, claim, {})


async def problem(answer: Any, status: int, code: str) -> dict[str, Any]:
    """Hold an answer to be this error."""
    body: dict[str, Any] = json.loads(await answer.text())
    assert (answer.status, body.get("code")) == (status, code), body
    assert answer.content_type == "application/problem+json"
    return body
