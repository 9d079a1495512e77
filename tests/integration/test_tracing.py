"""One trace from a request through the worker into Triton, at a real OTLP receiver."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import psycopg
import pytest
from multidict import CIMultiDict

from gateway import traces
from gateway.runtime.home import Home
from gateway.runtime.ports import free_port
from gateway.runtime.triton import EmbeddedTriton
from gateway.settings import TraceSettings, TritonSettings
from gateway.triton.client import TritonClient
from tests.access_server import STORE_TYPE, body_of
from tests.integration.test_drain import live, process
from tests.otlp_receiver import OtlpReceiver, Sent, receiving_spans
from tests.partner_api import api_settings, claimed, order, running
from tests.receiver import Receiver, receiving
from tests.rule_check import write_rule_repository
from tests.small_ct import PATIENT_ID, PATIENT_NAME, write_small_ct
from tests.tiny_repository import write_echo

KEY = "key-of-the-test-which-nobody-may-see"
STUDY = "1.2.826.0.1.3680043.8.498.99"
CALLER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
PATIENCE_SECONDS = 30.0


@pytest.fixture(scope="module")
def collector() -> Iterator[OtlpReceiver]:
    with receiving_spans() as receiver:
        yield receiver


class Deployment:
    """An api and a worker, each a process of its own, whose spans go to the collector."""

    def __init__(self, database_url: str, home: Path, collector: OtlpReceiver) -> None:
        self.port = free_port("127.0.0.1")
        self.url = f"http://127.0.0.1:{self.port}"
        self.headers = {"Authorization": f"Bearer {KEY}"}
        self.environ = {
            "ONESCAN_HOME": str(home),
            "DATABASE_URL": database_url,
            "ONESCAN_API__KEY": KEY,
            "ONESCAN_API__PORT": str(self.port),
            "ONESCAN_TRITON__MODEL_REPOSITORY": str(
                write_rule_repository(home / "model_repository")
            ),
            "ONESCAN_TRACES__ENDPOINT": collector.url,
            "ONESCAN_WEBHOOKS__ALLOW_PRIVATE": "yes",
            "ONESCAN_WEBHOOKS__ALLOW_HTTP": "yes",
            "ONESCAN_WEBHOOKS__PORTS": "any",
        }

    async def screen(self, paths: list[Path], hook: Receiver, **headers: str) -> dict[str, Any]:
        """Send a study, have it screened, be called back, and end both processes in good order."""
        with (
            process("gateway.cli", "serve", **self.environ) as api,
            process("tests.worker_process", "0", **self.environ) as worker,
        ):
            async with aiohttp.ClientSession(headers=self.headers) as session:
                await live(session, self.url)
                async with session.post(
                    f"{self.url}/dicomweb/studies",
                    data=body_of(paths),
                    headers={"Content-Type": STORE_TYPE},
                ) as answer:
                    assert answer.status == 200, await answer.text()
                async with session.post(f"{self.url}/v1/webhooks/secret") as answer:
                    assert answer.status < 300, await answer.text()
                async with session.get(f"{self.url}/v1/studies/{STUDY}.77777") as answer:
                    assert answer.status == 404
                async with session.get(
                    f"{self.url}/v1/checks",
                    headers={"Authorization": "Bearer wrong", "traceparent": CALLER},
                ) as answer:
                    assert answer.status == 401
                body = {"study_instance_uid": STUDY, "checks": ["liver"], "callback_url": hook.url}
                async with session.post(
                    f"{self.url}/v1/screenings", json=body, headers=headers
                ) as answer:
                    assert answer.status == 202, await answer.text()
                await hook.until(1, PATIENCE_SECONDS)
            for one in (worker, api):
                one.send_signal(signal.SIGTERM)
                assert await asyncio.to_thread(one.wait, PATIENCE_SECONDS) == 0
        [told] = [json.loads(body) for _, body in hook.got]
        return told


def by_name(spans: list[Sent], trace_id: str) -> dict[str, Sent]:
    return {span.name: span for span in spans if span.trace_id == trace_id}


@pytest.mark.postgres
async def test_promise_6_no_patient_in_traces(
    database_url: str, tmp_path: Path, collector: OtlpReceiver
) -> None:
    """One trace over api, worker and webhook, with the right parents and no word of a patient."""
    collector.bodies.clear()
    paths = write_small_ct(tmp_path / "ct", study_instance_uid=STUDY)
    deployment = Deployment(database_url, tmp_path / "home", collector)
    async with receiving() as hook:
        await deployment.screen(
            paths, hook, traceparent=CALLER, tracestate=f"pacs={PATIENT_ID}", baggage=f"a={STUDY}"
        )
    _, trace_id, caller_id, _ = CALLER.split("-")
    spans = by_name(collector.spans, trace_id)
    request, attempt = spans["POST /v1/screenings"], spans["attempt"]
    assert (request.service, request.parent_id) == ("onescan-api", caller_id)
    assert request.attributes == {
        "http.request.method": "POST",
        "http.route": "/v1/screenings",
        "http.response.status_code": 202,
    }
    assert (attempt.service, attempt.parent_id) == ("onescan-worker", request.span_id)
    assert attempt.attributes["onescan.outcome"] == "done"
    assert attempt.attributes["onescan.study"].startswith("uid:")
    for stage in ("series", "memory", "decode", "quality", "anatomy", "plan", "checks"):
        assert spans[stage].parent_id == attempt.span_id, stage
        assert 0 <= spans[stage].seconds <= attempt.seconds
    check = spans["check liver"]
    assert check.parent_id in {s.span_id for s in collector.spans if s.name == "checks"}
    assert check.attributes["onescan.state"] == "negative"
    assert spans["rules"].parent_id == check.span_id
    written = {
        span.attributes["onescan.what"]: span.parent_id
        for span in collector.spans
        if span.name == "write"
    }
    assert written == {
        "mask": spans["checks"].parent_id,  # of the organs
        "result": check.span_id,
        "screening": attempt.span_id,
    }
    assert (spans["webhook"].service, spans["webhook"].parent_id) == (
        "onescan-api",
        request.span_id,
    )
    others = [span for span in collector.spans if span.trace_id != trace_id]
    assert {span.name for span in others} >= {
        "POST /dicomweb/studies",
        "GET /v1/studies/{study_instance_uid}",
    }
    assert "GET /v1/checks" not in {span.name for span in collector.spans}  # its key was wrong
    uids = uids_in(database_url)
    assert len(uids) > 24
    raw = b"".join(collector.bodies).lower()
    for secret in [KEY, PATIENT_ID, *PATIENT_NAME.split("^")[:2], "pacs=", hook.url, *uids]:
        assert secret.lower().encode() not in raw, secret


def uids_in(database_url: str) -> list[str]:
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "SELECT study_instance_uid, series_instance_uid, sop_instance_uid FROM instances"
        ).fetchall()
    return sorted({uid for row in rows for uid in row})


@pytest.mark.postgres
async def test_a_trace_is_continued_only_for_whom_is_let_in(
    database_url: str, tmp_path: Path, collector: OtlpReceiver
) -> None:
    """Once, in its form, and with a key; what a screening keeps is the span that made it."""
    collector.bodies.clear()
    async with running(api_settings(database_url, tmp_path)) as client:
        traces.start(TraceSettings(endpoint=collector.url), "api", b"k" * 32)
        try:
            refused = await client.get(
                "/v1/checks", headers={"Authorization": "Bearer wrong", "traceparent": CALLER}
            )
            assert refused.status == 401
            for sent in ([CALLER], [CALLER, CALLER], ["nonsense"], [CALLER.upper()]):
                several = CIMultiDict([("traceparent", one) for one in sent])
                assert (await client.get("/v1/usage", headers=several)).status == 200
            await client.get("/livez", headers={"traceparent": CALLER})
            await client.get("/health", headers={"traceparent": CALLER})
            made = await order(client)
            kept = (await claimed(client, made)).traceparent
        finally:
            await asyncio.to_thread(traces.stop)
    spans = {span.name: span for span in collector.spans}
    assert set(spans) == {"GET /v1/usage", "POST /v1/screenings"}
    usage = [span.trace_id for span in collector.spans if span.name == "GET /v1/usage"]
    assert len(set(usage)) == len(usage) == 4
    assert usage.count(CALLER.split("-")[1]) == 1
    ordered = spans["POST /v1/screenings"]
    assert kept is not None
    assert kept.split("-")[1:3] == [ordered.trace_id, ordered.span_id]


@pytest.mark.postgres
async def test_a_request_does_not_wait_for_a_collector_that_hangs(
    database_url: str, tmp_path: Path
) -> None:
    """It is answered as without one, and so is the order to stop."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        async with running(api_settings(database_url, tmp_path)) as client:
            endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
            traces.start(TraceSettings(endpoint=endpoint), "api", b"k" * 32)
            begun = time.monotonic()
            for _ in range(50):
                assert (await client.get("/v1/usage")).status == 200
            assert time.monotonic() - begun < 5.0
            begun = time.monotonic()
            await asyncio.to_thread(traces.stop)
            assert time.monotonic() - begun < traces.FLUSH_SECONDS + 1.0


@pytest.mark.triton
@pytest.mark.timeout(90)
async def test_triton_adds_its_spans_below_ours(collector: OtlpReceiver, short_home: Path) -> None:
    """The real one, told to trace; a call without a trace, such as a probe's, leaves none."""
    collector.bodies.clear()
    repository = write_echo(short_home / "models")
    settings = TritonSettings(exit_timeout_seconds=3, trace_endpoint=collector.url)
    home = Home(short_home)
    traces.start(TraceSettings(endpoint=collector.url), "worker", b"k" * 32)
    try:
        with home.lock():
            triton = EmbeddedTriton(home, settings, repository)
            try:
                async with TritonClient(await triton.start()) as client:
                    await ask(client)
                    with traces.span("attempt"):
                        await ask(client)
            finally:
                await triton.stop()  # sends what it has
    finally:
        traces.stop()
    spans = {
        (span.service, span.name): span for span in collector.until(lambda sent: len(sent) >= 5)
    }
    attempt = spans["onescan-worker", "attempt"]
    infer = spans["onescan-worker", "infer echo"]
    assert infer.parent_id == attempt.span_id
    assert spans["onescan-triton", "InferRequest"].parent_id == infer.span_id
    assert {span.trace_id for span in spans.values()} == {attempt.trace_id}
    assert len(collector.spans) == len(spans)
    raw = b"".join(collector.bodies)
    assert PATIENT_NAME.encode() not in raw
    assert STUDY.encode() not in raw


async def ask(client: TritonClient) -> None:
    await client.call(
        "echo",
        {
            "NUMBERS": np.arange(5, dtype=np.int16),
            "TEXT": np.array([f"{PATIENT_NAME} {STUDY}".encode()], np.object_),
            "DELAY_SECONDS": np.array([0.0], np.float32),
        },
        outputs=["PID"],
        timeout_seconds=PATIENCE_SECONDS,
    )
