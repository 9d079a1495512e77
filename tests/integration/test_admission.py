"""Promise 7 at the door: beyond a bound the answer comes at once, and the stat lane has places."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestClient, TestServer

from gateway.api.admission import ADMISSION, LANE_HEADER, Admission
from gateway.api.app import make_app
from gateway.api.keys import DATABASE
from gateway.api.watch import WATCH
from gateway.settings import ApiSettings, Settings
from gateway.store import suspensions
from gateway.store.suspensions import EVERYBODY, INTAKE
from tests.access_server import STORE_TYPE, body_of
from tests.partner_api import KEY, api_settings
from tests.small_ct import write_small_ct

pytestmark = pytest.mark.postgres

Client = TestClient[Any, Any]

AT_ONCE_SECONDS = 0.05
"""What a refusal may take."""

STAT = {LANE_HEADER: "stat"}


def limited(database_url: str, home: Path, **limits: Any) -> Settings:
    settings = api_settings(database_url, home)
    return replace(settings, api=ApiSettings(key=KEY, **limits))


def running(settings: Settings) -> Client:
    return TestClient(
        TestServer(make_app(settings, reaper=False)),
        headers={"Authorization": f"Bearer {KEY}"},
        connector=aiohttp.TCPConnector(limit=0),
    )


class Slow:
    """A store request that sends the last of its body when it is told to."""

    def __init__(self, client: Client, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.go_on = asyncio.Event()
        self._body = body
        self.task = asyncio.create_task(self._send(client, headers or {}))

    async def _chunks(self) -> AsyncIterator[bytes]:
        yield self._body[:200]
        await self.go_on.wait()
        yield self._body[200:]

    async def _send(self, client: Client, headers: dict[str, str]) -> int:
        async with client.post(
            "/dicomweb/studies",
            data=self._chunks(),
            headers={"Content-Type": STORE_TYPE, **headers},
        ) as answer:
            await answer.read()
            return answer.status


async def held(client: Client, *bodies: bytes) -> list[Slow]:
    """Begin stores that wait for the rest of their bodies; give them once all are counted."""
    holders = [Slow(client, body) for body in bodies]
    assert client.app is not None
    admission = client.app[ADMISSION]
    await until(lambda: admission.stores == len(bodies))
    return holders


def studies(folder: Path, number: int) -> list[bytes]:
    return [
        body_of(write_small_ct(folder / str(i), slices=2, study_instance_uid=f"1.2.826.0.9.{i}"))
        for i in range(number)
    ]


async def until(condition: Any) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - of a server, which has no event for tests
            await asyncio.sleep(0.01)


async def stored(client: Client) -> int:
    assert client.app is not None
    async with client.app[DATABASE].connection() as connection:
        cursor = await connection.execute("SELECT count(*) AS number FROM studies")
        row = await cursor.fetchone()
    assert row is not None
    return int(row["number"])


async def test_promise_7_ten_times_too_much_is_refused_at_once_and_stat_passes(
    database_url: str, tmp_path: Path
) -> None:
    """40 senders for 4 places of which 1 is kept: 37 are refused, stat is not, nothing is lost."""
    settings = limited(database_url, tmp_path, store_limit=4, store_stat_reserve=1)
    bodies = studies(tmp_path, 4)
    async with running(settings) as client:
        holders = await held(client, *bodies[:3])
        took = []
        for _ in range(37):  # one after the other: what is measured is the server, not this client
            begun = time.perf_counter()
            async with client.post(
                "/dicomweb/studies",
                data=bodies[3],
                headers={"Content-Type": STORE_TYPE, "Expect": "100-continue"},
            ) as answer:
                took.append(time.perf_counter() - begun)
                told = await answer.json()
            assert (answer.status, told["code"]) == (429, "overloaded")
            assert int(answer.headers["Retry-After"]) >= 1
        assert sorted(took)[len(took) // 2] < AT_ONCE_SECONDS
        async with client.post(
            "/dicomweb/studies", data=bodies[3], headers={"Content-Type": STORE_TYPE, **STAT}
        ) as answer:
            assert answer.status == 200
        for holder in holders:
            holder.go_on.set()
        assert await asyncio.gather(*(holder.task for holder in holders)) == [200] * 3
        assert await stored(client) == 4
        assert client.app is not None
        admission = client.app[ADMISSION]
        assert admission.stores == admission.store_bytes == admission.requests == 0


async def test_a_burst_loses_nothing_that_was_acknowledged(
    database_url: str, tmp_path: Path
) -> None:
    """All at once: each is stored or refused, and what is stored is what was said."""
    settings = limited(database_url, tmp_path, store_limit=3, store_stat_reserve=1)
    bodies = studies(tmp_path, 30)
    async with running(settings) as client:

        async def send(body: bytes) -> int:
            async with client.post(
                "/dicomweb/studies", data=body, headers={"Content-Type": STORE_TYPE}
            ) as answer:
                return answer.status

        told = await asyncio.gather(*(send(body) for body in bodies))
        assert set(told) <= {200, 429}
        assert 0 < told.count(200) == await stored(client)


async def test_the_body_of_a_refused_request_is_not_asked_for(
    database_url: str, tmp_path: Path
) -> None:
    """A sender that waits for 100 is told 429 instead; the connection ends."""
    settings = limited(database_url, tmp_path, store_limit=1, store_stat_reserve=0)
    [body] = studies(tmp_path, 1)
    async with running(settings) as client:
        [holder] = await held(client, body)
        assert await raw(client, expect=True, body=b"") == ["HTTP/1.1 429 Too Many Requests"]
        holder.go_on.set()
        assert await holder.task == 200
        lines = await raw(client, expect=True, body=body)
        assert lines == ["HTTP/1.1 100 Continue", "HTTP/1.1 200 OK"]


async def raw(client: Client, *, expect: bool, body: bytes) -> list[str]:
    """Speak HTTP by hand; gives the status lines."""
    reader, writer = await asyncio.open_connection(client.host, client.port)
    head = [
        "POST /dicomweb/studies HTTP/1.1",
        "Host: here",
        f"Authorization: Bearer {KEY}",
        f"Content-Type: {STORE_TYPE}",
        f"Content-Length: {len(body) or 10_000_000}",
        "Expect: 100-continue",
    ]
    writer.write(("\r\n".join(head) + "\r\n\r\n").encode())
    lines = []
    async with asyncio.timeout(20):
        while line := (await reader.readline()).decode().strip():
            if line.startswith("HTTP/1.1"):
                lines.append(line)
                if " 100 " in line:
                    await reader.readline()
                    writer.write(body)
    writer.close()
    return lines


async def test_bytes_on_their_way_are_bounded(database_url: str, tmp_path: Path) -> None:
    """One is always let in, the next one only when both fit."""
    bodies = studies(tmp_path, 2)
    settings = limited(database_url, tmp_path, store_bytes=300 * 1024**2)
    async with running(settings) as client:
        [holder] = await held(client, bodies[0])  # chunked: it counts 256 MiB
        second = Slow(client, bodies[1])
        assert await second.task == 429
        async with client.post(
            "/dicomweb/studies", data=bodies[1], headers={"Content-Type": STORE_TYPE}
        ) as answer:
            assert answer.status == 200
        holder.go_on.set()
        assert await holder.task == 200


async def test_the_disk_is_never_filled(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Below the watermark routine studies are refused with 507; stat ones still come in."""
    bodies = studies(tmp_path, 2)
    async with running(limited(database_url, tmp_path)) as client:
        monkeypatch.setattr(Admission, "free_bytes", lambda self: 1024**3 - 1)
        statuses = []
        for body, headers in ((bodies[0], {}), (bodies[1], STAT)):
            async with client.post(
                "/dicomweb/studies", data=body, headers={"Content-Type": STORE_TYPE, **headers}
            ) as answer:
                statuses.append((answer.status, "Retry-After" in answer.headers))
        assert statuses == [(507, True), (200, False)]


async def test_a_page_that_is_refused_says_when_to_come_again(
    database_url: str, tmp_path: Path
) -> None:
    """In the same header as everything else that is refused."""
    settings = limited(database_url, tmp_path, request_limit=1, store_stat_reserve=0)
    [body] = studies(tmp_path, 1)
    async with running(settings) as client:
        [holder] = await held(client, body)
        async with client.get("/ui", headers={"Accept": "text/html"}) as answer:
            assert (answer.status, answer.content_type) == (429, "text/html")
            assert int(answer.headers["Retry-After"]) >= 1
        holder.go_on.set()
        assert await holder.task == 200
        async with client.get("/ui", headers={"Accept": "text/html"}) as answer:
            assert answer.status == 200
            assert "Retry-After" not in answer.headers


async def test_requests_are_bounded_before_the_database_is_asked(
    database_url: str, tmp_path: Path
) -> None:
    """Probes are answered all the same."""
    settings = limited(database_url, tmp_path, request_limit=1, store_stat_reserve=0)
    [body] = studies(tmp_path, 1)
    async with running(settings) as client:
        [holder] = await held(client, body)
        begun = time.perf_counter()
        async with client.get("/v1/checks") as answer:
            assert answer.status == 429
        assert time.perf_counter() - begun < 1
        async with client.get("/livez") as answer:
            assert answer.status == 200
        holder.go_on.set()
        assert await holder.task == 200
        async with client.get("/v1/checks") as answer:
            assert answer.status == 200


async def test_a_full_queue_takes_no_more(database_url: str, tmp_path: Path) -> None:
    """The stat lane has the double of the bound."""
    settings = limited(database_url, tmp_path, queue_limit=1)
    [body] = studies(tmp_path, 1)
    async with running(settings) as client:
        assert client.app is not None
        async with client.post(
            "/dicomweb/studies", data=body, headers={"Content-Type": STORE_TYPE}
        ) as answer:
            assert answer.status == 200
        order = {"study_instance_uid": "1.2.826.0.9.0", "checks": ["liver"]}
        statuses = []
        for lane in ("routine", "routine", "stat", "stat"):
            async with client.post("/v1/screenings", json={**order, "lane": lane}) as answer:
                statuses.append(answer.status)
            await client.app[WATCH].look(client.app[DATABASE])
        assert statuses == [202, 429, 202, 429]


@pytest.mark.parametrize("tenant", [EVERYBODY, "default", "another"])
async def test_a_suspended_intake_takes_nothing(
    database_url: str, tmp_path: Path, tenant: str
) -> None:
    """Seen without a restart; another tenant's suspension is none of ours."""
    [body] = studies(tmp_path, 1)
    async with running(limited(database_url, tmp_path)) as client:
        assert client.app is not None
        database = client.app[DATABASE]

        async def send() -> Sequence[Any]:
            async with client.post(
                "/dicomweb/studies", data=body, headers={"Content-Type": STORE_TYPE}
            ) as answer:
                told = await answer.json(content_type=None)
                return answer.status, told.get("code"), answer.headers.get("Retry-After")

        async with database.connection() as connection:
            await suspensions.suspend(connection, tenant, INTAKE, reason="disk", actor="test")
        watch = client.app[WATCH]
        if tenant == "another":
            await watch.look(database)
            assert (await send())[0] == 200
            return
        await until(lambda: watch.is_suspended("default", INTAKE))
        assert await send() == (503, "intake.suspended", "30")
        assert await stored(client) == 0
        async with database.connection() as connection:
            await suspensions.resume(connection, tenant, INTAKE, actor="test")
        await until(lambda: not watch.is_suspended("default", INTAKE))
        assert (await send())[0] == 200
