"""The OpenAPI document against the api: no 5xx, nothing that is not described.

A short, seeded run here; ``make fuzz-api`` makes a long one with new seeds.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import hypothesis
import psycopg
import pytest
import requests
import schemathesis
from aiohttp import web
from hypothesis import strategies
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from gateway.api.app import make_app
from gateway.api.openapi import document
from gateway.api.operations import OPERATIONS
from gateway.settings import EventSettings, Settings
from tests.databases import fresh_database
from tests.partner_api import KEY, STUDY, api_settings

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.slow,
    # The api's own thread draws from `random` (psycopg's pool, pauses) while examples are drawn.
    pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisDeprecationWarning"),
]

CHECKS = [  # the first is left out where a 503 is an answer
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]

STREAMS = EventSettings(stream_seconds=0.02, heartbeat_seconds=0.01, streams_per_tenant=64)
"""So that a stream is an answer of some milliseconds."""

SHORT = 12
"""Examples of each operation and mode in the run that CI makes."""


@pytest.fixture(scope="module")
def served(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The real api on a port, on a real database, without the loops beside it."""
    with fresh_database(postgres_url) as url:
        settings = api_settings(url, tmp_path_factory.mktemp("home"), events=STREAMS)
        with in_a_thread(settings) as address:
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(
                    "INSERT INTO studies (tenant, study_instance_uid, day)"
                    " VALUES ('default', %s, current_date)",
                    (STUDY,),
                )
            yield address


class in_a_thread:
    """Run an application on a free port, its loop in a thread of its own."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> str:
        self._thread.start()
        return asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(60)

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(60)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _start(self) -> str:
        self._runner = web.AppRunner(
            make_app(self._settings, reaper=False), shutdown_timeout=1.0, access_log=None
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests.Session() as made:
        made.trust_env = False
        yield made


@pytest.fixture(scope="module")
def known(served: str, session: requests.Session) -> dict[str, str]:
    """Identifiers that exist, so that not every address leads nowhere."""
    headers = {"Authorization": f"Bearer {KEY}"}

    def post(path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = session.post(f"{served}{path}", json=body, headers=headers)
        assert answer.ok, answer.text
        told: dict[str, Any] = answer.json()
        return told

    post("/v1/webhooks/secret", {})
    body = {"study_instance_uid": STUDY, "callback_url": "https://partner.invalid/hook"}
    made = post("/v1/screenings", body)
    post(f"/v1/screenings/{made['screening_id']}/cancel", {})
    review = post(f"/v1/screenings/{made['screening_id']}/reviews", {})
    listed = session.get(f"{served}/v1/webhooks/deliveries", headers=headers).json()
    return {
        "screening_id": made["screening_id"],
        "delivery_id": listed["deliveries"][0]["delivery_id"],
        "review_id": review["review_id"],
        "study_instance_uid": STUDY,
        "check": "liver",
    }


SCHEMA = schemathesis.openapi.from_dict(document())


@pytest.mark.parametrize("name", [one.name for one in OPERATIONS])
def test_no_request_breaks_it(
    served: str,
    session: requests.Session,
    known: dict[str, str],
    name: str,
    request: pytest.FixtureRequest,
) -> None:
    """Well-formed requests and broken ones, with identifiers that exist and others."""
    operation = next(one for one in OPERATIONS if one.name == name)
    described = SCHEMA[operation.path][operation.method]
    examples = request.config.getoption("--fuzz-examples") or SHORT
    modes = [schemathesis.GenerationMode.POSITIVE]
    if operation.parameters or operation.body:
        modes.append(schemathesis.GenerationMode.NEGATIVE)
    for mode in modes:

        @hypothesis.settings(
            max_examples=examples,
            derandomize=examples == SHORT,
            database=None,
            deadline=None,
            phases=[hypothesis.Phase.generate],
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        @hypothesis.given(
            case=described.as_strategy(generation_mode=mode), existing=strategies.booleans()
        )
        def ask(case: schemathesis.Case, existing: bool) -> None:
            if existing:
                for place in (case.path_parameters, case.body):
                    if isinstance(place, dict):
                        place |= {key: known[key] for key in known.keys() & place.keys()}
            answer = case.call(
                base_url=served, session=session, headers={"Authorization": f"Bearer {KEY}"}
            )
            described_503 = name == "readyz" and answer.status_code == 503
            case.validate_response(answer, checks=CHECKS[described_503:])

        ask()


RAW = (
    ("GET", "/v1/screenings?cursor=%00", b"", {}),
    ("GET", "/v1/screenings?%ff=%fe", b"", {}),
    ("GET", "/v1/studies/%ed%a0%80", b"", {}),
    ("GET", "/v1/studies?accession_number=%00", b"", {}),
    ("GET", "/v1/studies?modality=%ed%a0%80", b"", {}),
    ("GET", "/v1/screenings/%00/masks/%00", b"", {}),
    ("GET", "/v1/screenings/{screening_id}/masks/%00", b"", {}),
    ("GET", "/v1/screenings/{screening_id}/masks/%ff", b"", {}),
    ("GET", "/v1/screenings/urn:uuid:{screening_id}", b"", {}),
    ("POST", "/v1/screenings", b"\xff\xfe", {}),
    ("POST", "/v1/screenings", b'{"study_instance_uid": "1.2", "x\\ud800": 1}', {}),
    ("POST", "/v1/screenings", b'{"study_instance_uid": "1.2", "checks": ["\\ud800"]}', {}),
    ("POST", "/v1/screenings", b'{"study_instance_uid": 1e999}', {}),
    ("POST", "/v1/screenings", b'{"study_instance_uid": ' + b"9" * 6000 + b"}", {}),
    ("POST", "/v1/screenings", b'{"study_instance_uid": "1.2"}', {"Idempotency-Key": b"\xe9"}),
    ("POST", "/v1/webhooks/secret", b'{"overlap_hours": 1e999}', {}),
    ("POST", "/v1/webhooks/secret", b"[]", {}),
    ("PUT", "/v1/webhooks", b'{"callback_url": "https://[::1"}', {}),
    ("PUT", "/v1/webhooks", b'{"callback_url": "https://\\u0000"}', {}),
    ("PUT", "/v1/webhooks", b'{"body": ["result"]}', {}),
    ("GET", "/v1/events", b"", {"Last-Event-ID": b"\xb2"}),
    ("POST", "/v1/screenings/{screening_id}/cancel", b"x" * 30_000, {}),
    ("POST", "/v1/screenings/{screening_id}/reviews", b'{"amends": [1]}', {}),
    ("PUT", "/v1/reviews/{review_id}", b'{"revision": 1, "content": {"comment": "\\u0000"}}', {}),
    ("PUT", "/v1/reviews/{review_id}", b'{"revision": 1, "content": {"comment": "\\ud800"}}', {}),
    ("PUT", "/v1/reviews/{review_id}", '{"content": "肝"}'.encode("gb18030"), {}),
    ("PUT", "/v1/reviews/{review_id}", b'{"revision": 1e999, "content": {}}', {}),
    ("PUT", "/v1/reviews/{review_id}", b'{"revision": 1, "content": {"\\ud800": 1}}', {}),
    (
        "PUT",
        "/v1/reviews/{review_id}",
        b'{"revision": 1, "content": {"findings": {"\\ud800": 1}}}',
        {},
    ),
    ("POST", "/v1/reviews/%00/sign", b'{"revision": 1}', {}),
    ("POST", "/v1/reader-studies", b'{"name": "\\ud800"}', {}),
    ("POST", "/v1/reader-studies", b'{"name": "", "seed": 1e999}', {}),
    ("POST", "/v1/reader-studies/%ff/next", b"{}", {}),
)
"""What a generator that keeps to HTTP and JSON does not think of."""


def test_raw_requests_do_not_break_it(
    served: str, session: requests.Session, known: dict[str, str]
) -> None:
    """Odd bytes in every place: never a crash, and every error is a problem."""
    for method, path, body, headers in RAW:
        answer = session.request(
            method,
            served + path.format(**known),
            data=body,
            headers={
                "Authorization": f"Bearer {KEY}",
                "Content-Type": "application/json",
                **headers,
            },
        )
        said = (method, path, body[:60], answer.status_code, answer.text[:200])
        assert answer.status_code < 500, said
        if answer.status_code >= 400:
            assert answer.headers["Content-Type"].startswith("application/problem+json"), said
