"""Webhooks: owed with what they tell, signed, sent again, and never to a private address."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
import pytest_asyncio
from aiohttp.abc import AbstractResolver, ResolveResult

from gateway.settings import Settings, WebhookSettings
from gateway.store import screenings
from gateway.webhooks.sender import Outcome, Sender
from tests.partner_api import (
    STUDY,
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
from tests.receiver import Receiver, receiving, verify

pytestmark = pytest.mark.postgres

HERE = WebhookSettings(
    key="webhook-key-of-the-test",
    allow_private="yes",
    allow_http="yes",
    ports="any",
    first_delay_seconds=0.1,
    timeout_seconds=5.0,
    concurrency=4,
)
PATIENCE_SECONDS = 15.0


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return api_settings(database_url, tmp_path, webhooks=HERE)


@pytest_asyncio.fixture
async def api(settings: Settings) -> AsyncIterator[Client]:
    async with running(settings) as client:
        yield client


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as made:
        yield made


async def new_secret(api: Client, **body: Any) -> str:
    answer = await api.post("/v1/webhooks/secret", json=body)
    assert answer.status == 201, await answer.text()
    return str((await answer.json())["secret"])


async def deliveries(api: Client, **query: str) -> list[dict[str, Any]]:
    answer = await api.get("/v1/webhooks/deliveries", params=query)
    assert answer.status == 200, await answer.text()
    listed: list[dict[str, Any]] = (await answer.json())["deliveries"]
    return listed


async def until(api: Client, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Wait for the newest delivery to be so."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            listed = await deliveries(api)
            if listed and wanted(listed[0]):
                return listed[0]
            await asyncio.sleep(0.05)


async def test_the_end_of_a_screening_is_told(api: Client, receiver: Receiver) -> None:
    """Signed, with states and no UID; visible as delivered."""
    secret = await new_secret(api)
    made = await order(api, callback_url=receiver.url)
    claim = await claimed(api, made)
    await release(api, claim, "liver", state="positive", urgency="urgent")
    await finish(api, claim)
    [told] = await receiver.until(1)
    headers, body = receiver.got[0]
    assert verify(secret, headers, body)
    assert not verify(secret, headers, body + b" ")
    assert STUDY.encode() not in body
    assert told["type"] == "screening.done"
    assert told["data"] == {
        "screening_id": made["screening_id"],
        "version": 1,
        "lane": "routine",
        "state": "done",
        "checks": [{"check": "liver", "state": "positive", "reason": None, "urgency": "urgent"}],
    }
    shown = await until(api, lambda d: d["state"] == "delivered")
    assert (shown["event"], shown["attempts"], shown["last_status"]) == ("screening.done", 1, 200)
    assert headers["webhook-id"] == shown["delivery_id"]
    assert len(receiver.got) == 1


async def test_a_critical_result_is_told_at_once(api: Client, receiver: Receiver) -> None:
    """Before the end, and only a critical one; then the end."""
    await new_secret(api)
    made = await order(api, callback_url=receiver.url)
    claim = await claimed(api, made)
    await release(api, claim, "bone", state="positive", urgency="urgent")
    await release(api, claim, "liver", state="positive", urgency="critical")
    [told] = await receiver.until(1)
    assert told["type"] == "screening.released"
    assert [(c["check"], c["urgency"]) for c in told["data"]["checks"]] == [("liver", "critical")]
    assert told["data"]["state"] == "running"
    await finish(api, claim)
    assert (await receiver.until(2))[1]["type"] == "screening.done"


async def test_failures_and_cancellations_are_told(api: Client, receiver: Receiver) -> None:
    """Every end is an end."""
    await new_secret(api)
    answer = await api.put("/v1/webhooks", json={"callback_url": receiver.url})
    assert answer.status == 200
    cancelled, failed = await order(api), await order(api)
    await api.post(f"/v1/screenings/{cancelled['screening_id']}/cancel")
    claim = await claimed(api, failed)
    async with database(api).connection() as connection:
        row, _, _ = await screenings.find(connection, "default", claim.screening_id)
        await screenings.give_up_attempt(
            connection, row, max_attempts=1, code="crashed", message="…", reason="crashed"
        )
    told = {one["type"]: one["data"] for one in await receiver.until(2)}
    assert told["screening.cancelled"]["checks"][0]["state"] == "not_evaluated"
    assert told["screening.failed"]["checks"][0]["state"] == "failed"


async def test_a_tenant_may_ask_for_the_result(api: Client, receiver: Receiver) -> None:
    """Then, and only then, the body names the study."""
    await new_secret(api)
    await api.put("/v1/webhooks", json={"callback_url": receiver.url, "body": "result"})
    made = await order(api)
    await finish(api, await claimed(api, made))
    [told] = await receiver.until(1)
    assert told["data"]["result"]["study"]["study_instance_uid"] == STUDY
    shown = await (await api.get(f"/v1/screenings/{made['screening_id']}")).json()
    assert told["data"]["result"] == shown


async def test_nothing_is_owed_for_what_is_rolled_back(api: Client, receiver: Receiver) -> None:
    """The delivery and the final state are one transaction."""
    await new_secret(api)
    claim = await claimed(api, await order(api, callback_url=receiver.url))
    async with database(api).connection() as connection:
        await screenings.finish(connection, claim, {})
        await connection.rollback()
    assert await deliveries(api) == []


async def test_a_failed_attempt_is_repeated(api: Client, receiver: Receiver) -> None:
    """Under the same id; redirects and errors are failures, each pause longer."""
    await new_secret(api)
    receiver.statuses = [500, 302, 404]
    receiver.headers = {"Location": receiver.url + "/elsewhere"}
    await finish(api, await claimed(api, await order(api, callback_url=receiver.url)))
    await receiver.until(4)
    shown = await until(api, lambda d: d["state"] == "delivered")
    assert shown["attempts"] == 4
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1


async def test_after_a_day_a_delivery_has_failed(
    api: Client, receiver: Receiver, database_url: str
) -> None:
    """Visibly; and a replay begins another day."""
    await new_secret(api)
    receiver.statuses = [500] * 50
    await finish(api, await claimed(api, await order(api, callback_url=receiver.url)))
    await until(api, lambda d: d["last_error"] == "status")
    assert "onescan_webhooks_pending 1.0" in await (await api.get("/metrics")).text()
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE webhook_deliveries SET due_since = now() - interval '25 hours'")
    shown = await until(api, lambda d: d["state"] == "failed")
    assert (shown["last_status"], shown["next_attempt_at"]) == (500, None)
    assert [d["delivery_id"] for d in await deliveries(api, state="failed")] == [
        shown["delivery_id"]
    ]
    receiver.statuses = []
    path = f"/v1/webhooks/deliveries/{shown['delivery_id']}/replay"
    answer = await api.post(path)
    assert (answer.status, (await answer.json())["state"]) == (202, "pending")
    again = await until(api, lambda d: d["state"] == "delivered")
    assert again["delivery_id"] == shown["delivery_id"]
    for unknown in ("x", made_up()):
        answer = await api.post(f"/v1/webhooks/deliveries/{unknown}/replay")
        await problem(answer, 404, "request.not_found")


def made_up() -> str:
    return "00000000-0000-0000-0000-000000000000"


async def test_gone_is_gone(api: Client, receiver: Receiver) -> None:
    """410 ends it at once."""
    await new_secret(api)
    receiver.statuses = [410]
    await finish(api, await claimed(api, await order(api, callback_url=receiver.url)))
    shown = await until(api, lambda d: d["state"] == "failed")
    assert (shown["attempts"], shown["last_status"]) == (1, 410)


async def test_two_processes_send_each_once(
    api: Client, settings: Settings, receiver: Receiver
) -> None:
    """And a third one that died with a delivery in hand has it sent by another."""
    await new_secret(api)
    async with running(settings, "1.2.3.4.5"):
        for _ in range(6):
            await finish(api, await claimed(api, await order(api, callback_url=receiver.url)))
        await receiver.until(6)
        await asyncio.sleep(0.3)
        assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 6
        assert len(receiver.got) == 6
        async with database(api).connection() as connection:
            await connection.execute(  # as `take_due` leaves it, the lease over
                "UPDATE webhook_deliveries SET state = 'pending', attempts = 1, next_at = now()"
                " WHERE delivery_id = (SELECT delivery_id FROM webhook_deliveries LIMIT 1)"
            )
        await receiver.until(7)


async def test_secrets_are_changed_without_a_gap(
    api: Client, settings: Settings, receiver: Receiver, database_url: str
) -> None:
    """Both sign for as long as they overlap; none is kept, shown again or derived by another."""
    old = await new_secret(api)
    new = await new_secret(api)
    await finish(api, await claimed(api, await order(api, callback_url=receiver.url)))
    await receiver.until(1)
    assert all(verify(secret, *receiver.got[0]) for secret in (old, new))
    last = await new_secret(api, overlap_hours=0)
    await finish(api, await claimed(api, await order(api, callback_url=receiver.url)))
    await receiver.until(2)
    assert [verify(secret, *receiver.got[1]) for secret in (old, new, last)] == [
        False,
        False,
        True,
    ]
    shown = await (await api.get("/v1/webhooks")).text()
    with psycopg.connect(database_url) as connection:
        [(kept,)] = connection.execute("SELECT json_agg(s)::text FROM webhook_secrets s").fetchall()
    for secret in (old, new, last):
        assert secret not in shown
        assert secret.removeprefix("whsec_") not in kept
    other = dataclasses.replace(HERE, key="another")
    async with running(dataclasses.replace(settings, webhooks=other), "1.2.3.4.6") as stranger:
        await api.close()
        await finish(stranger, await claimed(stranger, await order(stranger)))
        made = await order(stranger, callback_url=receiver.url)
        await finish(stranger, await claimed(stranger, made))
        shown_delivery = await until(stranger, lambda d: d["last_error"] is not None)
    assert shown_delivery["last_error"] == "webhook_key"
    assert len(receiver.got) == 2


async def test_what_cannot_be_called_is_refused_when_it_is_asked(
    database_url: str, tmp_path: Path
) -> None:
    """Bad addresses, and good ones without a secret; nothing is made."""
    async with running(api_settings(database_url, tmp_path)) as api:
        body = {"study_instance_uid": STUDY, "callback_url": "https://partner.example/hook"}
        answer = await api.post("/v1/screenings", json=body)
        assert "secret" in (await problem(answer, 400, "request.invalid_callback"))["detail"]
        await new_secret(api)
        for url in ("http://partner.example/", "https://127.0.0.1/", 7, "https://h:8443/", ""):
            for answer in (
                await api.post("/v1/screenings", json=body | {"callback_url": url}),
                await api.put("/v1/webhooks", json={"callback_url": url}),
            ):
                await problem(answer, 400, "request.invalid_callback")
        assert (await (await api.get("/v1/screenings")).json())["screenings"] == []
        assert (await api.post("/v1/screenings", json=body)).status == 202
        for given in ({"overlap_hours": -1}, {"overlap_hours": True}, {"hours": 1}):
            answer = await api.post("/v1/webhooks/secret", json=given)
            await problem(answer, 400, "request.invalid_json")
        answer = await api.put("/v1/webhooks", json={"body": "all"})
        await problem(answer, 400, "request.invalid_json")


class FakeResolver(AbstractResolver):
    """Gives an address for each look-up, one after another."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = list(addresses)
        self.asked = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked += 1
        address = self.addresses.pop(0)
        kind = socket.AF_INET6 if ":" in address else socket.AF_INET
        return [
            ResolveResult(hostname=host, host=address, port=port, family=kind, proto=0, flags=0)
        ]

    async def close(self) -> None:
        pass


def strict(receiver: Receiver) -> tuple[WebhookSettings, str]:
    """Settings that forbid private addresses, and a name that leads to the receiver's port."""
    port = receiver.url.rpartition(":")[2].partition("/")[0]
    settings = WebhookSettings(allow_http="yes", ports="any", timeout_seconds=2.0)
    return settings, f"http://partner.example:{port}/hook"


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "10.0.0.1", "169.254.169.254", "0.0.0.0"]
)
async def test_a_name_that_leads_inside_is_not_called(receiver: Receiver, address: str) -> None:
    """Whatever it resolves to, in whatever form."""
    settings, url = strict(receiver)
    async with Sender(settings, resolver=FakeResolver(address)) as sender:
        assert await sender.send(url, {}, b"{}") == Outcome(error="forbidden_address")
    assert receiver.got == []


async def test_a_name_that_changes_between_look_ups_is_not_called(receiver: Receiver) -> None:
    """DNS rebinding: each call looks once, and the address that it connects to is judged."""
    settings, url = strict(receiver)
    resolver = FakeResolver("8.8.8.8", "127.0.0.1")
    first = resolver.addresses[0]
    async with Sender(
        dataclasses.replace(settings, timeout_seconds=0.5), resolver=resolver
    ) as sender:
        outcome = await sender.send(url, {}, b"{}")
        assert outcome.status is None
        assert outcome.error in ("timeout", "unreachable")  # it went to the first address only
        assert resolver.asked == 1, first
        assert await sender.send(url, {}, b"{}") == Outcome(error="forbidden_address")
    assert resolver.asked == 2
    assert receiver.got == []


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "127.1", "0x7f000001", "localhost"])
async def test_addresses_in_any_spelling_are_not_called(receiver: Receiver, host: str) -> None:
    """With the system's own resolver; literal ones are refused before."""
    settings, url = strict(receiver)
    async with Sender(settings) as sender:
        outcome = await sender.send(url.replace("partner.example", host), {}, b"{}")
    assert outcome.status is None
    assert outcome.error in ("forbidden_address", "forbidden_url", "unknown_host")
    assert receiver.got == []


async def test_a_receiver_cannot_hold_a_call(receiver: Receiver) -> None:
    """Slow ones time out, long answers are not read, and closed ports are told apart."""
    async with Sender(dataclasses.replace(HERE, timeout_seconds=0.4)) as sender:
        assert await sender.send(receiver.url, {}, b"{}") == Outcome(status=200)
        receiver.delay_seconds = 2.0
        assert await sender.send(receiver.url, {}, b"{}") == Outcome(error="timeout")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{free.getsockname()[1]}/"
            assert await sender.send(url, {}, b"{}") == Outcome(error="unreachable")
        assert await sender.send("https" + receiver.url[4:], {}, b"{}") == Outcome(error="tls")


async def test_deliveries_of_another_tenant_are_not_there(
    api: Client, receiver: Receiver, database_url: str
) -> None:
    """Neither listed nor replayed."""
    await new_secret(api)
    await finish(api, await claimed(api, await order(api, callback_url=receiver.url)))
    shown = await until(api, lambda d: d["state"] == "delivered")
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("INSERT INTO tenants (tenant) VALUES ('other')")
        connection.execute("UPDATE webhook_deliveries SET tenant = 'other'")
    assert await deliveries(api) == []
    answer = await api.post(f"/v1/webhooks/deliveries/{shown['delivery_id']}/replay")
    await problem(answer, 404, "request.not_found")
    assert json.loads(receiver.got[0][1])["type"] == "screening.done"
