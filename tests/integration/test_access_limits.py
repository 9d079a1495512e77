"""Quotas and rate limits of tenants, and addresses that guess."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from gateway.api.addresses import FAILURES
from gateway.principal import Quotas
from gateway.settings import ApiSettings
from gateway.store.tenants import change_quotas
from tests.access_server import STORE_TYPE, Api, body_of, serving
from tests.small_ct import write_small_ct

pytestmark = pytest.mark.postgres

STUDY = "1.2.826.0.1.3680043.8.498.81"


@pytest_asyncio.fixture
async def api(database_url: str, tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(database_url, tmp_path) as made:
        yield made


async def problem(answer: Any) -> tuple[int, str]:
    body = json.loads(await answer.text())
    return answer.status, body.get("code", "")


async def test_requests_of_a_minute(api: Api) -> None:
    """The limit holds, is told in each answer, and is of one tenant alone."""
    few = await api.tenant("few", Quotas(requests_per_minute=4))
    many = await api.tenant("many")
    statuses, remaining = [], []
    for _ in range(6):
        answer = await api.client.get("/v1/checks", headers=few)
        statuses.append(answer.status)
        remaining.append(answer.headers["RateLimit"].split(";")[1])
        assert answer.headers["RateLimit-Policy"] == '"requests";q=4;w=60'
    if statuses != [200] * 4 + [429] * 2:  # the minute turned meanwhile
        assert statuses.count(200) > 4
        return
    assert remaining == ["r=3", "r=2", "r=1", "r=0", "r=0", "r=0"]
    assert await problem(answer) == (429, "request.rate_limited")
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    free = await api.client.get("/v1/checks", headers=many)
    assert free.status == 200
    assert "RateLimit" not in free.headers
    unknown = await api.client.get("/nowhere", headers=few)
    assert unknown.status == 429


async def test_several_processes_share_a_minute(database_url: str, tmp_path: Path) -> None:
    """Together they let through what the limit says and no more."""
    async with serving(database_url, tmp_path) as one, serving(database_url, tmp_path) as two:
        key = await one.tenant("shared", Quotas(requests_per_minute=100))

        async def ask(api: Api) -> int:
            return int((await api.client.get("/v1/checks", headers=key)).status)

        statuses = await asyncio.gather(*(ask(api) for _ in range(70) for api in (one, two)))
        assert set(statuses) == {200, 429}
        assert statuses.count(200) in (100, *range(101, 141))
        async with one.database.connection() as connection:
            cursor = await connection.execute(
                "SELECT used FROM usage WHERE tenant = 'shared' AND kind = 'requests'"
            )
            minutes = [row["used"] for row in await cursor.fetchall()]
        assert statuses.count(200) <= sum(minutes) <= 100 * len(minutes)


async def test_studies_of_a_day(api: Api, tmp_path: Path) -> None:
    """After the last one no other begins; the rest of one that is known is taken."""
    key = await api.tenant("clinic", Quotas(studies_per_day=1))
    first = write_small_ct(tmp_path / "a", slices=3, study_instance_uid=STUDY)
    second = write_small_ct(tmp_path / "b", slices=1, study_instance_uid=STUDY + ".2")
    assert (await api.store(first[:2], key)).status == 200
    refused = await api.store(second, key)
    assert await problem(refused) == (429, "request.quota_exceeded")
    assert int(refused.headers["Retry-After"]) <= 86400
    assert '"studies";r=0' in refused.headers["RateLimit"]
    assert (await api.store(second, key, f"/{STUDY}.2")).status == 429
    assert (await api.store(first[2:], key, f"/{STUDY}")).status == 200
    assert (await api.client.get("/v1/checks", headers=key)).status == 200
    other = await api.tenant("other", Quotas(studies_per_day=1))
    assert (await api.store(second, other)).status == 200


async def test_bytes_of_a_day(api: Api, tmp_path: Path) -> None:
    """A body that does not fit is refused before it is read; what came in truth is counted."""
    paths = write_small_ct(tmp_path / "a", slices=2, study_instance_uid=STUDY)
    size = len(body_of(paths))
    key = await api.tenant("clinic", Quotas(bytes_per_day=2 * size + 10))

    async def used() -> tuple[int, int]:
        told = await (await api.client.get("/v1/usage", headers=key)).json()
        return told["quotas"]["bytes_per_day"]["used"], told["quotas"]["studies_per_day"]["used"]

    assert (await api.store(paths, key)).status == 200
    assert await used() == (size, 1)

    async def slowly() -> AsyncIterator[bytes]:
        yield body_of(paths)

    chunked = await api.client.post(
        "/dicomweb/studies", data=slowly(), headers={**key, "Content-Type": STORE_TYPE}
    )
    assert chunked.status == 200
    assert await used() == (2 * size, 1)

    read = 0

    async def never() -> AsyncIterator[bytes]:
        nonlocal read
        while True:
            read += 1
            yield b"x" * 65536
            await asyncio.sleep(0.01)

    refused = await api.client.post(
        "/dicomweb/studies",
        data=never(),
        headers={**key, "Content-Type": STORE_TYPE, "Content-Length": str(10**9)},
    )
    assert await problem(refused) == (429, "request.quota_exceeded")
    refused.close()
    assert read < 100
    assert await used() == (2 * size, 1)


async def test_a_body_that_breaks_off_counts_as_it_came(api: Api, tmp_path: Path) -> None:
    """What was reserved for it and never came is given back."""
    paths = write_small_ct(tmp_path / "a", slices=2, study_instance_uid=STUDY)
    whole = body_of(paths)
    key = await api.tenant("clinic", Quotas(bytes_per_day=10 * len(whole)))
    url = api.client.make_url("")
    reader, writer = await asyncio.open_connection(url.host, url.port)
    head = (
        f"POST /dicomweb/studies HTTP/1.1\r\nHost: x\r\nAuthorization: {key['Authorization']}\r\n"
        f"Content-Type: {STORE_TYPE}\r\nContent-Length: {len(whole)}\r\n\r\n"
    )
    writer.write(head.encode() + whole[:5000])
    await writer.drain()
    await asyncio.sleep(0.2)
    writer.close()
    async with asyncio.timeout(10):
        while True:
            told = await (await api.client.get("/v1/usage", headers=key)).json()
            if 0 < told["quotas"]["bytes_per_day"]["used"] <= 5000:
                break
            await asyncio.sleep(0.05)
    assert reader is not None


async def test_screenings_in_flight(api: Api, tmp_path: Path) -> None:
    """Exactly as many as the quota, however many are asked for at once; a repeat is no new one."""
    key = await api.tenant("clinic", Quotas(screenings_in_flight=2))
    paths = write_small_ct(tmp_path / "a", slices=1, study_instance_uid=STUDY)
    assert (await api.store(paths, key)).status == 200

    async def order(number: int) -> tuple[int, str]:
        headers = {**key, "Idempotency-Key": f"n{number}"}  # else it is refused earlier
        answer = await api.client.post(
            "/v1/screenings", json={"study_instance_uid": STUDY}, headers=headers
        )
        return await problem(answer)

    told = await asyncio.gather(*(order(number) for number in range(6)))
    assert sorted(told) == [(202, "")] * 2 + [(429, "request.quota_exceeded")] * 4
    made = [number for number, (status, _) in enumerate(told) if status == 202]
    assert await order(made[0]) == (202, "")
    plain = await api.client.post("/v1/screenings", json={"study_instance_uid": STUDY}, headers=key)
    assert await problem(plain) == (429, "request.quota_exceeded")
    async with api.database.connection() as connection:
        await connection.execute("UPDATE screenings SET state = 'done'")
    assert await order(9) == (202, "")


async def test_use_is_told(api: Api) -> None:
    """Used and limit of each quota, the tenant's own."""
    key = await api.tenant("clinic", Quotas(requests_per_minute=50, studies_per_day=7))
    told = await (await api.client.get("/v1/usage", headers=key)).json()
    assert told["tenant"] == "clinic"
    quotas = told["quotas"]
    assert quotas["requests_per_minute"]["limit"] == 50
    assert quotas["requests_per_minute"]["used"] >= 1
    assert 0 < quotas["requests_per_minute"]["reset_seconds"] <= 60
    assert quotas["studies_per_day"]["limit"] == 7
    assert quotas["bytes_per_day"] == {
        "used": 0,
        "limit": None,
        "reset_seconds": quotas["studies_per_day"]["reset_seconds"],
    }
    assert quotas["screenings_in_flight"] == {"used": 0, "limit": None, "reset_seconds": None}


async def test_a_changed_quota_holds_with_the_next_request(api: Api) -> None:
    """No process has to be started again."""
    key = await api.tenant("clinic")
    assert (await api.client.get("/v1/checks", headers=key)).status == 200
    async with api.database.connection() as connection:
        await change_quotas(connection, "clinic", {"requests_per_minute": 1}, actor="test")
    assert (await api.client.get("/v1/checks", headers=key)).status == 200
    assert (await api.client.get("/v1/checks", headers=key)).status in (200, 429)
    async with api.database.connection() as connection:
        await change_quotas(connection, "clinic", {"requests_per_minute": None}, actor="test")
    assert (await api.client.get("/v1/checks", headers=key)).status == 200


async def test_guesses_are_held_back(
    api: Api, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """After some failures 429 with Retry-After; who was known still passes; nothing is logged."""
    key = await api.tenant("clinic")
    late = await api.tenant("late")
    caplog.set_level(logging.DEBUG)
    assert (await api.client.get("/v1/checks", headers=key)).status == 200
    for number in range(FAILURES):
        guess = {"X-API-Key": f"osk_guess{number}"}
        assert (await api.client.get("/v1/checks", headers=guess)).status == 401
    refused = await api.client.get("/v1/checks", headers={"X-API-Key": "osk_another"})
    assert await problem(refused) == (429, "request.too_many_failures")
    assert int(refused.headers["Retry-After"]) >= 1
    assert (await api.client.get("/v1/checks", headers=late)).status == 429
    assert (await api.client.get("/v1/checks", headers=key)).status == 200
    assert (await api.client.get("/livez")).status == 200
    written = caplog.text + "".join(capfd.readouterr())
    assert "osk_" not in written


async def test_addresses_behind_a_trusted_proxy_are_told_apart(
    database_url: str, tmp_path: Path
) -> None:
    """One that guesses does not lock out another."""
    settings = ApiSettings(trusted_proxies="127.0.0.0/8")
    async with serving(database_url, tmp_path, api=settings) as api:
        key = await api.tenant("clinic")
        bad = {"X-API-Key": "osk_wrong", "X-Forwarded-For": "203.0.113.1"}
        for _ in range(FAILURES):
            await api.client.get("/v1/checks", headers=bad)
        assert (await api.client.get("/v1/checks", headers=bad)).status == 429
        other = {**key, "X-Forwarded-For": "203.0.113.1, 203.0.113.2"}
        assert (await api.client.get("/v1/checks", headers=other)).status == 200
        assert (await api.client.get("/metrics", headers=bad)).status == 429
