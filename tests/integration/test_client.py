"""The client against the api: it waits by events, and survives what happens to streams."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.api.hub import HUB
from gateway.client import GatewayClient
from gateway.exceptions import RequestError
from gateway.settings import EventSettings
from tests.partner_api import KEY, STUDY, Client, api_settings, claimed, finish, running

pytestmark = pytest.mark.postgres


@pytest_asyncio.fixture
async def api(database_url: str, tmp_path: Path) -> AsyncIterator[Client]:
    events = EventSettings(stream_seconds=1.5)  # so that streams break while it waits
    async with running(api_settings(database_url, tmp_path, events=events)) as client:
        yield client


@pytest_asyncio.fixture
async def client(api: Client) -> AsyncIterator[GatewayClient]:
    async with GatewayClient(str(api.make_url("/")), KEY) as made:
        yield made


async def test_it_waits_by_events(api: Client, client: GatewayClient) -> None:
    """It sees each state, over streams that end, and is back soon after the last one."""
    made = await client.create_screening({"study_instance_uid": STUDY})
    seen: list[str] = []
    waiting = asyncio.create_task(
        client.wait(made["screening_id"], seen=lambda shown: seen.append(shown["state"]))
    )
    await asyncio.sleep(2.5)
    claim = await claimed(api, made)
    await asyncio.sleep(0.3)
    await finish(api, claim)
    shown = await asyncio.wait_for(waiting, 5.0)
    assert shown["state"] == "done"
    assert list(dict.fromkeys(seen)) == ["accepted", "running", "done"]
    assert len(seen) < 12  # it does not poll
    assert [event["event"] async for event in client.events(made["screening_id"])] == [
        "accepted",
        "running",
        "done",
    ]


async def test_it_waits_without_a_stream(api: Client, client: GatewayClient) -> None:
    """A server that ends streams, or has none to give, is looked at instead."""
    made = await client.create_screening({"study_instance_uid": STUDY})
    app = api.app
    assert app is not None
    app[HUB].close()
    waiting = asyncio.create_task(client.wait(made["screening_id"]))
    await asyncio.sleep(0.2)
    app[HUB].closing = False
    await finish(api, await claimed(api, made))
    assert (await asyncio.wait_for(waiting, 5.0))["state"] == "done"


async def test_it_lists_cancels_and_runs_again(api: Client, client: GatewayClient) -> None:
    """Over pages; a key makes an order once."""
    made = [
        await client.create_screening({"study_instance_uid": STUDY}, idempotency_key=key)
        for key in ("a", "b", "a")
    ]
    assert made[0] == made[2]
    assert (await client.cancel(made[0]["screening_id"]))["state"] == "cancelled"
    again = await client.rerun(made[0]["screening_id"])
    assert again["version"] == 3
    listed = [one["screening_id"] async for one in client.screenings(limit="1")]
    assert listed == [again["screening_id"], made[1]["screening_id"], made[0]["screening_id"]]
    with pytest.raises(RequestError) as told:
        await client.rerun(again["screening_id"])
    assert told.value.code == "request.conflict"
