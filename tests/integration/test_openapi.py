"""The OpenAPI document says what the api does: routes, errors, answers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import pytest_asyncio
from aiohttp import web

from gateway import exceptions
from gateway.api.app import make_app
from gateway.api.keys import SETTINGS
from gateway.api.operations import OPERATIONS
from gateway.results.json import schema
from tests.partner_api import (
    STUDY,
    Client,
    add_study,
    api_settings,
    claimed,
    database,
    finish,
    order,
    release,
    running,
)

pytestmark = pytest.mark.postgres

RESULT_OBJECT = {
    "kind": "sr",
    "sop_class_uid": "1.2.840.10008.5.1.4.1.1.88.34",
    "series_instance_uid": "1.2.3",
    "sop_instance_uid": "1.2.3.4",
}

ELSEWHERE = ("/dicomweb/", "/auth/", "/ui/")
"""Described by PS3.18; visited by a browser."""


@pytest_asyncio.fixture
async def api(database_url: str, tmp_path: Path) -> AsyncIterator[Client]:
    async with running(api_settings(database_url, tmp_path)) as client:
        yield client


@pytest_asyncio.fixture
async def document(api: Client) -> dict[str, Any]:
    answer = await api.get("/openapi.json", headers={"Authorization": ""})
    assert (answer.status, answer.content_type) == (200, "application/json")
    told: dict[str, Any] = await answer.json()
    return told


def routes(app: web.Application) -> set[tuple[str, str]]:
    """Every method and path that the application answers."""
    return {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None
        and route.method != "HEAD"
        and not f"{route.resource.canonical}/".startswith(ELSEWHERE)
    }


def test_every_route_is_described(tmp_path: Path) -> None:
    """And nothing is described that is not there."""
    app = make_app(api_settings("postgresql://nowhere", tmp_path))
    assert {(one.method, one.path) for one in OPERATIONS} == routes(app)
    names = [one.name for one in OPERATIONS]
    assert sorted(set(names)) == sorted(names)


def errors() -> Iterator[type[exceptions.OneScanError]]:
    waiting = [exceptions.OneScanError]
    while waiting:
        kind = waiting.pop()
        waiting += [one for one in kind.__subclasses__() if one.__module__ == exceptions.__name__]
        yield kind


async def test_every_error_code_is_listed(document: dict[str, Any]) -> None:
    """As gateway/exceptions.py has them."""
    listed = document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"]
    assert listed == sorted({kind.code for kind in errors()})


async def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    """Within the document; each schema is one."""
    schemas = document["components"]["schemas"]

    def references(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            for key, item in value.items():
                if key == "$ref":
                    yield item
                else:
                    yield from references(item)
        elif isinstance(value, list):
            for item in value:
                yield from references(item)

    found = set(references(document))
    assert found
    assert {one.rpartition("/")[2] for one in found} <= set(schemas)
    for one in schemas.values():
        jsonschema.Draft202012Validator.check_schema(one)


async def test_the_result_keeps_its_own_schema(document: dict[str, Any]) -> None:
    """Taken over whole, only its references changed."""
    whole = schema()
    taken = document["components"]["schemas"]["Screening"]
    assert taken["properties"].keys() == whole["properties"].keys()
    assert taken["required"] == whole["required"]
    assert {f"Result_{name}" for name in whole["$defs"]} <= set(document["components"]["schemas"])


async def test_answers_are_as_described(api: Client, document: dict[str, Any]) -> None:
    """Real ones, of every operation that gives JSON."""
    await add_study(api, "1.2.3.4.5", attributes={"AccessionNumber": "A"}, modalities=["CT"])
    secret = await api.post("/v1/webhooks/secret")
    held = {"secret": await secret.json()}
    made = await order(api, callback_url="https://partner.invalid/")
    claim = await claimed(api, made)
    await release(api, claim, "liver", state="positive", urgency="critical")
    await finish(api, claim)
    waiting = await order(api)
    identifier = made["screening_id"]
    listed = await (await api.get("/v1/webhooks/deliveries")).json()
    delivery = listed["deliveries"][0]["delivery_id"]
    critical = (await (await api.get("/v1/critical")).json())["critical"][0]["critical_id"]
    async with database(api).connection() as connection:
        cursor = await connection.execute(
            "INSERT INTO result_jobs (tenant, screening_id, kinds, state, objects)"
            " VALUES ('default', %s, '{sr}', 'failed', %s) RETURNING job_id",
            (identifier, json.dumps([RESULT_OBJECT])),
        )
        results = f"/v1/screenings/{identifier}/results"
        replay = f"{results}/{(await cursor.fetchone())['job_id']}/replay"
    done = {
        "list_results": ("GET", results, None),
        "replay_result": ("POST", replay, None),
        "list_critical": ("GET", "/v1/critical", None),
        "acknowledge_critical": ("POST", f"/v1/critical/{critical}/acknowledge", None),
        **await reviewing(api),
        "list_volumes": ("GET", f"/v1/studies/{STUDY}/volumes", None),
        "list_screenings": ("GET", "/v1/screenings", None),
        "get_screening": ("GET", f"/v1/screenings/{identifier}", None),
        "get_screening_fhir": ("GET", f"/v1/screenings/{identifier}/fhir", None),
        "create_screening": ("POST", "/v1/screenings", {"study_instance_uid": STUDY}),
        "cancel_screening": ("POST", f"/v1/screenings/{waiting['screening_id']}/cancel", None),
        "rerun_screening": ("POST", f"/v1/screenings/{identifier}/rerun", None),
        "list_checks": ("GET", "/v1/checks", None),
        "list_studies": ("GET", "/v1/studies", None),
        "get_study": ("GET", f"/v1/studies/{STUDY}", None),
        "get_webhook": ("GET", "/v1/webhooks", None),
        "set_webhook": ("PUT", "/v1/webhooks", {"body": "result"}),
        "make_webhook_secret": ("POST", "/v1/webhooks/secret", {"overlap_hours": 1}),
        "list_deliveries": ("GET", "/v1/webhooks/deliveries", None),
        "replay_delivery": ("POST", f"/v1/webhooks/deliveries/{delivery}/replay", None),
        "show_usage": ("GET", "/v1/usage", None),
        "show_queue": ("GET", "/v1/ops/queue", None),
        "show_suspensions": ("GET", "/v1/ops/suspensions", None),
        "show_history": ("GET", f"/v1/ops/screenings/{identifier}", None),
        "restart_screening": ("POST", f"/v1/ops/screenings/{identifier}/restart", None),
        "health": ("GET", "/health", None),
        "livez": ("GET", "/livez", None),
        "readyz": ("GET", "/readyz", None),
        "readyz_intake": ("GET", "/readyz/intake", None),
    }
    given = {
        one.name
        for one in OPERATIONS
        if any(answer.schema and "json" in answer.media for answer in one.answers.values())
    }
    assert given <= done.keys()
    assert held["secret"]["secret"].startswith("whsec_")
    for operation in OPERATIONS:
        if operation.name not in done:
            continue
        method, path, body = done[operation.name]
        answer = await api.request(method, path, json=body)
        told = document["paths"][operation.path][operation.method.lower()]["responses"]
        assert str(answer.status) in told, (operation.name, answer.status)
        described = told[str(answer.status)]["content"][answer.content_type]["schema"]
        validate(await answer.json(), described, document)


async def reviewing(api: Client) -> dict[str, tuple[str, str, Any]]:
    """Sign two reports; give what is asked of an amendment, and of a reader study."""
    cases = []
    for study in ("1.2.3.4.6", "1.2.3.4.7"):
        await add_study(api, study)
        made = await order(api, study)
        claim = await claimed(api, made)
        await release(api, claim, "liver", state="negative")
        await finish(api, claim)
        path = f"/v1/screenings/{made['screening_id']}/reviews"
        draft = await (await api.post(path)).json()
        sign = f"/v1/reviews/{draft['review_id']}/sign"
        signed = await (await api.post(sign, json={"revision": 1})).json()
        assert signed["final"], signed
        cases.append((path, signed))
    (path, signed), (_, other) = cases
    amends = {"amends": signed["review_id"]}
    draft = await (await api.post(path, json=amends)).json()
    review = f"/v1/reviews/{draft['review_id']}"
    plan = {
        "name": "all",
        "seed": 1,
        "washout_days": 0,
        "readers": [other["reader"]],
        "screenings": [other["screening_id"]],
    }
    begun = await (await api.post("/v1/reader-studies", json=plan)).json()
    study = f"/v1/reader-studies/{begun['reader_study_id']}"
    report = {**plan, "readers": ["key:nobody"], "screenings": [signed["screening_id"]]}
    content = {"findings": {"liver": {"decision": "accepted"}}}
    return {
        "begin_review": ("POST", path, amends),
        "list_reviews": ("GET", path, None),
        "get_report": ("GET", path.replace("/reviews", "/report"), None),
        "get_review": ("GET", review, None),
        "save_review": ("PUT", review, {"revision": 1, "content": content}),
        "sign_review": ("POST", f"{review}/sign", {"revision": 2}),
        "show_agreement": ("GET", "/v1/agreement", None),
        "begin_reader_study": ("POST", "/v1/reader-studies", report),
        "list_reader_studies": ("GET", "/v1/reader-studies", None),
        "get_reader_study": ("GET", study, None),
        "next_reading": ("POST", f"{study}/next", None),
    }


def validate(value: Any, described: dict[str, Any], document: dict[str, Any]) -> None:
    """Hold a value to a schema of the document."""
    whole = {**described, "components": document["components"]}
    jsonschema.Draft202012Validator(whole).validate(value)


def test_the_webhook_key_is_made_once(tmp_path: Path) -> None:
    """Under the home, for its owner only, where no setting names one."""
    settings = api_settings("postgresql://nowhere", tmp_path)
    keys = {make_app(settings)[SETTINGS].webhooks.key for _ in range(2)}
    assert len(keys) == 1
    assert (tmp_path / "webhook-key").read_text().strip() in keys
    assert (tmp_path / "webhook-key").stat().st_mode & 0o777 == 0o600


async def test_the_page_shows_every_operation_and_loads_nothing(api: Client) -> None:
    """No script, no foreign address, no key asked for."""
    answer = await api.get("/docs", headers={"Authorization": ""})
    assert (answer.status, answer.content_type) == (200, "text/html")
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    text = await answer.text()

    class Loads(HTMLParser):
        tags: set[str]
        addresses: set[str]

        def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
            self.tags.add(tag)
            self.addresses |= {v or "" for k, v in attributes if k in ("href", "src")}

    seen = Loads()
    seen.tags, seen.addresses = set(), set()
    seen.feed(text)
    assert not seen.tags & {"script", "link", "img", "iframe", "form"}
    assert all(one.startswith(("#", "/")) for one in seen.addresses)
    for operation in OPERATIONS:
        assert f"id={operation.name}>" in text
