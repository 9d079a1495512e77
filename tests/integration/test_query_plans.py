"""Searches on an index of 100,000 frames: by their plans, since time depends on the machine."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio

from gateway.store.database import Connection, Database
from gateway.store.matching import Level
from gateway.store.query import Query, conditions_of, find, statement
from loadtests.query_index import SERIES, SLICES, TENANT, fill, study_uid
from tests.databases import fresh_database

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

FRAMES = 100_000

DAYS = 5

STUDY = study_uid(21)


@pytest.fixture(scope="module")
def filled(postgres_url: str) -> Iterator[str]:
    """One index for all tests of this file; they only read."""

    async def prepare(url: str) -> None:
        async with Database(url, size=1) as database, database.connection() as connection:
            await fill(connection, FRAMES, days=DAYS)

    with fresh_database(postgres_url) as url:
        asyncio.run(prepare(url))
        yield url


@pytest_asyncio.fixture
async def connection(filled: str) -> AsyncIterator[Connection]:
    async with Database(filled, size=1) as database, database.connection() as made:
        yield made


async def plan(connection: Connection, query: Query) -> dict[str, Any]:
    """Run a query and give its plan with what was read."""
    sql, values = statement(TENANT, query, conditions_of(query), ["Rows", "InstanceNumber"])
    cursor = await connection.execute(
        f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}", values, prepare=False
    )
    row = await cursor.fetchone()
    assert row is not None
    found = row["QUERY PLAN"]
    plan: dict[str, Any] = (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]
    return plan


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Give every node that was executed."""
    if plan["Actual Loops"]:
        yield plan
        for child in plan.get("Plans", ()):
            yield from nodes(child)


def indexes(plan: dict[str, Any]) -> set[str]:
    return {node["Index Name"] for node in nodes(plan) if "Index Name" in node}


def rows_read(plan: dict[str, Any], alias: str) -> float:
    """Count the rows that scans of a table gave or threw away."""
    return sum(
        (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
        for node in nodes(plan)
        if node.get("Alias", "").split("_")[0] == alias and "Scan" in node["Node Type"]
        and node["Node Type"] != "Bitmap Index Scan"
    )  # fmt: skip


async def test_no_plan_reads_frames_nor_a_whole_table_of_instances(connection: Connection) -> None:
    for level in Level:
        for keys in ({}, {"StudyInstanceUID": STUDY}, {"PatientName": "wang*"}):
            told = await plan(connection, Query(level=level, keys=keys, limit=51))
            for node in nodes(told):
                name = node.get("Relation Name", "")
                assert not name.startswith("frames")
                assert not (name.startswith("instances") and node["Node Type"] == "Seq Scan")


async def test_the_newest_page_ends_where_the_page_ends(connection: Connection) -> None:
    """Studies, series and instances alike are read in the order of the answer."""
    for level in Level:
        told = await plan(connection, Query(level=level, keys={}, limit=51))
        assert "studies_newest" in indexes(told), level
        assert rows_read(told, "s") <= 60
        assert rows_read(told, "i") <= 4 * SERIES * SLICES


@pytest.mark.parametrize(
    ("keys", "index"),
    [
        ({"PatientID": "P00000010"}, "studies_patient_id"),
        ({"AccessionNumber": "A000000021"}, "studies_accession_number"),
        ({"PatientName": "mueller^a*"}, "studies_patient_name"),
        ({"StudyInstanceUID": STUDY}, "studies_pkey"),
        ({"StudyDate": "20260102"}, "studies_newest"),
    ],
)
async def test_a_selective_key_has_its_index(
    connection: Connection, keys: dict[str, str], index: str
) -> None:
    await connection.execute("SET LOCAL enable_seqscan = off")  # 250 studies would do without
    told = await plan(connection, Query(level=Level.STUDY, keys=keys, limit=51))
    assert index in indexes(told)
    assert rows_read(told, "s") < 110


async def test_a_study_is_read_alone(connection: Connection) -> None:
    """Its own instances and no others, from the partition of its day."""
    query = Query(level=Level.IMAGE, keys={"StudyInstanceUID": STUDY}, limit=1001)
    told = await plan(connection, query)
    assert rows_read(told, "i") == SERIES * SLICES
    assert len(await find(connection, TENANT, query)) == SERIES * SLICES


async def test_an_instance_is_looked_up_by_its_uid(connection: Connection) -> None:
    keys = {"SOPInstanceUID": f"{STUDY}.2.7"}
    told = await plan(connection, Query(level=Level.IMAGE, keys=keys, limit=2))
    assert rows_read(told, "i") <= 2
    [match] = await find(connection, TENANT, Query(level=Level.IMAGE, keys=keys, limit=2))
    assert match.attributes["InstanceNumber"] == 7
