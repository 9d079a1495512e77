"""What operators do: by HTTP for their tenant, by ``onescan ops`` for the deployment."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from gateway import cli
from gateway.api.admission import Admission
from gateway.api.app import make_app
from gateway.api.diagnosis import diagnose
from gateway.api.keys import DATABASE
from gateway.intake.partners import Partner, Partners
from gateway.store import screenings
from gateway.store.completer import complete
from gateway.store.database import Database
from tests.access_server import STORE_TYPE, body_of
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
from tests.small_ct import write_small_ct

pytestmark = pytest.mark.postgres

MARKER = "DOE-MARKER^JANE"


@pytest_asyncio.fixture
async def api(database_url: str, tmp_path: Path) -> AsyncIterator[Client]:
    async with running(api_settings(database_url, tmp_path)) as client:
        yield client


@pytest.fixture
def ops(
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., tuple[int, str, str]]:
    """Run ``onescan ops`` on the test's database; gives exit code, stdout and stderr."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("ONESCAN_HOME", str(tmp_path))

    def run(*arguments: str) -> tuple[int, str, str]:
        code = cli.main(["ops", *arguments])
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


async def audited(client: Client) -> list[tuple[str, str, str]]:
    async with database(client).connection() as connection:
        cursor = await connection.execute(
            "SELECT tenant, actor, action FROM audit WHERE action NOT LIKE 'key.%%'"
            " AND action NOT LIKE 'tenant.%%' ORDER BY audit_id"
        )
        return [(row["tenant"], row["actor"], row["action"]) for row in await cursor.fetchall()]


async def failed(client: Client) -> dict[str, Any]:
    """Make a screening with inputs, and let it fail."""
    made = await order(client, lane="stat", clinical={"alt": {"value": 40, "unit": "U/L"}})
    claim = await claimed(client, made)
    async with database(client).connection() as connection:
        await screenings.give_up_attempt(
            connection,
            claim.row,
            max_attempts=1,
            code="crashed",
            message="It died.",
            reason="crashed",
        )
    return made


async def test_what_failed_is_restarted_with_its_inputs(api: Client) -> None:
    """As the next version; once, however often it is asked for; the failed one stays as it was."""
    made = await failed(api)
    path = f"/v1/ops/screenings/{made['screening_id']}/restart"
    again = await (await api.post(path)).json()
    assert (await (await api.post(path)).json())["screening_id"] == again["screening_id"]
    assert again["supersedes"] == made["screening_id"]
    assert (again["lane"], again["requested_checks"]) == ("stat", made["requested_checks"])
    async with database(api).connection() as connection:
        cursor = await connection.execute("SELECT clinical FROM screenings ORDER BY version")
        one, two = [row["clinical"] for row in await cursor.fetchall()]
    assert one == two != {}
    before = await (await api.get(f"/v1/screenings/{made['screening_id']}")).json()
    assert before["state"] == "failed"
    assert [line for line in await audited(api) if line[2] == "screening.restarted"] == [
        ("default", "key:default", "screening.restarted")
    ]
    await problem(
        await api.post(f"/v1/ops/screenings/{again['screening_id']}/restart"),
        409,
        "request.conflict",
    )


async def test_a_screening_tells_how_it_came_about(
    api: Client, ops: Callable[..., tuple[int, str, str]]
) -> None:
    """Order, every event in order, who touched it, and what ran; by HTTP and on the machine."""
    made = await order(api)
    claim = await claimed(api, made)
    await release(api, claim, "liver", state="negative")
    await finish(api, claim)
    told = await (await api.get(f"/v1/ops/screenings/{made['screening_id']}")).json()
    assert [event["event"] for event in told["events"]] == [
        "accepted",
        "running",
        "released",
        "done",
    ]
    assert told["manifest"]["checks"]["liver"]["state"] == "negative"
    assert told["order"]["study_instance_uid"] == STUDY
    code, out, _ = await asyncio.to_thread(ops, "show", made["screening_id"])
    assert (code, json.loads(out)) == (0, told)
    code, _, err = await asyncio.to_thread(ops, "show", "nonsense")
    assert code == 2
    assert "no screening's ID" in err


async def test_the_queue_is_listed_in_the_order_in_which_it_is_taken(
    api: Client, ops: Callable[..., tuple[int, str, str]]
) -> None:
    """What is in hand first, then stat, routine, backfill; another tenant's is not there."""
    made = {
        lane: (await order(api, lane=lane))["screening_id"]
        for lane in ("backfill", "routine", "stat")
    }
    taken = await order(api, lane="backfill")
    await claimed(api, taken)
    expected = [taken["screening_id"], made["stat"], made["routine"], made["backfill"]]
    shown = (await (await api.get("/v1/ops/queue")).json())["screenings"]
    assert [row["screening_id"] for row in shown] == expected
    code, out, _ = await asyncio.to_thread(ops, "queue", "--json")
    assert code == 0
    assert [row["screening_id"] for row in json.loads(out)["screenings"]] == expected
    shown = (await (await api.get("/v1/ops/queue?lane=stat")).json())["screenings"]
    assert [row["screening_id"] for row in shown] == [made["stat"]]
    await problem(await api.get("/v1/ops/queue?lane=fast"), 400, "request.invalid_query")


async def test_suspensions_are_durable_seen_and_audited(
    api: Client, ops: Callable[..., tuple[int, str, str]]
) -> None:
    """A tenant's by HTTP, everybody's on the machine; a tenant cannot lift the latter."""
    answer = await api.post("/v1/ops/suspend", json={"what": "routine", "reason": "new scanner"})
    assert answer.status == 204
    assert (await asyncio.to_thread(ops, "suspend", "intake", "--reason", "disk"))[0] == 0
    told = (await (await api.get("/v1/ops/suspensions")).json())["suspensions"]
    assert [(s["what"], s["everybody"], s["reason"]) for s in told] == [
        ("routine", False, "new scanner"),
        ("intake", True, "disk"),
    ]
    await problem(
        await api.post("/v1/ops/resume", json={"what": "intake"}), 404, "request.not_found"
    )
    assert (await api.post("/v1/ops/resume", json={"what": "routine"})).status == 204
    assert (await asyncio.to_thread(ops, "resume", "intake"))[0] == 0
    assert (await asyncio.to_thread(ops, "resume", "intake"))[0] == 2
    lines = [(tenant, action) for tenant, _, action in await audited(api)]
    assert lines == [
        ("default", "routine.suspended"),
        ("", "intake.suspended"),
        ("default", "routine.resumed"),
        ("", "intake.resumed"),
    ]
    await problem(
        await api.post("/v1/ops/suspend", json={"what": "all"}), 400, "request.invalid_json"
    )


async def test_a_study_that_waits_is_taken_for_complete(api: Client) -> None:
    """Though its quiet time has not begun to end; nothing new, and there is nothing to do."""
    ward = Partner(name="ward", tenant="default", keys=(), quiet_seconds=3600.0, checks=("liver",))
    async with database(api).connection() as connection:
        await connection.execute(
            "INSERT INTO arrivals (tenant, study_instance_uid, partner, last_at, waiting, stat,"
            " quiet_seconds, due_at) VALUES ('default', %s, 'ward', now(), 3, false, 3600,"
            " now() + interval '1 hour')",
            (STUDY,),
        )
    path = f"/v1/ops/studies/{STUDY}/complete"
    assert (await api.post(path)).status == 202
    async with database(api).connection() as connection:
        await complete(connection, Partners(partners={"ward": ward}), lambda modalities: ())
    listed = (await (await api.get("/v1/screenings")).json())["screenings"]
    assert [row["study_instance_uid"] for row in listed] == [STUDY]
    await problem(await api.post(path), 409, "request.conflict")
    await problem(await api.post("/v1/ops/studies/1.2.3.4/complete"), 404, "request.not_found")


async def test_health_names_what_is_wrong(
    api: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Every dependency by its name; what is well says so."""
    told = await (await api.get("/health")).json()
    states = {name: part["state"] for name, part in told["parts"].items()}
    assert states == {
        "api": "ok",
        "database": "ok",
        "migrations": "ok",
        "objects": "ok",
        "disk": "ok",
        "workers": "failed",
        "triton": "failed",
        "queue": "ok",
        "reaper": "ok",
        "suspensions": "ok",
    }
    assert told["state"] == "failed"
    assert told["parts"]["workers"]["says"] == "No worker has spoken lately."
    made = await order(api, lane="stat")
    held = await order(api)
    await claimed(api, held)
    async with database(api).connection() as connection:
        await connection.execute(
            "UPDATE screenings SET created_at = now() - interval '5 minutes'"
            " WHERE screening_id = %s",
            (made["screening_id"],),
        )
        await connection.execute(
            "INSERT INTO suspensions (tenant, what, actor) VALUES ('', 'backfill', 'test')"
        )
        await connection.execute(
            "INSERT INTO workers (worker, version, checks, slots, in_flight, triton_ready,"
            " draining) VALUES ('w', '1', '{liver}', 3, 1, false, false)"
        )
    monkeypatch.setattr(Admission, "free_bytes", lambda self: 1.0)
    (tmp_path / "objects" / "incoming").chmod(0o500)
    told = await (await api.get("/health")).json()
    (tmp_path / "objects" / "incoming").chmod(0o700)
    parts = told["parts"]
    assert parts["workers"]["state"] == "ok"
    assert parts["queue"]["says"] == "Screenings have waited too long: stat."
    assert parts["disk"]["state"] == parts["triton"]["state"] == "failed"
    assert parts["suspensions"]["says"].endswith("backfill.")


async def test_health_tells_of_a_database_that_is_away(database_url: str, tmp_path: Path) -> None:
    """Asked of the parts themselves, since nobody could be let in then."""
    away = Database("postgresql://127.0.0.1:1/none")  # never opened
    async with running(api_settings(database_url, tmp_path)) as client:
        app = client.app
        assert app is not None
        parts: Any = {**{key: app[key] for key in app}, DATABASE: away}
        found = await diagnose(parts)
    assert found["database"].state == found["queue"].state == "failed"
    assert found["database"].says == "The database cannot be reached."
    assert found["objects"].state == "ok"


async def test_promise_6_no_patient_in_logs_and_metrics(
    database_url: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A study with a marker for its name is stored, refused, searched, screened and deleted."""
    import io

    import pydicom

    from gateway.log import configure_logging

    paths = write_small_ct(tmp_path / "ct", slices=2, study_instance_uid="1.2.826.0.9.777.1.2.3")
    for path in paths:
        image = pydicom.dcmread(path)
        image.PatientName, image.PatientID = MARKER, "ID-MARKER-1"
        image.save_as(path)
    body = body_of(paths)
    stream = io.StringIO()
    configure_logging("api", b"k" * 32, stream=stream)
    async with running(api_settings(database_url, tmp_path)) as client:
        for data in (body, body[:-400], body.replace(b"JANE", b"JANF")):
            await client.post("/dicomweb/studies", data=data, headers={"Content-Type": STORE_TYPE})
        await client.get(f"/dicomweb/studies?PatientName={MARKER}")
        await client.get(f"/v1/studies?accession_number={MARKER}")
        await client.post("/v1/screenings", json={"study_instance_uid": MARKER})
        await order(client, "1.2.826.0.9.777.1.2.3")
        await client.get("/v1/ops/queue")
        await client.delete("/v1/studies/1.2.826.0.9.777.1.2.3")
        metrics = await (await client.get("/metrics")).text()
    assert "onescan_intake_bytes_total" in metrics
    logged = stream.getvalue() + "".join(capfd.readouterr())
    for told in (logged, metrics):
        for secret in ("MARKER", "1.2.826.0.9.777.1.2.3"):
            assert secret not in told


def test_the_application_has_everything(tmp_path: Path) -> None:
    """Each of the operator's routes is there."""
    app = make_app(api_settings("postgresql://nowhere", tmp_path), reaper=False)
    paths = {route.resource.canonical for route in app.router.routes() if route.resource}
    assert {"/health", "/v1/ops/queue", "/v1/ops/suspend", "/v1/ops/resume"} <= paths
