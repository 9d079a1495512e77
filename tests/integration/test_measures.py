"""What ``/metrics`` of the api tells of the deployment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest
import pytest_asyncio

from gateway.api.keys import DATABASE, OBJECTS
from gateway.api.measures import COUNT_FAILED
from gateway.metrics import REGISTRY
from gateway.store.database import Database
from gateway.store.orphans import LOCK, run_orphans
from tests.partner_api import Client, api_settings, order, running

pytestmark = pytest.mark.postgres


@pytest_asyncio.fixture
async def api(database_url: str, tmp_path: Path) -> AsyncIterator[Client]:
    async with running(api_settings(database_url, tmp_path)) as client:
        yield client


async def scraped(client: Client) -> dict[str, float]:
    """Ask as Prometheus does; give the samples by name and labels."""
    text = await (await client.get("/metrics")).text()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def run_sql(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)


async def test_dependencies_are_told_as_they_are(api: Client, database_url: str) -> None:
    """Database, objects and schema are up; a schema of another release is not."""
    for _ in range(50):
        told = await scraped(api)
        if 'onescan_dependency_up{dependency="objects"}' in told:
            break
        await asyncio.sleep(0.1)
    for name in ("database", "migrations", "objects"):
        assert told[f'onescan_dependency_up{{dependency="{name}"}}'] == 1
    run_sql(database_url, "UPDATE alembic_version SET version_num = '0000'")
    told = await scraped(api)
    assert told['onescan_dependency_up{dependency="database"}'] == 1
    assert told['onescan_dependency_up{dependency="migrations"}'] == 0


async def test_a_database_that_is_away_is_told(api: Client) -> None:
    """What the process counts itself is told all the same."""
    await scraped(api)
    await api.app[DATABASE].close()
    told = await scraped(api)
    assert told['onescan_dependency_up{dependency="database"}'] == 0
    assert told["onescan_queue_limit"] == 50_000


async def test_the_folder_of_objects_is_measured(api: Client) -> None:
    """Its size, what is free, and the watermark."""
    told = await scraped(api)
    free = told['onescan_disk_free_bytes{kind="objects"}']
    assert 0 < free < told['onescan_disk_bytes{kind="objects"}']
    assert told["onescan_disk_watermark_bytes"] == 1024**3


async def test_only_what_a_worker_could_take_makes_a_lane_late(
    api: Client, database_url: str
) -> None:
    """Neither a suspended lane nor a study that has yet to be fetched is late; both are waiting."""
    made = await order(api, lane="stat")
    assert made["lane"] == "stat"
    run_sql(database_url, "UPDATE screenings SET created_at = now() - interval '10 minutes'")
    oldest = 'onescan_queue_oldest_seconds{lane="stat"}'
    assert 600 <= (await scraped(api))[oldest] < 700

    run_sql(
        database_url,
        "INSERT INTO suspensions (tenant, what, actor) SELECT tenant, lane, 'a' FROM screenings",
    )
    told = await scraped(api)
    assert told[oldest] == 0
    assert told['onescan_queue_depth{lane="stat"}'] == 1
    run_sql(database_url, "UPDATE suspensions SET tenant = ''")
    assert (await scraped(api))[oldest] == 0
    run_sql(database_url, "UPDATE suspensions SET what = 'routine'")
    assert (await scraped(api))[oldest] >= 600

    run_sql(database_url, """UPDATE screenings SET source = '{"dicomweb": "pacs"}'""")
    assert (await scraped(api))[oldest] == 0
    run_sql(database_url, "UPDATE screenings SET fetched_at = now() - interval '2 minutes'")
    assert 120 <= (await scraped(api))[oldest] < 300


async def test_the_oldest_delivery_that_is_owed_is_told(api: Client, database_url: str) -> None:
    """Its age counts from the event, whatever was tried since."""
    told = await scraped(api)
    assert told["onescan_webhooks_oldest_seconds"] == 0
    await order(api)
    run_sql(
        database_url,
        "INSERT INTO webhook_deliveries (tenant, screening_id, event, url, body, due_since)"
        " SELECT tenant, screening_id, 'screening.done', 'https://example.org', 'reference',"
        " now() - interval '1 hour' FROM screenings",
    )
    told = await scraped(api)
    assert told["onescan_webhooks_pending"] == 1
    assert 3600 <= told["onescan_webhooks_oldest_seconds"] < 3700


async def test_the_audit_log_only_grows(api: Client, database_url: str) -> None:
    """Its newest line is told, so that a log that was cut off shows elsewhere."""
    before = (await scraped(api))["onescan_audit_lines"]
    assert before > 0
    await order(api)
    run_sql(
        database_url,
        "INSERT INTO audit (tenant, actor, action, subject) VALUES ('default', 'a', 'b.c', 'd')",
    )
    assert (await scraped(api))["onescan_audit_lines"] == before + 1


async def test_a_sweep_that_ran_through_is_told(
    api: Client, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sweep that somebody else holds up does not count as run."""

    def ran() -> float:
        value = REGISTRY.get_sample_value("onescan_last_run_timestamp_seconds", {"what": "orphans"})
        return value or 0.0

    async with Database(database_url, size=2) as database:
        async with database.connection() as holder:
            await holder.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
            task = asyncio.create_task(run_orphans(database, api.app[OBJECTS], 0.05))
            await asyncio.sleep(0.3)
            started = ran()
            await asyncio.sleep(0.3)
            assert ran() == started
        for _ in range(50):
            if ran() > started:
                break
            await asyncio.sleep(0.1)
        task.cancel()
    assert ran() > started


async def test_failed_screenings_are_counted_by_an_index(api: Client, database_url: str) -> None:
    """A table of millions is not read through at every scrape."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SET enable_seqscan = off")
        rows = connection.execute(f"EXPLAIN {COUNT_FAILED}").fetchall()
    assert any("screenings_failed" in row[0] for row in rows)
