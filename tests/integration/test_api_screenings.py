"""The api's contract on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jsonschema
import psycopg
import pytest
import pytest_asyncio
from aiohttp.test_utils import TestClient, TestServer

from gateway.api.app import make_app
from gateway.api.keys import DATABASE, OBJECTS
from gateway.exceptions import UsageError
from gateway.results.json import schema
from gateway.screening.findings import CheckResult
from gateway.settings import ApiSettings, Settings, StoreSettings, TritonSettings
from gateway.store import screenings
from gateway.store.masks import write_mask
from gateway.store.workers import Report, beat, leave
from tests.rule_check import write_rule_repository
from tests.small_ct import write_small_ct

pytestmark = pytest.mark.postgres

KEY = "key-of-the-test"
BEARER = {"Authorization": f"Bearer {KEY}"}
STUDY = "1.2.826.0.1.3680043.8.498.77"

Client = TestClient[Any, Any]


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return Settings(
        home=tmp_path,
        api=ApiSettings(key=KEY, max_json_bytes=20_000),
        store=StoreSettings(database_url=database_url, pool_size=3),
        triton=TritonSettings(
            model_repository=str(write_rule_repository(tmp_path / "model_repository"))
        ),
    )


@pytest_asyncio.fixture
async def api(settings: Settings) -> AsyncIterator[Client]:
    async with TestClient(TestServer(make_app(settings))) as client:
        client.session.headers.update(BEARER)
        yield client


@pytest_asyncio.fixture
async def study(api: Client, tmp_path: Path) -> str:
    """A study that came in by STOW-RS."""
    await send(api, write_small_ct(tmp_path / "ct", slices=5, study_instance_uid=STUDY))
    return STUDY


async def send(api: Client, paths: list[Path]) -> None:
    parts = b"".join(
        b"--X\r\nContent-Type: application/dicom\r\n\r\n" + path.read_bytes() + b"\r\n"
        for path in paths
    )
    answer = await api.post(
        "/dicomweb/studies",
        data=parts + b"--X--\r\n",
        headers={"Content-Type": 'multipart/related; type="application/dicom"; boundary=X'},
    )
    assert answer.status == 200, await answer.text()


@contextmanager
def worker_seen(url: str, *, triton_ready: bool = True, draining: bool = False) -> Iterator[None]:
    report = Report(
        worker="w",
        version="0",
        pool="default",
        checks=("liver",),
        lanes=("stat", "routine", "backfill"),
        slots=2,
        in_flight=0,
        triton_ready=triton_ready,
        draining=draining,
        pod="machine",
        drained=False,
    )
    with psycopg.connect(url, autocommit=True) as connection:
        beat(connection, report, [])
        yield
        leave(connection, "w")


async def problem(answer: Any, status: int, code: str) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(await answer.text())
    assert (answer.status, body.get("code")) == (status, code), body
    assert answer.content_type == "application/problem+json"
    assert body["type"] == f"urn:onescan:error:{code}"
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    return body


async def test_a_screening_is_accepted_and_shown(api: Client, study: str) -> None:
    """202 with a Location that shows the same screening, in the reference form."""
    answer = await api.post("/v1/screenings", json={"study_instance_uid": study})
    body = await answer.json()
    assert answer.status == 202
    jsonschema.validate(body, schema())
    assert answer.headers["Location"] == f"/v1/screenings/{body['screening_id']}"
    shown = await (await api.get(answer.headers["Location"])).json()
    assert shown == body
    assert shown["state"] == "accepted"
    assert shown["requested_checks"] == ["liver"]
    assert shown["checks"] == []


async def test_the_mask_of_a_result_is_fetched(api: Client, study: str) -> None:
    """The bytes as they were kept; of another check, or another screening, there is none."""
    body = await (await api.post("/v1/screenings", json={"study_instance_uid": study})).json()
    app = api.app
    assert app is not None
    result = CheckResult.without_answer("liver", "not_evaluated", "contrast")
    pointer = write_mask(app[OBJECTS], b"a mask")
    async with app[DATABASE].connection() as connection:
        row, _, _ = await screenings.find(connection, "default", body["screening_id"])
        claim = await screenings.claim(connection, row["screening_id"], 1, "w/1")
        assert claim is not None
        await screenings.release(
            connection,
            claim,
            check="liver",
            state=result.state,
            reason=result.reason,
            result=result.to_json(),
            mask=pointer,
        )
    path = f"/v1/screenings/{body['screening_id']}/masks"
    answer = await api.get(f"{path}/liver")
    assert (answer.status, answer.content_type) == (200, "application/gzip")
    assert await answer.read() == b"a mask"
    await problem(await api.get(f"{path}/bone"), 404, "request.not_found")
    await problem(await api.get(f"/v1/screenings/{STUDY}/masks/liver"), 404, "request.not_found")


async def test_released_results_are_shown_before_the_end(api: Client, study: str) -> None:
    """Stage and results grow while the screening runs; the end has all of them."""
    body = await (await api.post("/v1/screenings", json={"study_instance_uid": study})).json()
    result = CheckResult.without_answer("liver", "not_evaluated", "contrast")
    app = api.app
    assert app is not None
    async with app[DATABASE].connection() as connection:
        row, _, _ = await screenings.find(connection, "default", body["screening_id"])
        claim = await screenings.claim(connection, row["screening_id"], 1, "w/1")
        assert claim is not None
        await screenings.enter_stage(connection, claim, "anatomy")
        await screenings.release(
            connection,
            claim,
            check="liver",
            state=result.state,
            reason=result.reason,
            result=result.to_json(),
        )
    shown = await (await api.get(f"/v1/screenings/{body['screening_id']}")).json()
    jsonschema.validate(shown, schema())
    assert (shown["state"], shown["stage"]) == ("running", "anatomy")
    assert [(c["state"], c["reason"]) for c in shown["checks"]] == [("not_evaluated", "contrast")]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "request.invalid_json"),
        ({"study_instance_uid": 7}, "request.invalid_json"),
        ({"study_instance_uid": "1." + "2" * 80}, "request.invalid_json"),
        ({"study_instance_uid": "1.2\ud800"}, "request.invalid_json"),
        ({"study_instance_uid": "1.2.x"}, "request.invalid_json"),
        (
            {"study_instance_uid": STUDY, "clinical": {"report": "\ud800"}},
            "request.invalid_clinical",
        ),
        ({"study_instance_uid": STUDY, "clinical": {"report": "a\0"}}, "request.invalid_clinical"),
        ({"study_instance_uid": STUDY, "cheks": []}, "request.invalid_json"),
        ({"study_instance_uid": STUDY, "checks": []}, "request.invalid_json"),
        ({"study_instance_uid": STUDY, "checks": "liver"}, "request.invalid_json"),
        ({"study_instance_uid": STUDY, "checks": ["lever"]}, "request.unknown_check"),
        ({"study_instance_uid": STUDY, "checks": ["anatomy"]}, "request.unknown_check"),
        ({"study_instance_uid": STUDY, "lane": "fast"}, "request.invalid_json"),
        ({"study_instance_uid": STUDY, "lane": ["stat"]}, "request.invalid_json"),
        ({"study_instance_uid": STUDY, "exam_context": "x"}, "request.invalid_json"),
        ({"study_instance_uid": STUDY, "clinical": []}, "request.invalid_clinical"),
        ({"study_instance_uid": STUDY, "clinical": {"ast": "40"}}, "request.invalid_clinical"),
        ({"study_instance_uid": STUDY, "clinical": {"ast": -1}}, "request.clinical_out_of_range"),
        ({"study_instance_uid": STUDY, "clinical": {"asat": 40}}, "request.unknown_clinical"),
        ({"study_instance_uid": STUDY, "clinical": {"albumin": 4}}, "request.clinical_ambiguous"),
        (
            {"study_instance_uid": STUDY, "clinical": {"ast": {"value": 1, "unit": "ukat/L"}}},
            "request.clinical_unit",
        ),
    ],
)
async def test_bad_requests_have_their_code(
    api: Client, study: str, body: dict[str, Any], code: str
) -> None:
    """Each is refused by name, and no screening is made."""
    await problem(await api.post("/v1/screenings", json=body), 400, code)


async def test_an_unknown_check_names_those_that_are_installed(api: Client, study: str) -> None:
    """The list is in the answer."""
    answer = await api.post(
        "/v1/screenings", json={"study_instance_uid": study, "checks": ["bone"]}
    )
    assert "liver" in (await problem(answer, 400, "request.unknown_check"))["detail"]


async def test_an_unknown_study_is_not_found(api: Client) -> None:
    """Nothing is made for a study that never came."""
    answer = await api.post("/v1/screenings", json={"study_instance_uid": "1.2.3"})
    await problem(answer, 404, "request.not_found")


@pytest.mark.parametrize("name", ["x", "00000000-0000-0000-0000-000000000000", "%00"])
async def test_an_unknown_screening_is_not_found(api: Client, name: str) -> None:
    """Whatever is asked for."""
    await problem(await api.get(f"/v1/screenings/{name}"), 404, "request.not_found")


async def test_broken_json_is_refused(api: Client) -> None:
    """Not JSON, NaN, no object, too deep, too large, of another type."""
    kind = {"Content-Type": "application/json"}
    for text in ("{", "[1]", '{"study_instance_uid": NaN}', "[" * 9_000):
        answer = await api.post("/v1/screenings", data=text, headers=kind)
        await problem(answer, 400, "request.invalid_json")
    answer = await api.post("/v1/screenings", data=" " * 30_000, headers=kind)
    await problem(answer, 413, "request.payload_too_large")
    answer = await api.post("/v1/screenings", data="{}", headers={"Content-Type": "text/plain"})
    await problem(answer, 415, "request.unsupported_media_type")


async def test_idempotency_keys(api: Client, study: str) -> None:
    """The same key and body give the same screening; another body is a conflict."""
    headers = {"Idempotency-Key": "abc"}
    body = {"study_instance_uid": study}
    first = await (await api.post("/v1/screenings", json=body, headers=headers)).json()
    again = await (await api.post("/v1/screenings", json=body, headers=headers)).json()
    assert again["screening_id"] == first["screening_id"]
    answer = await api.post("/v1/screenings", json=body | {"lane": "stat"}, headers=headers)
    await problem(answer, 409, "request.conflict")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Basic {KEY}"},
        {"Authorization": "Bearer " + "x" * 5000},
        {"X-API-Key": "wrong"},
    ],
)
@pytest.mark.parametrize(
    "path", ["/v1/checks", "/v1/screenings/x", "/dicomweb/studies", "/nowhere"]
)
async def test_every_route_asks_for_the_key(
    settings: Settings, path: str, headers: dict[str, str]
) -> None:
    """401 comes before anything else is looked at."""
    async with TestClient(TestServer(make_app(settings))) as api:
        answer = await api.get(path, headers=headers)
        await problem(answer, 401, "request.unauthorized")
        assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_both_ways_to_send_the_key(settings: Settings) -> None:
    """Authorization: Bearer and X-API-Key."""
    async with TestClient(TestServer(make_app(settings))) as api:
        for headers in (BEARER, {"X-API-Key": KEY}):
            assert (await api.get("/v1/checks", headers=headers)).status == 200


async def test_a_revoked_key_is_refused(api: Client, database_url: str) -> None:
    """At once."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE api_keys SET revoked_at = now()")
    await problem(await api.get("/v1/checks"), 401, "request.unauthorized")


async def test_the_key_is_kept_as_a_hash_only(api: Client, database_url: str) -> None:
    """No row of the database holds it."""
    with psycopg.connect(database_url) as connection:
        [row] = connection.execute("SELECT api_keys::text FROM api_keys").fetchall()
    assert KEY not in row[0]
    assert KEY.encode().hex() not in row[0]


def test_there_is_no_api_without_a_key(settings: Settings) -> None:
    """No unauthenticated mode that could be left on."""
    with pytest.raises(UsageError):
        make_app(dataclasses.replace(settings, api=ApiSettings(key="")))


async def test_unknown_routes_and_methods_are_problems_too(api: Client) -> None:
    """404 and 405 in the same form."""
    await problem(await api.get("/v1/nothing"), 404, "request.not_found")
    answer = await api.delete("/v1/checks")
    await problem(answer, 405, "request.invalid")
    assert "GET" in answer.headers["Allow"]


async def test_checks_are_listed(api: Client) -> None:
    """What is installed, what it needs, which thresholds it has; not the infrastructure."""
    checks = (await (await api.get("/v1/checks")).json())["checks"]
    assert [check["check"] for check in checks] == ["liver"]
    assert checks[0]["thresholds"]["flag"] == 17.4
    assert "synthetic" in checks[0]["weights_origin"]


async def test_livez_needs_nothing(settings: Settings) -> None:
    """No key, no database."""
    async with TestClient(TestServer(make_app(settings))) as api:
        assert (await api.get("/livez")).status == 200


async def test_readyz_names_what_is_wrong(api: Client, database_url: str) -> None:
    """A worker, its Triton, and this process."""

    async def parts() -> tuple[int, dict[str, str]]:
        answer = await api.get("/readyz")
        return answer.status, (await answer.json())["parts"]

    status, told = await parts()
    assert (status, told["worker"]) == (503, "none seen lately")
    with worker_seen(database_url, triton_ready=False):
        status, told = await parts()
        assert (status, told["worker"], told["triton"]) == (503, "ok", "not ready")
    with worker_seen(database_url, draining=True):
        assert (await parts())[0] == 503
    with worker_seen(database_url):
        assert await parts() == (
            200,
            {"api": "ok", "database": "ok", "worker": "ok", "triton": "ok"},
        )


async def test_readyz_wants_the_schema_of_this_release(api: Client, database_url: str) -> None:
    """A database that was not migrated is not ready."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0000'")
    answer = await api.get("/readyz")
    assert answer.status == 503
    assert (await answer.json())["parts"]["database"] == "migration missing"


async def test_metrics_are_for_this_machine_and_name_no_study(api: Client, study: str) -> None:
    """The queue is there, UIDs are not."""
    made = await (await api.post("/v1/screenings", json={"study_instance_uid": study})).json()
    await api.get(f"/v1/screenings/{made['screening_id']}")
    text = await (await api.get("/metrics", headers={"Authorization": ""})).text()
    assert 'onescan_queue_depth{lane="routine"} 1.0' in text
    assert 'route="/v1/screenings/{screening_id}"' in text
    assert study not in text
    assert made["screening_id"] not in text


async def test_a_crash_tells_nothing_of_itself(
    api: Client, study: str, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """500 internal, whatever the exception said."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE screenings RENAME COLUMN lane TO lain")
    answer = await api.post("/v1/screenings", json={"study_instance_uid": study})
    body = await problem(answer, 500, "internal")
    assert "lane" not in json.dumps(body)


async def test_a_database_that_is_away_is_503(settings: Settings, database_url: str) -> None:
    """With Retry-After; and back again afterwards."""
    async with TestClient(TestServer(make_app(settings, reaper=False))) as api:
        name = database_url.rpartition("/")[2].partition("?")[0]
        admin = database_url.replace(name, "onescan")
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")  # type: ignore[arg-type]
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
            )
            answer = await asyncio.wait_for(api.get("/readyz"), 10)
            assert answer.status == 503
            assert (await answer.json())["parts"]["database"] == "unreachable"
            connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")  # type: ignore[arg-type]
        async with asyncio.timeout(30):
            while (await api.get("/v1/checks", headers=BEARER)).status != 200:  # noqa: ASYNC110 - the pool's own pace
                await asyncio.sleep(0.2)
