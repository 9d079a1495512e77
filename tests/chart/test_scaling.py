"""What KEDA asks the database, asked of a real PostgreSQL as KEDA's own role."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import psycopg
import pytest
import pytest_asyncio
import yaml

from gateway.cli import main
from gateway.store import screenings
from gateway.store.costs import save_costs
from gateway.store.database import Database
from gateway.store.keys import ensure_tenant
from tests.chart.conftest import SCALER_ROLE
from tests.chart.rendering import CHART, Document, of_kind, profile
from tests.databases import fresh_database

pytestmark = pytest.mark.postgres

COSTS = {"anatomy": 0.05, "aorta": 0.03, "liver": 0.02}
"""GPU-seconds; nodule is not known, and counts as one second."""

ALL = tuple(yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))["checks"])


@pytest.fixture
def url(postgres_url: str, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Iterator[str]:
    """A database, migrated by the command with the arguments of the chart's own Job."""
    (job,) = of_kind(profile("national"), "Job")
    (container,) = job["spec"]["template"]["spec"]["containers"]
    with fresh_database(postgres_url) as url:
        monkeypatch.setenv("DATABASE_URL", url)
        assert main(container["args"]) == 0
        yield url


@pytest_asyncio.fixture
async def database(url: str) -> AsyncIterator[Database]:
    async with Database(url, size=1) as database:
        yield database


async def order(database: Database, *checks: str, lane: str = "routine") -> None:
    """Have a screening wait whose study has been fetched, so that no instance has to be sent."""
    async with database.connection() as connection:
        wanted = screenings.Order(
            study_instance_uid="", checks=checks, lane=lane, clinical={}, source={"s3": "x"}
        )
        await ensure_tenant(connection, "default")
        row, _ = await screenings.create(connection, "default", wanted)
        await connection.execute(
            "UPDATE screenings SET fetched_at = now() WHERE screening_id = %s",
            (row["screening_id"],),
        )


def triggers(name: str) -> dict[tuple[str, str], Document]:
    """Give the triggers of a profile: (pool, trigger) → metadata."""
    return {
        (scaled["metadata"]["labels"]["onescan.io/pool"], trigger["name"]): trigger["metadata"]
        for scaled in of_kind(profile(name), "ScaledObject")
        for trigger in scaled["spec"]["triggers"]
    }


def ask(url: str, query: str) -> float:
    """Ask as KEDA does: its role, one row, one number that is no NULL."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"SET ROLE {SCALER_ROLE}")
        cursor = connection.execute(query)
        ((value,),) = cursor.fetchall()
    assert isinstance(value, float)
    return value


@pytest.mark.parametrize("name", ["national", "all"])
async def test_an_empty_database_wants_nobody(name: str, database: Database) -> None:
    """0 where nothing is, never NULL, without which KEDA would be in error all night."""
    queries = [m["query"] for m in triggers(name).values() if "query" in m]
    assert len(queries) > 3
    assert {ask(database.url, query) for query in queries} == {0.0}


async def test_pools_count_what_they_may_take(database: Database) -> None:
    """Whole screenings of their checks and lanes, with the anatomy; an unknown cost is 1 s."""
    async with database.connection() as connection:
        await save_costs(connection, COSTS)
    await order(database, "aorta", lane="stat")
    await order(database, "liver", "nodule")
    await order(database, "liver", lane="backfill")
    asked = {
        pool: ask(database.url, metadata["query"])
        for (pool, trigger), metadata in triggers("all").items()
        if trigger == "gpu-seconds"
    }
    stat, routine, backfill = 0.05 + 0.03, 0.05 + 0.02 + 1, 0.05 + 0.02
    assert asked == pytest.approx(
        {
            "main": stat + routine + backfill,
            "mig": stat,
            "slices": routine + backfill,
            "night": backfill,
        }
    )


async def test_only_stat_studies_that_wait_count_for_their_trigger(database: Database) -> None:
    """The age of the oldest; a routine study is nobody's emergency."""
    query = triggers("national")["stat", "stat-age"]["query"]
    await order(database, "aorta")
    assert ask(database.url, query) == 0.0
    await order(database, *ALL, lane="stat")
    assert ask(database.url, query) == 0.0  # the pool has the aorta alone
    await order(database, "aorta", lane="stat")
    async with database.connection() as connection:
        await connection.execute(
            "UPDATE screenings SET created_at = now() - interval '90 s' WHERE lane = 'stat'"
        )
    assert ask(database.url, query) == pytest.approx(90, abs=10)
    assert ask(database.url, triggers("national")["main", "stat-age"]["query"]) > 80


async def test_nulls_are_no_demand(database: Database) -> None:
    """Arguments that are NULL mean all, as empty ones do; the answer is a number either way."""
    await order(database, "liver")
    for arguments in ("NULL, NULL", "ARRAY[]::text[], NULL", "ARRAY[NULL]::text[], ARRAY['stat']"):
        value = ask(database.url, f"SELECT onescan_pool_gpu_seconds({arguments})")
        assert value >= 0.0


async def test_the_role_reads_nothing_else(database: Database) -> None:
    """No table, and no other function of ours."""
    for query in ("SELECT count(*) FROM screenings", "SELECT count(*) FROM check_costs"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            ask(database.url, query)


def test_targets_are_the_arithmetic_of_the_values() -> None:
    """The drain time × the speed of a pod, and the seconds of a stat study."""
    national = triggers("national")
    assert national["main", "gpu-seconds"]["targetQueryValue"] == "58.2"  # 60 × 0.97
    assert national["stat", "gpu-seconds"]["targetQueryValue"] == "8.4"
    assert national["backfill", "gpu-seconds"]["targetQueryValue"] == "6984"
    assert national["stat", "stat-age"]["targetQueryValue"] == "15"
    assert ("backfill", "stat-age") not in national
    assert triggers("all")["night", "gpu-seconds"]["targetQueryValue"] == "108"


def test_scaling_goes_up_at_once_and_down_in_minutes() -> None:
    """And to zero only where the pool may; the fallback never takes what is there."""
    for scaled in of_kind(profile("national"), "ScaledObject"):
        spec = scaled["spec"]
        behavior = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
        assert behavior["scaleUp"]["stabilizationWindowSeconds"] == 0
        assert behavior["scaleDown"]["stabilizationWindowSeconds"] >= 600
        assert spec["fallback"]["behavior"] == "currentReplicasIfHigher"
        pool = scaled["metadata"]["labels"]["onescan.io/pool"]
        assert (spec["minReplicaCount"] == 0) == (pool == "backfill")
        assert spec["scaleTargetRef"]["name"] == scaled["metadata"]["name"]


def test_keda_reads_by_a_secret_of_its_own() -> None:
    """Not by that of the role that owns the tables."""
    (authentication,) = of_kind(profile("national"), "TriggerAuthentication")
    (target,) = authentication["spec"]["secretTargetRef"]
    assert target == {"parameter": "connection", "name": "onescan-database-scaler", "key": "url"}
    for scaled in of_kind(profile("national"), "ScaledObject"):
        for trigger in scaled["spec"]["triggers"]:
            if trigger["type"] == "postgresql":
                name = authentication["metadata"]["name"]
                assert trigger["authenticationRef"] == {"name": name}
