"""Server-sent events: resumed anywhere, complete, bounded, and ended in good order."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import pytest_asyncio
from aiohttp import ClientConnectionResetError, ClientResponse
from aiohttp.web import StreamResponse

from gateway.api.hub import HUB
from gateway.settings import EventSettings, Settings
from gateway.store import screenings
from tests.partner_api import (
    Client,
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

PATIENCE_SECONDS = 15.0
STREAMS = 3


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return api_settings(
        database_url,
        tmp_path,
        events=EventSettings(streams_per_tenant=STREAMS, heartbeat_seconds=0.3, stall_seconds=1.0),
    )


@pytest_asyncio.fixture
async def api(settings: Settings) -> AsyncIterator[Client]:
    async with running(settings) as client:
        yield client


async def events_of(answer: ClientResponse, number: int = 0) -> list[dict[str, Any]]:
    """Read events until so many have come, or to the end; comments are dropped."""
    assert answer.status == 200, await answer.text()
    assert answer.content_type == "text/event-stream"
    found: list[dict[str, Any]] = []
    event: dict[str, Any] = {}
    async with asyncio.timeout(PATIENCE_SECONDS):
        async for line in answer.content:
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name:
                event[name] = value
            elif "data" in event:
                found.append({**event, "data": json.loads(event["data"])})
                if len(found) == number:
                    break
            if not name:
                event = {}
    return found


async def test_a_screening_is_followed_to_its_end(api: Client) -> None:
    """What was, what comes, and the end of the stream; then 204."""
    made = await order(api)
    path = f"/v1/screenings/{made['screening_id']}/events"
    async with api.get(path) as answer:
        [accepted] = await events_of(answer, 1)
        claim = await claimed(api, made)
        await release(api, claim, "liver", state="positive", urgency="critical")
        await finish(api, claim)
        rest = await events_of(answer)
    assert [e["event"] for e in [accepted, *rest]] == ["accepted", "running", "released", "done"]
    assert rest[1]["data"] | {"at": ""} == {
        "screening_id": made["screening_id"],
        "event": "released",
        "at": "",
        "check": "liver",
        "state": "positive",
        "reason": None,
        "urgency": "critical",
    }
    async with api.get(path, headers={"Last-Event-ID": rest[0]["id"]}) as answer:
        assert [e["event"] for e in await events_of(answer)] == ["released", "done"]
    async with api.get(f"{path}?last_event_id={rest[-1]['id']}") as answer:
        assert (answer.status, await answer.read()) == (204, b"")


async def test_another_process_goes_on(api: Client, settings: Settings) -> None:
    """The id is a place in the database, not in a process."""
    made = await order(api)
    async with api.get(f"/v1/screenings/{made['screening_id']}/events") as answer:
        [accepted] = await events_of(answer, 1)
    async with running(settings, "1.2.3.4.5") as other:
        path = f"/v1/screenings/{made['screening_id']}/events"
        async with other.get(path, headers={"Last-Event-ID": accepted["id"]}) as answer:
            claim = await claimed(api, made)
            await finish(api, claim)
            assert [e["event"] for e in await events_of(answer)] == ["running", "done"]


async def test_all_of_a_tenant_from_now_on_or_from_the_beginning(api: Client) -> None:
    """Without an id nothing of the past; with 0 everything; of another tenant nothing."""
    first = await order(api)
    async with database(api).connection() as connection:
        await connection.execute("INSERT INTO tenants (tenant) VALUES ('other')")
    async with api.get(f"/v1/screenings/{first['screening_id']}/events") as answer:
        await events_of(answer, 1)  # so it has been placed
    async with api.get("/v1/events") as answer:
        second = await order(api)
        [event] = await events_of(answer, 1)
    assert event["data"]["screening_id"] == second["screening_id"]
    async with database(api).connection() as connection:
        await connection.execute(
            "UPDATE screening_events SET tenant = 'other' WHERE screening_id = %s",
            (second["screening_id"],),
        )
    async with api.get("/v1/events", headers={"Last-Event-ID": "0"}) as answer:
        third = await order(api)
        told = [e["data"]["screening_id"] for e in await events_of(answer, 2)]
    assert told == [first["screening_id"], third["screening_id"]]


async def test_an_event_held_back_reaches_an_open_stream(api: Client) -> None:
    """A slow transaction's event comes after those that overtook it."""
    made = await order(api)
    claim = await claimed(api, made)
    async with api.get(f"/v1/screenings/{made['screening_id']}/events") as answer:
        await events_of(answer, 2)
        async with database(api).connection() as slow:
            await screenings.enter_stage(slow, claim, "decode")
            async with database(api).connection() as fast:
                await screenings.enter_stage(fast, claim, "anatomy")
            [event] = await events_of(answer, 1)
            assert event["data"]["stage"] == "anatomy"
        [event] = await events_of(answer, 1)
        assert event["data"]["stage"] == "decode"


async def test_silence_is_alive(api: Client) -> None:
    """A comment each time nothing has happened for a while, and how soon to come back."""
    async with api.get("/v1/events") as answer:
        text = b""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while text.count(b": alive\n\n") < 2:
                text += await answer.content.readany()
    assert text.startswith(b"retry: ")


async def test_streams_of_a_tenant_are_counted(api: Client) -> None:
    """One too many is 429; a reader that is gone makes room."""
    answers = [await api.get("/v1/events") for _ in range(STREAMS)]
    await problem(await api.get("/v1/events"), 429, "overloaded")
    answers[0].close()
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (answer := await api.get("/v1/events")).status != 200:  # noqa: ASYNC110 - the server's own pace
            await asyncio.sleep(0.05)
    for one in [*answers[1:], answer]:
        one.close()


async def test_the_database_may_go_away(api: Client, database_url: str) -> None:
    """The listener connects again, and what was missed meanwhile is told."""
    made = await order(api)
    async with api.get(f"/v1/screenings/{made['screening_id']}/events") as answer:
        await events_of(answer, 1)
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND query LIKE 'LISTEN%%'"
                " OR query LIKE 'SELECT tenant, screening_id, max%%' AND pid <> pg_backend_pid()"
            )
        await finish(api, await claimed(api, made))
        assert [e["event"] for e in await events_of(answer)] == ["running", "done"]


async def test_streams_end_when_the_process_does(api: Client) -> None:
    """In good order, so that the reader goes on elsewhere at once."""
    async with api.get("/v1/events") as answer:
        app = api.app
        assert app is not None
        app[HUB].close()
        assert await events_of(answer) == []
        await problem(await api.get("/v1/events"), 429, "overloaded")


async def test_a_reader_that_leaves_is_no_error(
    api: Client, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a browser does when its page is closed: nobody is told of it."""
    made = await order(api)
    await finish(api, await claimed(api, made))

    async def gone(response: StreamResponse, data: bytes = b"") -> None:
        raise ClientConnectionResetError("Cannot write to closing transport")

    monkeypatch.setattr(StreamResponse, "write_eof", gone)
    caplog.set_level(logging.DEBUG, "aiohttp.server")
    answer = await api.get(f"/v1/screenings/{made['screening_id']}/events")
    assert len(await events_of(answer, 3)) == 3
    app = api.app
    assert app is not None
    async with asyncio.timeout(PATIENCE_SECONDS):
        while app[HUB].streams:  # noqa: ASYNC110 - the server's own pace
            await asyncio.sleep(0.02)
    answer.close()
    await asyncio.sleep(0)
    assert [one.getMessage() for one in caplog.records if one.exc_info] == []


async def test_a_reader_that_takes_nothing_is_dropped(api: Client) -> None:
    """It holds neither memory nor a place."""
    app = api.app
    assert app is not None
    made = await order(api)
    async with database(api).connection() as connection:
        await connection.execute(
            "INSERT INTO screening_events (screening_id, tenant, kind, data)"
            " SELECT %s, 'default', 'stage', jsonb_build_object('stage', repeat('x', 8000))"
            " FROM generate_series(1, 3000)",
            (made["screening_id"],),
        )
    host, port = api.server.host, api.server.port  # type: ignore[union-attr]
    reader, writer = await asyncio.open_connection(host, port, limit=1024)
    key = api.session.headers["Authorization"]
    said = f"GET /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: {key}\r\nLast-Event-ID: 0\r\n\r\n"
    writer.write(said.encode())
    await reader.readline()
    hub = app[HUB]
    async with asyncio.timeout(PATIENCE_SECONDS):
        while hub.streams:  # noqa: ASYNC110 - the server's own pace
            await asyncio.sleep(0.05)
    writer.close()


async def test_an_id_that_is_none_is_refused(api: Client) -> None:
    """In the header and as a parameter."""
    for given in ("x", "-1", "1.5", "²", "9" * 30):
        answer = await api.get("/v1/events", params={"last_event_id": given})
        await problem(answer, 400, "request.invalid_query")
    answer = await api.get("/v1/events", headers={"Last-Event-ID": "x"})
    await problem(answer, 400, "request.invalid_query")


async def test_strangers_see_nothing(api: Client) -> None:
    """An unknown screening, or another tenant's, has no stream."""
    made = await order(api)
    async with database(api).connection() as connection:
        await connection.execute("INSERT INTO tenants (tenant) VALUES ('other')")
        await connection.execute("UPDATE screenings SET tenant = 'other'")
    for name in ("x", made["screening_id"]):
        answer = await api.get(f"/v1/screenings/{name}/events")
        await problem(answer, 404, "request.not_found")
